//! A generation is tried once. Whatever it does, the machine ends on the right one by itself, and
//! `nos generations` says why.

mod debugger;
mod variables;

use crate::common::Example;
use crate::common::machine::{Machine, children_of, is_running, wait_until};
use crate::common::program::{Nos, at};
use debugger::Socket;
use nos_formats::cpio;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What init says at each turn.
const BEGINS: &str = "generation 2 is to be tried: restarting";
const ON_TRIAL: &str = "this is generation 2, on trial";
const GOOD: &str = "generation 2 is good: it boots from now on";
const FAILED: &str = "generation 2 has failed its trial: ";
const READY: &str = "nos: ready in";
/// What the kernel says before the firmware is there again.
const RESTARTS: &str = "reboot: Restarting system";

const NEW_PAGE: &str = "<!doctype html><title>two</title><p>The second generation.\n";

/// A disk with `hello` as generation 1, and a second generation to be tried.
struct Bench {
    hello: Example,
    /// The file of its spec.
    file: &'static str,
    old_page: Vec<u8>,
    disk: String,
}

impl Bench {
    /// Both kernels get `words` on their command lines, and do not wait long after a panic.
    fn new(words: &[&str]) -> Self {
        Self::on_disk(words, &[])
    }

    /// The same on a disk made with further arguments.
    fn on_disk(words: &[&str], more: &[&str]) -> Self {
        let words: Vec<String> = ["panic=1"]
            .iter()
            .chain(words)
            .map(|w| format!("{w:?}"))
            .collect();
        let kernel = format!(
            "kernel own like kernel.stock {{\n  cmdline = [{}]\n}}",
            words.join(", ")
        );
        Self::of("hello", "hello.nos", "kernel.stock", &kernel, more)
    }

    /// Another example, with another kernel in place of its own.
    fn of(name: &str, file: &'static str, old: &str, kernel: &str, more: &[&str]) -> Self {
        let hello = Example::copy(name);
        let spec = String::from_utf8(hello.read(file)).unwrap();
        let spec = spec.replace(old, "own");
        let host = format!("host {name} {{");
        hello.write(file, spec.replace(&host, &format!("{kernel}\n\n{host}")));
        let disk = hello.image_with("hello.img", more);
        Self {
            old_page: hello.read("site/index.html"),
            hello,
            file,
            disk,
        }
    }

    /// Installs a generation for which `change` has changed the spec.
    fn install(&self, more: &[&str], change: impl FnOnce(String) -> String) {
        self.hello.write("site/index.html", NEW_PAGE);
        let spec = String::from_utf8(self.hello.read(self.file)).unwrap();
        self.hello.write(self.file, change(spec));
        let spec = self.hello.spec();
        let mut arguments = vec!["install", &spec, &self.disk, "--locked", "--offline"];
        arguments.extend(more);
        assert_eq!(at(&Nos::new(arguments).json(), "/number"), 2);
    }

    /// Installs a generation on trial.
    fn on_trial(&self, change: impl FnOnce(String) -> String) {
        self.install(&["--trial"], change);
        assert_eq!(self.generation(2)["trial"], "wanted");
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.hello.beside(name).into()
    }

    /// Switches the machine on; it restarts as real ones do.
    fn start(&self, more: &[&str]) -> Machine {
        let variables = self.beside("variables.fd").display().to_string();
        let mut all = vec!["--offline", "--restart", "--variables", &variables];
        all.extend(more);
        Machine::start_with(&self.hello, Some(&self.disk), "tcg", &all)
    }

    /// Switches the machine on where a debugger can come.
    fn start_with_debugger(&self) -> (Machine, Socket) {
        let socket = Socket::in_folder(self.beside("x").parent().unwrap());
        let arguments = socket.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        (self.start(&arguments), socket)
    }

    fn generation(&self, number: u64) -> Value {
        let listing = Nos::new(["generations", &self.disk]).json();
        let all = at(&listing, "/generations").as_array().unwrap();
        let mut found = all.iter().filter(|g| g["number"] == number);
        found.next().unwrap().clone()
    }

    /// The machine has come to rest in a generation: it serves its page, and boots from now on.
    fn ends_on(&self, machine: Machine, number: u64) {
        machine.wait_for(READY);
        let page = if number == 1 {
            &self.old_page[..]
        } else {
            NEW_PAGE.as_bytes()
        };
        assert_eq!(machine.get("/").body, page);
        machine.stop();
        let other = self.generation(3 - number);
        let runs = self.generation(number);
        assert_eq!(
            (&runs["current"], &runs["booted"]),
            (&json!(true), &json!(true)),
            "{runs:#}"
        );
        assert_eq!(
            (&other["current"], &other["trial"]),
            (&json!(false), &Value::Null)
        );
        assert_eq!(runs["verdict"]["good"], true, "{runs:#}");
    }

    /// The machine has come back to generation 1, and `nos generations` says why.
    fn fails(&self, machine: Machine, reason: &str) {
        machine.wait_for(FAILED);
        self.ends_on(machine, 1);
        let verdict = &self.generation(2)["verdict"];
        assert_eq!(verdict["good"], false);
        let said = verdict["reason"].as_str().unwrap();
        assert!(said.contains(reason), "no {reason:?} in {said:?}");
        let listing = Nos::new(["generations", &self.disk]).succeeds().stdout;
        assert!(
            listing.contains(&format!("generation 2 failed: {said}")),
            "{listing}"
        );
    }
}

/// The same spec with a service that does not become healthy for so long.
fn never_healthy(within: &str) -> impl Fn(String) -> String {
    let health = format!("path = \"/nothing\", within = {within}");
    move |spec| spec.replace("path = \"/\", within = 10s", &health)
}

/// Pulls the plug, and waits until the disk is nobody's.
fn cut_power(machine: Machine) {
    let processes = children_of(machine.id());
    drop(machine);
    wait_until(
        || "QEMU is gone".into(),
        || !processes.iter().copied().any(is_running),
    );
}

#[test]
fn a_healthy_generation_stays() {
    let bench = Bench::new(&[]);
    bench.on_trial(|spec| spec);
    let machine = bench.start(&[]);
    machine.wait_for(GOOD);
    bench.ends_on(machine, 2);
    assert_eq!(bench.generation(1)["previous"], true);
    Nos::new(["verify", &bench.disk]).succeeds();
}

/// Installed, tried and rolled back on a disk whose sectors have 4096 bytes, as `nos run` gives it
/// to firmware: with sectors of 512 none of its tables would be found.
#[test]
fn a_disk_with_large_sectors_is_tried_and_rolled_back() {
    let bench = Bench::on_disk(&[], &["--sector-size", "4096"]);
    bench.on_trial(|spec| spec);
    let machine = bench.start(&[]);
    machine.wait_for(BEGINS);
    machine.wait_for(GOOD);
    bench.ends_on(machine, 2);
    let report = Nos::new(["rollback", &bench.disk]).json();
    assert_eq!(at(&report, "/bytes_written"), 4096);
    bench.ends_on(bench.start(&[]), 1);
    Nos::new(["verify", &bench.disk]).succeeds();
}

#[test]
fn a_service_that_is_never_healthy_ends_a_trial() {
    let bench = Bench::new(&[]);
    bench.on_trial(never_healthy("2s"));
    bench.fails(
        bench.start(&[]),
        "service page is not healthy: HTTP status 404",
    );
}

#[test]
fn a_kernel_that_does_not_reach_init_ends_a_trial() {
    let bench = Bench::new(&[]);
    bench.on_trial(|spec| spec.replace("\"panic=1\"", "\"panic=1\", \"rdinit=/nothing\""));
    bench.fails(bench.start(&[]), "its init was never reached");
    Nos::new(["verify", &bench.disk]).succeeds();
}

#[test]
fn a_kernel_that_panics_ends_a_trial_and_is_heard() {
    let bench = Bench::new(&[]);
    bench.on_trial(never_healthy("300s"));
    let (machine, socket) = bench.start_with_debugger();
    machine.wait_for(ON_TRIAL);
    socket.attach().crash_kernel();
    bench.fails(machine, "the kernel panicked: ");
}

/// A kernel of the host's own has what trials need built in.
#[test]
fn a_kernel_of_its_own_that_panics_is_heard() {
    let kernel = "kernel own like kernel.minimal {\n  cmdline = [\"panic=1\"]\n}";
    let bench = Bench::of("tiny", "tiny.nos", "kernel.minimal", kernel, &[]);
    bench.on_trial(never_healthy("300s"));
    let (machine, socket) = bench.start_with_debugger();
    // The watchdog that QEMU emulates, and the kernel's own.
    machine.wait_for("this is generation 2, on trial, with 2 watchdogs");
    socket.attach().crash_kernel();
    bench.fails(machine, "the kernel panicked: ");
}

#[test]
fn an_init_that_crashes_ends_a_trial() {
    let bench = Bench::new(&[]);
    bench.on_trial(|spec| spec);
    let (machine, socket) = bench.start_with_debugger();
    machine.wait_for(BEGINS);
    socket
        .attach()
        .crash_program_at(first_instruction_of_init(&bench.hello));
    machine.wait_for("Attempted to kill init!");
    bench.fails(machine, "its init was never reached");
}

/// Where `init` of a built system begins.
fn first_instruction_of_init(example: &Example) -> u64 {
    let built = Nos::new(["build", &example.spec(), "--locked", "--offline"]).json();
    let digest = at(&built, "/system/initrd/digest")
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let store = nos_store::Store::open(crate::common::shared_store()).unwrap();
    let initrd = store.read_object(&digest).unwrap();
    let magic = [0x28, 0xB5, 0x2F, 0xFD];
    let start = initrd
        .windows(4)
        .position(|window| window == magic)
        .unwrap();
    let archive = zstd::decode_all(&initrd[start..]).unwrap();
    let init = cpio::initramfs::find_plain(&archive, "init")
        .unwrap()
        .unwrap();
    u64::from_le_bytes(init[24..32].try_into().unwrap())
}

#[test]
fn a_machine_that_hangs_is_reset_by_its_watchdog() {
    let bench = Bench::new(&[]);
    bench.on_trial(never_healthy("300s"));
    let (machine, socket) = bench.start_with_debugger();
    machine.wait_for(ON_TRIAL);
    socket.attach().hang();
    bench.fails(machine, "the watchdog reset the machine (i6300ESB timer)");
}

/// Finds generation 2's own image in the partition table.
fn partition_of_new_image(bench: &Bench) -> u64 {
    let image = bench.generation(2)["images"][0].clone();
    image["partition"].as_u64().unwrap()
}

#[test]
fn a_damaged_image_ends_a_trial() {
    let bench = Bench::new(&[]);
    bench.on_trial(|spec| spec);
    let built = Nos::new(["build", &bench.hello.spec(), "--locked", "--offline"]).json();
    let digest = at(&built, "/system/images/0/digest")
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let store = nos_store::Store::open(crate::common::shared_store()).unwrap();
    let image = store.read_object(&digest).unwrap();
    let mut bytes = crate::common::disk::read(&bench.disk);
    let start = crate::common::disk::place_of(&bytes, &image);
    bytes[start + 1024] ^= 0x10;
    std::fs::write(&bench.disk, bytes).unwrap();
    bench.fails(bench.start(&[]), "image page on /dev/vda");
}

#[test]
fn a_missing_image_ends_a_trial() {
    let bench = Bench::new(&[]);
    bench.on_trial(|spec| spec);
    let number = partition_of_new_image(&bench);
    let sgdisk = ["/usr/sbin/sgdisk", "/sbin/sgdisk", "/usr/bin/sgdisk"];
    let Some(sgdisk) = sgdisk.iter().find(|path| Path::new(path).exists()) else {
        crate::common::say!("SKIPPED: a missing image, for want of sgdisk of the package gdisk");
        return;
    };
    let renamed = Command::new(sgdisk)
        .arg(format!("--partition-guid={number}:R"))
        .arg(&bench.disk)
        .output()
        .unwrap();
    assert!(renamed.status.success(), "{renamed:?}");
    bench.fails(bench.start(&[]), "no disk has the image page");
}

#[test]
fn a_trial_needs_no_firmware_variables() {
    let bench = Bench::new(&["efi=noruntime"]);
    bench.on_trial(|spec| spec);
    let machine = bench.start(&[]);
    machine.wait_for("restarting into it by the pointer");
    machine.wait_for(GOOD);
    bench.ends_on(machine, 2);
    assert_eq!(bench.generation(1)["previous"], true);
}

#[test]
fn without_variables_init_leads_back_from_a_panic() {
    let bench = Bench::new(&["efi=noruntime"]);
    bench.on_trial(never_healthy("300s"));
    let (machine, socket) = bench.start_with_debugger();
    machine.wait_for(ON_TRIAL);
    socket.attach().crash_kernel();
    bench.fails(machine, "it ended without a verdict");
}

#[test]
fn a_variable_that_outranks_the_pointer_is_removed() {
    let bench = Bench::new(&[]);
    let machine = bench.start(&[]);
    machine.wait_for(READY);
    machine.stop();
    variables::add(
        &bench.beside("variables.fd"),
        "LoaderEntryDefault",
        "nos-000001-a.conf",
    );
    bench.install(&[], |spec| spec);
    let machine = bench.start(&[]);
    machine.wait_for("EFI variable LoaderEntryDefault (nos-000001-a.conf) was left over, removed");
    machine.wait_for("generation 1 was booted by an EFI variable");
    machine.wait_for(RESTARTS);
    // It may have said that it is ready before.
    let again = || {
        let said = machine.console();
        said.split(RESTARTS).nth(1).unwrap().contains(READY)
    };
    wait_until(|| machine.console(), again);
    bench.ends_on(machine, 2);
}

#[test]
fn a_power_cut_in_a_trial_ends_it() {
    let bench = Bench::new(&[]);
    bench.on_trial(never_healthy("300s"));
    let machine = bench.start(&[]);
    machine.wait_for(ON_TRIAL);
    cut_power(machine);
    assert_eq!(bench.generation(2)["trial"], "started");
    bench.fails(
        bench.start(&[]),
        "it ended without a verdict: a panic, a hang or a power cut",
    );
}

#[test]
fn a_power_cut_at_the_verdict_leaves_old_or_new() {
    let bench = Bench::new(&[]);
    bench.on_trial(|spec| spec);
    let machine = bench.start(&[]);
    machine.wait_for(READY);
    cut_power(machine);
    let number = match (
        bench.generation(1)["current"] == true,
        &bench.generation(2)["trial"],
    ) {
        (true, phase) if phase == "started" => 1,
        (false, Value::Null) => 2,
        other => panic!("neither before nor after the verdict: {other:?}"),
    };
    bench.ends_on(bench.start(&[]), number);
}

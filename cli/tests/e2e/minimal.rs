//! A kernel of the host's own: built in the sandbox, once for all tests of a run, which takes minutes.
//! What would build one more runs when asked: `cargo test -p nos --test e2e -- --ignored minimal`.

use crate::common::machine::{Console, Machine};
use crate::common::program::{Nos, at};
use crate::common::{Example, say, store_with_packages};
use expect_test::expect_file;
use rustix::process::Signal;
use std::time::Duration;

/// Most content that `tiny` may have, and most of it that may be its kernel.
const TINY_BYTES: u64 = 4_000_000;
const KERNEL_BYTES: u64 = 2_200_000;

/// How long the kernel's sources may take to be unpacked.
const UNPACK_LIMIT: Duration = Duration::from_secs(900);

#[test]
fn tiny_serves_its_page_with_firmware_and_without() {
    let tiny = Example::copy("tiny");
    let disk = tiny.beside("tiny.img");
    let image = Nos::new(["image", &tiny.spec(), "-o", &disk, "--offline"]).json();
    let content = at(&image, "/content_bytes").as_u64().unwrap();
    assert!(content <= TINY_BYTES, "tiny has {content} bytes of content");
    let built = Nos::new(["build", &tiny.spec(), "--locked", "--offline"]).json();
    let kernel = at(&built, "/system/kernel/size").as_u64().unwrap();
    assert!(kernel <= KERNEL_BYTES, "its kernel has {kernel} bytes");

    // The spec gives it 96 MiB.
    let machine = Machine::boot(&tiny, Some(&disk));
    let answer = machine.get("/");
    assert!(answer.is_whole(), "{answer:?}");
    assert_eq!(answer.body, tiny.read("site/index.html"));
    machine.stop();

    let mut machine = Machine::boot_direct(&tiny, Some(&disk), "48MiB");
    assert_eq!(machine.get("/").body, tiny.read("site/index.html"));
    // No power button: the plug is pulled.
    machine.signal(Signal::INT);
    let (status, said) = machine.end();
    assert_eq!(status.code(), Some(0), "{said}");
}

/// The kernel's digest. Where this fails and nothing was pinned anew, the same sources, tools and
/// options make other bytes, or what an option set says has changed. If that is meant,
/// `UPDATE_EXPECT=1 cargo test -p nos --test e2e pinned` writes the new one.
#[test]
fn the_kernel_of_tiny_has_the_pinned_bytes() {
    let tiny = Example::copy("tiny");
    if tiny.repinned {
        say!("SKIPPED: the pinned kernel, as the archive has moved on since tiny was");
        return;
    }
    let built = Nos::new(["build", &tiny.spec(), "--locked", "--offline"]).json();
    let digest = at(&built, "/system/kernel/digest").as_str().unwrap();
    let pinned = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/pinned-kernel.txt");
    expect_file![pinned].assert_eq(&format!("{digest}\n"));
}

#[test]
fn the_kernel_of_tiny_has_what_its_program_calls() {
    let tiny = Example::copy("tiny");
    let why = |what: &str| Nos::new(["why", &tiny.spec(), what]).run();
    let busybox = why("CONFIG_INOTIFY_USER").expect_code(0).stdout;
    assert!(
        busybox.contains("image page: /usr/bin/busybox makes calls"),
        "{busybox}"
    );
    let network = why("CONFIG_VIRTIO_NET").expect_code(0).stdout;
    assert!(
        network.contains("it is for its network on this platform"),
        "{network}"
    );
    let selected = why("CONFIG_FSNOTIFY").expect_code(0).stdout;
    assert!(
        selected.contains("another option that is on needs it"),
        "{selected}"
    );
    // busybox waits by poll alone.
    let epoll = why("CONFIG_EPOLL").expect_code(1).stderr;
    assert!(epoll.contains("nothing of the host asks for it"), "{epoll}");
}

#[test]
fn a_plan_says_where_the_options_of_a_kernel_are_explained() {
    let tiny = Example::copy("tiny");
    let planned = Nos::new(["plan", &tiny.spec(), "--offline"]).succeeds();
    let hint = format!("`nos why {} CONFIG_NAME`", tiny.spec());
    assert!(planned.stderr.contains(&hint), "{}", planned.stderr);
}

#[test]
fn the_options_of_two_specs_kernels_are_compared() {
    let (hello, tiny) = (Example::copy("hello"), Example::copy("tiny"));
    let diff = Nos::new(["diff", &hello.spec(), &tiny.spec()]).json();
    let changes = at(&diff, "/changes").as_array().unwrap();
    let option = |name: &str| {
        let mut found = changes.iter().filter(|c| c["subject"] == "option");
        let found = found.find(|c| c["name"] == name)?;
        Some((
            found["before"]["text"].as_str(),
            found["after"]["text"].as_str(),
        ))
    };
    let dm_verity = (Some("m"), Some("y"));
    assert_eq!(option("CONFIG_DM_VERITY"), Some(dm_verity));
    assert_eq!(option("CONFIG_MODULES"), Some((Some("y"), None)));
    assert_eq!(option("CONFIG_PRINTK"), None);
    let said = Nos::new(["diff", &hello.spec(), &tiny.spec()]).succeeds();
    assert!(said.stdout.contains("CONFIG_DM_VERITY"), "{}", said.stdout);
}

#[test]
fn a_kernel_that_needs_firmware_is_not_started_without() {
    let hello = Example::copy("hello");
    let output = Nos::new(["run", &hello.spec(), "--direct", "--offline"]).run();
    let output = output.expect_code(1);
    assert!(
        output.stderr.contains("kernel.minimal"),
        "{}",
        output.stderr
    );
}

#[test]
fn options_without_effect_are_shown_where_they_are_written() {
    let tiny = Example::copy("tiny");
    let spec = String::from_utf8(tiny.read("tiny.nos")).unwrap();
    let spec = spec.replace("kernel.minimal", "odd").replace(
        "host tiny",
        "kernel odd like kernel.minimal {\n  options = {\n    CONFIG_TUNN = \"y\"\n    \
         CONFIG_WIREGUARD = \"y\"\n    CONFIG_CRC32 = \"n\"\n    CONFIG_BPF = \"y\"\n  }\n}\n\nhost tiny",
    );
    tiny.write(
        "tiny.nos",
        spec.replace("CONFIG_WIREGUARD", "CONFIG_CIFS_XATTR"),
    );
    let output = Nos::new(["build", &tiny.spec(), "--offline", "--json"]).run();
    let said = output.expect_code(2).json();
    let diagnostics = at(&said, "/diagnostics").as_array().unwrap();
    let mut found: Vec<_> = diagnostics
        .iter()
        .map(|d| {
            format!(
                "{}; {}",
                at(d, "/message").as_str().unwrap(),
                at(d, "/help").as_str().unwrap()
            )
        })
        .collect();
    found.sort();
    let expected = [
        "CONFIG_CIFS_XATTR does not take effect; it depends on CIFS; add what is off",
        "CONFIG_CRC32 cannot be switched off; another option, or the kernel itself, needs it; take \
         this one out",
        "this kernel has no option CONFIG_TUNN; did you mean CONFIG_TUN?",
    ];
    assert_eq!(found, expected);
}

/// The digest of a host's kernel, built where it is not there.
fn kernel_digest(example: &Example) -> String {
    let built = Nos::new(["build", &example.spec(), "--offline"]).json();
    let digest = at(&built, "/system/kernel/digest");
    digest.as_str().unwrap().to_owned()
}

/// A state partition asks for the same option as a spec can. The kernel is then built whole once, and
/// once from what is there of tiny's: what comes out must not tell.
#[test]
#[ignore = "builds a kernel, which takes minutes"]
fn a_kernel_with_one_option_more_has_the_bytes_of_a_whole_build() {
    let changed = |from: &str, to: &str| {
        let tiny = Example::copy("tiny");
        let spec = String::from_utf8(tiny.read("tiny.nos")).unwrap();
        tiny.write("tiny.nos", spec.replace(from, to));
        kernel_digest(&tiny)
    };
    let option = "kernel own like kernel.minimal {\n  options = { CONFIG_EXT4_FS = \"y\" }\n}\n";
    let own = format!("{option}\nhost tiny {{\n  kernel = own");
    let added = changed("host tiny {\n  kernel   = kernel.minimal", &own);
    assert_ne!(added, kernel_digest(&Example::copy("tiny")));
    let whole = changed("host tiny {", "host tiny {\n  disk = { state = 64MiB }");
    assert_eq!(added, whole);
}

/// busybox can make System V objects, so tiny's kernel has them; to serve a page it needs none. Neither
/// does init, which gives services a namespace of them elsewhere.
#[test]
#[ignore = "builds a kernel, which takes minutes"]
fn services_run_on_a_kernel_without_system_v_objects() {
    let tiny = Example::copy("tiny");
    let spec = String::from_utf8(tiny.read("tiny.nos")).unwrap();
    let own = "kernel own like kernel.minimal {\n  options = {\n    CONFIG_IPC_NS = \"n\"\n    \
               CONFIG_POSIX_MQUEUE = \"n\"\n    CONFIG_SYSVIPC = \"n\"\n  }\n}\n\n\
               host tiny {\n  kernel = own";
    let with_all = "host tiny {\n  kernel   = kernel.minimal";
    tiny.write("tiny.nos", spec.replace(with_all, own));
    let disk = tiny.image("tiny.img");
    for option in ["CONFIG_SYSVIPC", "CONFIG_POSIX_MQUEUE", "CONFIG_IPC_NS"] {
        let why = Nos::new(["why", &tiny.spec(), option]).run();
        why.expect_code(1);
    }
    let machine = Machine::boot(&tiny, Some(&disk));
    assert_eq!(machine.get("/").body, tiny.read("site/index.html"));
    machine.stop();
}

#[test]
#[ignore = "builds a kernel, which takes minutes"]
fn a_kernel_build_that_is_killed_leaves_a_store_that_verifies() {
    let tiny = Example::copy("tiny");
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    store_with_packages(&store, &tiny.lock());
    let spec = tiny.spec();
    let nos = Nos::new(["build", &spec, "--offline", "--locked"]).store(&store);
    let (mut command, _home) = nos.into_command();
    let mut child = command.spawn().unwrap();
    let said = Console::read(child.stderr.take().unwrap());
    // The compiler writes its messages nowhere, so the log's file is all there is to see of it.
    said.wait_for("unpack linux-source", UNPACK_LIMIT);
    let log = || std::fs::read_dir(store.join("logs")).is_ok_and(|mut logs| logs.next().is_some());
    crate::common::machine::wait_until(|| "a build's log".into(), log);
    child.kill().unwrap();
    child.wait().unwrap();
    let check = Nos::new(["store", "verify"])
        .store(&store)
        .run()
        .expect_code(0);
    assert!(check.stdout.contains(" 0 problems"), "{}", check.stdout);
}

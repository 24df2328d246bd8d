//! A machine that `nos run` has booted.

use super::Example;
use super::http::{self, Answer};
use super::program::{Nos, at};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, Once};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a boot may take, or a trial, which is three of them. Without KVM one is a matter of some
/// seconds, and of a minute on a busy machine: a limit is there to end, not to judge.
const BOOT_LIMIT: Duration = Duration::from_secs(900);

/// How long an end may take.
const END_LIMIT: Duration = Duration::from_secs(300);

/// What init says when every service is healthy.
const READY: &str = "nos: ready in";

/// `nos run --json` and what came of it.
pub(crate) struct Machine {
    child: Child,
    /// What `nos run` said about itself.
    pub(crate) report: Value,
    console: Console,
    scratch: PathBuf,
    _folder: TempDir,
}

impl Machine {
    /// Boots a disk image, or a fresh one where `disk` is `None`, and waits until every service
    /// is healthy. Without network: everything must be in the store.
    pub(crate) fn boot(example: &Example, disk: Option<&str>) -> Self {
        Self::boot_with(example, disk, "tcg")
    }

    /// Boots with another kind of acceleration, unless `NOS_TEST_ACCEL` names one.
    pub(crate) fn boot_with(example: &Example, disk: Option<&str>, accel: &str) -> Self {
        let machine = Self::start_with(example, disk, accel, &["--offline"]);
        machine.wait_for(READY);
        machine
    }

    /// Boots without firmware, with so much memory.
    pub(crate) fn boot_direct(example: &Example, disk: Option<&str>, memory: &str) -> Self {
        let more = ["--offline", "--direct", "--memory", memory];
        let machine = Self::start_with(example, disk, "tcg", &more);
        machine.wait_for(READY);
        machine
    }

    /// Starts a machine, without network; on return the guest runs.
    pub(crate) fn start(example: &Example, disk: Option<&str>) -> Self {
        Self::start_with(example, disk, "tcg", &["--offline"])
    }

    /// Starts a machine with further arguments for `nos run`.
    pub(crate) fn start_with(
        example: &Example,
        disk: Option<&str>,
        accel: &str,
        more: &[&str],
    ) -> Self {
        if more.contains(&"--offline") {
            fill_tools(example);
        }
        let spec = example.spec();
        let chosen = std::env::var("NOS_TEST_ACCEL");
        let accel = chosen.as_deref().unwrap_or(accel);
        let mut arguments = vec!["run", &spec, "--json", "--locked", "--accel", accel];
        arguments.extend(disk.iter().flat_map(|disk| ["--disk", disk]));
        arguments.extend(more);
        let nos = Nos::new(arguments);
        let scratch = nos.scratch();
        let (mut command, folder) = nos.into_command();
        command.stdin(Stdio::piped());
        let mut child = command.process_group(0).spawn().unwrap();
        let console = Console::read(child.stderr.take().unwrap());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // Standard output stays open while the machine runs; its first value is the report.
        let mut values = serde_json::Deserializer::from_reader(stdout).into_iter();
        let report = match values.next() {
            Some(Ok(report)) => report,
            other => {
                let _ = child.wait();
                panic!(
                    "nos run said {other:?}\n{}",
                    console.wait_for_end(END_LIMIT)
                );
            }
        };
        Self {
            child,
            report,
            console,
            scratch,
            _folder: folder,
        }
    }

    /// Where a port of the guest is reached.
    pub(crate) fn address(&self, guest: u16) -> SocketAddr {
        let forwards = at(&self.report, "/forwards").as_array().unwrap();
        let forward = forwards.iter().find(|f| f["guest"] == guest);
        let forward = forward.unwrap_or_else(|| panic!("no port {guest} in {:#}", self.report));
        forward["address"].as_str().unwrap().parse().unwrap()
    }

    /// Asks the service at port 80 for a path.
    pub(crate) fn get(&self, path: &str) -> Answer {
        http::get(self.address(80), path)
    }

    /// Waits until the console says `wanted`.
    pub(crate) fn wait_for(&self, wanted: &str) {
        self.console.wait_for(wanted, BOOT_LIMIT);
    }

    /// Types on the guest's console.
    pub(crate) fn types(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
    }

    /// What was said up to now.
    pub(crate) fn console(&self) -> String {
        self.console.text()
    }

    /// Process id of `nos`.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Folder for temporary files of `nos`.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Sends a signal to `nos`, and to nobody else.
    pub(crate) fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// Presses Ctrl-C: a terminal tells the whole process group. The guest must switch itself
    /// off, `nos` exit with 0, and nothing be left behind.
    pub(crate) fn stop(mut self) {
        kill_process_group(pid_of(&self.child), Signal::INT).unwrap();
        let (status, said) = self.end();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(
            said.contains("nos: switching off"),
            "the guest did not end by itself:\n{said}"
        );
    }

    /// Waits for the end; gives the status and everything that was said.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let said = self.console.wait_for_end(END_LIMIT);
        let status = self.child.wait().unwrap();
        let left = || {
            std::fs::read_dir(&self.scratch)
                .unwrap()
                .map(|e| e.unwrap().path())
        };
        wait_until(
            || format!("gone: {:?}", left().collect::<Vec<_>>()),
            || left().next().is_none(),
        );
        (status, said)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Where a test failed; otherwise it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn send(child: &Child, signal: Signal) {
    kill_process(pid_of(child), signal).unwrap();
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

/// Processes whose parent is `parent`.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if parent_of(id) == Some(parent) {
            found.push(id);
        }
    }
    found
}

/// The parent of a process that runs; a zombie does not.
fn parent_of(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.next()?.parse().ok(),
    }
}

/// Whether a process runs.
pub(crate) fn is_running(id: u32) -> bool {
    parent_of(id).is_some()
}

/// Looks again and again until something holds that no one announces.
pub(crate) fn wait_until(what: impl Fn() -> String, holds: impl Fn() -> bool) {
    let until = Instant::now() + BOOT_LIMIT;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain: {}", what());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sees that QEMU and its firmware are in the store, once.
fn fill_tools(example: &Example) {
    static FILLED: Once = Once::new();
    FILLED.call_once(|| {
        let mut machine = Machine::start_with(example, None, "tcg", &[]);
        // The first asks the guest, which is not there yet; the second does not ask.
        machine.signal(Signal::TERM);
        machine.console.wait_for("Stopping", END_LIMIT);
        machine.signal(Signal::TERM);
        let (status, said) = machine.end();
        assert_eq!(status.code(), Some(0), "{said}");
    });
}

/// Standard error of `nos run --json`: talk and the guest's console.
#[derive(Clone)]
pub(crate) struct Console(Arc<(Mutex<Said>, Condvar)>);

#[derive(Default)]
struct Said {
    text: String,
    ended: bool,
}

impl Console {
    /// Reads in a thread of its own.
    pub(crate) fn read(from: impl std::io::Read + Send + 'static) -> Self {
        let console = Self(Arc::default());
        let writer = console.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(from);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                writer.change(|said| said.text.push_str(&String::from_utf8_lossy(&line)));
                line.clear();
            }
            writer.change(|said| said.ended = true);
        });
        console
    }

    fn change(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// Everything said up to now.
    pub(crate) fn text(&self) -> String {
        self.0.0.lock().unwrap().text.clone()
    }

    /// Waits for a text; fails with everything said where it does not come.
    pub(crate) fn wait_for(&self, wanted: &str, limit: Duration) {
        let said = self.wait(limit, |said| said.ended || said.text.contains(wanted));
        assert!(said.contains(wanted), "no {wanted:?} in:\n{said}");
    }

    /// Waits until whoever speaks is gone.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> String {
        self.wait(limit, |said| said.ended)
    }

    /// Waits at most so long; gives what was said, and whether that was all.
    pub(crate) fn wait_at_most(&self, limit: Duration) -> bool {
        let said = self.0.0.lock().unwrap();
        self.0
            .1
            .wait_timeout_while(said, limit, |said| !said.ended)
            .unwrap()
            .0
            .ended
    }

    fn wait(&self, limit: Duration, enough: impl Fn(&Said) -> bool) -> String {
        let said = self.0.0.lock().unwrap();
        let (said, waited) = self
            .0
            .1
            .wait_timeout_while(said, limit, |said| !enough(said))
            .unwrap();
        assert!(
            !waited.timed_out(),
            "not within {limit:?}; said up to now:\n{}",
            said.text
        );
        said.text.clone()
    }
}

//! Ctrl-C and `kill -9` at any moment: nothing half done, and the next build works.

use crate::common::disk::{read, sectors_that_differ};
use crate::common::machine::{Console, send};
use crate::common::program::Nos;
use crate::common::{Example, store_with_packages};
use rustix::process::Signal;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Moments tried for each signal.
const ROUNDS: u32 = 3;

/// Starts `nos image`, and interrupts it after `delay` unless it has ended before.
fn interrupt(
    example: &Example,
    store: &Path,
    disk: &Path,
    after: Duration,
    by: Signal,
) -> ExitStatus {
    let spec = example.spec();
    let nos = Nos::new(["image", &spec, "--offline", "--locked", "-o"]).store(store);
    let (mut command, _home) = nos.into_command();
    let mut child = command.arg(disk).spawn().unwrap();
    let said = Console::read(child.stderr.take().unwrap());
    if !said.wait_at_most(after) {
        send(&child, by);
    }
    child.wait().unwrap()
}

#[test]
fn a_build_can_be_stopped_at_any_moment() {
    let hello = Example::copy("hello");
    let expected = read(&hello.image("expected.img"));
    let folder = tempfile::tempdir().unwrap();
    let fresh = |name: &str| {
        let store = folder.path().join(name);
        store_with_packages(&store, &hello.lock());
        store
    };
    // How long it takes, so that the moments are spread over all of it.
    let (store, disk) = (fresh("whole"), folder.path().join("whole.img"));
    let began = Instant::now();
    let ended = interrupt(&hello, &store, &disk, Duration::from_secs(600), Signal::INT);
    assert!(ended.success());
    let whole = began.elapsed();

    for (by, name) in [(Signal::INT, "interrupted"), (Signal::KILL, "killed")] {
        for round in 0..ROUNDS {
            let name = format!("{name}-{round}");
            let (store, output) = (fresh(&name), folder.path().join(format!("{name}.out")));
            std::fs::create_dir(&output).unwrap();
            let disk = output.join("disk.img");
            let after = whole * (2 * round + 1) / (2 * ROUNDS);
            let ended = interrupt(&hello, &store, &disk, after, by);

            let check = Nos::new(["store", "verify"])
                .store(&store)
                .run()
                .expect_code(0);
            assert!(check.stdout.contains(" 0 problems"), "{}", check.stdout);
            // What has the name is whole; what is not whole is gone, unless there was no time.
            assert_eq!(
                disk.exists(),
                ended.success(),
                "{name} after {after:?}: {ended}"
            );
            let files = || std::fs::read_dir(&output).unwrap().count();
            let left = files() - usize::from(ended.success());
            assert!(
                left <= usize::from(by == Signal::KILL),
                "{left} files left by {name}"
            );

            if ended.success() {
                std::fs::remove_file(&disk).unwrap();
            }
            let again = interrupt(&hello, &store, &disk, whole * 100, by);
            assert!(
                again.success(),
                "{name} after {after:?}: building again: {again}"
            );
            let again = std::fs::read(&disk).unwrap();
            assert!(
                sectors_that_differ(&expected, &again).is_empty(),
                "other bytes"
            );
            assert_eq!(files(), 1, "the next build clears what a killed one left");
            std::fs::remove_dir_all(&store).unwrap();
        }
    }
}

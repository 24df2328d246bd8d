//! `nos` ended by the system at each of its writes and flushes, and told at each of them that there
//! is no room or that the medium fails. `strace` does it.

use crate::said::{disk_of, nos, run, skip};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// What happens to a system call.
const FATES: [&str; 3] = ["signal=SIGKILL", "error=ENOSPC", "error=EIO"];

/// The calls by which `nos` changes a disk.
const CALLS: [&str; 2] = ["pwrite64", "fdatasync"];

/// Every verb that changes a disk without a build.
const VERBS: [&[&str]; 7] = [
    &["switch", "disk.img", "1"],
    &["rollback", "disk.img"],
    &["gc", "disk.img", "--keep", "1"],
    &["remove", "disk.img", "1"],
    &["pin", "disk.img", "1", "--label", "before the upgrade"],
    &["grow", "disk.img"],
    &["verify", "disk.img", "--repair"],
];

/// Whether `strace` is there and may trace.
fn can_trace(at: &Path) -> bool {
    let traced = Command::new("strace")
        .args(["-o", "trace", "true"])
        .current_dir(at)
        .output();
    traced.is_ok_and(|output| output.status.success())
}

/// Number of the generation that boots.
fn boots(at: &Path) -> u64 {
    let listing = run(at, &["generations", "disk.img", "--json"]).json();
    let generations = listing["generations"].as_array().unwrap();
    let current = generations.iter().find(|g| g["current"] == true).unwrap();
    current["number"].as_u64().unwrap()
}

#[test]
fn nos_ended_at_any_write_leaves_a_disk_that_boots() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    if !can_trace(at) {
        return skip("there is no strace here, or it may not trace");
    }
    let mut before = disk_of(&["one", "two", "three"]).bytes().to_vec();
    before.resize(before.len() + (2 << 20), 0);
    let disk = at.join("disk.img");
    for verb in VERBS {
        std::fs::write(&disk, &before).unwrap();
        let old = boots(at);
        run(at, verb).expect(0, &[]);
        let new = boots(at);
        let mut met = 0;
        for (call, fate) in CALLS.iter().flat_map(|call| FATES.map(|fate| (call, fate))) {
            for when in 1.. {
                std::fs::write(&disk, &before).unwrap();
                let plain = nos(at);
                let output = Command::new("strace")
                    .args(["-f", "-qq", "-o", "trace", "-e"])
                    .arg(format!("trace={call}"))
                    .arg("-e")
                    .arg(format!("inject={call}:{fate}:when={when}"))
                    .arg(plain.get_program())
                    .args(verb)
                    .env_clear()
                    .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                    .env("HOME", at)
                    .current_dir(at)
                    .output()
                    .unwrap();
                let now = boots(at);
                let place = format!("{verb:?}, {fate} at {call} {when}");
                assert!(now == old || now == new, "{place}: {now} boots");
                if output.status.success() {
                    break;
                }
                met += 1;
                let said = String::from_utf8_lossy(&output.stderr);
                let killed = output.status.signal() == Some(9);
                assert!(
                    killed || said.contains("error: disk.img: "),
                    "{place}: {said}"
                );
                run(at, &["verify", "disk.img", "--repair"]).expect(0, &[]);
                assert_eq!(boots(at), now, "{place}");
            }
        }
        assert!(met >= 6, "{verb:?} met {met} of its fates");
    }
}

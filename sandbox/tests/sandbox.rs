//! What a sandbox lets through and what not, tried from inside with this machine's own programs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

use nos_sandbox::{Ending, Input, Job, Sandbox, probe};

#[test]
fn a_command_runs_and_leaves_what_it_made() {
    if let Err(error) = probe() {
        eprintln!("skipped: {error}");
        return;
    }
    let machine = ["/bin", "/lib", "/lib64", "/usr"];
    let job = Job {
        command: ["/bin/sh", "-c", "echo said; echo made >/out/it"]
            .map(String::from)
            .into(),
        folder: "/build".into(),
        inputs: machine
            .map(|path| Input {
                source: path.into(),
                target: path.into(),
            })
            .into(),
        ..Job::default()
    };
    let mut log = Vec::new();
    let ended = Sandbox::new(&job).unwrap().run(&mut log).unwrap();
    assert_eq!(ended.ending, Ending::Exited(0));
    assert_eq!(log, b"said\n");
    let made = ended.scratch.path().join("out/it");
    assert_eq!(std::fs::read(made).unwrap(), b"made\n");
}

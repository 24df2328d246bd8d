//! Channels: who may call reaches the server, also while it starts again; nobody else does.

use crate::common::Example;
use crate::common::http;
use crate::common::machine::Machine;
use std::path::Path;

/// Requests sent at once to a server that ends after each.
const CALLERS: usize = 4;

#[test]
fn a_restart_loses_no_connection_and_strangers_see_no_channel() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/channels");
    let example = Example::from_folder("channels", &folder);
    let machine = Machine::boot(&example, None);
    let front = machine.address(80);
    let callers: Vec<_> = (0..CALLERS)
        .map(|n| std::thread::spawn(move || http::get(front, &format!("/{n}"))))
        .collect();
    for (n, caller) in callers.into_iter().enumerate() {
        let answer = caller.join().unwrap();
        assert!(answer.is_whole(), "{answer:?}\n{}", machine.console());
        assert_eq!(answer.body, format!("/{n}").into_bytes());
    }
    let ends = machine.console().matches("service api ended").count();
    assert!(ends >= CALLERS - 1, "{ends} ends\n{}", machine.console());

    let stranger = http::get(machine.address(81), "/");
    assert_eq!(stranger.status, 502, "{stranger:?}");
    machine.stop();
}

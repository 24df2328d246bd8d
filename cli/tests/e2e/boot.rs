//! One spec, booted by firmware; and how a machine ends.

use crate::common::Example;
use crate::common::machine::{Machine, children_of, is_running, wait_until};
use crate::common::program::{Nos, at};
use rustix::process::Signal;
use std::net::TcpStream;

/// Most content that `hello` may have with the stock kernel.
const HELLO_BYTES: u64 = 20 << 20;

#[test]
fn hello_serves_its_page() {
    let hello = Example::copy("hello");
    let disk = hello.beside("hello.img");
    let image = Nos::new(["image", &hello.spec(), "-o", &disk, "--offline"]).json();
    assert_eq!(at(&image, "/number"), 1);
    assert_eq!(*at(&image, "/images_written"), serde_json::json!(["page"]));
    let content = at(&image, "/content_bytes").as_u64().unwrap();
    assert!(
        content <= HELLO_BYTES,
        "hello has {content} bytes of content"
    );

    // As a newcomer boots it: with KVM where that works.
    let machine = Machine::boot_with(&hello, Some(&disk), "auto");
    let answer = machine.get("/");
    assert!(answer.is_whole(), "{answer:?}");
    assert_eq!(answer.body, hello.read("site/index.html"));
    assert_eq!(machine.get("/nothing").status, 404);

    let processes = children_of(machine.id());
    assert!(!processes.is_empty(), "nos run has no machine");
    machine.stop();
    assert!(
        !processes.into_iter().any(is_running),
        "something of nos run is left"
    );
    // Booting wrote nothing that verification minds.
    Nos::new(["verify", &disk]).succeeds();
}

#[test]
fn a_machine_does_not_outlive_a_killed_nos() {
    let hello = Example::copy("hello");
    let mut machine = Machine::start(&hello, None);
    let (processes, address) = (children_of(machine.id()), machine.address(80));
    assert!(!processes.is_empty(), "nos run has no machine");
    machine.signal(Signal::KILL);
    let (status, _) = machine.end();
    assert_eq!(status.code(), None);
    wait_until(
        || "QEMU is gone".into(),
        || !processes.iter().copied().any(is_running),
    );
    wait_until(
        || "the port is free".into(),
        || TcpStream::connect(address).is_err(),
    );
}

#[test]
fn a_wanted_port_that_is_taken_is_named() {
    let hello = Example::copy("hello");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let forward = format!("{port}:80");
    let output = Nos::new(["run", &hello.spec(), "--accel", "tcg", "--port", &forward]).run();
    let output = output.expect_code(1);
    assert!(
        output.stderr.contains(&port.to_string()),
        "{}",
        output.stderr
    );
}

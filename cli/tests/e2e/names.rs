//! A C service from its source in Debian's archive: pinned, patched, compiled, booted.

use crate::common::machine::Machine;
use crate::common::program::{Nos, at};
use crate::common::{Example, can_make_sandboxes, say};
use expect_test::expect;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Asks a name server by TCP for the address of a name (RFC 1035); the last four bytes of an answer
/// with one address are that.
fn address_of(server: SocketAddr, name: &str) -> [u8; 4] {
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend(label.bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let mut stream = TcpStream::connect(server).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    stream
        .write_all(&[&length[..], &question].concat())
        .unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..2], question[..2]);
    assert_eq!(answer[6..8], [0, 1], "one answer: {answer:02x?}");
    answer.last_chunk().copied().unwrap()
}

#[test]
fn a_c_service_is_compiled_from_the_archives_source_and_answers() {
    if !can_make_sandboxes() {
        say!("SKIPPED: making a C service, as sandboxes cannot be made here");
        return;
    }
    let names = Example::copy("names");
    let built = Nos::new(["build", &names.spec(), "--locked", "--offline"]).json();
    if !names.repinned {
        // The same for every user, folder and machine.
        expect!["43307d8e78e66ef5839e72618f8f0d93d45fec969b526e64a346608cb1fb677d"].assert_eq(
            at(&built, "/system/manifest/images/0/root_hash")
                .as_str()
                .unwrap(),
        );
    }
    let bill = Nos::new(["sbom", &names.spec(), "--offline"]).succeeds();
    for archive in ["orig.tar.gz", "debian.tar.xz"] {
        assert!(bill.stdout.contains(archive), "{}", bill.stdout);
    }
    assert!(bill.stdout.contains("pkg:deb/debian/dnsmasq@"));

    let machine = Machine::boot(&names, None);
    let server = machine.address(53);
    assert_eq!(address_of(server, "printer.home.arpa"), [10, 0, 0, 7]);
    assert_eq!(address_of(server, "files.home.arpa"), [10, 0, 0, 8]);
    machine.stop();
}

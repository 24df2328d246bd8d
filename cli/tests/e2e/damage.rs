//! A changed byte in an image is an error, never wrong data.

use crate::common::Example;
use crate::common::disk;
use crate::common::machine::Machine;
use crate::common::program::{Nos, at};
use serde_json::json;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

/// Bytes of a block, the unit that a root hash covers.
const BLOCK: usize = 4096;

/// Numbers that look random and are the same in every run: xorshift64.
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed), |&x| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 7);
        Some(x ^ (x << 17))
    })
    .skip(1)
}

/// Changes one bit of a file; again, and it is as before.
fn flip(path: &str, offset: usize) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset as u64).unwrap();
}

/// The bytes of the first image of a built example.
fn image_bytes(example: &Example) -> Vec<u8> {
    let built = Nos::new(["build", &example.spec(), "--locked", "--offline"]).json();
    let digest = at(&built, "/system/images/0/digest")
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let store = nos_store::Store::open(crate::common::shared_store()).unwrap();
    store.read_object(&digest).unwrap()
}

#[test]
fn verify_names_the_image_of_any_changed_byte() {
    let web = Example::copy("web");
    let path = web.image("web.img");
    let image = image_bytes(&web);
    let start = disk::place_of(&disk::read(&path), &image);
    Nos::new(["verify", &path]).succeeds();
    // First and last byte, and some between: data, verity superblock and hash tree alike.
    let between = noise(1).take(10).map(|x| x as usize % image.len());
    for offset in [0, image.len() - 1].into_iter().chain(between) {
        flip(&path, start + offset);
        let output = Nos::new(["verify", &path, "--json"]).run().expect_code(1);
        let report = output.json();
        let findings = at(&report, "/findings").as_array().unwrap();
        let named = findings
            .iter()
            .any(|f| f["kind"] == "image" && f["name"] == "web");
        assert!(named, "byte {offset} of {}: {report:#}", image.len());
        let human = Nos::new(["verify", &path]).run().expect_code(1);
        assert!(
            human.stdout.contains("image web (partition 2)"),
            "{}",
            human.stdout
        );
        flip(&path, start + offset);
    }
    assert_eq!(
        *at(&Nos::new(["verify", &path]).json(), "/findings"),
        json!([])
    );

    // And from its spec it is written anew, also where it is all that there is to boot.
    let good = disk::read(&path);
    for offset in [1024, image.len() - 1] {
        flip(&path, start + offset);
    }
    let from = ["verify", &path, "--repair", "--from", &web.spec()];
    let said = Nos::new(from.iter().chain(&["--offline"])).succeeds();
    let repaired = "Repaired image web (partition 2): 2 sectors were damaged";
    assert!(said.stderr.contains(repaired), "{}", said.stderr);
    // But for the line of the disk's log.
    let after = disk::read(&path);
    let changed = disk::sectors_that_differ(&good, &after);
    let [log] = changed[..] else {
        panic!("{changed:?} are not what they were");
    };
    assert!(after[log * disk::SECTOR..].starts_with(b"nos-log 1 "));
}

#[test]
fn an_image_that_cannot_be_mounted_stops_the_machine() {
    let web = Example::copy("web");
    let path = web.image("web.img");
    let start = disk::place_of(&disk::read(&path), &image_bytes(&web));
    flip(&path, start + 1024);
    let mut machine = Machine::start(&web, Some(&path));
    let (status, said) = machine.end();
    assert_eq!(status.code(), Some(1), "{said}");
    for part in ["FATAL: image web", "`nos verify`", "the guest restarted"] {
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }
}

#[test]
fn a_changed_block_is_never_served() {
    let web = Example::copy("web");
    // Incompressible, so that its bytes are on the disk as they are.
    let blob: Vec<u8> = noise(2)
        .take(100 * BLOCK / 8)
        .flat_map(u64::to_le_bytes)
        .collect();
    web.write("site/blob.bin", &blob);
    let path = web.image("web.img");
    let bytes = disk::read(&path);
    let middle = blob.len() / 2;
    let needle = &blob[middle..middle + 64];
    let found = bytes
        .windows(needle.len())
        .position(|window| window == needle);
    let place = found.expect("the middle of the file is on the disk");
    flip(&path, place);

    let machine = Machine::boot(&web, Some(&path));
    // What lies in other blocks is as good as ever.
    let answer = machine.get("/");
    assert_eq!(
        (answer.status, answer.body),
        (200, web.read("site/index.html"))
    );
    let answer = machine.get("/blob.bin");
    assert!(
        !answer.is_whole() || answer.status != 200,
        "the damaged file was served whole"
    );
    if answer.status == 200 {
        assert!(
            answer.body.len() <= middle,
            "{} bytes were served",
            answer.body.len()
        );
        assert!(blob.starts_with(&answer.body), "wrong bytes were served");
    }
    machine.wait_for("is corrupted");
    assert!(
        machine.console().contains("device-mapper: verity"),
        "{}",
        machine.console()
    );
    machine.stop();
}

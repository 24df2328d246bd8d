//! Generations on one disk: forward, back, and what each change writes.

use crate::common::disk::{self, partitions, sectors_that_differ};
use crate::common::machine::Machine;
use crate::common::program::{Nos, at};
use crate::common::{Example, copy_folder};
use nos_disk::{Disk, MemoryDevice};
use nos_formats::fat::Volume;
use nos_specs::lock::Lock;
use serde_json::{Value, json};
use std::path::Path;

const NEW_PAGE: &str = "<!doctype html><title>two</title><p>The second generation.\n";

fn install(example: &Example, disk: &str) -> Value {
    Nos::new(["install", &example.spec(), disk, "--locked", "--offline"]).json()
}

/// Boots a disk and fetches its page.
fn page_of(example: &Example, disk: &str) -> Vec<u8> {
    let machine = Machine::boot(example, Some(disk));
    let answer = machine.get("/");
    assert!(answer.is_whole(), "{answer:?}");
    machine.stop();
    answer.body
}

/// Number of the generation that boots next, and of the one before it.
fn current_and_previous(disk: &str) -> (Value, Value) {
    let listing = Nos::new(["generations", disk]).json();
    let all = at(&listing, "/generations").as_array().unwrap();
    let number = |mark: &str| {
        let found = all.iter().find(|generation| generation[mark] == true);
        found.map_or(Value::Null, |generation| generation["number"].clone())
    };
    (number("current"), number("previous"))
}

/// The disk with every cluster of its EFI system partition taken, and its backup table destroyed.
fn full_and_without_backup(bytes: Vec<u8>) -> Vec<u8> {
    let mut device = MemoryDevice::from_bytes(bytes, disk::SECTOR as u32);
    let opened = Disk::open(&mut device).unwrap();
    let (_, esp) = opened.table().numbered().next().unwrap();
    let (first, last) = (esp.first_lba as usize, esp.last_lba as usize);
    let range = first * disk::SECTOR..(last + 1) * disk::SECTOR;
    let mut bytes = device.into_bytes();
    let esp = &mut bytes[range];
    let mut volume = Volume::open(&esp.to_vec(), esp.len() as u64).unwrap();
    let all = vec![1; volume.free_bytes() as usize];
    volume.create_file("EFI/all", &all).unwrap();
    let changes = volume.take_changes();
    let writes = changes.data.iter().chain(&changes.tables);
    for write in writes.chain(changes.publish.iter().flatten()) {
        esp[write.offset as usize..][..write.bytes.len()].copy_from_slice(&write.bytes);
    }
    let end = bytes.len() - 33 * disk::SECTOR;
    bytes[end..].fill(0xA5);
    bytes
}

#[test]
fn web_goes_to_a_new_page_and_back() {
    let web = Example::copy("web");
    let old_page = web.read("site/index.html");
    let disk = web.image("web.img");
    assert_eq!(partitions(&disk).unwrap_or(2), 2, "ESP and web");
    assert_eq!(page_of(&web, &disk), old_page);

    web.write("site/index.html", NEW_PAGE);
    let report = install(&web, &disk);
    assert_eq!(at(&report, "/number"), 2);
    assert_eq!(*at(&report, "/images_written"), json!(["web"]));
    assert_eq!(current_and_previous(&disk), (json!(2), json!(1)));
    assert_eq!(
        partitions(&disk).unwrap_or(3),
        3,
        "ESP and both versions of web"
    );
    assert_eq!(page_of(&web, &disk), NEW_PAGE.as_bytes());

    // Not a cluster of it is free, and its backup table is gone.
    let good = disk::read(&disk);
    std::fs::write(&disk, full_and_without_backup(good.clone())).unwrap();
    web.write("site/index.html", "no room for this");
    let refused = Nos::new(["install", &web.spec(), &disk, "--offline"]).run();
    let refused = refused.expect_code(1);
    assert!(
        refused.stderr.contains("bytes too few"),
        "{}",
        refused.stderr
    );
    let report = Nos::new(["rollback", &disk]).json();
    assert_eq!(at(&report, "/number"), 1);
    assert_eq!(at(&report, "/sectors_written"), 1);
    assert_eq!(page_of(&web, &disk), old_page);
    std::fs::write(&disk, good).unwrap();

    let report = Nos::new(["rollback", &disk]).json();
    assert_eq!(at(&report, "/number"), 1);
    assert_eq!(at(&report, "/sectors_written"), 1);
    assert_eq!(
        current_and_previous(&disk),
        (json!(1), Value::Null),
        "nothing is older than 1"
    );
    Nos::new(["rollback", &disk]).run().expect_code(1);

    // The first page once more: all that it needs is on the disk.
    web.write("site/index.html", &old_page);
    let report = install(&web, &disk);
    assert_eq!(at(&report, "/number"), 3);
    assert_eq!(*at(&report, "/images_written"), json!([]));
    assert_eq!(*at(&report, "/images_reused"), json!(["web"]));
    assert_eq!(at(&report, "/uki_reused"), true);
    assert_eq!(partitions(&disk).unwrap_or(3), 3);
    Nos::new(["verify", &disk]).succeeds();
}

/// `examples/web` with the service of `examples/hello` beside it, at another port.
fn two_services() -> Example {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let folder = tempfile::tempdir().unwrap();
    let both = folder.path().join("both");
    copy_folder(&examples.join("web"), &both);
    copy_folder(&examples.join("hello/site"), &both.join("hello"));

    let read = |path: &str| std::fs::read_to_string(examples.join(path)).unwrap();
    let hello = read("hello/hello.nos")
        .replace("80", "8080")
        .replace("\"site\"", "\"hello\"");
    let service = hello.split_once("host hello").unwrap().0;
    let service = service.split_once("service page").unwrap().1;
    let web = read("web/web.nos").replace("[web]", "[web, page]");
    std::fs::remove_file(both.join("web.nos")).unwrap();
    std::fs::write(
        both.join("both.nos"),
        format!("{web}\nservice page{service}"),
    )
    .unwrap();

    let mut lock = Lock::parse(&read("web/nos.lock")).unwrap();
    let other = Lock::parse(&read("hello/nos.lock")).unwrap();
    lock.groups.extend(other.groups);
    lock.packages.extend(other.packages);
    std::fs::write(both.join("nos.lock"), lock.to_text()).unwrap();
    Example::from_folder("both", &both)
}

#[test]
fn what_did_not_change_is_written_once() {
    let both = two_services();
    let disk = both.beside("both.img");
    let image = Nos::new(["image", &both.spec(), "-o", &disk, "--offline"]).json();
    assert_eq!(*at(&image, "/images_written"), json!(["page", "web"]));
    assert_eq!(partitions(&disk).unwrap_or(3), 3, "ESP, page and web");
    for (number, text) in [(2, "two"), (3, "three")] {
        both.write("site/index.html", text);
        let report = install(&both, &disk);
        assert_eq!(at(&report, "/number"), number);
        assert_eq!(*at(&report, "/images_written"), json!(["web"]));
        assert_eq!(*at(&report, "/images_reused"), json!(["page"]));
        assert_eq!(
            partitions(&disk).unwrap_or(2 + number),
            2 + number,
            "one more web"
        );
    }
    Nos::new(["verify", &disk]).succeeds();
}

#[test]
fn switch_and_rollback_write_exactly_one_sector() {
    let web = Example::copy("web");
    let disk = web.image("web.img");
    for text in ["two", "three"] {
        web.write("site/index.html", text);
        install(&web, &disk);
    }
    let mut before = disk::read(&disk);
    let mut pointer = None;
    let moves: [(&[&str], u64); 5] = [
        (&["switch", &disk, "1"], 1),
        (&["rollback", &disk], 3),
        (&["switch", &disk, "2"], 2),
        (&["rollback", &disk], 3),
        (&["rollback", &disk], 2),
    ];
    for (arguments, number) in moves {
        let report = Nos::new(arguments).json();
        assert_eq!(at(&report, "/number"), number, "{arguments:?}");
        assert_eq!(at(&report, "/sectors_written"), 1, "{arguments:?}");
        assert_eq!(at(&report, "/bytes_written"), disk::SECTOR, "{arguments:?}");
        let after = disk::read(&disk);
        // And, when that is done, a line of the disk's log.
        let (log, changed): (Vec<usize>, Vec<usize>) = sectors_that_differ(&before, &after)
            .into_iter()
            .partition(|sector| after[sector * disk::SECTOR..].starts_with(b"nos-log 1 "));
        let ([_], [sector]) = (&log[..], &changed[..]) else {
            panic!("{arguments:?} changed {changed:?} and wrote {log:?}");
        };
        assert_eq!(
            *pointer.get_or_insert(*sector),
            *sector,
            "the pointer does not move"
        );
        before = after;
    }
    Nos::new(["verify", &disk]).succeeds();
}

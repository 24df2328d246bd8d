//! Going back where little is left: on a full disk, with a table destroyed, from another system.

use crate::said::{disk_of, run, skip};
use nos_disk::{BlockDevice, MemoryDevice};
use nos_formats::fat::Volume;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Bytes of a table with its header: 32 sectors of entries and one.
const TABLE: usize = 33 * 512;

/// Where the EFI system partition of the test disks is.
const ESP: std::ops::Range<usize> = 1 << 20..5 << 20;

fn boots(at: &Path, disk: &str) -> u64 {
    let listing = run(at, &["generations", disk, "--json"]).json();
    let generations = listing["generations"].as_array().unwrap();
    let current = generations.iter().find(|g| g["current"] == true).unwrap();
    current["number"].as_u64().unwrap()
}

/// Rolls a changed disk back; only one sector may be written, and afterwards all is well.
fn goes_back(change: impl Fn(&mut Vec<u8>)) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut bytes = disk_of(&["one", "two"]).bytes().to_vec();
    change(&mut bytes);
    std::fs::write(at.join("disk.img"), &bytes).unwrap();
    assert_eq!(boots(at, "disk.img"), 2);
    let report = run(at, &["rollback", "disk.img", "--json"])
        .expect(0, &[])
        .json();
    assert_eq!(
        (&report["number"], &report["sectors_written"]),
        (&1.into(), &1.into())
    );
    let after = std::fs::read(at.join("disk.img")).unwrap();
    let sectors = bytes.chunks(512).zip(after.chunks(512));
    let changed = sectors.filter(|(a, b)| a != b).map(|(_, after)| after);
    // And, when that is done, a line of the disk's log.
    let (log, rest): (Vec<_>, Vec<_>) = changed.partition(|s| s.starts_with(b"nos-log 1 "));
    assert_eq!((log.len(), rest.len()), (1, 1));
    assert_eq!(boots(at, "disk.img"), 1);
    run(at, &["verify", "disk.img", "--repair"]).expect(0, &[]);
    run(at, &["switch", "disk.img", "2"]).expect(0, &[]);
    run(at, &["verify", "disk.img"]).expect(0, &[]);
}

#[test]
fn a_full_disk_goes_back() {
    goes_back(|bytes| {
        // Every cluster of the EFI system partition is taken.
        let esp = &mut bytes[ESP];
        let mut volume = Volume::open(&esp.to_vec(), esp.len() as u64).unwrap();
        let all = vec![1; volume.free_bytes() as usize];
        volume.create_file("EFI/all", &all).unwrap();
        assert_eq!(volume.free_bytes(), 0);
        let changes = volume.take_changes();
        let writes = changes.data.iter().chain(&changes.tables);
        for write in writes.chain(changes.publish.iter().flatten()) {
            esp[write.offset as usize..][..write.bytes.len()].copy_from_slice(&write.bytes);
        }
    });
}

#[test]
fn a_disk_without_one_of_its_tables_goes_back() {
    goes_back(|bytes| {
        let end = bytes.len() - TABLE;
        bytes[end..].fill(0xA5);
    });
    goes_back(|bytes| bytes[512..][..TABLE].fill(0xA5));
    // Nor does it need to be a size that its tables know.
    goes_back(|bytes| bytes.resize(bytes.len() + (1 << 20), 0));
}

#[test]
fn what_can_be_repaired_is_and_the_rest_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let good = disk_of(&["one", "two"]).bytes().to_vec();
    let disk = at.join("disk.img");
    let find = |needle: &[u8]| {
        let mut windows = good.windows(needle.len());
        windows.position(|window| window == needle).unwrap()
    };
    let pointer = find(b"# nOs: which generation boots.");
    // Both the primary table and the pointer: nobody but nos could bring that back.
    let mut bytes = good.clone();
    bytes[512..1024].fill(0);
    bytes[pointer..][..512].fill(b'x');
    std::fs::write(&disk, &bytes).unwrap();
    run(at, &["rollback", "disk.img"]).expect(1, &["`nos verify --repair`"]);
    run(at, &["verify", "disk.img", "--repair"]).expect(
        0,
        &[
            "the primary partition table is broken",
            "loader.conf was damaged",
        ],
    );
    assert_eq!(boots(at, "disk.img"), 2);

    let mut bytes = good.clone();
    let image = find(&[0, 0x9E, 0x3C]).max(ESP.end);
    bytes[image + 4096] ^= 1;
    std::fs::write(&disk, &bytes).unwrap();
    let said = run(at, &["verify", "disk.img", "--repair"]);
    said.expect(1, &[]);
    for part in [
        "image page (partition 2)",
        "`nos remove` generation 1, then `nos install`",
    ] {
        assert!(said.out.contains(part), "{}", said.out);
    }
}

#[test]
fn a_disk_is_rolled_back_from_another_system_as_a_block_device() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can make a loop device");
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let device: MemoryDevice = disk_of(&["one", "two"]);
    assert_eq!(device.sector_size(), 512);
    std::fs::write(at.join("disk.img"), device.bytes()).unwrap();
    let made = Command::new("losetup")
        .args(["--find", "--show", "disk.img"])
        .current_dir(at)
        .output();
    let Ok(made) = made
        .map_err(drop)
        .and_then(|made| match made.status.success() {
            true => Ok(made),
            false => Err(()),
        })
    else {
        return skip("loop devices cannot be made here");
    };
    let name = String::from_utf8(made.stdout).unwrap();
    let name = name.trim();
    let said = run(at, &["rollback", name]);
    let listed = run(at, &["generations", name]);
    let removed = Command::new("losetup").args(["--detach", name]).status();
    assert!(removed.unwrap().success());
    said.expect(0, &["boots generation 1 next"]);
    listed.expect(0, &[]);
    assert_eq!(
        boots(at, "disk.img"),
        1,
        "what the device was told is in the file"
    );
}

/// Types lines on `nos rescue`; gives all that it says.
fn types(at: &Path, disks: &[&str], lines: &str) -> crate::said::Said {
    let mut child = crate::said::nos(at)
        .arg("rescue")
        .args(disks)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

#[test]
fn a_person_is_led_back_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("disk.img"), disk_of(&["one", "two"]).bytes()).unwrap();
    std::fs::write(at.join("other.img"), [0; 4096]).unwrap();
    let both = ["disk.img", "other.img"];
    let listed = run(at, &["rescue", "disk.img", "other.img", "--json"]);
    let found = listed.expect(0, &[]).json();
    assert_eq!(found[1]["generations"].as_array().unwrap().len(), 2);
    assert!(
        found[0]["trouble"]
            .as_str()
            .unwrap()
            .starts_with("other.img: ")
    );

    let said = types(at, &both, "help\nswitch disk.img 7\n1\n");
    said.expect(
        0,
        &[
            "1  roll disk.img back to generation 1",
            "rollback DISK",
            "error: disk.img: generation 7 is not on this disk",
            "disk.img boots generation 1 next",
            "1  boot generation 2 of disk.img",
            "  5  quit",
        ],
    );
    assert_eq!(boots(at, "disk.img"), 1);
    // Nobody here may end the machine that runs this.
    types(at, &both, "off\nquit\nnos switch disk.img 2\n")
        .expect(0, &["error: this program does not own the machine"]);
    assert_eq!(boots(at, "disk.img"), 1);
    types(at, &both, "nos switch disk.img 2\nrescue\n\n").expect(
        0,
        &["disk.img boots generation 2 next", "`nos rescue` already"],
    );
    assert_eq!(boots(at, "disk.img"), 2);
}

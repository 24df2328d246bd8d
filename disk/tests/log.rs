//! The log on a disk: what it remembers, and that writing it touches nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

mod common;

use common::{disk_with, image, install, summary, system};
use nos_disk::{
    BlockDevice, Disk, LOG_RECORDS, LoggedOperation, MemoryDevice, Operation, RecordingDevice,
};

fn operation(note: &str) -> LoggedOperation {
    LoggedOperation {
        what: "switch".into(),
        when: Some(1),
        who: "ada@workshop".into(),
        from: Some(1),
        to: Some(2),
        note: note.into(),
        nos: "0.1.0".into(),
    }
}

fn disk(sector_size: u32) -> MemoryDevice {
    let first = system(1, 30_000, vec![image("a", 1, 3)]);
    disk_with(sector_size, 32 << 20, &first)
}

fn remember(device: &mut dyn BlockDevice, note: &str) -> bool {
    Disk::open(device)
        .unwrap()
        .remember(&operation(note))
        .unwrap()
}

fn notes(device: &mut dyn BlockDevice) -> Vec<String> {
    let log = Disk::open(device).unwrap().log().unwrap().unwrap();
    log.into_iter()
        .map(|record| record.operation.note)
        .collect()
}

#[test]
fn the_newest_operations_are_kept() {
    for sector_size in [512, 4096] {
        let mut device = disk(sector_size);
        assert_eq!(notes(&mut device), [""; 0]);
        for number in 0..LOG_RECORDS + 3 {
            assert!(remember(&mut device, &number.to_string()));
        }
        let expected: Vec<String> = (3..LOG_RECORDS + 3).map(|n| n.to_string()).collect();
        assert_eq!(notes(&mut device), expected);
        let log = Disk::open(&mut device).unwrap().log().unwrap().unwrap();
        assert_eq!(log.last().unwrap().number, LOG_RECORDS as u64 + 3);
    }
}

#[test]
fn a_record_is_one_sector_of_the_log_and_nothing_else() {
    for sector_size in [512u32, 4096] {
        let plain = disk(sector_size);
        let log: Vec<u64> = {
            let mut both = plain.clone();
            for number in 0..LOG_RECORDS {
                remember(&mut both, &number.to_string());
            }
            let size = sector_size as usize;
            let sectors = plain.bytes().chunks(size).zip(both.bytes().chunks(size));
            let differ = sectors.enumerate().filter(|(_, (a, b))| a != b);
            differ.map(|(index, _)| (index * size) as u64).collect()
        };
        assert_eq!(log.len(), LOG_RECORDS, "one sector each");
        let mut device = RecordingDevice::new(plain);
        remember(&mut device, "one");
        let (_, done) = device.into_parts();
        match done.as_slice() {
            [Operation::Write { offset, data }, Operation::Flush] => {
                assert_eq!((data.len(), *offset), (sector_size as usize, log[0]));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_cut_costs_a_line_of_history_and_nothing_else() {
    let mut device = disk(512);
    install(&mut device, &system(2, 30_000, vec![image("a", 2, 3)])).unwrap();
    remember(&mut device, "kept");
    let before = device.clone();
    let mut recording = RecordingDevice::new(device);
    remember(&mut recording, "torn");
    let (_, done) = recording.into_parts();
    let Some(Operation::Write { offset, data }) = done.first() else {
        panic!("{done:?}");
    };
    // Each byte of the head, then a sample.
    for length in (0..20).chain((20..data.len()).step_by(37)) {
        let mut torn = before.clone();
        let mut sector = vec![0; data.len()];
        sector[..length].copy_from_slice(&data[..length]);
        torn.write_at(*offset, &sector).unwrap();
        let lines = notes(&mut torn);
        // The sector's tail is blank: what is cut there is zero instead.
        assert_eq!(lines, ["kept"], "{length}");
        assert_eq!(summary(&mut torn), (vec![1, 2], Some(2)));
        // The next one takes the place of what was torn.
        assert!(remember(&mut torn, "next"));
        assert_eq!(notes(&mut torn), ["kept", "next"]);
    }
}

#[test]
fn changes_leave_the_log_alone_and_it_leaves_them_alone() {
    let mut device = disk(512);
    for seed in 2..6 {
        install(
            &mut device,
            &system(seed, 30_000, vec![image("a", seed, 3)]),
        )
        .unwrap();
        assert!(remember(&mut device, &format!("install {seed}")));
    }
    Disk::open(&mut device).unwrap().gc(2).unwrap();
    assert!(remember(&mut device, "gc"));
    Disk::open(&mut device).unwrap().rollback().unwrap();
    assert_eq!(notes(&mut device).len(), 5);
    let disk = Disk::open(&mut device).unwrap();
    assert!(disk.verify(&mut |_| {}).unwrap().is_good());
    assert!(!disk.has_leftovers().unwrap());
}

#[test]
fn what_is_no_record_is_never_overwritten() {
    let mut device = disk(512);
    let mut recording = RecordingDevice::new(device.clone());
    remember(&mut recording, "first");
    let (_, done) = recording.into_parts();
    let Some(Operation::Write { offset, .. }) = done.first() else {
        panic!("{done:?}");
    };
    device.write_at(*offset, &[7; 512]).unwrap();
    let before = device.clone();
    assert!(!remember(&mut device, "first"));
    assert!(before.bytes() == device.bytes());
}

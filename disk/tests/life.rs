//! The life of a disk: made, installed to, switched, rolled back, cleaned; judged by outside
//! tools at every step.

mod common;

use common::*;
use nos_disk::flash::FlashError;
use nos_disk::{
    BlockDevice, Disk, Error, Finding, InstallOptions, MemoryDevice, RecordingDevice, Shortage,
    StateSize,
};

const SIZE: usize = 32 << 20;

fn first() -> System {
    system(1, 30_000, vec![image("web", 1, 20), image("cache", 2, 300)])
}

/// The same with another image of `web`.
fn second() -> System {
    system(2, 30_000, vec![image("web", 3, 25), image("cache", 2, 300)])
}

#[test]
fn a_disk_lives_and_stays_clean() {
    for sector_size in [512, 4096] {
        let mut device = disk_with(sector_size, SIZE, &first());
        everything_is_clean(&mut device);
        assert_eq!(summary(&mut device), (vec![1], Some(1)));

        let report = install(&mut device, &second()).unwrap();
        assert_eq!(
            (report.number, report.images_written.as_slice()),
            (2, &["web".into()][..])
        );
        assert_eq!(report.images_reused, ["cache"]);
        everything_is_clean(&mut device);
        assert_eq!(summary(&mut device), (vec![1, 2], Some(2)));

        let report = Disk::open(&mut device).unwrap().rollback().unwrap();
        assert_eq!(
            (report.number, report.sectors_written, report.flushes),
            (1, 1, 1)
        );
        everything_is_clean(&mut device);
        let error = Disk::open(&mut device).unwrap().rollback().unwrap_err();
        assert!(matches!(error, Error::NoPrevious { current: 1 }), "{error}");

        let report = Disk::open(&mut device).unwrap().switch(2).unwrap();
        assert_eq!(
            (report.number, report.sectors_written, report.flushes),
            (2, 1, 1)
        );

        // The first system again: nothing of it is written twice.
        let report = install(&mut device, &first()).unwrap();
        assert_eq!((report.number, report.uki_reused), (3, true));
        assert!(report.images_written.is_empty());
        everything_is_clean(&mut device);

        let free = |device: &mut MemoryDevice| -> u64 {
            let disk = Disk::open(device).unwrap();
            disk.table()
                .free()
                .iter()
                .map(|run| run.end - run.start)
                .sum()
        };
        let before = free(&mut device);
        let report = Disk::open(&mut device).unwrap().remove(2).unwrap();
        assert_eq!(report.removed, [2]);
        everything_is_clean(&mut device);
        assert_eq!(summary(&mut device), (vec![1, 3], Some(3)));
        assert!(
            free(&mut device) > before,
            "the space of generation 2's image is free again"
        );

        let report = Disk::open(&mut device).unwrap().gc(1).unwrap();
        assert!(
            report.removed.is_empty(),
            "the current and the previous one stay"
        );
        install(&mut device, &second()).unwrap();
        let report = Disk::open(&mut device).unwrap().gc(1).unwrap();
        assert_eq!(report.removed, [1]);
        everything_is_clean(&mut device);
        assert_eq!(summary(&mut device), (vec![3, 4], Some(4)));
    }
}

#[test]
fn generations_say_what_they_are() {
    let mut device = disk_with(512, SIZE, &first());
    install(&mut device, &second()).unwrap();
    let disk = Disk::open(&mut device).unwrap();
    let generations = disk.generations();
    let [one, two] = generations.as_slice() else {
        panic!("{generations:?}")
    };
    assert!(!one.current && one.previous && two.current && !two.previous);
    assert_eq!(
        (two.label.as_str(), two.kernel.as_str()),
        ("system 2", "6.12.48")
    );
    assert_eq!(two.entry, "nos-000002-b.conf");
    assert_eq!(two.installed, Some(1_760_000_000));
    assert_eq!(one.new_bytes, one.size_bytes);
    let web = second().images[0].0.size_bytes;
    assert_eq!(two.new_bytes, 30_000 + web);
    assert!(two.images.iter().all(|image| image.partition.is_some()));
    assert_eq!(two.broken, None);
    let json = serde_json::to_value(two).unwrap();
    assert_eq!(json["images"][0]["name"], "web");
}

#[test]
fn the_same_input_gives_the_same_disk() {
    let bytes = |device: MemoryDevice| device.bytes().to_vec();
    assert!(bytes(disk_with(512, SIZE, &first())) == bytes(disk_with(512, SIZE, &first())));
    let mut device = disk_with(512, SIZE, &first());
    let mut again = disk_with(512, SIZE, &first());
    install(&mut device, &second()).unwrap();
    install(&mut again, &second()).unwrap();
    assert!(device == again);
}

#[test]
fn making_a_disk_again_over_an_old_one_leaves_nothing_of_it() {
    let mut fresh = disk_with(512, SIZE, &second());
    let mut reused = MemoryDevice::from_bytes(noise(5, SIZE), 512);
    nos_disk::create(&mut reused, &new_disk(), &second().source(), &mut quiet).unwrap();
    everything_is_clean(&mut reused);
    assert_eq!(summary(&mut reused), summary(&mut fresh));
}

#[test]
fn a_trial_leaves_the_pointer() {
    let mut device = disk_with(512, SIZE, &first());
    let mut disk = Disk::open(&mut device).unwrap();
    let trial = InstallOptions {
        trial: true,
        ..InstallOptions::default()
    };
    let report = disk.install(&second().source(), trial, &mut quiet).unwrap();
    assert_eq!((report.number, disk.current()), (2, Some(1)));
    let generations = disk.generations();
    assert!(generations[1].trial == Some("wanted") && !generations[1].current);
    let error = disk.remove(2).unwrap_err();
    assert!(
        matches!(error, Error::Protected { number: 2, .. }),
        "{error}"
    );
    assert_eq!(disk.set_trial(None).unwrap().sectors_written, 1);
    assert_eq!(disk.generations()[1].trial, None);
    disk.switch(2).unwrap();
    assert_eq!(disk.current(), Some(2));
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_write() {
    let device = disk_with(512, 12 << 20, &first());
    let before = device.bytes().to_vec();
    let refused = |system: &System| {
        let mut device = RecordingDevice::new(device.clone());
        let error = install(&mut device, system).unwrap_err();
        let (device, operations) = device.into_parts();
        assert_eq!(operations, []);
        assert!(device.bytes() == before);
        error
    };
    let error = refused(&system(3, 30_000, vec![image("big", 9, 3000)]));
    let Error::Space(Shortage::Images { needed, free, .. }) = &error else {
        panic!("{error}")
    };
    let text = error.to_string();
    assert!(
        text.contains(&format!("{} bytes too few", needed - free)),
        "{text}"
    );
    let error = refused(&system(3, 5 << 20, vec![]));
    assert!(
        matches!(error, Error::Space(Shortage::Esp { .. })),
        "{error}"
    );
    let too_small = nos_disk::create(
        &mut MemoryDevice::new(5 << 20, 512),
        &new_disk(),
        &first().source(),
        &mut quiet,
    );
    let error = too_small.unwrap_err();
    assert!(
        matches!(
            error,
            FlashError::Refused(Error::Space(Shortage::Disk { .. }))
        ),
        "{error}"
    );
}

#[test]
fn the_minimum_size_is_enough_and_one_mib_less_is_not() {
    for sector_size in [512, 4096] {
        let first = first();
        let images = || first.images.iter().map(|(image, _)| image);
        let new = new_disk_for(sector_size);
        let least = nos_disk::minimum_size(&new, images(), 0, sector_size).unwrap() as usize;
        let make = |size| {
            let mut device = MemoryDevice::new(size, sector_size);
            nos_disk::create(&mut device, &new, &first.source(), &mut quiet).map(|_| device)
        };
        everything_is_clean(&mut make(least).unwrap());
        assert!(matches!(
            make(least - (1 << 20)),
            Err(FlashError::Refused(Error::Space(_)))
        ));
    }
}

#[test]
fn sources_that_are_not_what_they_say_are_refused() {
    let mut device = disk_with(512, SIZE, &first());
    let wrong_bytes = {
        let mut system = second();
        system.images[0].1[5000] ^= 1;
        system
    };
    let error = install(&mut device, &wrong_bytes).unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    assert_eq!(summary(&mut device), (vec![1], Some(1)));
    // The last block belongs to the hash tree.
    let mut wrong_tree = second();
    *wrong_tree.images[0].1.last_mut().unwrap() ^= 1;
    let error = install(&mut device, &wrong_tree).unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    let wrong_kernel = second();
    let mut source = wrong_kernel.source();
    source.uki.digest[0] ^= 1;
    let mut disk = Disk::open(&mut device).unwrap();
    let error = disk.install(&source, InstallOptions::default(), &mut quiet);
    assert!(matches!(error, Err(Error::Source { .. })), "{error:?}");
    assert_eq!(summary(&mut device), (vec![1], Some(1)));
    for change in [-4096i64, 4096] {
        let mut system = second();
        let length = (system.images[0].1.len() as i64 + change) as usize;
        system.images[0].1.resize(length, 0);
        let error = install(&mut device, &system).unwrap_err();
        assert!(matches!(error, Error::Source { .. }), "{error}");
    }
    let mut source = second();
    source.images[0].0.root_hash = "zz".into();
    assert!(matches!(
        install(&mut device, &source),
        Err(Error::Source { .. })
    ));
    install(&mut device, &second()).unwrap();
    everything_is_clean(&mut device);
}

#[test]
fn verify_names_what_is_damaged() {
    let mut device = disk_with(512, SIZE, &first());
    let (_, cache) = &first().images[1];
    let position = |bytes: &[u8], needle: &[u8]| {
        bytes
            .windows(needle.len())
            .position(|window| window == needle)
            .unwrap()
    };
    let at = position(device.bytes(), &cache[7 * 4096..8 * 4096]);
    device.bytes_mut()[at + 99] ^= 0x40;
    let report = Disk::open(&mut device).unwrap().verify(&mut quiet).unwrap();
    let [
        Finding::Image {
            name,
            first_block,
            blocks,
            generations,
            ..
        },
    ] = report.findings.as_slice()
    else {
        panic!("{:?}", report.findings)
    };
    assert_eq!(
        (name.as_str(), *first_block, *blocks),
        ("cache", Some(7), 1)
    );
    assert_eq!(generations, &[1]);
    device.bytes_mut()[at + 99] ^= 0x40;

    let at = position(device.bytes(), &first().uki);
    device.bytes_mut()[at] ^= 1;
    let report = Disk::open(&mut device).unwrap().verify(&mut quiet).unwrap();
    assert!(matches!(
        report.findings.as_slice(),
        [Finding::Kernel { .. }]
    ));
    assert!(!report.is_good());
}

#[test]
fn many_generations_come_and_go() {
    let mut device = disk_with(512, SIZE, &first());
    for number in 2..=nos_disk::MAX_GENERATIONS as u64 {
        let report = install(
            &mut device,
            &system(number, 3000, vec![image("web", 1, 20)]),
        );
        assert_eq!(u64::from(report.unwrap().number), number);
    }
    everything_is_clean(&mut device);
    let error = install(&mut device, &second()).unwrap_err();
    assert!(
        matches!(error, Error::Space(Shortage::Generations)),
        "{error}"
    );
    Disk::open(&mut device).unwrap().rollback().unwrap();
    let removed = Disk::open(&mut device).unwrap().gc(3).unwrap().removed;
    assert_eq!(removed.len(), nos_disk::MAX_GENERATIONS - 3);
    everything_is_clean(&mut device);
    install(&mut device, &second()).unwrap();
    everything_is_clean(&mut device);
}

#[test]
fn a_broken_copy_of_the_table_is_put_back_from_the_good_one() {
    for sector_size in [512u32, 4096] {
        let system = system(1, 50_000, vec![image("web", 3, 20)]);
        let good = disk_with(sector_size, 80 << 20, &system);
        let sector = sector_size as usize;
        let end = good.bytes().len() - sector;
        for place in [sector, 2 * sector, end, end - 16_384] {
            let mut device = good.clone();
            device.write_at(place as u64, &vec![0xa5; sector]).unwrap();
            let primary = place < end / 2;
            let disk = Disk::open(&mut device).unwrap();
            assert_eq!(
                disk.broken_primary().is_some(),
                primary,
                "sector at {place}"
            );
            assert_eq!(nos_disk::repair(&mut device).unwrap().number, 1);
            everything_is_clean(&mut device);
            assert!(device.bytes() == good.bytes(), "the table is what it was");
            assert_eq!(nos_disk::repair(&mut device).unwrap().sectors_written, 0);
        }
        let mut device = good.clone();
        for place in [sector, end] {
            device.write_at(place as u64, &vec![0xa5; sector]).unwrap();
        }
        let before = device.clone();
        assert!(nos_disk::repair(&mut device).is_err());
        assert!(device.bytes() == before.bytes(), "nothing was written");
    }
}

#[test]
fn installing_again_and_again_keeps_what_is_wanted_and_never_runs_out_of_room() {
    let number = |n: u64| system(n, 400_000, vec![image("web", n, 20)]);
    let mut device = disk_with(512, SIZE, &number(1));
    let room = Disk::open(&mut device)
        .unwrap()
        .plan_space(&number(2).source())
        .unwrap();
    // As many as there is room for, and fewer.
    let most = (room.esp_free / room.esp_needed + 1) as usize;
    assert!((4..20).contains(&most), "{most}");
    let options = InstallOptions::default();
    for keep in [most, 3] {
        let mut device = disk_with(512, SIZE, &number(1));
        Disk::open(&mut device).unwrap().pin(1, None).unwrap();
        for n in 2..=most as u64 + 5 {
            let mut disk = Disk::open(&mut device).unwrap();
            let report = disk
                .install_and_keep(&number(n).source(), options, keep - 1, &mut quiet)
                .unwrap();
            let all = disk.generations().into_iter().map(|g| g.number);
            let oldest = (n as u32 + 2).saturating_sub(keep as u32).max(2);
            let expected: Vec<u32> = [1].into_iter().chain(oldest..=n as u32).collect();
            assert_eq!(all.collect::<Vec<_>>(), expected);
            assert_eq!(report.number, n as u32);
            assert_eq!(report.removed.len(), usize::from(n as usize > keep), "{n}");
        }
        everything_is_clean(&mut device);
    }
    // What would not help is not removed.
    for n in 2..=most as u64 {
        install(&mut device, &number(n)).unwrap();
    }
    let before = device.clone();
    let large = system(99, 200_000_000, vec![image("web", 99, 20)]);
    let mut disk = Disk::open(&mut device).unwrap();
    let error = disk.install_and_keep(&large.source(), options, 2, &mut quiet);
    assert!(matches!(error, Err(Error::Space(_))), "{error:?}");
    assert!(device == before);
}

#[test]
fn a_pinned_generation_outlives_every_collection() {
    for sector_size in [512, 4096] {
        let mut device = disk_with(sector_size, SIZE, &first());
        let mut disk = Disk::open(&mut device).unwrap();
        let report = disk.pin(1, None).unwrap();
        assert_eq!((report.sectors_written, report.flushes), (1, 1));
        assert_eq!(disk.pin(1, None).unwrap().sectors_written, 0);
        for _ in 0..3 {
            install(&mut device, &second()).unwrap();
        }
        let mut disk = Disk::open(&mut device).unwrap();
        assert_eq!(disk.gc(1).unwrap().removed, [2]);
        let error = disk.remove(1).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("is pinned; `nos unpin` it first"),
            "{error}"
        );
        disk.pin(1, Some("keep\nthis ")).unwrap();
        let one = &disk.generations()[0];
        assert_eq!((one.label.as_str(), one.pinned), ("keep this", true));
        assert_eq!(disk.unpin(1).unwrap().sectors_written, 1);
        everything_is_clean(&mut device);
        let mut disk = Disk::open(&mut device).unwrap();
        assert_eq!(disk.gc(1).unwrap().removed, [1]);
        everything_is_clean(&mut device);
        assert_eq!(summary(&mut device), (vec![3, 4], Some(4)));
    }
}

/// A disk that was copied to a larger one: everything works as it is, `grow` uses the rest.
#[test]
fn a_larger_device_is_grown_into() {
    for sector_size in [512u32, 4096] {
        for more in [sector_size as usize, 3 * sector_size as usize, 40 << 20] {
            let mut bytes = disk_with(sector_size, SIZE, &first()).bytes().to_vec();
            bytes.resize(bytes.len() + more, 0);
            let mut device = MemoryDevice::from_bytes(bytes, sector_size);
            let mut disk = Disk::open(&mut device).unwrap();
            let report = disk.verify(&mut quiet).unwrap();
            assert!(report.is_good(), "{:?}", report.findings);
            assert_eq!(report.findings.len(), 1);
            assert_eq!(disk.grow(StateSize::Keep).unwrap().flushes, 2);
            everything_is_clean(&mut device);
            let mut disk = Disk::open(&mut device).unwrap();
            assert_eq!(disk.grow(StateSize::Keep).unwrap().sectors_written, 0);
        }
    }
    let mut bytes = disk_with(512, SIZE, &first()).bytes().to_vec();
    bytes.resize(bytes.len() + (40 << 20), 0);
    let mut device = MemoryDevice::from_bytes(bytes, 512);
    let state = |device: &mut MemoryDevice| {
        let disk = Disk::open(device).unwrap();
        let entries = disk.table().numbered();
        let state = entries.filter(|(_, entry)| entry.label() == "state");
        state.map(|(_, entry)| entry.sectors() * 512).next()
    };
    for (size, wanted) in [
        (StateSize::Bytes((3 << 20) - 5), Some(3 << 20)),
        (StateSize::Bytes(3 << 20), Some(3 << 20)),
        (StateSize::All, Some(41 << 20)),
    ] {
        Disk::open(&mut device).unwrap().grow(size).unwrap();
        assert_eq!(state(&mut device), wanted);
        everything_is_clean(&mut device);
    }
    let before = device.clone();
    for size in [StateSize::Bytes(1 << 20), StateSize::Bytes(1 << 40)] {
        let error = Disk::open(&mut device).unwrap().grow(size).unwrap_err();
        assert!(matches!(error, Error::Layout { .. }), "{error}");
    }
    assert!(device.bytes() == before.bytes());
}

/// The `gpt` crate reads what we write: another program's eyes on fresh and on changed tables.
#[test]
fn another_reader_sees_the_same_partitions() {
    use gpt::disk::LogicalBlockSize;
    for (sector_size, size) in [
        (512, LogicalBlockSize::Lb512),
        (4096, LogicalBlockSize::Lb4096),
    ] {
        let mut device = disk_with(sector_size, SIZE, &first());
        for images in [2, 3] {
            let bytes = std::io::Cursor::new(device.bytes().to_vec());
            let config = gpt::GptConfig::new()
                .writable(false)
                .logical_block_size(size);
            let table = config.open_from_device(bytes).unwrap();
            let disk = Disk::open(&mut device).unwrap();
            let ours = disk.table().numbered().map(|(number, entry)| {
                let guid = entry.unique_guid.to_string();
                (number as u32, guid, entry.first_lba, entry.last_lba)
            });
            let theirs = table.partitions().iter().map(|(number, partition)| {
                let guid = partition.part_guid.to_string();
                (*number, guid, partition.first_lba, partition.last_lba)
            });
            let (ours, theirs): (Vec<_>, Vec<_>) = (ours.collect(), theirs.collect());
            assert_eq!(ours, theirs);
            let is_image = |p: &&gpt::partition::Partition| {
                p.part_type_guid.guid.to_string() == nos_manifest::IMAGE_TYPE_GUID
            };
            assert_eq!(table.partitions().values().filter(is_image).count(), images);
            install(&mut device, &second()).unwrap();
        }
    }
}

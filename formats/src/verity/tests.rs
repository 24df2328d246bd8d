use super::*;
use proptest::prelude::*;
use std::io::{self, Write as _};
use std::process::Command;

fn pattern(blocks: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..blocks * BLOCK_SIZE / 8).flat_map(|_| next()).collect()
}

fn build(data: &[u8], salt: &[u8]) -> HashArea {
    let mut builder = Builder::new(Salt::new(salt).unwrap());
    builder.update(data);
    builder.finish().unwrap()
}

/// Data followed by its hash area, as it lies in a partition.
fn image(data: &[u8], salt: &[u8]) -> (Vec<u8>, HashArea) {
    let area = build(data, salt);
    let bytes = [data, &area.bytes].concat();
    assert_eq!(bytes.len() as u64, area.params.size_bytes());
    (bytes, area)
}

fn reader(bytes: &[u8]) -> impl Fn(u64, &mut [u8]) -> io::Result<()> + Sync + '_ {
    |offset, buffer| {
        let end = offset as usize + buffer.len();
        let part = bytes
            .get(offset as usize..end)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}

fn check(bytes: &[u8], area: &HashArea, threads: usize) -> Report {
    verify(
        &reader(bytes),
        &area.params,
        &area.root_hash,
        threads,
        &|_| {},
    )
    .unwrap()
}

/// What a checker says of bytes that come in chunks of these lengths.
fn streamed(bytes: &[u8], area: &HashArea, root_hash: RootHash, cuts: &[usize]) -> Option<Region> {
    let mut checker = StreamChecker::new(&area.params, root_hash, 2);
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*cut).min(rest.len()));
        checker.update(now).unwrap();
        rest = later;
    }
    checker.finish()
}

#[test]
fn a_stream_with_its_tree_elsewhere_is_checked() {
    let (bytes, area) = image(&pattern(200), b"s");
    let (data, behind) = bytes.split_at(200 * BLOCK_SIZE);
    let (superblock, tree) = behind.split_at(BLOCK_SIZE);
    let salt = area.params.salt().clone();
    let gap = vec![9; 3 * BLOCK_SIZE];
    for (bytes, hash_start) in [
        ([data, &gap, superblock, tree].concat(), 204),
        ([data, tree].concat(), 200),
    ] {
        let params = Params::with_hash_start(200, hash_start, salt.clone()).unwrap();
        let area = HashArea {
            params,
            ..area.clone()
        };
        assert!(check(&bytes, &area, 1).is_clean());
        assert_eq!(streamed(&bytes, &area, area.root_hash, &[1000]), None);
        let mut bad = bytes.clone();
        *bad.last_mut().unwrap() ^= 1;
        let last = streamed(&bad, &area, area.root_hash, &[1000]);
        // The end of the last level is padding, which the hash above it covers.
        assert_eq!(last, Some(Region::Tree));
    }
}

#[test]
fn bytes_are_pinned() {
    // A change here changes the PARTUUID of every image on every disk: never do it by accident.
    let (_, area) = image(&pattern(300), b"salt");
    assert_eq!(
        area.root_hash.to_string(),
        "500222de68e1ccf4651bc911ef077190f33055901752fbe42a23d51db74a2e78"
    );
    let whole = build(&area.bytes, b"");
    assert_eq!(
        whole.root_hash.to_string(),
        "36568b7a7a6bf0268444c6b3b323663057e64c734c945106f02ffafb7a894ce6"
    );
}

#[test]
fn geometry_is_the_kernels() {
    for (data_blocks, tree_blocks) in [
        (1, 0),
        (2, 1),
        (128, 1),
        (129, 3),
        (16384, 129),
        (16385, 129 + 1 + 2),
        (1 << 21, 16384 + 128 + 1),
    ] {
        let params = Params::new(data_blocks, Salt::default()).unwrap();
        assert_eq!(params.tree_blocks(), tree_blocks, "{data_blocks} blocks");
        assert_eq!(params.hash_start_block(), data_blocks + 1);
    }
    assert!(Params::new(0, Salt::default()).is_err());
    assert!(Params::new(u64::MAX, Salt::default()).is_err());
    assert!(Params::with_hash_start(10, 9, Salt::default()).is_err());
    assert!(Params::with_hash_start(10, u64::MAX, Salt::default()).is_err());
    let largest = Params::with_hash_start(MAX_DATA_BLOCKS, 2 * MAX_DATA_BLOCKS, Salt::default());
    assert!(largest.unwrap().size_bytes() > 0);
}

#[test]
fn text_forms_are_strict() {
    let hash: RootHash = "00ff".repeat(16).parse().unwrap();
    assert_eq!(hash.to_string(), "00ff".repeat(16));
    for bad in ["", "00", "0g", "FF", &"0".repeat(63), &"é".repeat(32)] {
        assert!(bad.parse::<RootHash>().is_err(), "{bad}");
    }
    assert_eq!("".parse::<Salt>().unwrap(), Salt::default());
    assert_eq!("0aff".parse::<Salt>().unwrap().as_bytes(), [0x0a, 0xff]);
    assert!("0".parse::<Salt>().is_err());
    assert!(Salt::new(vec![0; 257]).is_err());
}

#[test]
fn only_whole_blocks_have_a_tree() {
    let finish = |data: &[u8]| {
        let mut builder = Builder::new(Salt::default());
        builder.update(data);
        builder.finish()
    };
    assert!(matches!(
        finish(b""),
        Err(VerityError::BadDataBlocks { data_blocks: 0 })
    ));
    assert!(matches!(
        finish(&[0; 4097]),
        Err(VerityError::Unaligned { size: 4097 })
    ));
    let fail = |_: u64, _: &mut [u8]| Err(io::ErrorKind::UnexpectedEof.into());
    assert!(matches!(
        compute(&fail, 5, Salt::default(), 2),
        Err(VerityError::Unaligned { size: 5 })
    ));
    assert!(matches!(
        compute(&fail, 8192, Salt::default(), 2),
        Err(VerityError::Read { offset: 0, .. })
    ));
    assert!(compute(&fail, !4095, Salt::default(), 2).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn chunks_and_threads_do_not_matter(
        blocks in 1usize..1200,
        salt in prop::collection::vec(any::<u8>(), 0..=256),
        cuts in prop::collection::vec(1usize..3_000_000, 1..6),
        threads in 1usize..5,
    ) {
        let data = pattern(blocks);
        let expected = build(&data, &salt);
        let mut builder = Builder::new(Salt::new(salt.clone()).unwrap()).threads(threads);
        let mut rest = &data[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            builder.write_all(now).unwrap();
            rest = later;
        }
        prop_assert_eq!(&builder.finish().unwrap(), &expected);
        let salt = Salt::new(salt).unwrap();
        let computed = compute(&reader(&data), data.len() as u64, salt, threads).unwrap();
        prop_assert_eq!(&computed, &expected);
    }

    #[test]
    fn every_flipped_bit_is_found(
        blocks in 1usize..700,
        threads in 1usize..4,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4),
    ) {
        let (good, area) = image(&pattern(blocks), b"s");
        prop_assert!(check(&good, &area, threads).is_clean());
        for (at, bit) in flips {
            let mut bad = good.clone();
            let at = at.index(bad.len());
            bad[at] ^= 1 << bit;
            let report = check(&bad, &area, threads);
            let block = (at / BLOCK_SIZE) as u64;
            let found = report.ranges.iter().any(|range| range.blocks.contains(&block));
            prop_assert!(found, "byte {} in {:?}", at, report);
            prop_assert_eq!(&report, &check(&bad, &area, 1));
            let region = streamed(&bad, &area, area.root_hash, &[777, BLOCK_SIZE, 300_000]);
            prop_assert!(region.is_some());
        }
    }

    #[test]
    fn a_stream_is_checked_however_it_is_cut(
        blocks in 1usize..400,
        cuts in prop::collection::vec(1usize..500_000, 1..5),
        behind in 0usize..10_000,
    ) {
        let (mut bytes, area) = image(&pattern(blocks), b"s");
        let size = bytes.len();
        // Padding behind the tree may be anything.
        bytes.resize(size + behind, 7);
        prop_assert_eq!(streamed(&bytes, &area, area.root_hash, &cuts), None);
        prop_assert!(streamed(&bytes, &area, RootHash([7; 32]), &cuts).is_some());
        prop_assert!(streamed(&bytes[..size - 1], &area, area.root_hash, &cuts).is_some());
    }

    #[test]
    fn superblocks_survive_garbage(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        at in 0usize..100,
        value: u8,
    ) {
        let _ = Superblock::parse(&bytes);
        let area = build(&pattern(3), b"salt");
        let mut block = area.bytes[..BLOCK_SIZE].to_vec();
        block[at] = value;
        if let Ok(parsed) = Superblock::parse(&block) {
            prop_assert_eq!(Superblock::parse(&parsed.to_block()).unwrap(), parsed);
        }
    }
}

#[test]
fn a_damaged_tree_block_takes_its_data_along() {
    let (mut bytes, area) = image(&pattern(300), b"");
    // Tree: the top block, then three blocks of digests; the second covers data blocks 128..256.
    let top = area.params.hash_start_block();
    bytes[(top as usize + 2) * BLOCK_SIZE] ^= 1;
    bytes[5 * BLOCK_SIZE] ^= 1;
    bytes[300 * BLOCK_SIZE + 4000] ^= 1;
    let range = |region, blocks| BadRange { region, blocks };
    let report = check(&bytes, &area, 2);
    assert_eq!(
        report,
        Report {
            bad_data_blocks: 129,
            bad_tree_blocks: 1,
            ranges: vec![
                range(Region::Data, 5..6),
                range(Region::Data, 128..256),
                range(Region::Superblock, 300..301),
                range(Region::Tree, top + 2..top + 3),
            ],
        }
    );
}

#[test]
fn a_wrong_root_condemns_everything_in_one_range() {
    let (bytes, mut area) = image(&pattern(300), b"");
    area.root_hash.0[0] ^= 1;
    let report = check(&bytes, &area, 2);
    assert_eq!(report.bad_data_blocks, 300);
    assert_eq!(report.bad_tree_blocks, 1);
    assert_eq!(
        report.ranges[0],
        BadRange {
            region: Region::Data,
            blocks: 0..300
        }
    );
}

#[test]
fn a_short_image_is_a_read_error() {
    let (bytes, area) = image(&pattern(300), b"");
    let error = verify(
        &reader(&bytes[..8192]),
        &area.params,
        &area.root_hash,
        2,
        &|_| {},
    );
    assert!(matches!(error, Err(VerityError::Read { .. })));
}

#[test]
fn veritysetup_agrees() {
    let tool = ["veritysetup", "/usr/sbin/veritysetup", "/sbin/veritysetup"]
        .into_iter()
        .find(|tool| Command::new(tool).arg("--version").output().is_ok());
    let Some(tool) = tool else {
        eprintln!("SKIPPED veritysetup_agrees: no veritysetup (package cryptsetup-bin)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(tool).args(args).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    for (blocks, salt) in [
        (1, ""),
        (2, "00"),
        (128, "ab"),
        (129, ""),
        (16385, "0123456789abcdef0123456789abcdef"),
    ] {
        let data = pattern(blocks);
        let (mut bytes, area) = image(&data, salt.parse::<Salt>().unwrap().as_bytes());
        let ours = folder.path().join("ours");
        let ours = ours.to_str().unwrap();
        std::fs::write(ours, &bytes).unwrap();
        let offset = format!("--hash-offset={}", data.len());
        let root = area.root_hash.to_string();
        assert!(
            run(&["verify", &offset, ours, ours, &root]).0,
            "{blocks} blocks"
        );

        let theirs = folder.path().join("theirs");
        let theirs = theirs.to_str().unwrap();
        std::fs::write(theirs, &data).unwrap();
        let salt = format!("--salt={}", if salt.is_empty() { "-" } else { salt });
        let uuid: Vec<_> = area.bytes[16..32]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let uuid = uuid.concat();
        let uuid = format!(
            "--uuid={}-{}-{}-{}-{}",
            &uuid[..8],
            &uuid[8..12],
            &uuid[12..16],
            &uuid[16..20],
            &uuid[20..]
        );
        let (ok, text) = run(&["format", &offset, &salt, &uuid, theirs, theirs]);
        assert!(ok && text.contains(&root), "{blocks} blocks: {text}");
        let mut same = std::fs::read(theirs).unwrap();
        same.resize(bytes.len().max(same.len()), 0);
        assert!(
            same == bytes,
            "{blocks} blocks: our hash area differs from veritysetup's"
        );

        bytes[blocks * BLOCK_SIZE / 2] ^= 4;
        std::fs::write(ours, &bytes).unwrap();
        assert!(
            !run(&["verify", &offset, ours, ours, &root]).0,
            "{blocks} blocks"
        );
    }
}

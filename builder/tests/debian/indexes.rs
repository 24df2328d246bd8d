//! Which indexes are believed.

use crate::archive::{Archive, DAY, Key, NOW, Publication, World, deb};
use nos_builder::debian::{DebianError, Mode, ReleaseError, Request, SignatureError, lock};
use nos_specs::lock::Lock;
use pgp::crypto::hash::HashAlgorithm;
use std::collections::BTreeSet;

pub(crate) fn request(wants: &[&str]) -> Request {
    let wants = wants.iter().map(|w| (*w).to_owned()).collect();
    Request {
        suite: "trixie".to_owned(),
        groups: [("image web".to_owned(), wants)].into(),
        sources: BTreeSet::new(),
    }
}

fn locked(world: &World, archive: &Archive) -> Result<Lock, DebianError> {
    let mirror = archive.mirror();
    let (lock, _) = lock(&world.env(&mirror), &request(&["a"]), None, &Mode::Keep)?;
    Ok(lock)
}

/// Publishes `trixie` anew, changed, and locks with an empty store.
fn published(change: impl Fn(&mut Publication<'_>)) -> Result<Lock, DebianError> {
    let packages = [deb("a", "1", "")];
    let archive = Archive::new(&packages);
    let mut publication = Publication::new("trixie", &packages);
    change(&mut publication);
    archive.publish(&publication);
    locked(&World::new(), &archive)
}

fn signature_error(outcome: Result<Lock, DebianError>) -> SignatureError {
    match outcome {
        Err(DebianError::Signature { suite, reason, .. }) => {
            assert_eq!(suite, "trixie");
            reason
        }
        other => panic!("not a signature error: {other:?}"),
    }
}

fn release_error(outcome: Result<Lock, DebianError>) -> ReleaseError {
    match outcome {
        Err(DebianError::Release { reason, .. }) => reason,
        other => panic!("not a release error: {other:?}"),
    }
}

#[test]
fn a_good_archive_is_locked() {
    let lock = published(|_| {}).unwrap();
    assert_eq!(lock.packages["a"].version, "1");
    assert_eq!(lock.packages["a"].suite, "trixie");
    let suites: Vec<_> = lock.suites.keys().collect();
    assert_eq!(suites, ["trixie", "trixie-security", "trixie-updates"]);
    assert_eq!(lock.suites["trixie"].date, "2026-06-30T00:00:00Z");
}

#[test]
fn a_signing_subkey_and_sha256_will_do() {
    published(|p| p.key = Key::GoodSubkey).unwrap();
    published(|p| p.hash = HashAlgorithm::Sha256).unwrap();
}

#[test]
fn a_strangers_signature_is_refused() {
    let error = signature_error(published(|p| p.key = Key::Stranger));
    assert!(matches!(error, SignatureError::UnknownKey { signers } if signers.len() == 1));
}

#[test]
fn a_changed_text_is_refused() {
    let archive = Archive::new(&[deb("a", "1", "")]);
    archive.change("trixie/InRelease", |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("Origin: Test", "Origin: Best").into_bytes();
    });
    let error = signature_error(locked(&World::new(), &archive));
    assert!(matches!(error, SignatureError::Bad { .. }), "{error}");
}

#[test]
fn text_around_the_signed_one_is_refused() {
    for (before, after) in [("Origin: Evil\n", ""), ("", "\nOrigin: Evil\n")] {
        let archive = Archive::new(&[deb("a", "1", "")]);
        archive.change("trixie/InRelease", |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            *bytes = format!("{before}{text}{after}").into_bytes();
        });
        let error = signature_error(locked(&World::new(), &archive));
        assert!(matches!(error, SignatureError::Framework(_)), "{error}");
    }
}

#[test]
fn an_unsigned_or_cut_file_is_refused() {
    for keep in [0, 10, 200, 400] {
        let archive = Archive::new(&[deb("a", "1", "")]);
        archive.change("trixie/InRelease", |bytes| bytes.truncate(keep));
        let error = signature_error(locked(&World::new(), &archive));
        assert!(matches!(error, SignatureError::Framework(_)), "{error}");
    }
}

#[test]
fn a_hash_beside_the_two_is_refused() {
    let error = signature_error(published(|p| p.hash = HashAlgorithm::Sha384));
    assert!(matches!(error, SignatureError::Framework(_)), "{error}");
}

#[test]
fn a_hash_under_another_name_is_refused() {
    let packages = [deb("a", "1", "")];
    let archive = Archive::new(&packages);
    let mut publication = Publication::new("trixie", &packages);
    publication.hash = HashAlgorithm::Sha384;
    archive.publish(&publication);
    archive.change("trixie/InRelease", |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("Hash: SHA384", "Hash: SHA512").into_bytes();
    });
    let error = signature_error(locked(&World::new(), &archive));
    assert!(
        error.to_string().contains("not SHA-256 or SHA-512"),
        "{error}"
    );
}

#[test]
fn an_expired_key_is_refused() {
    let error = signature_error(published(|p| p.key = Key::Expired));
    assert!(
        error.to_string().contains("the key expired on 2026-06-01"),
        "{error}"
    );
}

#[test]
fn an_expired_release_is_refused_unless_told() {
    let packages = [deb("a", "1", "")];
    let archive = Archive::new(&packages);
    let mut publication = Publication::new("trixie", &packages);
    publication.valid_until = -1;
    archive.publish(&publication);
    let world = World::new();
    let error = release_error(locked(&world, &archive));
    assert_eq!(
        error,
        ReleaseError::Expired {
            until: "2026-06-30T23:59:59Z".into()
        }
    );
    let mirror = archive.mirror();
    let mut env = world.env(&mirror);
    env.accept_stale = true;
    lock(&env, &request(&["a"]), None, &Mode::Keep).unwrap();
    let warnings = world.heard.warnings.lock().unwrap();
    assert!(
        warnings[0].contains("expired on 2026-06-30"),
        "{warnings:?}"
    );
}

#[test]
fn a_release_from_the_future_is_refused() {
    let error = release_error(published(|p| p.date = 2 * DAY));
    assert!(matches!(error, ReleaseError::Future { .. }), "{error}");
}

#[test]
fn another_suite_is_refused() {
    let error = release_error(published(|p| p.codename = "forky"));
    assert!(matches!(error, ReleaseError::WrongSuite { .. }), "{error}");
}

#[test]
fn an_older_release_than_the_store_has_seen_is_refused() {
    let packages = [deb("a", "1", "")];
    let archive = Archive::new(&packages);
    let world = World::new();
    locked(&world, &archive).unwrap();
    let mut publication = Publication::new("trixie", &packages);
    publication.date = -2 * DAY;
    archive.publish(&publication);
    let error = release_error(locked(&world, &archive));
    let place = "the store";
    assert!(
        matches!(error, ReleaseError::Downgrade { place: p, .. } if p == place),
        "{error}"
    );
}

#[test]
fn an_older_release_than_the_locks_is_refused() {
    let packages = [deb("a", "1", "")];
    let archive = Archive::new(&packages);
    let old = locked(&World::new(), &archive).unwrap();
    let mut publication = Publication::new("trixie", &packages);
    publication.date = -2 * DAY;
    archive.publish(&publication);
    let world = World::new();
    let mirror = archive.mirror();
    let env = world.env(&mirror);
    let outcome = lock(&env, &request(&["a"]), Some(&old), &Mode::UpdateAll);
    let error = release_error(outcome.map(|(lock, _)| lock));
    let place = "nos.lock";
    assert!(
        matches!(error, ReleaseError::Downgrade { place: p, .. } if p == place),
        "{error}"
    );
}

#[test]
fn an_index_other_than_the_signed_one_is_refused() {
    let changes: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes[40] ^= 1,
        |bytes| bytes.push(0),
        |bytes| bytes.truncate(bytes.len() / 2),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let packages = [deb("a", "1", "")];
        let archive = Archive::new(&packages);
        std::fs::remove_dir_all(archive.file("dists/trixie/main/binary-amd64/by-hash")).unwrap();
        archive.change("trixie/main/binary-amd64/Packages.xz", change);
        let world = World::new();
        let error = locked(&world, &archive).unwrap_err();
        let expected = match number {
            2 => matches!(error, DebianError::Transport(_)),
            _ => matches!(error, DebianError::WrongIndex { .. }),
        };
        assert!(expected, "{number}: {error}");
        // With the right file back, the same store goes on.
        archive.publish(&Publication::new("trixie", &packages));
        locked(&world, &archive).unwrap();
    }
}

#[test]
fn an_index_is_found_by_its_digest_while_the_archive_changes() {
    let archive = Archive::new(&[deb("a", "1", "")]);
    std::fs::remove_file(archive.file("dists/trixie/main/binary-amd64/Packages.xz")).unwrap();
    locked(&World::new(), &archive).unwrap();
}

#[test]
fn a_known_index_is_not_fetched_again() {
    let archive = Archive::new(&[deb("a", "1", "")]);
    let world = World::new();
    let first = locked(&world, &archive).unwrap();
    std::fs::remove_dir_all(archive.file("dists/trixie/main")).unwrap();
    assert_eq!(locked(&world, &archive).unwrap(), first);
}

#[test]
fn a_missing_suite_is_named() {
    let archive = Archive::new(&[deb("a", "1", "")]);
    std::fs::remove_dir_all(archive.file("dists/trixie-security")).unwrap();
    let error = locked(&World::new(), &archive).unwrap_err().to_string();
    assert!(error.contains("dists/trixie-security/InRelease"), "{error}");
}

#[test]
fn now_is_the_callers() {
    let archive = Archive::new(&[deb("a", "1", "")]);
    let (world, mirror) = (World::new(), archive.mirror());
    let mut env = world.env(&mirror);
    env.now = NOW + 7 * DAY;
    let outcome = lock(&env, &request(&["a"]), None, &Mode::Keep);
    let error = release_error(outcome.map(|(lock, _)| lock));
    assert!(matches!(error, ReleaseError::Expired { .. }), "{error}");
}

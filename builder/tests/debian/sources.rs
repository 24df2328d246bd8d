//! Sources of packages: pinned from their signed index, put together as trees.

use crate::archive::{Archive, Deb, Publication, Source, World, deb, source};
use nos_builder::debian::{Changes, DebianError, Mode, ReleaseError, Request, fetch, lock};
use nos_specs::lock::Lock;
use std::collections::BTreeSet;

fn request(sources: &[&str]) -> Request {
    Request {
        suite: "trixie".to_owned(),
        groups: [("image web".to_owned(), vec!["a".to_owned()])].into(),
        sources: sources.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn ant(version: &str) -> Source {
    source(
        "ant",
        version,
        &[
            (
                "1.orig.tar.xz",
                &[("ant-1/", ""), ("ant-1/main.c", "int main;\n")],
            ),
            (
                &format!("{version}.debian.tar.xz"),
                &[("debian/", ""), ("debian/rules", "x\n")],
            ),
        ],
    )
}

/// An archive with a package and these sources in `trixie`, and with one in `trixie-security`.
fn archive(sources: &[Source], security: &[Source]) -> Archive {
    let packages: [Deb; 1] = [deb("a", "1", "")];
    let archive = Archive::new(&packages);
    let other = [source("other", "1", &[("1.tar.xz", &[("x", "")])])];
    for (suite, packages, sources) in [
        ("trixie", &packages[..], sources),
        ("trixie-updates", &[], &other),
        ("trixie-security", &[], security),
    ] {
        let mut publication = Publication::new(suite, packages);
        publication.sources = sources;
        archive.publish(&publication);
    }
    archive
}

fn locked(
    world: &World,
    archive: &Archive,
    sources: &[&str],
    old: Option<&Lock>,
    mode: &Mode,
) -> Result<(Lock, Changes), DebianError> {
    let mirror = archive.mirror();
    lock(&world.env(&mirror), &request(sources), old, mode)
}

#[test]
fn sources_are_pinned_fetched_and_kept_until_they_are_renewed() {
    let world = World::new();
    let archive_of = archive(&[ant("1-1")], &[ant("1-2")]);
    let (first, changes) = locked(&world, &archive_of, &["ant"], None, &Mode::Keep).unwrap();
    let pin = &first.sources["ant"];
    assert_eq!(
        (pin.version.as_str(), pin.suite.as_str()),
        ("1-2", "trixie-security")
    );
    assert_eq!(changes.added["source ant"], "1-2");
    let names: Vec<_> = pin.files.iter().map(|file| file.name()).collect();
    assert_eq!(names, ["ant_1-2.debian.tar.xz", "ant_1.orig.tar.xz"]);

    let mirror = archive_of.mirror();
    let pins: Vec<_> = pin.pins().collect();
    fetch(
        &world.env(&mirror),
        pins.iter().map(|(name, pin)| (name, pin)),
    )
    .unwrap();
    for (_, pin) in &pins {
        assert!(world.store.contains(&pin.sha256.parse().unwrap()).unwrap());
    }

    // What is pinned needs no archive, and what nobody wants any more is dropped.
    let nothing = Archive::new(&[]);
    let (same, changes) = locked(&world, &nothing, &["ant"], Some(&first), &Mode::Keep).unwrap();
    assert_eq!(same, first);
    assert!(changes.is_empty());
    let (less, changes) = locked(&world, &nothing, &[], Some(&first), &Mode::Keep).unwrap();
    assert!(less.sources.is_empty());
    assert_eq!(changes.removed["source ant"], "1-2");

    let later = archive(&[ant("1-1")], &[ant("1-3")]);
    let one = Mode::Update(BTreeSet::from(["a".to_owned()]));
    let (kept, _) = locked(&world, &later, &["ant"], Some(&first), &one).unwrap();
    assert_eq!(kept.sources, first.sources);
    for mode in [
        Mode::UpdateAll,
        Mode::Update(BTreeSet::from(["ant".to_owned()])),
    ] {
        let (new, changes) = locked(&world, &later, &["ant"], Some(&first), &mode).unwrap();
        assert_eq!(new.sources["ant"].version, "1-3");
        assert_eq!(
            changes.moved["source ant"],
            ("1-2".to_owned(), "1-3".to_owned())
        );
    }
}

#[test]
fn an_index_that_is_not_the_signed_one_is_refused() {
    let archive = archive(&[ant("1-1")], &[ant("1-2")]);
    archive.change("security/main/source/Sources.xz", |bytes| bytes[20] ^= 1);
    let error = locked(&World::new(), &archive, &["ant"], None, &Mode::Keep).unwrap_err();
    assert!(
        matches!(&error, DebianError::WrongIndex { path, .. } if path.ends_with("Sources.xz")),
        "{error}"
    );
}

#[test]
fn an_archive_without_sources_says_so() {
    let archive = Archive::new(&[deb("a", "1", "")]);
    let error = locked(&World::new(), &archive, &["ant"], None, &Mode::Keep).unwrap_err();
    let wanted = ReleaseError::NoIndex("main/source/Sources".to_owned());
    assert!(
        matches!(&error, DebianError::Release { reason, .. } if *reason == wanted),
        "{error}"
    );
    locked(&World::new(), &archive, &[], None, &Mode::Keep).unwrap();
}

#[test]
fn all_unknown_sources_are_named_at_once() {
    let archive = archive(&[ant("1-1")], &[ant("1-2")]);
    let error = locked(
        &World::new(),
        &archive,
        &["atn", "libant1"],
        None,
        &Mode::Keep,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no source package \"atn\" in trixie; did you mean \"ant\"?\n\
         there is no source package \"libant1\" in trixie; did you mean \"ant\"?"
    );
}

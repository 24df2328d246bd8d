//! Which versions are chosen.

use crate::archive::{Archive, Deb, Publication, World, deb};
use nos_builder::debian::{Changes, DebianError, Mirror, MirrorError, Mode, Request, lock};
use nos_specs::lock::Lock;
use std::collections::{BTreeMap, BTreeSet};

fn request(groups: &[(&str, &[&str])]) -> Request {
    let groups = groups.iter().map(|(group, wants)| {
        let wants = wants.iter().map(|w| (*w).to_owned()).collect();
        ((*group).to_owned(), wants)
    });
    Request {
        suite: "trixie".to_owned(),
        groups: groups.collect(),
        sources: BTreeSet::new(),
    }
}

fn resolve(archive: &Archive, groups: &[(&str, &[&str])]) -> Result<Lock, DebianError> {
    let (world, mirror) = (World::new(), archive.mirror());
    let (lock, _) = lock(&world.env(&mirror), &request(groups), None, &Mode::Keep)?;
    Ok(lock)
}

/// The closure of some packages as `name version` words, or the error's text.
fn closure(packages: &[Deb], wants: &[&str]) -> String {
    match resolve(&Archive::new(packages), &[("image web", wants)]) {
        Ok(lock) => versions(&lock),
        Err(error) => error.to_string(),
    }
}

fn versions(lock: &Lock) -> String {
    let words = lock
        .packages
        .iter()
        .map(|(name, p)| format!("{name} {}", p.version));
    words.collect::<Vec<_>>().join(", ")
}

#[test]
fn dependencies_are_followed_and_recommendations_are_not() {
    let packages = [
        deb(
            "a",
            "1",
            "Depends: b (>= 2), c:any; Pre-Depends: d; Recommends: e",
        ),
        deb("b", "2", "Depends: a"),
        deb("c", "1", ""),
        deb("d", "1", ""),
        deb("e", "1", ""),
    ];
    assert_eq!(closure(&packages, &["a"]), "a 1, b 2, c 1, d 1");
}

#[test]
fn the_first_alternative_that_can_be_is_taken() {
    let packages = [
        deb("a", "1", "Depends: x | y | z"),
        deb("b", "1", "Depends: x (>= 2) | y"),
        deb("c", "1", "Depends: z | y, b; Conflicts: z"),
        deb("x", "1", ""),
        deb("y", "1", ""),
        deb("z", "1", ""),
    ];
    assert_eq!(closure(&packages, &["a"]), "a 1, x 1");
    assert_eq!(closure(&packages, &["b"]), "b 1, y 1");
    assert_eq!(closure(&packages, &["c"]), "b 1, c 1, y 1");
}

#[test]
fn virtual_packages_are_provided() {
    let packages = [
        deb("a", "1", "Depends: awk"),
        deb("b", "1", "Depends: lib (>= 2)"),
        deb("c", "1", "Depends: real"),
        deb("gawk", "1", "Provides: awk; Priority: optional"),
        deb("mawk", "1", "Provides: awk; Priority: required"),
        deb("lib-old", "1", "Provides: lib (= 1)"),
        deb("lib-new", "1", "Provides: lib (= 2)"),
        deb("lib-vague", "1", "Provides: lib"),
        deb("other", "1", "Provides: real"),
        deb("real", "1", ""),
    ];
    assert_eq!(closure(&packages, &["a"]), "a 1, mawk 1");
    assert_eq!(closure(&packages, &["awk"]), "mawk 1");
    assert_eq!(closure(&packages, &["b"]), "b 1, lib-new 1");
    assert_eq!(closure(&packages, &["c"]), "c 1, real 1");
    // What is there already is not doubled.
    assert_eq!(closure(&packages, &["gawk", "a"]), "a 1, gawk 1");
}

#[test]
fn a_package_may_conflict_with_what_it_provides() {
    let packages = [
        deb("a", "1", "Depends: mta"),
        deb("exim", "1", "Provides: mta; Conflicts: mta"),
        deb("postfix", "1", "Provides: mta; Conflicts: mta"),
    ];
    assert_eq!(closure(&packages, &["a"]), "a 1, exim 1");
    let error = closure(&packages, &["exim", "postfix"]);
    let want = "image web: these packages cannot be together:\n  \
        image web wants postfix\n  image web wants exim\n  \
        exim 1 conflicts with mta, which postfix 1 provides\n";
    assert!(error.starts_with(want), "{error}");
}

#[test]
fn a_conflict_is_told_as_the_chain_that_causes_it() {
    let packages = [
        deb("web", "1", "Depends: libfoo (>= 2)"),
        deb("mail", "3", "Depends: spool"),
        deb("spool", "1.5", "Depends: base"),
        deb("base", "4", "Breaks: libfoo (<< 3)"),
        deb("libfoo", "2.1", ""),
    ];
    let error = closure(&packages, &["web", "mail"]);
    let want = "image web: these packages cannot be together:\n  \
        image web wants mail\n  \
        mail 3 depends on spool\n  \
        spool 1.5 depends on base\n  \
        base 4 breaks libfoo (<< 3)\n  \
        image web wants web\n  \
        web 1 depends on libfoo (>= 2)\n\
        leave out one of them, or name another package that does the same";
    assert_eq!(error, want);
}

#[test]
fn a_dependency_that_nobody_meets_says_what_there_is() {
    let packages = [deb("a", "1", "Depends: b (>= 2) | c"), deb("b", "1", "")];
    let error = closure(&packages, &["a"]);
    let want = "a 1 depends on b (>= 2) | c, and there is only b 1, and there is no c";
    assert!(error.contains(want), "{error}");
}

#[test]
fn an_unknown_package_is_answered_with_the_nearest_names() {
    let packages = [
        deb("nginx", "1", ""),
        deb("nginx-light", "1", "Provides: httpd"),
        deb("zsh", "1", ""),
    ];
    let error = closure(&packages, &["ngnix"]);
    assert_eq!(
        error,
        "image web: there is no package \"ngnix\" in trixie; did you mean \"nginx\"?"
    );
    assert!(closure(&packages, &["htpd"]).contains("\"httpd\""));
    assert!(closure(&packages, &["postgresql"]).ends_with("check the name"));
}

#[test]
fn the_highest_version_of_all_suites_wins() {
    let archive = Archive::new(&[deb("a", "1.0-1", "Depends: b"), deb("b", "1:1", "")]);
    archive.publish(&Publication::new(
        "trixie-security",
        &[deb("a", "1.0-1+deb13u1", "Depends: b")],
    ));
    archive.publish(&Publication::new(
        "trixie-updates",
        &[deb("b", "9", ""), deb("a", "1.0-1~", "")],
    ));
    let lock = resolve(&archive, &[("image web", &["a"])]).unwrap();
    assert_eq!(versions(&lock), "a 1.0-1+deb13u1, b 1:1");
    assert_eq!(lock.packages["a"].suite, "trixie-security");
}

#[test]
fn an_older_version_is_taken_where_the_newest_cannot_be() {
    let archive = Archive::new(&[deb("a", "1", ""), deb("b", "1", "")]);
    archive.publish(&Publication::new(
        "trixie-updates",
        &[deb("a", "2", "Breaks: b (<= 1)")],
    ));
    let lock = resolve(&archive, &[("image web", &["a", "b"])]).unwrap();
    assert_eq!(versions(&lock), "a 1, b 1");
}

#[test]
fn groups_are_resolved_apart_and_share_versions() {
    let archive = Archive::new(&[
        deb("exim", "1", "Conflicts: postfix; Depends: lib"),
        deb("postfix", "1", "Depends: lib"),
        deb("lib", "1", ""),
    ]);
    archive.publish(&Publication::new(
        "trixie-updates",
        &[deb("lib", "2", "Breaks: exim")],
    ));
    let groups: [(&str, &[&str]); 2] = [("image a", &["exim"]), ("image b", &["postfix"])];
    let lock = resolve(&archive, &groups).unwrap();
    assert_eq!(versions(&lock), "exim 1, lib 1, postfix 1");
    assert_eq!(lock.groups["image a"].packages, ["exim", "lib"]);
    assert_eq!(lock.groups["image b"].packages, ["lib", "postfix"]);
}

/// An archive that had version 1 of everything and now also has version 2.
fn moved_on() -> (World, Archive, Lock) {
    let archive = Archive::new(&[
        deb("a", "1", "Depends: c"),
        deb("b", "1", ""),
        deb("c", "1", ""),
    ]);
    let (world, mirror) = (World::new(), archive.mirror());
    let groups = request(&[("image a", &["a"]), ("image b", &["b"])]);
    let (old, changes) = lock(&world.env(&mirror), &groups, None, &Mode::Keep).unwrap();
    assert_eq!(changes.added.len(), 3);
    let newer = [
        deb("a", "2", "Depends: c"),
        deb("b", "2", "Depends: c"),
        deb("c", "2", ""),
    ];
    archive.publish(&Publication::new("trixie-updates", &newer));
    (world, archive, old)
}

fn relock(
    (world, archive, old): &(World, Archive, Lock),
    groups: &[(&str, &[&str])],
    mode: &Mode,
) -> (String, Changes) {
    let mirror = archive.mirror();
    let (new, changes) = lock(&world.env(&mirror), &request(groups), Some(old), mode).unwrap();
    (versions(&new), changes)
}

const BOTH: [(&str, &[&str]); 2] = [("image a", &["a"]), ("image b", &["b"])];

#[test]
fn locking_again_keeps_what_still_satisfies() {
    let moved = moved_on();
    let (kept, changes) = relock(&moved, &BOTH, &Mode::Keep);
    assert_eq!(kept, "a 1, b 1, c 1");
    assert!(changes.is_empty());
    let more: [(&str, &[&str]); 2] = [("image a", &["a"]), ("image b", &["b", "c"])];
    assert_eq!(relock(&moved, &more, &Mode::Keep).0, "a 1, b 1, c 1");
    let (fewer, changes) = relock(&moved, &BOTH[1..], &Mode::Keep);
    assert_eq!(fewer, "b 1");
    assert_eq!(changes.removed.len(), 2);
}

#[test]
fn updating_moves_all_or_the_named() {
    let moved = moved_on();
    let (all, changes) = relock(&moved, &BOTH, &Mode::UpdateAll);
    assert_eq!(all, "a 2, b 2, c 2");
    assert_eq!(changes.moved["a"], ("1".to_owned(), "2".to_owned()));
    let named = Mode::Update(["a".to_owned()].into());
    assert_eq!(relock(&moved, &BOTH, &named).0, "a 2, b 1, c 1");
    let (world, archive, old) = &moved;
    let mirror = archive.mirror();
    let missing = Mode::Update(["aa".to_owned()].into());
    let error = lock(&world.env(&mirror), &request(&BOTH), Some(old), &missing).unwrap_err();
    assert!(
        error.to_string().contains("no package \"aa\" to update"),
        "{error}"
    );
}

#[test]
fn pins_that_the_archive_dropped_move_in_every_group_that_has_them() {
    let (world, archive, old) = moved_on();
    archive.publish(&Publication::new("trixie", &[deb("b", "1", "")]));
    let moved = (world, archive, old);
    // A group that did not change keeps a pin that is gone…
    assert_eq!(relock(&moved, &BOTH, &Mode::Keep).0, "a 1, b 1, c 1");
    // …until another group needs the same package.
    let more: [(&str, &[&str]); 2] = [("image a", &["a"]), ("image b", &["b", "c"])];
    let (versions, changes) = relock(&moved, &more, &Mode::Keep);
    assert_eq!(versions, "a 2, b 1, c 2");
    assert_eq!(changes.moved.len(), 2);
}

#[test]
fn nothing_to_do_needs_no_mirror() {
    let (world, archive, old) = moved_on();
    let mirror = archive.mirror();
    let mut env = world.env(&mirror);
    env.mirror = Err(MirrorError::None);
    let (kept, changes) = lock(&env, &request(&BOTH), Some(&old), &Mode::Keep).unwrap();
    assert_eq!(kept, old);
    assert!(changes.is_empty());
    let error = lock(&env, &request(&BOTH), Some(&old), &Mode::UpdateAll).unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with(
            "today's package index of trixie is not in the store, and no Debian mirror is known; name one"
        ),
        "{message}"
    );
}

#[test]
fn nobody_answering_says_what_was_needed() {
    let world = World::new();
    // Nobody listens there, and nobody can begin to without being root.
    let mirror = Mirror::find(Some("http://127.0.0.1:1/debian"), None, &[]).unwrap();
    let error = lock(&world.env(&mirror), &request(&BOTH), None, &Mode::Keep).unwrap_err();
    assert!(matches!(&error, DebianError::NoNetwork { .. }), "{error}");
    assert!(error.to_string().contains("InRelease of trixie"), "{error}");
}

#[test]
fn a_newer_lock_is_refused() {
    let (world, archive, old) = moved_on();
    let mirror = archive.mirror();
    let newer = Lock {
        version: old.version + 1,
        ..old
    };
    let error = lock(
        &world.env(&mirror),
        &request(&BOTH),
        Some(&newer),
        &Mode::Keep,
    )
    .unwrap_err();
    assert!(matches!(error, DebianError::BadLock { .. }), "{error}");
}

#[test]
fn many_choices_give_the_same_lock_each_time() {
    let mut packages = Vec::new();
    for number in 0..100 {
        let (next, other) = (number * 7 % 100, number * 11 % 100);
        let fields = format!(
            "Depends: p{next} | p{other}, v{}; Provides: v{}; Breaks: p{} (<< 1)",
            other % 50,
            number % 50,
            (number + 1) % 100,
        );
        packages.push(deb(&format!("p{number}"), "1", &fields));
    }
    let archive = Archive::new(&packages);
    let groups: [(&str, &[&str]); 2] = [("image a", &["p1", "p2"]), ("image b", &["p75"])];
    let locks: BTreeMap<String, ()> = (0..4)
        .map(|_| (versions(&resolve(&archive, &groups).unwrap()), ()))
        .collect();
    assert_eq!(locks.len(), 1);
}

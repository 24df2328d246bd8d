//! The nearest names to one that does not exist.

use nos_specs::suggest::distance;

/// Names at most this many edits away are worth showing.
const MAX_EDITS: usize = 3;

/// Number of names shown.
const MAX_SHOWN: usize = 4;

/// The names nearest to `wanted`, nearest first: by edits, then those that begin with it, then in
/// alphabetical order. At most four, and none that is more than a third of the name away.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let limit = MAX_EDITS.min(1 + wanted.len() / 3);
    let mut found: Vec<(usize, &str)> = Vec::new();
    for name in names {
        if let Some(edits) = edits(wanted, name, limit) {
            found.push((edits, name));
        } else if wanted.len() >= 3 && extends(name, wanted) {
            found.push((limit + 1, name));
        }
    }
    found.sort_unstable_by(|a, b| (a.0, a.1.len(), a.1).cmp(&(b.0, b.1.len(), b.1)));
    found.dedup();
    let names = found.into_iter().take(MAX_SHOWN);
    names.map(|(_, name)| name.to_owned()).collect()
}

/// Whether `name` is `wanted` with a further word (`redis` → `redis-server`).
fn extends(name: &str, wanted: &str) -> bool {
    let rest = name.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.starts_with(['-', '.', '+']))
}

/// Edits between two names; `None` beyond `limit`. Most names of an archive differ in length by
/// more than that.
fn edits(a: &str, b: &str, limit: usize) -> Option<usize> {
    let near = a.len().abs_diff(b.len()) <= limit;
    near.then(|| distance(a, b)).filter(|&edits| edits <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 8] = [
        "nginx",
        "nginx-light",
        "nginx-full",
        "redis-server",
        "redis-tools",
        "redict",
        "busybox-static",
        "zsh",
    ];

    fn near(wanted: &str) -> Vec<String> {
        nearest(wanted, NAMES.into_iter())
    }

    #[test]
    fn typing_mistakes_find_their_name() {
        assert_eq!(near("ngnix")[0], "nginx");
        assert_eq!(near("nginx-lihgt")[0], "nginx-light");
        assert_eq!(near("busybox-statik"), ["busybox-static"]);
    }

    #[test]
    fn a_first_word_finds_what_it_begins() {
        assert_eq!(near("redis"), ["redict", "redis-tools", "redis-server"]);
    }

    #[test]
    fn strangers_find_nothing() {
        assert_eq!(near("postgresql"), Vec::<String>::new());
        assert_eq!(near(""), Vec::<String>::new());
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, want) in [
            ("", "", Some(0)),
            ("ab", "ba", Some(1)),
            ("abc", "axc", Some(1)),
            ("abc", "", Some(3)),
            ("abcd", "", None),
            ("kitten", "sitting", Some(3)),
        ] {
            assert_eq!(edits(a, b, 3), want, "{a} {b}");
        }
    }
}

//! Changes between systems, for people: one line each.

use crate::units::{human_size, printable};
use nos_builder::changes::{Change, Fact, Subject};

/// One line for each change: `+` is new, `-` is gone, `~` is another.
pub(crate) fn lines(changes: &[Change]) -> String {
    changes.iter().map(|change| line(change) + "\n").collect()
}

fn line(change: &Change) -> String {
    let sign = match (&change.before, &change.after) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '~',
    };
    let subject = match change.subject {
        Subject::Kernel => "kernel",
        Subject::Option => "kernel option",
        Subject::Word => "command line",
        Subject::Host => "host",
        Subject::Service => "service",
        Subject::Image => "image",
        Subject::Package => "package",
        Subject::File => "file",
    };
    let place = change.place.as_deref();
    let parts = [Some(subject), place, Some(change.name.as_str())];
    let mut words: Vec<String> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .map(printable)
        .collect();
    let texts = match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            let (before, after) = match change.subject {
                Subject::File => differing(&before.text, &after.text),
                _ if before.text == after.text => Default::default(),
                _ => (before.text.clone(), after.text.clone()),
            };
            match (before.as_str(), after.as_str()) {
                ("", "") => String::new(),
                ("", after) => format!("-> {after}"),
                (before, "") => format!("{before} ->"),
                (before, after) => format!("{before} -> {after}"),
            }
        }
        (before, after) => {
            let fact = after.as_ref().or(before.as_ref());
            fact.map_or_else(String::new, |fact| fact.text.clone())
        }
    };
    words.push(printable(&texts));
    words.extend(size(change.before.as_ref(), change.after.as_ref()));
    words.retain(|word| !word.is_empty());
    format!("{sign} {}", words.join(" "))
}

/// What two descriptions of files do not share, so that the difference is seen.
fn differing(before: &str, after: &str) -> (String, String) {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.split(' ').collect(), after.split(' ').collect());
    let same_kind = |a: &[&str], b: &[&str]| a.len() > 1 && a.len() == b.len() && a[0] == b[0];
    if !same_kind(&a, &b) {
        return (before.to_string(), after.to_string());
    }
    // A name and its value stay together: `mode 644`, `sha256 0f…`.
    let pairs = a[1..].chunks(2).zip(b[1..].chunks(2));
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (x, y) in pairs.filter(|(x, y)| x != y) {
        left.extend_from_slice(x);
        right.extend_from_slice(y);
    }
    (left.join(" "), right.join(" "))
}

/// The size after the change, and by how much it grew or shrank.
fn size(before: Option<&Fact>, after: Option<&Fact>) -> Option<String> {
    match (before.and_then(|f| f.bytes), after.and_then(|f| f.bytes)) {
        (Some(before), Some(after)) if before == after => None,
        (Some(before), Some(after)) => {
            let delta = growth(before, after);
            Some(format!("({}, {delta})", human_size(after)))
        }
        (Some(bytes), None) | (None, Some(bytes)) => Some(format!("({})", human_size(bytes))),
        (None, None) => None,
    }
}

/// By how much something grew: `+12.0 KiB`, `-3 B`, `±0`.
pub(crate) fn growth(before: u64, after: u64) -> String {
    match before.cmp(&after) {
        std::cmp::Ordering::Equal => "±0".to_string(),
        std::cmp::Ordering::Less => format!("+{}", human_size(after - before)),
        std::cmp::Ordering::Greater => format!("-{}", human_size(before - after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(text: &str, bytes: Option<u64>) -> Option<Fact> {
        let text = text.to_string();
        Some(Fact { text, bytes })
    }

    #[test]
    fn a_line_says_what_is_other_and_no_more() {
        let line = |subject, place: &str, name: &str, before, after| {
            super::line(&Change {
                subject,
                place: (!place.is_empty()).then(|| place.to_string()),
                name: name.to_string(),
                before,
                after,
            })
        };
        let file = |mode: &str, digest: &str| format!("file mode {mode} sha256 {digest}");
        let all = [
            line(
                Subject::Kernel,
                "",
                "",
                fact("6.1", Some(9)),
                fact("6.2", Some(9)),
            ),
            line(
                Subject::Package,
                "web",
                "nginx",
                None,
                fact("1.26", Some(2048)),
            ),
            line(
                Subject::Package,
                "web",
                "nginx",
                fact("1.26", Some(2048)),
                None,
            ),
            line(Subject::Word, "", "quiet", fact("", None), None),
            line(
                Subject::File,
                "web",
                "/a\x1b",
                fact(&file("644", "0a"), Some(10)),
                fact(&file("644", "0b"), Some(7)),
            ),
            line(
                Subject::File,
                "web",
                "/b",
                fact(&file("644", "0a"), Some(10)),
                fact(&file("755", "0a"), Some(10)),
            ),
            line(
                Subject::File,
                "web",
                "/c",
                fact("folder mode 755", None),
                fact("link to x", None),
            ),
            line(
                Subject::Image,
                "",
                "web",
                fact("", Some(4096)),
                fact("to be built", None),
            ),
        ];
        assert_eq!(
            all,
            [
                "~ kernel 6.1 -> 6.2",
                "+ package web nginx 1.26 (2.00 KiB)",
                "- package web nginx 1.26 (2.00 KiB)",
                "- command line quiet",
                "~ file web /a? sha256 0a -> sha256 0b (7 B, -3 B)",
                "~ file web /b mode 644 -> mode 755",
                "~ file web /c folder mode 755 -> link to x",
                "~ image web -> to be built (4.00 KiB)",
            ]
        );
    }
}

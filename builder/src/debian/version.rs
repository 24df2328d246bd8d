//! Debian package versions and their order.
//!
//! Follows deb-version(7): `[epoch:]upstream[-revision]`, compared part by part with dpkg's rule,
//! in which `~` sorts before everything, even the end of the string, and letters sort before
//! other characters.

use std::cmp::Ordering;
use std::fmt;

/// A version that was checked to be one, borrowed from the text it was read from.
///
/// Equality is dpkg's, not that of the text: `1.0` equals `0:1.0-0`.
#[derive(Clone, Copy)]
pub struct Version<'a> {
    text: &'a str,
    epoch: u32,
    upstream: &'a str,
    revision: &'a str,
}

/// Why a text is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Nothing at all, or nothing after the epoch or before the revision.
    #[error("it is empty where deb-version(7) wants a number")]
    Empty,
    /// The part before the first colon is not a number below 2³¹.
    #[error("its epoch is not a number below 2147483648")]
    BadEpoch,
    /// The upstream part begins with something else than a digit.
    #[error("it does not start with a digit")]
    NoDigit,
    /// A character that deb-version(7) does not allow there.
    #[error("it has a character other than letters, digits and '.+-~:'")]
    BadCharacter,
}

impl<'a> Version<'a> {
    /// Reads a version.
    ///
    /// # Errors
    /// [`VersionError`] where dpkg would refuse or warn.
    pub fn parse(text: &'a str) -> Result<Self, VersionError> {
        let (epoch, rest) = match text.split_once(':') {
            None => (0, text),
            Some((epoch, rest)) => {
                let digits = !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit());
                let number = epoch.parse::<u32>().ok().filter(|&e| e <= i32::MAX as u32);
                match number {
                    Some(number) if digits => (number, rest),
                    _ => return Err(VersionError::BadEpoch),
                }
            }
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            None => (rest, ""),
            Some((_, "")) => return Err(VersionError::Empty),
            Some(parts) => parts,
        };
        match upstream.bytes().next() {
            None => return Err(VersionError::Empty),
            Some(first) if !first.is_ascii_digit() => return Err(VersionError::NoDigit),
            Some(_) => {}
        }
        let upstream_ok = |b: u8| b.is_ascii_alphanumeric() || b".+-~:".contains(&b);
        let revision_ok = |b: u8| b.is_ascii_alphanumeric() || b".+~".contains(&b);
        if !upstream.bytes().all(upstream_ok) || !revision.bytes().all(revision_ok) {
            return Err(VersionError::BadCharacter);
        }
        Ok(Self {
            text,
            epoch,
            upstream,
            revision,
        })
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &'a str {
        self.text
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.upstream.as_bytes(), other.upstream.as_bytes()))
            .then_with(|| compare_part(self.revision.as_bytes(), other.revision.as_bytes()))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version<'_> {}

impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl fmt::Debug for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Compares one part: runs of non-digits by [`weight`], runs of digits as numbers, in turn.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (x, y) = (a.first().copied(), b.first().copied());
            let in_text = |c: Option<u8>| c.is_some_and(|c| !c.is_ascii_digit());
            if !in_text(x) && !in_text(y) {
                break;
            }
            match weight(x).cmp(&weight(y)) {
                Ordering::Equal => {}
                different => return different,
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let (x, y) = (take_number(&mut a), take_number(&mut b));
        match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
            Ordering::Equal => {}
            different => return different,
        }
    }
    Ordering::Equal
}

/// Where a character sorts among non-digits: `~`, then the end or a digit, then letters, then the
/// rest.
fn weight(c: Option<u8>) -> i32 {
    match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_digit() => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(c),
        Some(c) => i32::from(c) + 256,
    }
}

/// Takes the digits at the start, without leading zeros: so numbers of any length compare by
/// length and then by text.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    let zeros = number.iter().take_while(|&&b| b == b'0').count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cmp(a: &str, b: &str) -> Ordering {
        Version::parse(a).unwrap().cmp(&Version::parse(b).unwrap())
    }

    #[test]
    fn orders_as_the_manual_page_says() {
        let ascending = [
            "1~~", "1~~a", "1~", "1", "1-0.1", "1-1", "1-1+b1", "1-1.1", "1a", "1+", "1.0", "1.0a",
            "1.0+dfsg", "1.0.1", "1.2", "1.10", "2", "10", "1:0.1", "2:0",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(cmp(a, b), i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[test]
    fn equal_versions_may_have_different_texts() {
        for (a, b) in [
            ("1.0", "1.0-0"),
            ("0:1", "1"),
            ("1.01", "1.1"),
            ("1.", "1.0"),
        ] {
            assert_eq!(cmp(a, b), Ordering::Equal, "{a} against {b}");
        }
    }

    #[test]
    fn numbers_of_any_length_compare() {
        let long = "9".repeat(5000);
        assert_eq!(cmp(&format!("1{long}"), &long), Ordering::Greater);
        assert_eq!(cmp(&format!("0{long}"), &long), Ordering::Equal);
    }

    #[test]
    fn what_is_not_a_version_is_refused() {
        use VersionError::*;
        let cases = [
            ("", Empty),
            ("1:", Empty),
            ("1-", Empty),
            ("-1", Empty),
            (":1", BadEpoch),
            ("a:1", BadEpoch),
            ("+1:1", BadEpoch),
            ("2147483648:1", BadEpoch),
            ("v1", NoDigit),
            ("1 2", BadCharacter),
            ("1:1-1:2", BadCharacter),
            ("1é", BadCharacter),
        ];
        for (text, want) in cases {
            assert_eq!(Version::parse(text).unwrap_err(), want, "{text:?}");
        }
        assert!(Version::parse("2147483647:1-2-3").is_ok());
    }

    fn version() -> impl Strategy<Value = String> {
        "([0-2]:)?[0-9][0-9a-zA-Z.+~-]{0,6}(-[0-9a-z.+~]{1,4})?"
            .prop_filter("a version", |text| Version::parse(text).is_ok())
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in version(), b in version(), c in version()) {
            prop_assert_eq!(cmp(&a, &b), cmp(&b, &a).reverse());
            if cmp(&a, &b).is_le() && cmp(&b, &c).is_le() {
                prop_assert!(cmp(&a, &c).is_le());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            let _ = Version::parse(&text);
        }
    }

    /// dpkg itself as the judge, where it is installed.
    #[test]
    fn agrees_with_dpkg() {
        use proptest::strategy::ValueTree;
        use std::process::Command;
        if Command::new("dpkg").arg("--version").output().is_err() {
            eprintln!("skipped: no dpkg on this machine to compare with");
            return;
        }
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for checked in 0..300 {
            let a = version().new_tree(&mut runner).unwrap().current();
            // Half of the pairs differ in one place only: near misses find more.
            let b = if checked % 2 == 0 {
                version().new_tree(&mut runner).unwrap().current()
            } else {
                let at = checked % (a.len() + 1);
                format!(
                    "{}{}{}",
                    &a[..at],
                    ["~", "0", "a", "."][checked % 4],
                    &a[at..]
                )
            };
            let (Ok(va), Ok(vb)) = (Version::parse(&a), Version::parse(&b)) else {
                continue;
            };
            let dpkg = |op: &str| {
                let status = Command::new("dpkg")
                    .args(["--compare-versions", &a, op, &b])
                    .status()
                    .unwrap();
                status.success()
            };
            let want = if dpkg("eq") {
                Ordering::Equal
            } else if dpkg("lt") {
                Ordering::Less
            } else {
                Ordering::Greater
            };
            assert_eq!(va.cmp(&vb), want, "{a} against {b}");
        }
    }
}

//! Relationship fields: `Depends`, `Provides`, `Conflicts` and their kin.
//!
//! Follows Debian Policy 7.1 and deb-control(5). Everything borrows from the field's text.

use super::version::{Version, VersionError};
use std::fmt;

/// How a version must relate to the one named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `<<`: strictly earlier.
    Earlier,
    /// `<=`: earlier or equal.
    AtMost,
    /// `=`: exactly.
    Exactly,
    /// `>=`: later or equal.
    AtLeast,
    /// `>>`: strictly later.
    Later,
}

impl Operator {
    fn as_str(self) -> &'static str {
        match self {
            Operator::Earlier => "<<",
            Operator::AtMost => "<=",
            Operator::Exactly => "=",
            Operator::AtLeast => ">=",
            Operator::Later => ">>",
        }
    }
}

/// One name in a relationship field, with what is said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relation<'a> {
    /// Package name, real or virtual.
    pub(crate) name: &'a str,
    /// Architecture qualifier (`any`, `native`, an architecture) without its colon.
    pub(crate) qualifier: Option<&'a str>,
    /// Version restriction.
    pub(crate) version: Option<(Operator, Version<'a>)>,
}

impl Relation<'_> {
    /// Whether a package of this version satisfies the restriction (the name is not looked at).
    pub(crate) fn accepts(&self, version: &Version<'_>) -> bool {
        let Some((operator, wanted)) = &self.version else {
            return true;
        };
        let order = version.cmp(wanted);
        match operator {
            Operator::Earlier => order.is_lt(),
            Operator::AtMost => order.is_le(),
            Operator::Exactly => order.is_eq(),
            Operator::AtLeast => order.is_ge(),
            Operator::Later => order.is_gt(),
        }
    }

    /// Whether the qualifier allows a package of the one architecture that is resolved.
    pub(crate) fn fits_architecture(&self, architecture: &str) -> bool {
        match self.qualifier {
            None | Some("any" | "native" | "all") => true,
            Some(other) => other == architecture,
        }
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some((operator, version)) = &self.version {
            write!(f, " ({} {version})", operator.as_str())?;
        }
        Ok(())
    }
}

/// Why a relationship field could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelationError {
    /// A name with a character that Policy 5.6.7 does not allow.
    #[error("{0:?} is not a package name")]
    BadName(String),
    /// Something other than an operator and a version between parentheses.
    #[error("{0:?} is not a version restriction")]
    BadRestriction(String),
    /// A version that is none.
    #[error("the version {0:?} cannot be used: {1}")]
    BadVersion(String, VersionError),
}

/// Reads a field: groups separated by commas, all of which must hold; in each, alternatives
/// separated by `|`, any of which will do.
///
/// # Errors
/// [`RelationError`] naming the first part that could not be read.
pub(crate) fn parse<'a>(field: &'a str) -> Result<Vec<Vec<Relation<'a>>>, RelationError> {
    let mut groups = Vec::new();
    for group in field.split(',') {
        // A trailing comma is allowed and says nothing.
        if group.trim().is_empty() {
            continue;
        }
        let alternatives = group.split('|').map(parse_one);
        groups.push(alternatives.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(groups)
}

/// [`parse`] for fields without alternatives (`Conflicts`, `Breaks`, `Provides`, `Replaces`).
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_flat<'a>(field: &'a str) -> Result<Vec<Relation<'a>>, RelationError> {
    let parts = field.split(',').filter(|part| !part.trim().is_empty());
    parts.map(parse_one).collect()
}

fn parse_one<'a>(text: &'a str) -> Result<Relation<'a>, RelationError> {
    let text = text.trim();
    let end = text
        .find(|c: char| c.is_ascii_whitespace() || "([<".contains(c))
        .unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    let (name, qualifier) = match head.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (head, None),
    };
    if !is_name(name) || qualifier.is_some_and(str::is_empty) {
        return Err(RelationError::BadName(head.to_owned()));
    }
    let rest = rest.trim_start();
    let version = match rest.strip_prefix('(') {
        // Architecture lists and build profiles exist in source packages only; what follows the
        // name of a binary relation without a parenthesis has nothing to say here.
        None => None,
        Some(inner) => {
            let bad = || RelationError::BadRestriction(rest.to_owned());
            let (inner, _) = inner.split_once(')').ok_or_else(bad)?;
            Some(parse_restriction(inner.trim()).ok_or_else(bad)??)
        }
    };
    Ok(Relation {
        name,
        qualifier,
        version,
    })
}

fn parse_restriction(text: &str) -> Option<Result<(Operator, Version<'_>), RelationError>> {
    let operators = [
        ("<<", Operator::Earlier),
        ("<=", Operator::AtMost),
        (">>", Operator::Later),
        (">=", Operator::AtLeast),
        ("=", Operator::Exactly),
        // Ancient forms that dpkg still reads, with the meaning it gives them.
        ("<", Operator::AtMost),
        (">", Operator::AtLeast),
    ];
    let (operator, rest) = operators
        .iter()
        .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))?;
    let version = rest.trim();
    Some(match Version::parse(version) {
        Ok(version) => Ok((operator, version)),
        Err(error) => Err(RelationError::BadVersion(version.to_owned(), error)),
    })
}

/// Whether a text is a package name (Policy 5.6.7, and upper case as dpkg allows).
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(field: &str) -> String {
        let groups = parse(field).unwrap();
        let groups = groups.iter().map(|group| {
            let names: Vec<_> = group.iter().map(ToString::to_string).collect();
            names.join(" or ")
        });
        groups.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn fields_are_read() {
        let cases = [
            ("", ""),
            ("a", "a"),
            ("a, b", "a; b"),
            ("a | b,c", "a or b; c"),
            ("a(>=1)", "a (>= 1)"),
            ("libc6 (>= 2.38) , perl:any,", "libc6 (>= 2.38); perl:any"),
            ("a (<< 1:2~) | b (= 3-1)", "a (<< 1:2~) or b (= 3-1)"),
            ("a (< 1), b (> 1)", "a (<= 1); b (>= 1)"),
            ("a [amd64] <!nocheck>", "a"),
            ("\n a,\n b", "a; b"),
        ];
        for (field, want) in cases {
            assert_eq!(shown(field), want, "{field:?}");
        }
    }

    #[test]
    fn what_is_not_a_relation_is_refused() {
        for field in [
            "a || b", "(>= 1)", "a (1)", "a (>= )", "a (>= 1", "a: ", "é", "a (>= v)",
        ] {
            assert!(parse(field).is_err(), "{field:?}");
        }
    }

    #[test]
    fn operators_mean_what_policy_says() {
        let accepts = |relation: &str, version: &str| {
            let relations = parse_flat(relation).unwrap();
            relations[0].accepts(&Version::parse(version).unwrap())
        };
        for (operator, want) in [
            ("<<", [true, false, false]),
            ("<=", [true, true, false]),
            ("=", [false, true, false]),
            (">=", [false, true, true]),
            (">>", [false, false, true]),
        ] {
            let relation = format!("a ({operator} 2)");
            let got = ["1", "2", "3"].map(|version| accepts(&relation, version));
            assert_eq!(got, want, "{operator}");
        }
        assert!(accepts("a", "1"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9|,:()<>= \\n.é-]{0,40}") {
            let _ = parse(&text);
            let _ = parse_flat(&text);
        }
    }
}

//! Action keys and action results (FORMAT.md, "Action key" and "Action result").

use crate::digest::Hasher;
use crate::error::{Result, StoreError};
use crate::{Blob, Digest};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// First bytes hashed into every key; the last is the format's version.
const KEY_MAGIC: [u8; 8] = *b"nosAKey\x01";

/// First bytes of a result; the last is the format's version.
const RESULT_MAGIC: [u8; 8] = *b"nosRslt\x01";

/// Largest result, in bytes.
pub(crate) const MAX_RESULT_BYTES: u64 = 16 << 20;

const OBJECT: u8 = 1;
const TREE: u8 = 2;

/// The name of an action: the SHA-256 of everything that it reads.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct ActionKey(pub Digest);

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ActionKey {
    type Err = crate::DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Collects what an action reads and hashes it to an [`ActionKey`].
///
/// Every field is written as its type, its name and its value, each with its length, so no two
/// different sequences of fields give the same bytes. The order of fields matters.
#[derive(Clone)]
pub struct KeyBuilder {
    hasher: Hasher,
}

impl KeyBuilder {
    /// Starts a key in a domain: the kind of action and the version of its meaning
    /// (`"debian-unpack/1"`). Keys of different domains never meet.
    pub fn new(domain: &str) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(&KEY_MAGIC);
        let mut builder = Self { hasher };
        builder.sized(domain.as_bytes());
        builder
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        self.field(1, name);
        self.sized(value);
        self
    }

    /// Adds text. Text and equal bytes give different keys.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.field(2, name);
        self.sized(value.as_bytes());
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, name: &str, value: u64) -> Self {
        self.field(3, name);
        self.hasher.update(&value.to_le_bytes());
        self
    }

    /// Adds the content that a digest names.
    #[must_use]
    pub fn digest(mut self, name: &str, value: &Digest) -> Self {
        self.field(4, name);
        self.hasher.update(&value.0);
        self
    }

    /// Adds a list of byte strings; its order matters.
    #[must_use]
    pub fn list<T: AsRef<[u8]>>(mut self, name: &str, values: &[T]) -> Self {
        self.field(5, name);
        self.hasher.update(&(values.len() as u64).to_le_bytes());
        for value in values {
            self.sized(value.as_ref());
        }
        self
    }

    /// The key.
    pub fn finish(self) -> ActionKey {
        ActionKey(self.hasher.finish().digest)
    }

    fn field(&mut self, kind: u8, name: &str) {
        self.hasher.update(&[kind]);
        self.sized(name.as_bytes());
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }
}

/// One thing that an action made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// A file.
    Object(Blob),
    /// A tree, by the digest of its listing.
    Tree(Digest),
}

impl Output {
    /// The object that must exist for the output to exist: the file, or the tree's listing.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Object(blob) => blob.digest,
            Self::Tree(digest) => *digest,
        }
    }
}

/// What an action made and learned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActionResult {
    /// Outputs by name.
    pub outputs: BTreeMap<String, Output>,
    /// Small facts learned on the way (a version, a root hash), by name.
    pub facts: BTreeMap<String, String>,
}

impl ActionResult {
    /// A result with one output.
    pub fn with_output(name: &str, output: Output) -> Self {
        Self {
            outputs: BTreeMap::from([(name.to_owned(), output)]),
            facts: BTreeMap::new(),
        }
    }

    /// The file output of that name, where there is one.
    pub fn object(&self, name: &str) -> Option<Blob> {
        match self.outputs.get(name) {
            Some(Output::Object(blob)) => Some(*blob),
            _ => None,
        }
    }

    /// The tree output of that name, where there is one.
    pub fn tree(&self, name: &str) -> Option<Digest> {
        match self.outputs.get(name) {
            Some(Output::Tree(digest)) => Some(*digest),
            _ => None,
        }
    }

    /// The result's one byte form, bound to its key and closed by a checksum.
    pub(crate) fn encode(&self, key: &ActionKey) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        out.extend_from_slice(&RESULT_MAGIC);
        out.extend_from_slice(&key.0.0);
        push_u32(&mut out, self.outputs.len())?;
        for (name, output) in &self.outputs {
            push_sized(&mut out, name.as_bytes())?;
            match output {
                Output::Object(blob) => {
                    out.push(OBJECT);
                    out.extend_from_slice(&blob.size.to_le_bytes());
                    out.extend_from_slice(&blob.digest.0);
                }
                Output::Tree(digest) => {
                    out.push(TREE);
                    out.extend_from_slice(&digest.0);
                }
            }
        }
        push_u32(&mut out, self.facts.len())?;
        for (name, value) in &self.facts {
            push_sized(&mut out, name.as_bytes())?;
            push_sized(&mut out, value.as_bytes())?;
        }
        let checksum = Digest::of(&out);
        out.extend_from_slice(&checksum.0);
        if out.len() as u64 > MAX_RESULT_BYTES {
            return Err(too_long(&out));
        }
        Ok(out)
    }

    /// Reads a result back.
    ///
    /// # Errors
    /// [`StoreError::BadResult`] for anything but what [`ActionResult::encode`] writes for `key`.
    pub(crate) fn decode(bytes: &[u8], key: &ActionKey) -> Result<Self> {
        let fail = |offset, reason| Err(StoreError::BadResult { offset, reason });
        let Some((body, checksum)) = bytes.split_last_chunk::<32>() else {
            return fail(0, "it is too short");
        };
        if Digest::of(body).0 != *checksum {
            return fail(body.len(), "its checksum does not match");
        }
        let mut reader = Reader { bytes: body, at: 0 };
        if reader.array()? != RESULT_MAGIC {
            return fail(0, "it does not begin with the mark of an action result");
        }
        if reader.array()? != key.0.0 {
            return fail(8, "it belongs to another key");
        }
        let mut result = Self::default();
        for _ in 0..reader.u32()? {
            let name = reader.text()?;
            let [kind] = reader.array()?;
            let output = match kind {
                OBJECT => {
                    let size = u64::from_le_bytes(reader.array()?);
                    let digest = Digest(reader.array()?);
                    Output::Object(Blob { digest, size })
                }
                TREE => Output::Tree(Digest(reader.array()?)),
                _ => return fail(reader.at, "an output is of an unknown kind"),
            };
            reader.insert(&mut result.outputs, name, output)?;
        }
        for _ in 0..reader.u32()? {
            let name = reader.text()?;
            let value = reader.text()?;
            reader.insert(&mut result.facts, name, value)?;
        }
        if reader.at != body.len() {
            return fail(reader.at, "there are bytes after its end");
        }
        Ok(result)
    }
}

fn too_long(out: &[u8]) -> StoreError {
    StoreError::BadResult {
        offset: out.len(),
        reason: "it is longer than 16 MiB",
    }
}

fn push_u32(out: &mut Vec<u8>, value: usize) -> Result<()> {
    let value = u32::try_from(value).map_err(|_| too_long(out))?;
    out.extend_from_slice(&value.to_le_bytes());
    Ok(())
}

fn push_sized(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    push_u32(out, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn fail<T>(&self, reason: &'static str) -> Result<T> {
        Err(StoreError::BadResult {
            offset: self.at,
            reason,
        })
    }

    fn take(&mut self, length: usize) -> Result<&[u8]> {
        match self.bytes[self.at..].split_at_checked(length) {
            Some((taken, _)) => {
                self.at += length;
                Ok(taken)
            }
            None => self.fail("it ends too early"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => self.fail("a text is not UTF-8"),
        }
    }

    /// Inserts, refusing what is not in strictly ascending order.
    fn insert<T>(&self, map: &mut BTreeMap<String, T>, name: String, value: T) -> Result<()> {
        if map.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return self.fail("its names are not in order");
        }
        map.insert(name, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> ActionResult {
        let digest = Digest([7; 32]);
        let mut result = ActionResult::with_output("tree", Output::Tree(digest));
        let blob = Blob { digest, size: 9 };
        result.outputs.insert("deb".into(), Output::Object(blob));
        result.facts.insert("version".into(), "1.2-3".into());
        result
    }

    fn key() -> ActionKey {
        KeyBuilder::new("test/1").finish()
    }

    #[test]
    fn keys_and_results_are_pinned() {
        // A change here means that nothing built before is found again.
        let key = KeyBuilder::new("test/1")
            .bytes("b", b"x")
            .text("t", "x")
            .number("n", 1)
            .digest("d", &Digest([1; 32]))
            .list("l", &["a", "bc"])
            .finish();
        assert_eq!(
            key.to_string(),
            "291ee1a21486f849ba276abd45192d075909134699549a93b53c9426324ee8c8"
        );
        let bytes = sample().encode(&key).unwrap();
        assert_eq!(
            Digest::of(&bytes).to_string(),
            "b051f2b189affd33fda4146114026c94069ede9eb14f5cbd5ce17ae7d54e06c5"
        );
    }

    #[test]
    fn different_fields_give_different_keys() {
        let new = || KeyBuilder::new("d");
        let keys = [
            KeyBuilder::new("").finish(),
            new().finish(),
            new().text("", "").finish(),
            new().bytes("", b"").finish(),
            new().text("a", "bc").finish(),
            new().text("ab", "c").finish(),
            new().text("a", "b").text("c", "d").finish(),
            new().text("c", "d").text("a", "b").finish(),
            new().list("a", &["b", "c"]).finish(),
            new().list("a", &["bc"]).finish(),
            new().list("a", &["bc", ""]).finish(),
            new().list::<&str>("a", &[]).finish(),
            new().number("a", 0).finish(),
            new().digest("a", &Digest([0; 32])).finish(),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn damaged_and_foreign_results_are_refused() {
        let bytes = sample().encode(&key()).unwrap();
        assert_eq!(ActionResult::decode(&bytes, &key()).unwrap(), sample());
        assert!(ActionResult::decode(&bytes, &KeyBuilder::new("x").finish()).is_err());
        for at in 0..bytes.len() {
            assert!(ActionResult::decode(&bytes[..at], &key()).is_err());
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(ActionResult::decode(&bad, &key()).is_err(), "byte {at}");
        }
    }

    proptest! {
        /// With a right checksum, so that the parser behind it is reached.
        #[test]
        fn any_body_is_refused_or_canonical(
            cut in 0usize..200, at in 0usize..200, with in any::<u8>()
        ) {
            let whole = sample().encode(&key()).unwrap();
            let mut bytes = whole[..whole.len() - 32].to_vec();
            let at = at % bytes.len();
            bytes[at] = with;
            bytes.truncate(bytes.len() - cut % 8);
            let checksum = Digest::of(&bytes);
            bytes.extend_from_slice(&checksum.0);
            if let Ok(result) = ActionResult::decode(&bytes, &key()) {
                prop_assert_eq!(result.encode(&key()).unwrap(), bytes);
            }
        }
    }
}

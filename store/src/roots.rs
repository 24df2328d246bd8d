//! Roots: what must stay when garbage is collected (FORMAT.md, "Root").

use crate::error::{Result, StoreError};
use crate::{ActionKey, Digest, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// First line of a root file.
const HEADER: &str = "nos-root 1";

/// Largest root file, in bytes.
const MAX_ROOT_BYTES: u64 = 16 << 20;

/// Longest file name of a root, in bytes.
const MAX_FILE_NAME: usize = 255;

/// Something that a root keeps, with everything it names.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum RootTarget {
    /// A file.
    Object(Digest),
    /// A tree: its listing and every file it names.
    Tree(Digest),
    /// An action's result and all its outputs.
    Result(ActionKey),
}

impl RootTarget {
    fn word(&self) -> &'static str {
        match self {
            Self::Object(_) => "object",
            Self::Tree(_) => "tree",
            Self::Result(_) => "result",
        }
    }

    /// The digest or key.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Object(digest) | Self::Tree(digest) => *digest,
            Self::Result(key) => key.0,
        }
    }

    /// Reads `WORD HEX`.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (word, hex) = line.split_once(' ')?;
        let digest = hex.parse().ok()?;
        match word {
            "object" => Some(Self::Object(digest)),
            "tree" => Some(Self::Tree(digest)),
            "result" => Some(Self::Result(ActionKey(digest))),
            _ => None,
        }
    }
}

impl std::fmt::Display for RootTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.word(), self.digest())
    }
}

impl Store {
    /// Makes a root, or changes what it keeps. Everything stored before the call outlasts a power
    /// cut when the call returns.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where a target does not exist, [`StoreError::BadRootName`] for an
    /// empty or over-long name.
    pub fn set_root(&self, name: &str, targets: &[RootTarget]) -> Result<()> {
        let rel = root_rel(name)?;
        let hold = self.hold()?;
        for target in targets {
            let exists = match target {
                RootTarget::Object(digest) | RootTarget::Tree(digest) => self.exists(digest)?,
                RootTarget::Result(key) => self.peek_result(key)?.is_some(),
            };
            if !exists {
                return Err(StoreError::Missing {
                    digest: target.digest(),
                });
            }
        }
        let mut temp = self.fs().temp("roots")?;
        let done = self
            .fs()
            .fill(&mut temp, render(targets).as_bytes())
            .and_then(|()| {
                if self.durable() {
                    self.fs().sync_all()
                } else {
                    Ok(())
                }
            })
            .and_then(|()| self.fs().replace(&temp, &rel));
        temp.discard(self.fs());
        drop(hold);
        done?;
        self.sync_roots()
    }

    /// Removes a root; `false` where there was none. What it kept stays until garbage is collected.
    ///
    /// # Errors
    /// [`StoreError::BadRootName`]; else where the file system fails.
    pub fn remove_root(&self, name: &str) -> Result<bool> {
        self.check_writable()?;
        let removed = self.fs().remove(&root_rel(name)?)?;
        self.sync_roots()?;
        Ok(removed)
    }

    /// What the root of this name keeps; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::BadRootName`]; [`StoreError::BadRoot`] where it cannot be read.
    pub fn root_targets(&self, name: &str) -> Result<Option<Vec<RootTarget>>> {
        self.read_root(name, &root_rel(name)?)
    }

    /// All roots by name, and what each keeps.
    ///
    /// # Errors
    /// [`StoreError::BadRoot`] for one that cannot be read.
    pub fn roots(&self) -> Result<BTreeMap<String, Vec<RootTarget>>> {
        self.read_roots()?
            .into_iter()
            .map(|(name, targets)| Ok((name, targets?)))
            .collect()
    }

    /// All roots, readable or not.
    pub(crate) fn read_roots(&self) -> Result<Vec<(String, Result<Vec<RootTarget>>)>> {
        let mut roots = Vec::new();
        for entry in self.fs().list("roots")? {
            let name = decode_name(&entry.name);
            // None where it was removed since the folder was listed.
            if let Some(targets) = self
                .read_root(&name, &format!("roots/{}", entry.name))
                .transpose()
            {
                roots.push((name, targets));
            }
        }
        Ok(roots)
    }

    fn read_root(&self, name: &str, rel: &str) -> Result<Option<Vec<RootTarget>>> {
        let bad = |reason: String| StoreError::BadRoot {
            name: name.to_owned(),
            reason,
        };
        let bytes = self.fs().read_bounded(rel, MAX_ROOT_BYTES);
        match bytes.map_err(|error| bad(error.to_string()))? {
            None => Ok(None),
            Some(bytes) => parse(&bytes).map(Some).map_err(bad),
        }
    }

    fn sync_roots(&self) -> Result<()> {
        if self.durable() {
            self.fs().sync_dir("roots")?;
        }
        Ok(())
    }
}

fn render(targets: &[RootTarget]) -> String {
    let mut text = format!("{HEADER}\n");
    for target in targets.iter().collect::<BTreeSet<_>>() {
        // Writing to a String does not fail.
        let _infallible = writeln!(text, "{target}");
    }
    text
}

fn parse(bytes: &[u8]) -> Result<Vec<RootTarget>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let body = text
        .strip_suffix('\n')
        .ok_or("its last line does not end")?;
    let mut lines = body.split('\n');
    if lines.next() != Some(HEADER) {
        return Err(format!("its first line is not {HEADER:?}"));
    }
    lines
        .enumerate()
        .map(|(i, line)| {
            RootTarget::parse(line).ok_or_else(|| format!("line {} names no target", i + 2))
        })
        .collect()
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_+=@:,".contains(&byte) || byte == b'.'
}

/// Path of a root's file: the name, with everything unusual as `%XX`.
fn root_rel(name: &str) -> Result<String> {
    let bad = |reason| {
        Err(StoreError::BadRootName {
            name: name.to_owned(),
            reason,
        })
    };
    let mut file = String::with_capacity(name.len());
    for (i, byte) in name.bytes().enumerate() {
        if plain(byte) && (i > 0 || byte != b'.') {
            file.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _infallible = write!(file, "%{byte:02X}");
        }
    }
    if file.is_empty() {
        return bad("it is empty");
    }
    if file.len() > MAX_FILE_NAME {
        return bad("it is too long");
    }
    Ok(format!("roots/{file}"))
}

/// The name of a root by its file; a file that we did not name is shown as it is.
fn decode_name(file: &str) -> String {
    let mut bytes = Vec::with_capacity(file.len());
    let mut rest = file.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_kinds_come_back() {
        for name in [
            "a",
            ".",
            "..",
            "host edge",
            "/home/ä/result",
            "50%",
            "%41",
            "%",
        ] {
            let rel = root_rel(name).unwrap();
            let file = rel.strip_prefix("roots/").unwrap();
            assert!(!file.contains('/') && !file.starts_with('.'), "{file}");
            assert_eq!(decode_name(file), name);
        }
        assert!(root_rel("").is_err());
        assert!(root_rel(&"x".repeat(256)).is_err());
        assert!(root_rel(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn root_files_are_read_strictly() {
        let target = RootTarget::Tree(Digest::of(b"x"));
        let text = render(&[target, target]);
        assert_eq!(parse(text.as_bytes()), Ok(vec![target]));
        for bad in [
            "",
            "nos-root 1",
            "nos-root 2\n",
            "nos-root 1\ntree x\n",
            "nos-root 1\n\n",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse(&text.as_bytes()[..text.len() - 9]).is_err());
    }
}

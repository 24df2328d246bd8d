//! The files of a commit: from git's folders to a tree of ours, looked at as `git fsck` looks.

use super::error::GitError;
use super::id::{ID_BYTES, Id, Kind as What};
use super::pack::{Limits, Object, Objects};
use nos_formats::tree::{Kind, Metadata, Node, Tree, TreePath};
use nos_store::{Blob, Store};
use std::cmp::Ordering;

/// Longest target of a symbolic link, in bytes.
const MAX_TARGET_BYTES: u64 = 4095;

/// Longest `.gitattributes` that is looked at, and longest stand-in of a large file, in bytes.
const MAX_ATTRIBUTES_BYTES: u64 = 1 << 20;
const MAX_POINTER_BYTES: u64 = 1024;

/// How the stand-in of a large file begins.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// What a commit holds.
#[derive(Debug)]
pub(super) struct Files {
    /// Files, folders and links; an empty folder for each submodule.
    pub(super) tree: Tree<Blob>,
    /// Where submodules belong, and their commits.
    pub(super) submodules: Vec<(TreePath, Id)>,
}

/// The files of `commit`.
///
/// # Errors
/// [`GitError::NotACommit`], [`GitError::Missing`], or [`GitError::Tree`] for a folder that git
/// would not have made.
pub(super) fn of_commit(
    store: &Store,
    objects: &Objects,
    commit: Id,
    limits: &Limits,
) -> Result<Files, GitError> {
    let mut files = Files {
        tree: Tree::new(),
        submodules: Vec::new(),
    };
    let mut open = vec![(TreePath::ROOT, root_of(objects, commit)?)];
    while let Some((folder, id)) = open.pop() {
        let Some(Object::Other(What::Tree, bytes)) = objects.get(&id) else {
            return Err(GitError::Missing {
                id,
                what: format!("the folder {folder}"),
            });
        };
        let wrong = |reason: String| GitError::Tree {
            path: folder.clone(),
            reason,
        };
        let mut before: Option<Entry<'_>> = None;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let entry =
                Entry::read(&mut rest).ok_or_else(|| wrong("an entry of it is none".into()))?;
            entry.check(before).map_err(wrong)?;
            let path = folder.join(entry.name)?;
            let (mode, kind) = match entry.mode {
                Mode::Folder => {
                    open.push((path.clone(), entry.id));
                    (0o755, Kind::Directory)
                }
                Mode::Submodule => {
                    files.submodules.push((path.clone(), entry.id));
                    (0o755, Kind::Directory)
                }
                Mode::Link => (
                    0o777,
                    Kind::Symlink(target(store, objects, &path, entry.id)?),
                ),
                Mode::File => (0o644, Kind::File(blob(objects, &path, entry.id)?)),
                Mode::Program => (0o755, Kind::File(blob(objects, &path, entry.id)?)),
            };
            if files.tree.len() >= limits.files {
                return Err(GitError::TooLarge {
                    what: "the number of its files",
                    limit: limits.files.to_string(),
                });
            }
            let metadata = Metadata::with_mode(mode);
            let placed = files.tree.insert(path, Node { metadata, kind });
            placed.map_err(|_| wrong(format!("{} is in it twice", shown(entry.name))))?;
            before = Some(entry);
        }
    }
    // In the order of their paths, whatever the order in which folders were read.
    files.submodules.sort();
    Ok(files)
}

/// The top folder of a commit.
fn root_of(objects: &Objects, commit: Id) -> Result<Id, GitError> {
    let named = |bytes: &[u8], word: &[u8]| -> Option<Id> {
        let digits = bytes.strip_prefix(word)?.get(..2 * ID_BYTES)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let other = |kind: What, target| GitError::NotACommit {
        id: commit,
        kind: kind.name(),
        target,
    };
    match objects.get(&commit) {
        Some(Object::Other(What::Commit, bytes)) => {
            named(bytes, b"tree ").ok_or_else(|| GitError::pack("the commit names no folder"))
        }
        Some(Object::Other(What::Tag, bytes)) => Err(other(What::Tag, named(bytes, b"object "))),
        Some(Object::Other(kind, _)) => Err(other(*kind, None)),
        Some(Object::Blob(_)) => Err(other(What::Blob, None)),
        None => Err(GitError::Missing {
            id: commit,
            what: "the commit".into(),
        }),
    }
}

/// What a name in a folder stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Folder,
    File,
    Program,
    Link,
    Submodule,
}

/// One name in a folder.
#[derive(Clone, Copy)]
struct Entry<'a> {
    mode: Mode,
    name: &'a [u8],
    id: Id,
}

impl<'a> Entry<'a> {
    /// Takes the next one off: mode in octal, a blank, the name, NUL, the object's name.
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let blank = rest.iter().take(8).position(|b| *b == b' ')?;
        let (mode, after) = rest.split_at(blank);
        let after = &after[1..];
        let end = after.iter().position(|b| *b == 0)?;
        let (name, after) = after.split_at(end);
        let id = Id::from_bytes(&after[1..])?;
        *rest = &after[1 + ID_BYTES..];
        // Old programs wrote a zero before the mode of folders, and let groups write.
        let mode = match mode {
            b"40000" | b"040000" => Mode::Folder,
            b"100644" | b"100664" => Mode::File,
            b"100755" => Mode::Program,
            b"120000" => Mode::Link,
            b"160000" => Mode::Submodule,
            _ => return None,
        };
        Some(Self { mode, name, id })
    }

    /// Whether git would have made it, behind `before`.
    fn check(&self, before: Option<Entry<'_>>) -> Result<(), String> {
        let name = self.name;
        if name.is_empty() || name.contains(&b'/') || matches!(name, b"." | b"..") {
            return Err(format!("{} is not the name of a file", shown(name)));
        }
        if name.eq_ignore_ascii_case(b".git") {
            return Err(format!("{} is git's own", shown(name)));
        }
        match before.map(|before| before.order(self)) {
            Some(Ordering::Equal) => Err(format!("{} is in it twice", shown(name))),
            Some(Ordering::Greater) => Err(format!("{} is not in order", shown(name))),
            _ => Ok(()),
        }
    }

    /// Git's order: a folder counts as if its name ended with `/`.
    fn order(&self, other: &Entry<'_>) -> Ordering {
        let key = |entry: &Entry<'_>| -> Vec<u8> {
            let mut key = entry.name.to_vec();
            key.extend((entry.mode == Mode::Folder).then_some(b'/'));
            key
        };
        key(self).cmp(&key(other))
    }
}

fn shown(name: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(name))
}

fn blob(objects: &Objects, path: &TreePath, id: Id) -> Result<Blob, GitError> {
    match objects.get(&id) {
        Some(Object::Blob(blob)) => Ok(*blob),
        _ => Err(GitError::Missing {
            id,
            what: format!("the file {path}"),
        }),
    }
}

fn target(store: &Store, objects: &Objects, path: &TreePath, id: Id) -> Result<Vec<u8>, GitError> {
    let blob = blob(objects, path, id)?;
    let wrong = |reason: &str| GitError::Tree {
        path: path.clone(),
        reason: reason.into(),
    };
    if blob.size == 0 || blob.size > MAX_TARGET_BYTES {
        return Err(wrong(
            "the target of this link has no length that a link can have",
        ));
    }
    let target = store.read_object(&blob.digest)?;
    match target.contains(&0) {
        true => Err(wrong("the target of this link holds a zero byte")),
        false => Ok(target),
    }
}

/// Files that are stand-ins: their content is kept elsewhere, by the extension LFS. Looked for only
/// where the repository says that it uses that.
pub(super) fn stand_ins(store: &Store, tree: &Tree<Blob>) -> Result<Vec<TreePath>, GitError> {
    let files = || {
        tree.iter().filter_map(|(path, node)| match &node.kind {
            Kind::File(blob) => Some((path, blob)),
            _ => None,
        })
    };
    let mut uses = false;
    for (path, blob) in files() {
        if path.name() == b".gitattributes" && blob.size <= MAX_ATTRIBUTES_BYTES {
            let text = store.read_object(&blob.digest)?;
            uses |= text.windows(10).any(|word| word == b"filter=lfs");
        }
    }
    let mut found = Vec::new();
    for (path, blob) in files() {
        if uses
            && (POINTER.len() as u64..MAX_POINTER_BYTES).contains(&blob.size)
            && store.read_object(&blob.digest)?.starts_with(POINTER)
        {
            found.push(path.clone());
        }
    }
    Ok(found)
}

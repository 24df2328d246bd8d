//! The canonical bytes of a tree (FORMAT.md, "Tree listing").
//!
//! One tree has exactly one listing and one listing exactly one tree: the reader refuses
//! everything that the writer would not have written.

use crate::error::{Result, StoreError};
use crate::{Blob, Digest};
use nos_formats::tree::{Kind, MAX_NAME_BYTES, Metadata, Node, Tree, TreePath};
use std::collections::BTreeMap;

/// First bytes of a listing; the last is the format's version.
pub(crate) const MAGIC: [u8; 8] = *b"nosTree\x01";

/// Largest listing read, in bytes: some eight million files.
pub const MAX_LISTING_BYTES: u64 = 1 << 30;

/// Largest value of one extended attribute (Linux `XATTR_SIZE_MAX`).
const MAX_XATTR_BYTES: usize = 65536;

/// Most extended attributes of one node.
const MAX_XATTRS: usize = 1024;

/// Longest symbolic link target (Linux `PATH_MAX` less the terminating NUL).
const MAX_TARGET_BYTES: usize = 4095;

/// Bytes of an entry before its name.
const FIXED_BYTES: usize = 16;

const DIRECTORY: u8 = 0;
const FILE: u8 = 1;
const SYMLINK: u8 = 2;
const HARD_LINK: u8 = 3;
const CHAR_DEVICE: u8 = 4;
const BLOCK_DEVICE: u8 = 5;
const FIFO: u8 = 6;
const SOCKET: u8 = 7;

/// Writes a tree's listing.
///
/// # Errors
/// [`StoreError::BadTree`] for what a listing cannot hold, [`StoreError::Tree`] for a hard link to
/// something that is not a regular file of the tree.
pub(crate) fn encode(tree: &Tree<Blob>) -> Result<Vec<u8>> {
    tree.check_links()?;
    let mut out = Vec::with_capacity(16 + tree.len() * 80);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(tree.len() as u64).to_le_bytes());
    for (path, node) in tree.iter() {
        encode_node(&mut out, path, node).map_err(|reason| StoreError::BadTree {
            path: path.to_string(),
            reason,
        })?;
    }
    Ok(out)
}

fn encode_node(out: &mut Vec<u8>, path: &TreePath, node: &Node<Blob>) -> Result<(), &'static str> {
    // A hard link has no metadata of its own: it is the target's, and is not written twice.
    let none = Metadata::default();
    let meta = match node.kind {
        Kind::HardLink(_) => &none,
        _ => &node.metadata,
    };
    if meta.mode > 0o7777 {
        return Err("its mode has bits beyond 07777");
    }
    if meta.xattrs.len() > MAX_XATTRS {
        return Err("it has more than 1024 extended attributes");
    }
    let kind = match node.kind {
        Kind::Directory => DIRECTORY,
        Kind::File(_) => FILE,
        Kind::Symlink(_) => SYMLINK,
        Kind::HardLink(_) => HARD_LINK,
        Kind::CharDevice { .. } => CHAR_DEVICE,
        Kind::BlockDevice { .. } => BLOCK_DEVICE,
        Kind::Fifo => FIFO,
        Kind::Socket => SOCKET,
    };
    let name = path.name();
    out.push(kind);
    out.push(u8::try_from(name.len()).map_err(|_| "its name is too long")?);
    push_u16(out, path.components().count())?;
    out.extend_from_slice(&meta.mode.to_le_bytes());
    push_u16(out, meta.xattrs.len())?;
    out.extend_from_slice(&meta.uid.to_le_bytes());
    out.extend_from_slice(&meta.gid.to_le_bytes());
    out.extend_from_slice(name);
    match &node.kind {
        Kind::File(blob) => {
            out.extend_from_slice(&blob.size.to_le_bytes());
            out.extend_from_slice(&blob.digest.0);
        }
        Kind::Symlink(target) => {
            check_target(target)?;
            push_u16(out, target.len())?;
            out.extend_from_slice(target);
        }
        Kind::HardLink(target) => {
            push_u16(out, target.as_bytes().len())?;
            out.extend_from_slice(target.as_bytes());
        }
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            out.extend_from_slice(&major.to_le_bytes());
            out.extend_from_slice(&minor.to_le_bytes());
        }
        Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
    for (name, value) in &meta.xattrs {
        check_xattr(name, value)?;
        push_u16(out, name.len())?;
        out.extend_from_slice(name);
        let length = u32::try_from(value.len()).map_err(|_| "an attribute is too long")?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(value);
    }
    Ok(())
}

fn push_u16(out: &mut Vec<u8>, value: usize) -> Result<(), &'static str> {
    let value = u16::try_from(value).map_err(|_| "a length or its depth is beyond 65535")?;
    out.extend_from_slice(&value.to_le_bytes());
    Ok(())
}

fn check_target(target: &[u8]) -> Result<(), &'static str> {
    if target.is_empty() || target.len() > MAX_TARGET_BYTES || target.contains(&0) {
        return Err("a symbolic link's target has 1 to 4095 bytes and no NUL");
    }
    Ok(())
}

fn check_xattr(name: &[u8], value: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(&0) {
        return Err("an extended attribute's name has 1 to 255 bytes and no NUL");
    }
    if value.len() > MAX_XATTR_BYTES {
        return Err("an extended attribute's value has at most 65536 bytes");
    }
    Ok(())
}

/// Whether bytes begin like a listing of any version.
pub(crate) fn looks_like_listing(start: &[u8]) -> bool {
    start.starts_with(&MAGIC[..7])
}

/// Reads a listing.
///
/// # Errors
/// [`StoreError::BadListing`] with the offset of the first byte that is wrong.
pub(crate) fn decode(bytes: &[u8]) -> Result<Tree<Blob>> {
    let mut reader = Reader { bytes, at: 0 };
    let mut tree = Tree::new();
    let mut links = Vec::new();
    reader.entries(&mut |path, node, offset| {
        if let Kind::HardLink(target) = &node.kind {
            links.push((path.clone(), target.clone(), offset));
        }
        if path.is_root() {
            if let Some(root) = tree.get_mut(&path) {
                *root = node;
            }
            return Ok(());
        }
        tree.insert(path, node)
            .map_err(|_| "its parent is not a directory")
    })?;
    for (path, target, offset) in links {
        let metadata = match tree.get(&target) {
            Some(Node {
                metadata,
                kind: Kind::File(_),
            }) => metadata.clone(),
            _ => {
                return Err(StoreError::BadListing {
                    offset,
                    reason: "a hard link names no regular file of the tree",
                });
            }
        };
        if let Some(node) = tree.get_mut(&path) {
            node.metadata = metadata;
        }
    }
    Ok(tree)
}

/// Calls `each` for every blob that a listing names, without building the tree.
///
/// # Errors
/// As [`decode`], but for links and parents, which do not matter to a closure.
pub(crate) fn blobs(bytes: &[u8], each: &mut dyn FnMut(Blob)) -> Result<()> {
    let mut reader = Reader { bytes, at: 0 };
    reader.entries(&mut |_, node, _| {
        if let Kind::File(blob) = node.kind {
            each(blob);
        }
        Ok(())
    })
}

type Visit<'a> = dyn FnMut(TreePath, Node<Blob>, usize) -> Result<(), &'static str> + 'a;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, reason: &'static str) -> Result<T> {
        Err(StoreError::BadListing {
            offset: self.at,
            reason,
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        match self.bytes[self.at..].split_at_checked(length) {
            Some((taken, _)) => {
                self.at += length;
                Ok(taken)
            }
            None => self.fail("it ends in the middle of an entry"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn entries(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        if self.bytes.len() as u64 > MAX_LISTING_BYTES {
            return self.fail("it is longer than 1 GiB");
        }
        match self.bytes.get(..8) {
            Some(magic) if magic == MAGIC => self.at = 8,
            Some(magic) if looks_like_listing(magic) => {
                self.at = 7;
                return self.fail("it is of a version that this program does not know");
            }
            _ => return self.fail("it does not begin with the mark of a tree listing"),
        }
        let count = self.u64()?;
        if count == 0 || count > (self.bytes.len() / FIXED_BYTES) as u64 {
            self.at = 8;
            return self.fail("the number of entries does not fit its length");
        }
        // Names of the open directories from the root to the last entry; a name that is not a
        // directory can only be last.
        let mut open: Vec<Vec<u8>> = Vec::new();
        let mut last_is_dir = true;
        for index in 0..count {
            let start = self.at;
            let (depth, node) = {
                let (name, depth, node) = self.entry()?;
                let wrong = |reason| StoreError::BadListing {
                    offset: start,
                    reason,
                };
                if index == 0 {
                    if depth != 0 || !name.is_empty() || !matches!(node.kind, Kind::Directory) {
                        return Err(wrong("the first entry is not the root directory"));
                    }
                } else {
                    check_order(&open, last_is_dir, depth, name).map_err(wrong)?;
                    open.truncate(depth - 1);
                    open.push(name.to_vec());
                }
                (depth, node)
            };
            last_is_dir = matches!(node.kind, Kind::Directory);
            let wrong = |reason| StoreError::BadListing {
                offset: start,
                reason,
            };
            let path = TreePath::new(open.join(&b'/'))
                .ok()
                .filter(|p| p.components().count() == depth)
                .ok_or_else(|| wrong("its path is too long"))?;
            visit(path, node, start).map_err(wrong)?;
        }
        if self.at != self.bytes.len() {
            return self.fail("there are bytes after the last entry");
        }
        Ok(())
    }

    fn entry(&mut self) -> Result<(&'a [u8], usize, Node<Blob>)> {
        let [kind, name_length] = self.array()?;
        let depth = usize::from(self.u16()?);
        let mode = self.u16()?;
        let xattr_count = usize::from(self.u16()?);
        let (uid, gid) = (self.u32()?, self.u32()?);
        if mode > 0o7777 {
            return self.fail("a mode has bits beyond 07777");
        }
        if xattr_count > MAX_XATTRS {
            return self.fail("an entry has more than 1024 extended attributes");
        }
        let name = self.take(usize::from(name_length))?;
        let kind = self.kind(kind)?;
        if matches!(kind, Kind::HardLink(_)) && (mode, xattr_count, uid, gid) != (0, 0, 0, 0) {
            return self.fail("a hard link has metadata of its own");
        }
        let mut xattrs = BTreeMap::new();
        for _ in 0..xattr_count {
            let length = usize::from(self.u16()?);
            let name = self.take(length)?;
            let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
            let value = self.take(length)?;
            if let Err(reason) = check_xattr(name, value) {
                return self.fail(reason);
            }
            if xattrs
                .last_key_value()
                .is_some_and(|(last, _): (&Vec<u8>, _)| last.as_slice() >= name)
            {
                return self.fail("extended attributes are not in order");
            }
            xattrs.insert(name.to_vec(), value.to_vec());
        }
        let metadata = Metadata {
            mode,
            uid,
            gid,
            xattrs,
        };
        Ok((name, depth, Node { metadata, kind }))
    }

    fn kind(&mut self, kind: u8) -> Result<Kind<Blob>> {
        Ok(match kind {
            DIRECTORY => Kind::Directory,
            FILE => {
                let size = self.u64()?;
                let digest = Digest(self.array()?);
                Kind::File(Blob { digest, size })
            }
            SYMLINK => {
                let length = usize::from(self.u16()?);
                let target = self.take(length)?;
                if let Err(reason) = check_target(target) {
                    return self.fail(reason);
                }
                Kind::Symlink(target.to_vec())
            }
            HARD_LINK => {
                let length = usize::from(self.u16()?);
                let raw = self.take(length)?;
                match TreePath::new(raw) {
                    Ok(target) if target.as_bytes() == raw => Kind::HardLink(target),
                    _ => return self.fail("a hard link's target is not a canonical path"),
                }
            }
            CHAR_DEVICE => Kind::CharDevice {
                major: self.u32()?,
                minor: self.u32()?,
            },
            BLOCK_DEVICE => Kind::BlockDevice {
                major: self.u32()?,
                minor: self.u32()?,
            },
            FIFO => Kind::Fifo,
            SOCKET => Kind::Socket,
            _ => return self.fail("an entry is of an unknown kind"),
        })
    }
}

/// Checks that an entry may follow the one whose path is `open`.
fn check_order(
    open: &[Vec<u8>],
    last_is_dir: bool,
    depth: usize,
    name: &[u8],
) -> Result<(), &'static str> {
    if name.is_empty() || name == b"." || name == b".." {
        return Err("an entry has an empty name, '.' or '..'");
    }
    if name.contains(&b'/') || name.contains(&0) {
        return Err("a name has a '/' or a NUL byte");
    }
    if depth == 0 {
        return Err("there are two roots");
    }
    if depth > open.len() + usize::from(last_is_dir) {
        return Err("an entry is not below a directory");
    }
    match open.get(depth - 1) {
        Some(sibling) if sibling.as_slice() >= name => Err("entries are not in order"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn node(mode: u16, kind: Kind<Blob>) -> Node<Blob> {
        let metadata = Metadata::with_mode(mode);
        Node { metadata, kind }
    }

    /// One of everything.
    fn sample() -> Tree<Blob> {
        let mut tree = Tree::new();
        let blob = Blob {
            digest: Digest([0xab; 32]),
            size: 0x0102,
        };
        let mut file = node(0o4755, Kind::File(blob));
        file.metadata.uid = 1000;
        file.metadata.gid = 0x0a0b_0c0d;
        file.metadata
            .xattrs
            .insert(b"user.b".to_vec(), b"2".to_vec());
        file.metadata.xattrs.insert(b"user.a".to_vec(), Vec::new());
        for (at, node) in [
            ("bin", node(0o755, Kind::Directory)),
            ("bin/tool", file),
            ("bin-link", node(0o777, Kind::Symlink(b"bin/tool".to_vec()))),
            ("null", node(0o666, Kind::CharDevice { major: 1, minor: 3 })),
            ("sda", node(0o660, Kind::BlockDevice { major: 8, minor: 0 })),
            ("pipe", node(0o600, Kind::Fifo)),
            ("sock", node(0o600, Kind::Socket)),
        ] {
            tree.insert(path(at), node).unwrap();
        }
        let mut link = node(0, Kind::HardLink(path("bin/tool")));
        link.metadata = tree.get(&path("bin/tool")).unwrap().metadata.clone();
        tree.insert(path("bin/same"), link).unwrap();
        tree
    }

    #[test]
    fn the_encoding_is_pinned() {
        // A change here gives every tree another identity, so that nothing built before is found.
        let bytes = encode(&sample()).unwrap();
        let mut small = Tree::new();
        let blob = Blob {
            digest: Digest([0xab; 32]),
            size: 0x0102,
        };
        small
            .insert(path("f"), node(0o644, Kind::File(blob)))
            .unwrap();
        // The example of FORMAT.md.
        let mut expected = b"nosTree\x01\x02\0\0\0\0\0\0\0".to_vec();
        expected.extend(b"\0\0\0\0\xed\x01\0\0\0\0\0\0\0\0\0\0");
        expected.extend(b"\x01\x01\x01\0\xa4\x01\0\0\0\0\0\0\0\0\0\0f");
        expected.extend(b"\x02\x01\0\0\0\0\0\0");
        expected.extend([0xab; 32]);
        assert_eq!(encode(&small).unwrap(), expected);
        assert_eq!(
            Digest::of(&bytes).to_string(),
            "bde8ef8877275f4259f9709ea2476d0ffa186e2995a2feee19cabe2814de6a99"
        );
    }

    #[test]
    fn every_kind_comes_back() {
        let tree = sample();
        assert_eq!(decode(&encode(&tree).unwrap()).unwrap(), tree);
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        let bytes = encode(&sample()).unwrap();
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(decode(&longer).is_err());
        // A flipped bit is an error or another tree, never the same tree.
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                if let Ok(tree) = decode(&other) {
                    assert_eq!(encode(&tree).unwrap(), other, "byte {at} bit {bit}");
                }
            }
        }
        let mut newer = bytes;
        newer[7] = 2;
        let error = decode(&newer).unwrap_err().to_string();
        assert!(error.contains("a version that this program"), "{error}");
    }

    #[test]
    fn a_count_alone_allocates_nothing() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        bytes.extend_from_slice(&[0; 64]);
        assert!(matches!(
            decode(&bytes),
            Err(StoreError::BadListing { offset: 8, .. })
        ));
    }

    #[test]
    fn trees_that_no_listing_can_hold_are_refused() {
        let refuse = |node: Node<Blob>| {
            let mut tree = Tree::new();
            tree.insert(path("x"), node).unwrap();
            assert!(encode(&tree).is_err());
        };
        refuse(node(0, Kind::Symlink(Vec::new())));
        refuse(node(0, Kind::Symlink(b"a\0b".to_vec())));
        refuse(node(0, Kind::Symlink(vec![b'a'; 4096])));
        refuse(node(0, Kind::HardLink(path("nowhere"))));
        let mut wide = node(0, Kind::Fifo);
        wide.metadata.mode = 0o10000;
        refuse(wide);
        let mut attribute = node(0, Kind::Fifo);
        attribute.metadata.xattrs.insert(Vec::new(), Vec::new());
        refuse(attribute);
        let mut attribute = node(0, Kind::Fifo);
        let long = vec![0; MAX_XATTR_BYTES + 1];
        attribute.metadata.xattrs.insert(b"user.x".to_vec(), long);
        refuse(attribute);
    }

    fn kinds() -> impl Strategy<Value = Kind<Blob>> {
        prop_oneof![
            Just(Kind::Directory),
            Just(Kind::Fifo),
            (any::<[u8; 32]>(), any::<u64>()).prop_map(|(digest, size)| {
                let digest = Digest(digest);
                Kind::File(Blob { digest, size })
            }),
            "[a-z/.]{1,20}".prop_map(|target| Kind::Symlink(target.into_bytes())),
            (any::<u32>(), any::<u32>())
                .prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
        ]
    }

    fn trees() -> impl Strategy<Value = Tree<Blob>> {
        let xattrs = proptest::collection::btree_map(
            "[a-z.]{1,9}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..9),
            0..3,
        );
        let entry = (
            "[a-c.-]{1,3}(/[a-c.-]{1,3}){0,3}",
            0..0o10000u16,
            xattrs,
            kinds(),
        );
        proptest::collection::vec(entry, 0..24).prop_map(|entries| {
            let mut tree = Tree::new();
            for (at, mode, xattrs, kind) in entries {
                let mut node = node(mode, kind);
                node.metadata.xattrs = xattrs;
                // Paths that do not fit what is there are left out.
                if let Ok(at) = TreePath::new(&at) {
                    let _left_out = tree.insert_with_parents(at, node);
                }
            }
            tree
        })
    }

    proptest! {
        #[test]
        fn every_tree_comes_back(tree in trees()) {
            let bytes = encode(&tree).unwrap();
            prop_assert_eq!(&decode(&bytes).unwrap(), &tree);
            let mut blobs_seen = 0;
            blobs(&bytes, &mut |_| blobs_seen += 1).unwrap();
            let files = tree.iter().filter(|(_, n)| matches!(n.kind, Kind::File(_)));
            prop_assert_eq!(blobs_seen, files.count());
        }

        #[test]
        fn any_bytes_are_refused_or_canonical(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(tail);
            if let Ok(tree) = decode(&bytes) {
                prop_assert_eq!(encode(&tree).unwrap(), bytes);
            }
        }

        #[test]
        fn swapped_pieces_are_refused_or_canonical(
            tree in trees(), from in 0usize..4000, to in 0usize..4000, length in 1usize..60
        ) {
            let mut bytes = encode(&tree).unwrap();
            let (from, to) = (from % bytes.len(), to % bytes.len());
            let length = length.min(bytes.len() - from).min(bytes.len() - to);
            bytes.copy_within(from..from + length, to);
            if let Ok(tree) = decode(&bytes) {
                prop_assert_eq!(encode(&tree).unwrap(), bytes);
            }
        }
    }
}

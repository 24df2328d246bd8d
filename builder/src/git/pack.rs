//! Packs: many objects in one stream, some as deltas of others (gitformat-pack, versions 2 and 3).
//!
//! A pack comes from whoever answers, so nothing in it is taken on trust: lengths are looked at before
//! memory is taken for them, and an object's name is always computed from its content.

use super::delta;
use super::error::GitError;
use super::id::{Hasher, ID_BYTES, Id, Kind, name};
use flate2::bufread::ZlibDecoder;
use nos_store::{Blob, StoreError};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Bytes before the first object: `PACK`, version, number of objects.
const HEAD_BYTES: u64 = 12;

/// How much of a pack and of a commit is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Objects in it.
    pub(super) objects: u32,
    /// Bytes of one object that must be in memory: a folder, a commit, and whatever is a delta or
    /// the base of one.
    pub(super) object_bytes: u64,
    /// Bytes of all objects and deltas, unpacked.
    pub(super) total_bytes: u64,
    /// Bytes in memory at once.
    pub(super) held_bytes: u64,
    /// Files, folders and links of a commit: folders that hold one folder many times make any
    /// number from a few bytes.
    pub(super) files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            objects: 1 << 21,
            object_bytes: 256 << 20,
            total_bytes: 32 << 30,
            held_bytes: 512 << 20,
            files: 1 << 20,
        }
    }
}

/// What became of an object.
#[derive(Debug)]
pub(super) enum Object {
    /// A file's content, in the store.
    Blob(Blob),
    /// Anything else, as it is.
    Other(Kind, Vec<u8>),
}

/// All objects of a pack.
pub(super) type Objects = BTreeMap<Id, Object>;

/// Takes a file's content.
pub(super) type Keep<'a> = &'a mut dyn FnMut(&mut dyn Read) -> Result<Blob, StoreError>;

/// Reads a whole pack from a file. Contents of files go to `keep`, also those that nothing names.
///
/// # Errors
/// [`GitError::Pack`] for anything that git would not have sent, [`GitError::TooLarge`] beyond
/// `limits`, [`GitError::Collision`].
pub(super) fn read(file: File, limits: &Limits, keep: Keep<'_>) -> Result<Objects, GitError> {
    let mut pack = Pack::open(file, limits)?;
    let entries = pack.scan(keep)?;
    pack.resolve(&entries, keep)?;
    Ok(pack.objects)
}

/// Where an object is and what it stands on.
struct Entry {
    /// First byte of its head, by which deltas name their base.
    offset: u64,
    /// First byte of its compressed content.
    content: u64,
    /// Bytes of that, unpacked.
    size: u64,
    base: Base,
}

#[derive(Clone, Copy)]
enum Base {
    /// None.
    Whole(Kind, Id),
    /// The object that begins there.
    Offset(u64),
    /// The object of that name.
    Name(Id),
}

/// What the head of an object says.
enum Head {
    Whole(Kind),
    Offset(u64),
    Name(Id),
}

struct Pack<'a> {
    input: BufReader<File>,
    position: u64,
    /// First byte behind the last object.
    end: u64,
    count: u32,
    limits: &'a Limits,
    total_bytes: u64,
    held_bytes: u64,
    objects: Objects,
}

impl<'a> Pack<'a> {
    /// Checks the sum over all and reads the head.
    fn open(mut file: File, limits: &'a Limits) -> Result<Self, GitError> {
        let length = file.seek(SeekFrom::End(0)).map_err(GitError::Scratch)?;
        let end = length.saturating_sub(ID_BYTES as u64);
        if end < HEAD_BYTES {
            return Err(GitError::pack("it ends before its first object"));
        }
        file.seek(SeekFrom::Start(0)).map_err(GitError::Scratch)?;
        let mut input = BufReader::with_capacity(1 << 16, file);
        let mut hasher = Hasher::plain();
        let mut left = end;
        while left > 0 {
            let bytes = input.fill_buf().map_err(GitError::Scratch)?;
            let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if taken == 0 {
                return Err(GitError::pack("it became shorter"));
            }
            hasher.update(&bytes[..taken]);
            input.consume(taken);
            left -= taken as u64;
        }
        let mut sum = [0; ID_BYTES];
        input.read_exact(&mut sum).map_err(GitError::Scratch)?;
        if hasher.finish()? != Id(sum) {
            return Err(GitError::pack("its checksum is another one"));
        }
        input.seek(SeekFrom::Start(0)).map_err(GitError::Scratch)?;
        let mut head = [0; HEAD_BYTES as usize];
        input.read_exact(&mut head).map_err(GitError::Scratch)?;
        let [_, _, _, _, _, _, _, version, a, b, c, d] = head;
        if !head.starts_with(b"PACK\0\0\0") || !matches!(version, 2 | 3) {
            return Err(GitError::pack("it does not begin like one"));
        }
        let count = u32::from_be_bytes([a, b, c, d]);
        if count > limits.objects {
            return Err(too_large(
                "the number of its objects",
                limits.objects.into(),
                "",
            ));
        }
        Ok(Self {
            input,
            position: HEAD_BYTES,
            end,
            count,
            limits,
            total_bytes: 0,
            held_bytes: 0,
            objects: Objects::new(),
        })
    }

    /// Goes over all objects once: takes those that are whole, notes where deltas are.
    fn scan(&mut self, keep: Keep<'_>) -> Result<Vec<Entry>, GitError> {
        let mut entries = Vec::new();
        for _ in 0..self.count {
            let offset = self.position;
            let (head, size) = self.head(offset)?;
            self.count_bytes(size)?;
            let content = self.position;
            let base = match head {
                Head::Whole(kind) => Base::Whole(kind, self.whole(kind, size, keep)?),
                Head::Offset(base) => {
                    self.skip(size)?;
                    Base::Offset(base)
                }
                Head::Name(base) => {
                    self.skip(size)?;
                    Base::Name(base)
                }
            };
            entries.push(Entry {
                offset,
                content,
                size,
                base,
            });
        }
        match self.position == self.end {
            true => Ok(entries),
            false => Err(GitError::pack("its objects do not end where it ends")),
        }
    }

    /// The head of an object and how long its content is.
    fn head(&mut self, offset: u64) -> Result<(Head, u64), GitError> {
        let first = self.byte()?;
        let mut size = u64::from(first & 0x0f);
        let mut more = first;
        let mut shift = 4;
        while more & 0x80 != 0 {
            more = self.byte()?;
            if shift > 56 {
                return Err(GitError::pack("an object has no length"));
            }
            size |= u64::from(more & 0x7f) << shift;
            shift += 7;
        }
        let head = match (first >> 4) & 7 {
            1 => Head::Whole(Kind::Commit),
            2 => Head::Whole(Kind::Tree),
            3 => Head::Whole(Kind::Blob),
            4 => Head::Whole(Kind::Tag),
            6 => Head::Offset(self.distance(offset)?),
            7 => {
                let mut id = [0; ID_BYTES];
                for byte in &mut id {
                    *byte = self.byte()?;
                }
                Head::Name(Id(id))
            }
            kind => return Err(GitError::pack(format!("an object is of the kind {kind}"))),
        };
        Ok((head, size))
    }

    /// Where the base of a delta at `offset` begins.
    fn distance(&mut self, offset: u64) -> Result<u64, GitError> {
        let mut byte = self.byte()?;
        let mut distance = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            if distance > u64::MAX >> 8 {
                return Err(GitError::pack("the base of a delta is too far away"));
            }
            distance = ((distance + 1) << 7) | u64::from(byte & 0x7f);
        }
        let base = offset.checked_sub(distance).filter(|_| distance > 0);
        base.ok_or_else(|| GitError::pack("the base of a delta is not before it"))
    }

    fn byte(&mut self) -> Result<u8, GitError> {
        let mut byte = [0];
        if self.position >= self.end {
            return Err(GitError::pack("it has fewer objects than it says"));
        }
        self.input
            .read_exact(&mut byte)
            .map_err(GitError::Scratch)?;
        self.position += 1;
        Ok(byte[0])
    }

    /// Takes an object that is no delta.
    fn whole(&mut self, kind: Kind, size: u64, keep: Keep<'_>) -> Result<Id, GitError> {
        if kind != Kind::Blob {
            let content = self.content(size)?;
            let id = name(kind, &content)?;
            self.add(id, kind, content, keep)?;
            return Ok(id);
        }
        let mut content = Content::new(&mut self.input, size);
        content.hasher = Some(Hasher::object(kind, size));
        let kept = keep(&mut content);
        if let Some(reason) = content.wrong {
            return Err(GitError::pack(reason));
        }
        let blob = kept?;
        let hasher = content.hasher.take();
        self.position += content.decoder.total_in();
        let id = hasher.map_or_else(|| name(kind, b""), Hasher::finish)?;
        self.objects.insert(id, Object::Blob(blob));
        Ok(id)
    }

    /// Keeps an object that is in memory.
    fn add(
        &mut self,
        id: Id,
        kind: Kind,
        content: Vec<u8>,
        keep: Keep<'_>,
    ) -> Result<(), GitError> {
        let object = match kind {
            Kind::Blob => Object::Blob(keep(&mut content.as_slice())?),
            _ => {
                self.hold(content.len() as u64)?;
                Object::Other(kind, content)
            }
        };
        self.objects.insert(id, object);
        Ok(())
    }

    /// The content that begins here, in memory.
    fn content(&mut self, size: u64) -> Result<Vec<u8>, GitError> {
        let limit = self.limits.object_bytes;
        let capacity = usize::try_from(size).ok().filter(|_| size <= limit);
        let Some(capacity) = capacity else {
            return Err(too_large("one of its objects", limit >> 20, " MiB"));
        };
        // Not more at once than a stream that is true to its word could give soon.
        let mut bytes = Vec::with_capacity(capacity.min(1 << 20));
        let mut content = Content::new(&mut self.input, size);
        let read = content.read_to_end(&mut bytes);
        if let Some(reason) = content.wrong {
            return Err(GitError::pack(reason));
        }
        read.map_err(GitError::Scratch)?;
        self.position += content.decoder.total_in();
        Ok(bytes)
    }

    /// Goes past the content that begins here.
    fn skip(&mut self, size: u64) -> Result<(), GitError> {
        let mut content = Content::new(&mut self.input, size);
        let read = io::copy(&mut content, &mut io::sink());
        if let Some(reason) = content.wrong {
            return Err(GitError::pack(reason));
        }
        read.map_err(GitError::Scratch)?;
        self.position += content.decoder.total_in();
        Ok(())
    }

    fn content_at(&mut self, entry: &Entry) -> Result<Vec<u8>, GitError> {
        let place = SeekFrom::Start(entry.content);
        self.input.seek(place).map_err(GitError::Scratch)?;
        self.content(entry.size)
    }

    /// Puts together what deltas make. Only what further deltas stand on is in memory meanwhile.
    fn resolve(&mut self, entries: &[Entry], keep: Keep<'_>) -> Result<(), GitError> {
        let deltas = Deltas::of(entries);
        let mut done = vec![false; entries.len()];
        for entry in entries {
            let Base::Whole(kind, id) = entry.base else {
                continue;
            };
            let mut stack = Vec::new();
            self.descend(&mut stack, kind, deltas.on(entry.offset, id), |pack| {
                pack.content_at(entry)
            })?;
            while let Some(below) = stack.last_mut() {
                let Some(next) = below.deltas.pop() else {
                    self.held_bytes -= below.content.len() as u64;
                    stack.pop();
                    continue;
                };
                // A base may be there twice, and what stands on it must not be made twice.
                if std::mem::replace(&mut done[next], true) {
                    continue;
                }
                let (kind, is_last, delta) = (below.kind, below.deltas.is_empty(), &entries[next]);
                let bytes = self.content_at(delta)?;
                let (_, size) = delta::lengths(&bytes).ok_or_else(damaged)?;
                self.count_bytes(size)?;
                if size > self.limits.object_bytes {
                    let limit = self.limits.object_bytes >> 20;
                    return Err(too_large("one of its objects", limit, " MiB"));
                }
                let content = delta::apply(&below.content, &bytes).ok_or_else(damaged)?;
                // Long chains need no more memory than short ones.
                if is_last {
                    self.held_bytes -= below.content.len() as u64;
                    stack.pop();
                }
                let id = name(kind, &content)?;
                let further = deltas.on(delta.offset, id);
                self.descend(&mut stack, kind, further, |_| Ok(content.clone()))?;
                self.add(id, kind, content, keep)?;
            }
        }
        let is_whole = |entry: &Entry| matches!(entry.base, Base::Whole(..));
        let made = |(entry, done): (&Entry, &bool)| is_whole(entry) || *done;
        match entries.iter().zip(&done).all(made) {
            true => Ok(()),
            false => Err(GitError::pack("a delta stands on what is not in it")),
        }
    }

    /// Holds an object while the deltas on it are made, where there are any.
    fn descend(
        &mut self,
        stack: &mut Vec<Below>,
        kind: Kind,
        deltas: Vec<usize>,
        content: impl FnOnce(&mut Self) -> Result<Vec<u8>, GitError>,
    ) -> Result<(), GitError> {
        if deltas.is_empty() {
            return Ok(());
        }
        let content = content(self)?;
        self.hold(content.len() as u64)?;
        stack.push(Below {
            kind,
            content,
            deltas,
        });
        Ok(())
    }

    fn hold(&mut self, bytes: u64) -> Result<(), GitError> {
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        match self.held_bytes > self.limits.held_bytes {
            true => Err(too_large(
                "what it needs in memory",
                self.limits.held_bytes >> 20,
                " MiB",
            )),
            false => Ok(()),
        }
    }

    fn count_bytes(&mut self, bytes: u64) -> Result<(), GitError> {
        self.total_bytes = self.total_bytes.saturating_add(bytes);
        match self.total_bytes > self.limits.total_bytes {
            true => Err(too_large(
                "the repository",
                self.limits.total_bytes >> 20,
                " MiB",
            )),
            false => Ok(()),
        }
    }
}

fn too_large(what: &'static str, limit: u64, unit: &str) -> GitError {
    GitError::TooLarge {
        what,
        limit: format!("{limit}{unit}"),
    }
}

fn damaged() -> GitError {
    GitError::pack("a delta does not fit what it stands on")
}

/// An object whose deltas are being made.
struct Below {
    kind: Kind,
    content: Vec<u8>,
    /// Which entries stand on it and are still to be made.
    deltas: Vec<usize>,
}

/// Which deltas stand on what.
struct Deltas {
    by_offset: Vec<(u64, usize)>,
    by_name: Vec<(Id, usize)>,
}

impl Deltas {
    fn of(entries: &[Entry]) -> Self {
        let (mut by_offset, mut by_name) = (Vec::new(), Vec::new());
        for (at, entry) in entries.iter().enumerate() {
            match entry.base {
                Base::Whole(..) => {}
                Base::Offset(offset) => by_offset.push((offset, at)),
                Base::Name(id) => by_name.push((id, at)),
            }
        }
        by_offset.sort_unstable();
        by_name.sort_unstable();
        Self { by_offset, by_name }
    }

    /// The deltas on the object that begins at `offset` and has the name `id`.
    fn on(&self, offset: u64, id: Id) -> Vec<usize> {
        fn of<K: Ord>(list: &[(K, usize)], key: &K) -> Vec<usize> {
            let first = list.partition_point(|(known, _)| known < key);
            let same = list[first..].iter().take_while(|(known, _)| known == key);
            same.map(|(_, at)| *at).collect()
        }
        let mut found = of(&self.by_offset, &offset);
        found.extend(of(&self.by_name, &id));
        found
    }
}

/// Content as it is unpacked; must be as long as its head said.
struct Content<'a> {
    decoder: ZlibDecoder<&'a mut BufReader<File>>,
    left: u64,
    hasher: Option<Hasher>,
    wrong: Option<&'static str>,
}

impl<'a> Content<'a> {
    fn new(input: &'a mut BufReader<File>, size: u64) -> Self {
        Self {
            decoder: ZlibDecoder::new(input),
            left: size,
            hasher: None,
            wrong: None,
        }
    }

    fn fail<T>(&mut self, reason: &'static str) -> io::Result<T> {
        self.wrong = Some(reason);
        Err(io::Error::other(reason))
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // The end is read too: only there does the decoder look at its checksum.
        let mut one = [0];
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let target = match room {
            0 => &mut one[..],
            room => {
                let length = buffer.len().min(room);
                &mut buffer[..length]
            }
        };
        let Ok(read) = self.decoder.read(target) else {
            return self.fail("an object cannot be decompressed");
        };
        match (room, read) {
            (0, 0) => Ok(0),
            (0, _) => self.fail("an object is longer than it says"),
            (_, 0) => self.fail("an object is shorter than it says"),
            _ => {
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(&buffer[..read]);
                }
                self.left -= read as u64;
                Ok(read)
            }
        }
    }
}

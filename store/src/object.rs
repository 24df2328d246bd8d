//! Objects: writing them, naming them, reading them.

use crate::digest::Hasher;
use crate::error::{Context, Result, StoreError};
use crate::fs::{Linked, Temp};
use crate::{Blob, Digest, Output, Store};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// Content up to this length stays in memory until its name is known, so that what the store
/// already has is never written at all.
pub(crate) const SMALL_BYTES: usize = 1 << 20;

/// Largest object that [`Store::read_object`] takes into memory.
pub const MAX_READ_BYTES: u64 = 4 << 30;

/// Path of an object below the store's folder.
pub(crate) fn object_rel(digest: &Digest) -> String {
    sharded("objects", digest)
}

/// `AREA/ab/cdef…`.
pub(crate) fn sharded(area: &str, digest: &Digest) -> String {
    let hex = digest.hex();
    let mut rel = String::with_capacity(area.len() + 66);
    rel.push_str(area);
    rel.push('/');
    rel.extend(hex[..2].iter().map(|&b| char::from(b)));
    rel.push('/');
    rel.extend(hex[2..].iter().map(|&b| char::from(b)));
    rel
}

impl Store {
    /// Whether the store has an object. From here on a collection in another process leaves it
    /// alone for the life of this `Store`.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn contains(&self, digest: &Digest) -> Result<bool> {
        let output = Output::Object(Blob {
            digest: *digest,
            size: 0,
        });
        if self.is_writable() {
            let hold = self.hold()?;
            hold.record([output])?;
            return self.exists(digest);
        }
        self.exists(digest)
    }

    /// Whether the object exists now, without holding on to it.
    pub(crate) fn exists(&self, digest: &Digest) -> Result<bool> {
        Ok(self.fs().stat(&object_rel(digest))?.is_some())
    }

    /// Where an object's bytes are, whether or not it exists. The file is read-only; never write
    /// to it.
    pub fn object_path(&self, digest: &Digest) -> PathBuf {
        self.fs().full(&object_rel(digest))
    }

    /// Opens an object to read. Its bytes are not checked against its name: that is
    /// [`Store::verify`]'s part.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none.
    pub fn open_object(&self, digest: &Digest) -> Result<File> {
        self.fs()
            .read(&object_rel(digest))?
            .ok_or(StoreError::Missing { digest: *digest })
    }

    /// A whole object, checked against its name.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none, [`StoreError::Damaged`] where its bytes are not
    /// those that its name says or are more than [`MAX_READ_BYTES`].
    pub fn read_object(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.read_object_bounded(digest, MAX_READ_BYTES)
    }

    pub(crate) fn read_object_bounded(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let damaged = |reason: String| StoreError::Damaged {
            digest: *digest,
            reason,
        };
        let file = self.open_object(digest)?;
        let path = self.object_path(digest);
        let size = file.metadata().context("examine", &path)?.len();
        if size > limit {
            return Err(damaged(format!(
                "it has {size} bytes where at most {limit} can be"
            )));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(limit)
            .read_to_end(&mut bytes)
            .context("read", &path)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(damaged(format!("its bytes have the SHA-256 {found}")));
        }
        Ok(bytes)
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// Where the file system fails, for instance for want of space.
    pub fn add_bytes(&self, bytes: &[u8]) -> Result<Digest> {
        let blob = Blob {
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        };
        let hold = self.hold()?;
        hold.record([Output::Object(blob)])?;
        self.add_named(&blob.digest, bytes)?;
        Ok(blob.digest)
    }

    /// Stores bytes whose digest is known, under a hold that recorded it.
    pub(crate) fn add_named(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let rel = object_rel(digest);
        if self.fs().stat(&rel)?.is_some() {
            return Ok(());
        }
        let mut temp = self.fs().temp("objects")?;
        let done = self
            .fs()
            .fill(&mut temp, bytes)
            .and_then(|()| self.fs().link(&temp, &rel));
        temp.discard(self.fs());
        done.map(drop)
    }

    /// Stores everything that a reader gives.
    ///
    /// # Errors
    /// The reader's error, or the file system's; then nothing is kept.
    pub fn add_reader(&self, reader: &mut dyn Read) -> Result<Blob> {
        let mut writer = self.object_writer()?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return writer.finish(),
                Ok(n) => writer.push(&buffer[..n])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("read what is to be stored in", self.root()),
            }
        }
    }

    /// A new object to be written piece by piece.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] for a store that this program may not write.
    pub fn object_writer(&self) -> Result<ObjectWriter> {
        self.check_writable()?;
        Ok(ObjectWriter {
            store: self.clone(),
            hasher: Hasher::default(),
            small: Vec::new(),
            temp: None,
        })
    }

    /// Names a complete file as an object.
    pub(crate) fn publish(&self, temp: &Temp, blob: Blob) -> Result<Linked> {
        let hold = self.hold()?;
        hold.record([Output::Object(blob)])?;
        self.fs().link(temp, &object_rel(&blob.digest))
    }
}

/// Writes one object. Nothing is named, and so nothing is kept, before `finish`.
pub struct ObjectWriter {
    store: Store,
    hasher: Hasher,
    small: Vec<u8>,
    temp: Option<Temp>,
}

impl ObjectWriter {
    /// Appends bytes; [`Write`] with the store's own errors.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.temp.is_none() {
            if self.small.len() + bytes.len() <= SMALL_BYTES {
                self.hasher.update(bytes);
                self.small.extend_from_slice(bytes);
                return Ok(());
            }
            let mut temp = self.store.fs().temp("objects")?;
            self.store.fs().fill(&mut temp, &self.small)?;
            self.small = Vec::new();
            self.temp = Some(temp);
        }
        if let Some(temp) = &mut self.temp {
            self.store.fs().fill(temp, bytes)?;
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Names what was written.
    ///
    /// # Errors
    /// Where the file system fails; then nothing is named.
    pub fn finish(mut self) -> Result<Blob> {
        let blob = std::mem::take(&mut self.hasher).finish();
        self.name(blob)?;
        Ok(blob)
    }

    /// Names what was written if it is what was expected.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] where digest or length (where given) differ; then nothing is named.
    pub fn finish_expecting(
        mut self,
        expected: &Digest,
        size: impl Into<Option<u64>>,
    ) -> Result<Blob> {
        let blob = std::mem::take(&mut self.hasher).finish();
        check_expected("the content", blob, expected, size.into())?;
        self.name(blob)?;
        Ok(blob)
    }

    fn name(&mut self, blob: Blob) -> Result<()> {
        match &self.temp {
            Some(temp) => self.store.publish(temp, blob).map(drop),
            None => {
                let hold = self.store.hold()?;
                hold.record([Output::Object(blob)])?;
                self.store.add_named(&blob.digest, &self.small)
            }
        }
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        if let Some(temp) = self.temp.take() {
            temp.discard(self.store.fs());
        }
    }
}

impl Write for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(into_io)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Wraps a store error for an [`io`] trait, keeping its kind.
pub(crate) fn into_io(error: StoreError) -> io::Error {
    let kind = match &error {
        StoreError::Io { source, .. } => source.kind(),
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// Refuses bytes that are not the expected ones.
pub(crate) fn check_expected(
    what: &str,
    found: Blob,
    expected: &Digest,
    size: Option<u64>,
) -> Result<()> {
    if found.digest == *expected && size.is_none_or(|size| size == found.size) {
        return Ok(());
    }
    Err(StoreError::Mismatch {
        what: what.to_owned(),
        expected: *expected,
        expected_size: size,
        found: found.digest,
        found_size: found.size,
    })
}

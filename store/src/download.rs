//! Resumable downloads: bytes on their way to being an object of a known digest.

use crate::digest::Hasher;
use crate::error::{Context, Result, StoreError};
use crate::object::{check_expected, into_io, object_rel};
use crate::{Blob, Digest, Output, Store};
use rustix::fs::{FlockOperation, Mode};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// A file under `downloads/`, named after the digest that it should have, held by this process
/// alone. What was written stays when the download is dropped, and the next one goes on there.
pub struct PartialDownload {
    store: Store,
    rel: String,
    expected: Digest,
    file: File,
    hasher: Hasher,
}

impl Store {
    /// Starts or resumes the download of an object. Where another process is at the same one, waits
    /// until it is done; so look whether the store [`contains`](Store::contains) it, before and after.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn download(&self, expected: &Digest) -> Result<PartialDownload> {
        self.check_writable()?;
        let rel = format!("downloads/{expected}");
        loop {
            let mut file = self.fs().open_rw(&rel)?;
            loop {
                match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                    Err(rustix::io::Errno::INTR) => {}
                    done => break done.context("lock", self.fs().full(&rel))?,
                }
            }
            // Whoever held it may have finished it, and so taken its name away.
            let stat = rustix::fs::fstat(&file).context("examine", self.fs().full(&rel))?;
            let named = self.fs().stat(&rel)?;
            if named.is_none_or(|n| (n.st_dev, n.st_ino) != (stat.st_dev, stat.st_ino)) {
                continue;
            }
            let hasher = hash_all(&mut file).context("read", self.fs().full(&rel))?;
            return Ok(PartialDownload {
                store: self.clone(),
                rel,
                expected: *expected,
                file,
                hasher,
            });
        }
    }
}

/// Hashes a file from its start and leaves it at its end.
fn hash_all(file: &mut File) -> io::Result<Hasher> {
    let mut hasher = Hasher::default();
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

impl PartialDownload {
    /// Bytes that are there already: where to ask the server to go on.
    pub fn resume_offset(&self) -> u64 {
        self.hasher.size()
    }

    /// Throws away what is there, for a server that sends from the start only.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn restart(&mut self) -> Result<()> {
        let path = self.store.fs().full(&self.rel);
        self.file.set_len(0).context("shorten", &path)?;
        self.file
            .seek(SeekFrom::Start(0))
            .context("rewind", &path)?;
        self.hasher = Hasher::default();
        Ok(())
    }

    /// Appends bytes; [`Write`] with the store's own errors.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.store.fs().write(&mut self.file, bytes)?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Names the file as the object that it should be.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] where digest or length (where given) differ. A file that is whole and
    /// wrong is thrown away; one that is too short stays, so that it can be resumed.
    pub fn finish(self, size: impl Into<Option<u64>>) -> Result<Blob> {
        let expected = self.expected;
        self.finish_expecting(&expected, size)
    }

    /// [`PartialDownload::finish`] with the digest said again.
    ///
    /// # Errors
    /// As [`PartialDownload::finish`].
    pub fn finish_expecting(
        mut self,
        expected: &Digest,
        size: impl Into<Option<u64>>,
    ) -> Result<Blob> {
        let size = size.into();
        let blob = std::mem::take(&mut self.hasher).finish();
        let fs = self.store.fs();
        if let Err(mismatch) = check_expected("the download", blob, expected, size) {
            if size.is_none_or(|size| blob.size >= size) {
                fs.remove(&self.rel)?;
            }
            return Err(mismatch);
        }
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(0o444))
            .context("change the mode of", fs.full(&self.rel))?;
        let hold = self.store.hold()?;
        hold.record([Output::Object(blob)])?;
        let object = object_rel(&blob.digest);
        if let Some((shard, _)) = object.rsplit_once('/') {
            fs.make_dir(shard)?;
        }
        fs.rename(&self.rel, &object)?;
        Ok(blob)
    }

    /// Throws the download away.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn discard(self) -> Result<(), StoreError> {
        self.store.fs().remove(&self.rel).map(drop)
    }
}

impl Write for PartialDownload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(into_io)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

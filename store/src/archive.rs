//! Archives: closures on their way to another store (FORMAT.md, "Archive").
//!
//! An archive is a zstd-compressed tar whose first entry, the manifest, lists everything in it with
//! its digest; a signature of the manifest comes second. So a reader knows whom it trusts before it
//! stores a byte, and checks each entry against the manifest before it names it.

use crate::action::MAX_RESULT_BYTES;
use crate::closure::{Closure, target_of};
use crate::digest::Hasher;
use crate::error::{Context, Result, StoreError};

use crate::results::result_rel;
use crate::sign::{PublicKey, SecretKey};
use crate::{ActionKey, ActionResult, Blob, Digest, Output, RootTarget, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Read, Write};

const MANIFEST: &str = "nos-archive";
const SIGNATURE: &str = "nos-archive.sig";
const HEADER: &str = "nos-archive 1";

/// Largest manifest read, in bytes: some three million objects.
const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// Largest window that an archive may make its reader keep (2^27 bytes).
const MAX_WINDOW_LOG: u32 = 27;

/// zstd level; one thread, so that the bytes are the same on any machine.
const LEVEL: i32 = 3;

/// What an export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ExportReport {
    /// SHA-256 of the uncompressed archive: its identity, whatever compressed it.
    pub digest: Digest,
    /// Objects written.
    pub objects: u64,
    /// Their length together, in bytes.
    pub bytes: u64,
}

/// Whose archives an import takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those signed by one of these keys.
    Keys(Vec<PublicKey>),
    /// Anybody's. Objects are what their digests say all the same, but results then say whatever
    /// the archive's author wants an action to have made.
    Anyone,
}

/// What an import took.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ImportReport {
    /// What was exported; everything it names is in the store now. No root is set.
    pub targets: Vec<RootTarget>,
    /// Objects read.
    pub objects: u64,
    /// Their length together, in bytes.
    pub bytes: u64,
    /// Who signed, where a trusted key did.
    pub signer: Option<PublicKey>,
}

/// The list of everything in an archive.
#[derive(Debug, Default, PartialEq, Eq)]
struct Manifest {
    targets: BTreeSet<RootTarget>,
    objects: BTreeMap<Digest, u64>,
    results: BTreeMap<ActionKey, Blob>,
}

impl Manifest {
    fn render(&self) -> String {
        let mut text = format!("{HEADER}\n");
        // Writing to a String does not fail.
        for target in &self.targets {
            let _infallible = writeln!(text, "target {target}");
        }
        for (digest, size) in &self.objects {
            let _infallible = writeln!(text, "object {digest} {size}");
        }
        for (key, blob) in &self.results {
            let _infallible = writeln!(text, "result {key} {} {}", blob.size, blob.digest);
        }
        text
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "its manifest is not text")?;
        let mut manifest = Self::default();
        for (i, line) in text.lines().enumerate() {
            if i == 0 {
                if line != HEADER {
                    return Err(format!("its manifest does not begin with {HEADER:?}"));
                }
                continue;
            }
            manifest
                .line(line)
                .ok_or_else(|| format!("line {} of its manifest is not understood", i + 1))?;
        }
        // One manifest has one text: what sorts, repeats or ends otherwise is refused.
        if manifest.render() != text {
            return Err("its manifest is not in canonical form".into());
        }
        Ok(manifest)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "target" => {
                self.targets.insert(RootTarget::parse(rest)?);
            }
            "object" => {
                let (digest, size) = rest.split_once(' ')?;
                self.objects
                    .insert(digest.parse().ok()?, size.parse().ok()?);
            }
            "result" => {
                let (key, rest) = rest.split_once(' ')?;
                let (size, digest) = rest.split_once(' ')?;
                let size = size.parse().ok()?;
                let digest = digest.parse().ok()?;
                self.results
                    .insert(key.parse().ok()?, Blob { digest, size });
            }
            _ => return None,
        }
        Some(())
    }
}

/// Hashes what passes through.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn header(path: &str, size: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_mode(0o444);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

impl Store {
    /// Writes targets with everything they name. The same closure gives the same uncompressed
    /// bytes from any store.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where something is not there whole, [`StoreError::Damaged`] for an
    /// object whose bytes are not those of its name; what was written by then is no archive.
    pub fn export(
        &self,
        targets: &[RootTarget],
        signer: Option<&SecretKey>,
        out: &mut dyn Write,
    ) -> Result<ExportReport> {
        let hold = if self.is_writable() {
            Some(self.hold()?)
        } else {
            None
        };
        let (manifest, results) = self.manifest(targets)?;
        let text = manifest.render();
        let what = "write the archive from";
        let encoder = zstd::stream::write::Encoder::new(out, LEVEL).context(what, self.root())?;
        let mut builder = tar::Builder::new(Hashing {
            inner: encoder,
            hasher: Hasher::default(),
        });
        let mut append = |path: &str, size: u64, data: &mut dyn Read| -> Result<()> {
            header(path, size)
                .and_then(|header| builder.append(&header, data))
                .context(what, self.root())
        };
        append(MANIFEST, text.len() as u64, &mut text.as_bytes())?;
        if let Some(key) = signer {
            let line = signature_line(key, text.as_bytes());
            append(SIGNATURE, line.len() as u64, &mut line.as_bytes())?;
        }
        let mut report = ExportReport {
            digest: Digest([0; 32]),
            objects: 0,
            bytes: 0,
        };
        for (digest, size) in &manifest.objects {
            let mut reader = Checked {
                inner: self.open_object(digest)?.take(*size),
                hasher: Hasher::default(),
            };
            append(&format!("objects/{digest}"), *size, &mut reader)?;
            let found = reader.hasher.finish();
            if found.digest != *digest {
                return Err(StoreError::Damaged {
                    digest: *digest,
                    reason: format!("its bytes have the SHA-256 {}", found.digest),
                });
            }
            report.objects += 1;
            report.bytes += size;
        }
        for (key, bytes) in &results {
            append(
                &format!("results/{key}"),
                bytes.len() as u64,
                &mut &bytes[..],
            )?;
        }
        let hashing = builder.into_inner().context(what, self.root())?;
        hashing.inner.finish().context(what, self.root())?;
        report.digest = hashing.hasher.finish().digest;
        drop(hold);
        Ok(report)
    }

    fn manifest(&self, targets: &[RootTarget]) -> Result<(Manifest, BTreeMap<ActionKey, Vec<u8>>)> {
        let mut closure = Closure::default();
        for target in targets {
            closure.add(self, *target)?;
        }
        if let Some(missing) = closure.missing.first() {
            return Err(StoreError::Missing {
                digest: missing.digest(),
            });
        }
        let mut manifest = Manifest {
            targets: targets.iter().copied().collect(),
            ..Manifest::default()
        };
        for digest in closure.objects {
            let size = self
                .open_object(&digest)?
                .metadata()
                .context("examine", self.object_path(&digest))?
                .len();
            manifest.objects.insert(digest, size);
        }
        let mut results = BTreeMap::new();
        for key in closure.results {
            let bytes = self
                .fs()
                .read_bounded(&result_rel(&key), MAX_RESULT_BYTES)?
                .ok_or(StoreError::Missing { digest: key.0 })?;
            let blob = Blob {
                digest: Digest::of(&bytes),
                size: bytes.len() as u64,
            };
            manifest.results.insert(key, blob);
            results.insert(key, bytes);
        }
        Ok((manifest, results))
    }

    /// Takes an archive in. Each object is checked before it is named; results become visible last,
    /// when everything they name is there.
    ///
    /// # Errors
    /// [`StoreError::Untrusted`] before anything is stored, [`StoreError::BadArchive`] for anything
    /// that [`Store::export`] would not have written. Objects that were whole by then may stay,
    /// as garbage.
    pub fn import(&self, archive: &mut dyn Read, trust: &Trust) -> Result<ImportReport> {
        let unreadable = |e: io::Error| bad(format!("it cannot be read ({e})"));
        let mut decoder = zstd::stream::read::Decoder::new(archive).map_err(unreadable)?;
        decoder.window_log_max(MAX_WINDOW_LOG).map_err(unreadable)?;
        let mut tar = tar::Archive::new(decoder);
        let mut entries = Entries {
            entries: tar.entries().map_err(unreadable)?.raw(true),
            peeked: None,
        };
        let text = entries.bytes(MANIFEST, MAX_MANIFEST_BYTES)?;
        let manifest = Manifest::parse(&text).map_err(bad)?;
        let signatures = match entries.next_is(SIGNATURE)? {
            true => entries.bytes(SIGNATURE, 64 * 1024)?,
            false => Vec::new(),
        };
        let signer = check_trust(trust, &text, &signatures)?;

        let mut bytes = 0u64;
        for (digest, size) in &manifest.objects {
            let mut entry = entries.expect(&format!("objects/{digest}"), Some(*size))?;
            let mut writer = self.object_writer()?;
            match io::copy(&mut entry, &mut writer) {
                Ok(n) if n == *size => {}
                Ok(_) => return Err(bad("it ends too early".into())),
                Err(e) => {
                    return Err(match e.downcast::<StoreError>() {
                        Ok(error) => error,
                        Err(e) => unreadable(e),
                    });
                }
            }
            writer.finish_expecting(digest, *size)?;
            bytes += size;
        }
        let mut results = Vec::new();
        for (key, blob) in &manifest.results {
            let path = format!("results/{key}");
            let text = entries.bytes(&path, MAX_RESULT_BYTES)?;
            if Digest::of(&text) != blob.digest {
                return Err(bad(format!("{path} is not what the manifest says")));
            }
            let result = ActionResult::decode(&text, key)?;
            // What this store knows from its own building stays.
            if self.result(key)?.is_none() {
                results.push((*key, result));
            }
        }
        entries.end()?;
        self.check_whole(&manifest, &results)?;
        self.put_results(&results)?;
        Ok(ImportReport {
            targets: manifest.targets.into_iter().collect(),
            objects: manifest.objects.len() as u64,
            bytes,
            signer,
        })
    }

    /// Refuses results and targets that name something that is not there.
    fn check_whole(
        &self,
        manifest: &Manifest,
        results: &[(ActionKey, ActionResult)],
    ) -> Result<()> {
        let mut closure = Closure::default();
        for output in results.iter().flat_map(|(_, r)| r.outputs.values()) {
            closure.add(self, target_of(output))?;
        }
        for target in &manifest.targets {
            match target {
                RootTarget::Result(key) if manifest.results.contains_key(key) => {}
                RootTarget::Result(key) => return Err(StoreError::Missing { digest: key.0 }),
                _ => closure.add(self, *target)?,
            }
        }
        if let Some(missing) = closure.missing.first() {
            return Err(StoreError::Missing {
                digest: missing.digest(),
            });
        }
        let hold = self.hold()?;
        let objects = closure.objects.iter().map(|digest| {
            Output::Object(Blob {
                digest: *digest,
                size: 0,
            })
        });
        hold.record(objects)?;
        for digest in &closure.objects {
            if !self.exists(digest)? {
                return Err(StoreError::Missing { digest: *digest });
            }
        }
        Ok(())
    }
}

fn bad(reason: String) -> StoreError {
    StoreError::BadArchive { reason }
}

fn signature_line(key: &SecretKey, manifest: &[u8]) -> String {
    let mut line = format!("ed25519 {} ", key.public());
    for byte in key.sign(manifest) {
        // Writing to a String does not fail.
        let _infallible = write!(line, "{byte:02x}");
    }
    line.push('\n');
    line
}

fn check_trust(trust: &Trust, manifest: &[u8], signatures: &[u8]) -> Result<Option<PublicKey>> {
    let keys = match trust {
        Trust::Keys(keys) => keys,
        Trust::Anyone => return Ok(None),
    };
    let untrusted = |reason: String| Err(StoreError::Untrusted { reason });
    if signatures.is_empty() {
        return untrusted("it has no signature".into());
    }
    let text = std::str::from_utf8(signatures).unwrap_or_default();
    let mut seen = Vec::new();
    for line in text.lines() {
        let Some((key, signature)) = parse_signature(line) else {
            return untrusted("its signature is not understood".into());
        };
        if keys.contains(&key) {
            if key.verifies(manifest, &signature) {
                return Ok(Some(key));
            }
            return untrusted(format!("its signature by {key} is wrong"));
        }
        seen.push(key.to_string());
    }
    untrusted(format!("it is signed by {}", seen.join(", ")))
}

fn parse_signature(line: &str) -> Option<(PublicKey, [u8; 64])> {
    let (key, signature) = line.strip_prefix("ed25519 ")?.split_once(' ')?;
    let (first, second) = signature.as_bytes().split_at_checked(64)?;
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&Digest::from_hex(first).ok()?.0);
    bytes[32..].copy_from_slice(&Digest::from_hex(second).ok()?.0);
    Some((key.parse().ok()?, bytes))
}

/// Hashes what is read.
struct Checked<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

type Entry<'a, R> = tar::Entry<'a, R>;

/// The entries of an archive, of which each must be the expected one.
struct Entries<'a, R: Read> {
    entries: tar::Entries<'a, R>,
    peeked: Option<Entry<'a, R>>,
}

impl<'a, R: Read> Entries<'a, R> {
    fn peek(&mut self) -> Result<Option<&mut Entry<'a, R>>> {
        if self.peeked.is_none() {
            self.peeked = match self.entries.next() {
                Some(Ok(entry)) => Some(entry),
                Some(Err(e)) => return Err(bad(format!("it cannot be read ({e})"))),
                None => None,
            };
        }
        Ok(self.peeked.as_mut())
    }

    fn next_is(&mut self, path: &str) -> Result<bool> {
        let entry = self.peek()?;
        Ok(entry.is_some_and(|e| e.path_bytes() == path.as_bytes()))
    }

    /// The next entry, which must be the regular file of that name and size.
    fn expect(&mut self, path: &str, size: Option<u64>) -> Result<Entry<'a, R>> {
        self.peek()?;
        let Some(entry) = self.peeked.take() else {
            return Err(bad(format!("it ends before {path}")));
        };
        if entry.path_bytes() != path.as_bytes()
            || entry.header().entry_type() != tar::EntryType::Regular
            || size.is_some_and(|size| size != entry.size())
        {
            return Err(bad(format!("{path} is not where or what it should be")));
        }
        Ok(entry)
    }

    fn bytes(&mut self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let entry = self.expect(path, None)?;
        let size = entry.size();
        if size > limit {
            return Err(bad(format!("{path} has more than {limit} bytes")));
        }
        let mut bytes = Vec::new();
        // Grows as bytes come, so a header alone cannot make us allocate.
        entry
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|e| bad(format!("{path} cannot be read ({e})")))?;
        if bytes.len() as u64 != size {
            return Err(bad(format!("it ends in the middle of {path}")));
        }
        Ok(bytes)
    }

    fn end(&mut self) -> Result<()> {
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(bad("it has entries that its manifest does not name".into())),
        }
    }
}

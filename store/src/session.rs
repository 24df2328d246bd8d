//! What running processes hold on to, so that a collection beside them takes nothing away.
//!
//! Invariant: a process records a digest in its session file, under the shared lock, before it
//! relies on the existence of what the digest names. A collection removes objects only under the
//! exclusive lock, after it has read all session files of living processes. So whatever a process
//! saw as existing stays until the process ends or a root or kept result names it.
//!
//! Operations that gather look-ups ([`Session::gather`]) keep the shared lock throughout, and record all
//! at once before they let go of it.
//!
//! A session file is `sessions/PID-N`, held by an exclusive lock for the life of the process; one
//! that can be locked is left over from a dead process. It consists of 33-byte records: a
//! kind and a digest.

use crate::error::{Context, Result};
use crate::fs::Fs;
use crate::{Digest, Output};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file whose lock separates users of objects from a collection.
const LOCK_FILE: &str = "sessions/lock";

const RECORD_BYTES: usize = 33;
const OBJECT: u8 = 1;
const TREE: u8 = 2;

/// One open store's session.
#[derive(Default)]
pub(crate) struct Session {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    own: Option<Own>,
    /// Number of [`Hold`]s alive in this process.
    holders: usize,
    /// Number of [`Gathering`]s alive in this process.
    gatherings: usize,
    /// Records that wait for the end of a gathering.
    pending: Vec<u8>,
}

impl State {
    fn write_pending(&mut self, fs: &Fs) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        match &mut self.own {
            Some(own) if !pending.is_empty() => fs.write(&mut own.records, &pending),
            _ => Ok(()),
        }
    }
}

struct Own {
    lock: File,
    records: File,
    name: String,
}

/// While this lives no object of the store is removed.
pub(crate) struct Hold<'a> {
    session: &'a Session,
    fs: &'a Fs,
}

/// A [`Hold`] that gathers what others record meanwhile, to write it in one piece.
pub(crate) struct Gathering<'a> {
    hold: Hold<'a>,
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the shared lock, waiting for a collection's removals to end.
    pub(crate) fn hold<'a>(&'a self, fs: &'a Fs) -> Result<Hold<'a>> {
        let mut state = self.lock();
        if state.own.is_none() {
            state.own = Some(begin(fs)?);
        } else if state.holders == 0
            && let Some(own) = &state.own
        {
            flock(&own.lock, FlockOperation::LockShared, fs)?;
        }
        state.holders += 1;
        drop(state);
        Ok(Hold { session: self, fs })
    }

    /// Takes the shared lock until the end of many operations, which then need not take it each.
    pub(crate) fn gather<'a>(&'a self, fs: &'a Fs) -> Result<Gathering<'a>> {
        let hold = self.hold(fs)?;
        self.lock().gatherings += 1;
        Ok(Gathering { hold })
    }

    /// Ends the session: nothing is held any more.
    pub(crate) fn end(&self, fs: &Fs) {
        if let Some(own) = self.lock().own.take() {
            // A file that stays is found unlocked and removed by the next collection.
            let _removed = fs.remove(&own.name);
        }
    }
}

impl Hold<'_> {
    /// Records what the caller is about to rely on.
    pub(crate) fn record(&self, outputs: impl IntoIterator<Item = Output>) -> Result<()> {
        let mut bytes = Vec::new();
        for output in outputs {
            let (kind, digest) = match output {
                Output::Object(blob) => (OBJECT, blob.digest),
                Output::Tree(digest) => (TREE, digest),
            };
            bytes.push(kind);
            bytes.extend_from_slice(&digest.0);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let mut state = self.session.lock();
        state.pending.append(&mut bytes);
        match state.gatherings {
            0 => state.write_pending(self.fs),
            _ => Ok(()),
        }
    }
}

impl Gathering<'_> {
    /// Writes what was gathered, and lets go of the lock.
    pub(crate) fn finish(self) -> Result<()> {
        self.hold.session.lock().write_pending(self.hold.fs)
    }
}

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        let mut state = self.hold.session.lock();
        state.gatherings = state.gatherings.saturating_sub(1);
        // Nothing is pending but where what was gathered for has failed anyway.
        let _written = state.write_pending(self.hold.fs);
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        state.holders = state.holders.saturating_sub(1);
        if state.holders == 0
            && let Some(own) = &state.own
        {
            // Closing the file would unlock it as well; unlocking does not fail.
            let _unlocked = rustix::fs::flock(&own.lock, FlockOperation::Unlock);
        }
    }
}

/// Starts a session and takes the shared lock.
fn begin(fs: &Fs) -> Result<Own> {
    let lock = fs.open_rw(LOCK_FILE)?;
    flock(&lock, FlockOperation::LockShared, fs)?;
    // Under the shared lock no collection can mistake the new file for an abandoned one.
    let pid = std::process::id();
    let mut n = 0u64;
    loop {
        let name = format!("sessions/{pid}-{n}");
        if let Some(records) = fs.create_new(&name)? {
            flock(&records, FlockOperation::NonBlockingLockExclusive, fs)?;
            return Ok(Own {
                lock,
                records,
                name,
            });
        }
        n += 1;
    }
}

fn flock(file: &File, operation: FlockOperation, fs: &Fs) -> Result<()> {
    loop {
        match rustix::fs::flock(file, operation) {
            Err(rustix::io::Errno::INTR) => {}
            done => return done.context("lock", fs.full(LOCK_FILE)),
        }
    }
}

/// The exclusive lock: while it lives nobody else relies on an object that is not recorded.
pub(crate) struct Exclusive {
    _lock: File,
}

/// Takes the exclusive lock, waiting for the operations under way in other processes (not for the
/// processes to end).
pub(crate) fn exclusive(fs: &Fs) -> Result<Exclusive> {
    let lock = fs.open_rw(LOCK_FILE)?;
    flock(&lock, FlockOperation::LockExclusive, fs)?;
    Ok(Exclusive { _lock: lock })
}

impl Exclusive {
    /// Everything that living processes rely on; the files of dead ones are removed.
    pub(crate) fn recorded(&self, fs: &Fs) -> Result<Vec<Recorded>> {
        let mut found = Vec::new();
        for entry in fs.list("sessions")? {
            let rel = format!("sessions/{}", entry.name);
            if entry.is_dir || rel == LOCK_FILE {
                continue;
            }
            let Some(mut file) = fs.read(&rel)? else {
                continue;
            };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                fs.remove(&rel)?;
                continue;
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)
                .context("read", fs.full(&rel))?;
            for record in bytes.chunks_exact(RECORD_BYTES) {
                let mut digest = [0; 32];
                digest.copy_from_slice(&record[1..]);
                let digest = Digest(digest);
                found.push(match record[0] {
                    TREE => Recorded::Tree(digest),
                    _ => Recorded::Object(digest),
                });
            }
        }
        Ok(found)
    }
}

/// What a living process relies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// One object.
    Object(Digest),
    /// A tree and everything it names.
    Tree(Digest),
}

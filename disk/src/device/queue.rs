//! Writes on their way to a device, a few at a time, while the caller prepares the next.

use nos_formats::aligned::AlignedBuffer;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Writes that the device is given at the same time: some are carried out while the next wait at
/// its door.
const IN_FLIGHT: usize = 4;

/// Buffers there are: those in flight, the one being filled, and one that waits.
const BUFFERS: usize = IN_FLIGHT + 2;

/// Bytes of a buffer that is taken: the largest write.
pub(super) const MAX_WRITE: usize = 4 << 20;

/// A write that failed, and where.
#[derive(Debug, thiserror::Error)]
#[error("{length} bytes at byte {offset}: {source}")]
pub struct FailedTransfer {
    /// Offset on the device, in bytes.
    pub offset: u64,
    /// Bytes that were to be moved.
    pub length: u64,
    /// What the system said.
    pub source: io::Error,
}

impl FailedTransfer {
    /// The error that a device gives, of the same kind and with the place in it.
    pub(super) fn at(offset: u64, length: u64) -> impl FnOnce(io::Error) -> io::Error {
        move |source| {
            let kind = source.kind();
            io::Error::new(
                kind,
                Self {
                    offset,
                    length,
                    source,
                },
            )
        }
    }
}

impl FailedTransfer {
    /// The same error with a place in it, where it has none yet.
    pub(crate) fn somewhere(range: &Range<u64>, error: io::Error) -> io::Error {
        match error.get_ref().is_some_and(|inner| inner.is::<Self>()) {
            true => error,
            false => Self::at(range.start, range.end - range.start)(error),
        }
    }
}

/// Threads that write, and what they share with the caller.
#[derive(Debug)]
pub(super) struct WriteQueue {
    files: Arc<Files>,
    shared: Arc<Shared>,
    /// None where the machine has no room for threads: then the caller writes.
    threads: Vec<JoinHandle<()>>,
}

/// Where writes go.
#[derive(Debug)]
struct Files {
    direct: Arc<File>,
    /// The same file without `O_DIRECT`, for where its file system takes that flag and then
    /// refuses what is written so.
    cached: Option<Arc<File>>,
}

impl Files {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let written = self.direct.write_all_at(bytes, offset);
        let written = match (written, &self.cached) {
            (Err(error), Some(cached)) if error.kind() == io::ErrorKind::InvalidInput => {
                cached.write_all_at(bytes, offset)
            }
            (written, _) => written,
        };
        written.map_err(FailedTransfer::at(offset, bytes.len() as u64))
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(u64, AlignedBuffer)>,
    /// Byte ranges that are being written.
    running: Vec<Range<u64>>,
    spare: Vec<AlignedBuffer>,
    /// Buffers made so far.
    made: usize,
    /// The first write that failed and was not told yet.
    failed: Option<io::Error>,
    closing: bool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    fn touches(&self, range: &Range<u64>) -> bool {
        let waiting = self
            .waiting
            .iter()
            .map(|(offset, bytes)| span(*offset, bytes));
        let mut all = waiting.chain(self.running.iter().cloned());
        all.any(|other| other.start < range.end && range.start < other.end)
    }
}

fn span(offset: u64, bytes: &[u8]) -> Range<u64> {
    offset..offset + bytes.len() as u64
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, busy: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.changed.wait_while(self.lock(), |state| busy(state));
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriteQueue {
    /// A queue in front of a file that was opened for direct writes. Where there is `cached`, the
    /// same file opened without that, it takes what cannot be written directly.
    pub(super) fn new(direct: Arc<File>, cached: Option<Arc<File>>) -> Self {
        let shared = Arc::new(Shared::default());
        let files = Arc::new(Files { direct, cached });
        let threads = (0..IN_FLIGHT)
            .filter_map(|_| {
                let (files, shared) = (Arc::clone(&files), Arc::clone(&shared));
                let thread = std::thread::Builder::new();
                thread.spawn(move || work(&files, &shared)).ok()
            })
            .collect();
        Self {
            files,
            shared,
            threads,
        }
    }

    /// A buffer of at most [`MAX_WRITE`] bytes and any content; waits for one to come back where
    /// all are in use.
    pub(super) fn buffer(&self, length: usize) -> AlignedBuffer {
        let mut state = self
            .shared
            .wait_while(|state| state.spare.is_empty() && state.made == BUFFERS);
        let mut buffer = state.spare.pop().unwrap_or_else(|| {
            state.made += 1;
            AlignedBuffer::new(length)
        });
        buffer.resize(length);
        buffer
    }

    /// Puts a write at the end. Two writes to the same place are carried out in their order.
    ///
    /// # Errors
    /// A write before this one failed.
    pub(super) fn push(&self, offset: u64, buffer: AlignedBuffer) -> io::Result<()> {
        let range = span(offset, &buffer);
        let mut state = self.shared.wait_while(|state| state.touches(&range));
        if let Some(error) = state.failed.take() {
            state.spare.push(buffer);
            return Err(error);
        }
        if self.threads.is_empty() {
            let result = self.files.write(offset, &buffer);
            state.spare.push(buffer);
            return result;
        }
        state.waiting.push_back((offset, buffer));
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Takes back a buffer that is not needed after all.
    pub(super) fn put_back(&self, buffer: AlignedBuffer) {
        self.shared.lock().spare.push(buffer);
        self.shared.changed.notify_all();
    }

    /// Waits until every write to a range is carried out.
    pub(super) fn settle(&self, range: &Range<u64>) {
        drop(self.shared.wait_while(|state| state.touches(range)));
    }

    /// Waits until every write is carried out.
    ///
    /// # Errors
    /// A write failed since this was last asked.
    pub(super) fn finish(&self) -> io::Result<()> {
        let mut state = self.shared.wait_while(|state| !state.is_idle());
        state.failed.take().map_or(Ok(()), Err)
    }
}

impl Drop for WriteQueue {
    /// Writes that nobody waited for may be left out, as a power cut would.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.waiting.clear();
        drop(state);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What each thread does.
fn work(files: &Files, shared: &Shared) {
    loop {
        let mut state = shared.wait_while(|state| state.waiting.is_empty() && !state.closing);
        let Some((offset, buffer)) = state.waiting.pop_front() else {
            return;
        };
        let range = span(offset, &buffer);
        state.running.push(range.clone());
        drop(state);
        let result = files.write(offset, &buffer);
        let mut state = shared.lock();
        state.running.retain(|running| *running != range);
        state.spare.push(buffer);
        if let Err(error) = result {
            let dropped: Vec<_> = state.waiting.drain(..).map(|(_, buffer)| buffer).collect();
            state.spare.extend(dropped);
            state.failed.get_or_insert(error);
        }
        drop(state);
        shared.changed.notify_all();
    }
}

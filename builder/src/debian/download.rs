//! Fetching a file of known digest and size into the store, going on where an earlier attempt
//! ended.

use super::environment::Environment;
use super::error::TransportError;
use super::mirror::Base;
use super::progress::Event;
use super::transport::Transport;
use nos_store::{Digest, PartialDownload, StoreError};
use std::io::Read;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is to be fetched.
pub(crate) struct Wanted<'a> {
    /// Its name for people.
    pub(crate) item: &'a str,
    /// Where it may be, below the mirror's root; tried in order.
    pub(crate) paths: &'a [String],
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Why it is not there.
#[derive(Debug)]
pub(crate) enum Failure {
    Transport(TransportError),
    /// The right number of bytes, or too many, and other ones. `resumed`: some were there from
    /// an earlier attempt and may be what is wrong.
    Mismatch {
        reason: String,
        resumed: bool,
    },
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Failure::Transport(error)
    }
}

impl Failure {
    fn is_passing(&self) -> bool {
        match self {
            Failure::Transport(error) => error.is_passing(),
            Failure::Mismatch { resumed, .. } => *resumed,
            Failure::Store(_) => false,
        }
    }

    fn reason(&self) -> String {
        match self {
            Failure::Transport(error) => error.to_string(),
            Failure::Mismatch { reason, .. } => reason.clone(),
            Failure::Store(error) => error.to_string(),
        }
    }
}

/// Fetches a file unless the store has it. Nothing is named in the store before its size and
/// digest were found right.
pub(crate) fn fetch(
    env: &Environment<'_>,
    transport: &Transport,
    base: &Base,
    wanted: &Wanted<'_>,
) -> Result<(), Failure> {
    let item = wanted.item;
    env.retry.run(
        || {
            // Whole downloads are named on the spot, so this is also the check after waiting
            // for another process that was at the same file.
            let mut partial = env.store.download(&wanted.digest)?;
            if env.store.contains(&wanted.digest)? {
                partial.discard()?;
                return Ok(());
            }
            let resumed = attempt(env, transport, base, wanted, &mut partial)?;
            match partial.finish(wanted.size) {
                Ok(_) => {
                    env.progress.event(Event::Finished { item });
                    Ok(())
                }
                Err(error @ StoreError::Mismatch { .. }) => Err(Failure::Mismatch {
                    reason: error.to_string(),
                    resumed,
                }),
                Err(error) => Err(error.into()),
            }
        },
        Failure::is_passing,
        |attempt, failure| {
            let reason = failure.reason();
            env.progress.event(Event::Retrying {
                item,
                attempt,
                reason: &reason,
            });
        },
    )
}

/// Brings the rest of the file; gives whether some of it was there before.
fn attempt(
    env: &Environment<'_>,
    transport: &Transport,
    base: &Base,
    wanted: &Wanted<'_>,
    partial: &mut PartialDownload,
) -> Result<bool, Failure> {
    let (item, size) = (wanted.item, wanted.size);
    if partial.resume_offset() > size {
        partial.restart()?;
    }
    if partial.resume_offset() == size && size > 0 {
        return Ok(true);
    }
    let mut incoming = Err(TransportError::NotFound {
        address: format!("{base}/{item}"),
    });
    for path in wanted.paths {
        incoming = transport.open(base, path, partial.resume_offset());
        if !matches!(incoming, Err(TransportError::NotFound { .. })) {
            break;
        }
    }
    let mut incoming = incoming?;
    if incoming.offset != partial.resume_offset() {
        partial.restart()?;
    }
    let resumed = partial.resume_offset() > 0;
    env.progress.event(Event::Started {
        item,
        done_bytes: partial.resume_offset(),
        total_bytes: Some(size),
    });
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let broken = |reason| TransportError::Broken {
            address: incoming.address.clone(),
            reason,
        };
        let read = match incoming.reader.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read.map_err(|error| broken(error.to_string()))?,
        };
        let done = partial.resume_offset();
        if read == 0 && done < size {
            return Err(broken(format!("it ended after {done} of {size} bytes")).into());
        }
        if read == 0 {
            return Ok(resumed);
        }
        if done + read as u64 > size {
            // Nothing of it can be right: do not go on from here the next time.
            partial.restart()?;
            let reason = format!("it is longer than {size} bytes");
            return Err(Failure::Mismatch { reason, resumed });
        }
        partial.push(&buffer[..read])?;
        env.progress.event(Event::Advanced {
            item,
            done_bytes: partial.resume_offset(),
            total_bytes: Some(size),
        });
    }
}

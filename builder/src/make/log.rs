//! What builds print: kept below the store, bounded, the newest ones.

use crate::error::BuildError;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folder below the store's root.
pub(crate) const LOGS: &str = "logs";

/// How many logs are kept.
const KEPT: usize = 200;

/// Last lines that a failure shows, and how much of them in bytes.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: usize = 8 << 10;

/// A log that is being written.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    tail: VecDeque<u8>,
}

/// A log that is whole.
pub(super) struct Finished {
    pub(super) path: PathBuf,
    /// Its last lines.
    pub(super) tail: String,
}

impl Log {
    pub(super) fn create(store: &Path, name: &str) -> Result<Self, BuildError> {
        let folder = store.join(LOGS);
        let path = folder.join(format!("{name}.log"));
        let trouble = |error| BuildError::Io {
            path: path.clone(),
            error,
        };
        fs::create_dir_all(&folder).map_err(trouble)?;
        forget_old(&folder).map_err(trouble)?;
        let file = File::create(&path).map_err(trouble)?;
        Ok(Self {
            path,
            file,
            tail: VecDeque::new(),
        })
    }

    pub(super) fn finish(self) -> Result<Finished, BuildError> {
        let bytes: Vec<u8> = self.tail.into();
        let text = String::from_utf8_lossy(&bytes);
        // Control characters would do things to a terminal.
        let clean = |line: &str| -> String {
            let line = line
                .rsplit('\r')
                .find(|part| !part.is_empty())
                .unwrap_or_default();
            line.chars()
                .filter(|c| *c == '\t' || !c.is_control())
                .collect()
        };
        let lines: Vec<String> = text.lines().map(clean).collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        Ok(Finished {
            path: self.path,
            tail,
        })
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.tail.extend(bytes);
        let excess = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..excess);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes the oldest logs where there are too many.
fn forget_old(folder: &Path) -> io::Result<()> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let time = entry.metadata().and_then(|m| m.modified());
        logs.push((time.unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
    }
    if logs.len() < KEPT {
        return Ok(());
    }
    logs.sort();
    for (_, path) in &logs[..=logs.len() - KEPT] {
        match fs::remove_file(path) {
            // Another process does the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

//! The crash boundary: every change to the store's files goes through [`Fs`].
//!
//! All paths are relative to the store's folder, which is held open, so a store may be moved while
//! it is in use. New files are unnamed (`O_TMPFILE`) until they are complete; where the file
//! system has no unnamed files they are made under `tmp/` and held by a lock, so that an
//! abandoned one can be told from one in use.

use crate::error::{Context, Result, StoreError};
use rustix::fs::{Access, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Folder for unfinished files, used only where `O_TMPFILE` does not work.
pub(crate) const TMP_DIR: &str = "tmp";

/// Mode of everything that is complete.
const READ_ONLY: Mode = Mode::from_raw_mode(0o444);

/// A store's folder.
pub(crate) struct Fs {
    root: OwnedFd,
    path: PathBuf,
    no_unnamed: AtomicBool,
    no_empty_path: AtomicBool,
    umask_known: AtomicBool,
    counter: AtomicU64,
    #[cfg(test)]
    faults: Option<std::sync::Arc<faults::Faults>>,
}

/// A new file that has no name yet.
pub(crate) struct Temp {
    file: File,
    /// Set where the file system has no unnamed files.
    name: Option<String>,
}

/// What [`Fs::link`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    /// The name is new.
    New,
    /// Something else had the name already; it was left alone.
    Existed,
}

/// One thing in a folder.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_dir: bool,
}

impl Fs {
    /// Opens the folder, which must exist.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).context("open the store", path)?;
        Ok(Self {
            root,
            path: path.to_path_buf(),
            no_unnamed: AtomicBool::new(false),
            no_empty_path: AtomicBool::new(false),
            umask_known: AtomicBool::new(false),
            counter: AtomicU64::new(0),
            #[cfg(test)]
            faults: None,
        })
    }

    /// The folder as it was named when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An absolute form of a path in the store, for messages and for callers.
    pub(crate) fn full(&self, rel: &str) -> PathBuf {
        self.path.join(rel)
    }

    /// Opens a file to read; `None` where there is none.
    pub(crate) fn read(&self, rel: &str) -> Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(&self.root, rel, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(fd.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e).context("open", self.full(rel)),
        }
    }

    /// A whole small file; `None` where there is none.
    ///
    /// A file of more than `limit` bytes is an error before anything is allocated for it.
    pub(crate) fn read_bounded(&self, rel: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(mut file) = self.read(rel)? else {
            return Ok(None);
        };
        let size = file.metadata().context("examine", self.full(rel))?.len();
        if size > limit {
            let error = io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it has {size} bytes, more than the {limit} such a file may have"),
            );
            return Err(error).context("read", self.full(rel));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        (&mut file)
            .take(limit)
            .read_to_end(&mut bytes)
            .context("read", self.full(rel))?;
        Ok(Some(bytes))
    }

    /// What is at a path; `None` where nothing is.
    pub(crate) fn stat(&self, rel: &str) -> Result<Option<Stat>> {
        match rustix::fs::statat(&self.root, rel, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(e).context("examine", self.full(rel)),
        }
    }

    /// Whether this user may make files in a folder.
    pub(crate) fn may_write(&self, rel: &str) -> Result<bool> {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        match rustix::fs::accessat(&self.root, rel, access, AtFlags::EACCESS) {
            Ok(()) => Ok(true),
            Err(Errno::ACCESS | Errno::ROFS | Errno::PERM) => Ok(false),
            Err(e) => Err(e).context("examine", self.full(rel)),
        }
    }

    /// What is in a folder, by name; nothing where there is no folder.
    pub(crate) fn list(&self, rel: &str) -> Result<Vec<Entry>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match rustix::fs::openat(&self.root, rel, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(e) => return Err(e).context("open", self.full(rel)),
        };
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::new(dir).context("list", self.full(rel))? {
            let entry = entry.context("list", self.full(rel))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "." || name == ".." {
                continue;
            }
            let is_dir = match entry.file_type() {
                FileType::Directory => true,
                FileType::Unknown => self
                    .stat(&format!("{rel}/{name}"))?
                    .is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory),
                _ => false,
            };
            entries.push(Entry { name, is_dir });
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Makes a folder if there is none.
    pub(crate) fn make_dir(&self, rel: &str) -> Result<()> {
        self.step("mkdir", rel)?;
        match rustix::fs::mkdirat(&self.root, rel, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(e).context("create", self.full(rel)),
        }
    }

    /// A new file without a name, to be filled and then given to [`Fs::link`].
    ///
    /// `near` is the folder it will live in, or one beside it.
    pub(crate) fn temp(&self, near: &str) -> Result<Temp> {
        self.step("temp", near)?;
        let mode = READ_ONLY;
        if !self.no_unnamed.load(Ordering::Relaxed) {
            let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
            match rustix::fs::openat(&self.root, near, flags, mode) {
                Ok(fd) => {
                    return Ok(Temp {
                        file: fd.into(),
                        name: None,
                    });
                }
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                    self.no_unnamed.store(true, Ordering::Relaxed);
                }
                Err(e) => return Err(e).context("create a file in", self.full(near)),
            }
        }
        self.named_temp(mode)
    }

    fn named_temp(&self, mode: Mode) -> Result<Temp> {
        self.make_dir(TMP_DIR)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let n = self.counter.fetch_add(1, Ordering::Relaxed);
            let name = format!("{TMP_DIR}/{}-{n}", std::process::id());
            let fd = match rustix::fs::openat(&self.root, name.as_str(), flags, mode) {
                Ok(fd) => fd,
                Err(Errno::EXIST) => continue,
                Err(e) => return Err(e).context("create", self.full(&name)),
            };
            rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)
                .context("lock", self.full(&name))?;
            // A collector may have taken the file for an abandoned one before it was locked.
            if rustix::fs::fstat(&fd)
                .context("examine", self.full(&name))?
                .st_nlink
                > 0
            {
                return Ok(Temp {
                    file: fd.into(),
                    name: Some(name),
                });
            }
        }
    }

    /// Gives a complete file its name, atomically, unless the name is taken.
    ///
    /// The file becomes read-only. The folder above `rel` is made where it is missing.
    pub(crate) fn link(&self, temp: &Temp, rel: &str) -> Result<Linked> {
        self.step("link", rel)?;
        self.make_read_only(temp, rel)?;
        let mut made_parent = false;
        loop {
            match self.try_link(temp, rel) {
                Ok(()) => return Ok(Linked::New),
                Err(Errno::EXIST) => return Ok(Linked::Existed),
                Err(Errno::NOENT) if !made_parent => {
                    made_parent = true;
                    if let Some((parent, _)) = rel.rsplit_once('/') {
                        self.make_dir(parent)?;
                    }
                }
                Err(e) => return Err(e).context("create", self.full(rel)),
            }
        }
    }

    /// Files are made with their last mode; only an unusual umask takes something of it away.
    fn make_read_only(&self, temp: &Temp, rel: &str) -> Result<()> {
        if self.umask_known.load(Ordering::Relaxed) {
            return Ok(());
        }
        let stat = rustix::fs::fstat(&temp.file).context("examine", self.full(rel))?;
        if Mode::from_raw_mode(stat.st_mode) == READ_ONLY {
            self.umask_known.store(true, Ordering::Relaxed);
            return Ok(());
        }
        rustix::fs::fchmod(&temp.file, READ_ONLY).context("change the mode of", self.full(rel))
    }

    fn try_link(&self, temp: &Temp, rel: &str) -> Result<(), Errno> {
        if let Some(name) = &temp.name {
            return rustix::fs::linkat(
                &self.root,
                name.as_str(),
                &self.root,
                rel,
                AtFlags::empty(),
            );
        }
        // By descriptor is the quicker way; kernels before 6.10 want a privilege for it.
        if !self.no_empty_path.load(Ordering::Relaxed) {
            match rustix::fs::linkat(&temp.file, "", &self.root, rel, AtFlags::EMPTY_PATH) {
                Err(Errno::NOENT | Errno::PERM | Errno::INVAL | Errno::ACCESS) => {}
                done => return done,
            }
        }
        let proc_path = format!("/proc/self/fd/{}", temp.file.as_raw_fd());
        let done = rustix::fs::linkat(
            rustix::fs::CWD,
            proc_path.as_str(),
            &self.root,
            rel,
            AtFlags::SYMLINK_FOLLOW,
        );
        if done.is_ok() {
            self.no_empty_path.store(true, Ordering::Relaxed);
        }
        done
    }

    /// Gives a complete file a name, atomically in place of what had it.
    pub(crate) fn replace(&self, temp: &Temp, rel: &str) -> Result<()> {
        if self.link(temp, rel)? == Linked::New {
            return Ok(());
        }
        self.make_dir(TMP_DIR)?;
        loop {
            let n = self.counter.fetch_add(1, Ordering::Relaxed);
            let aside = format!("{TMP_DIR}/{}-new-{n}", std::process::id());
            if self.link(temp, &aside)? == Linked::New {
                return self.rename(&aside, rel);
            }
        }
    }

    /// Renames a file over whatever has the new name.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.step("rename", to)?;
        let none = RenameFlags::empty();
        rustix::fs::renameat_with(&self.root, from, &self.root, to, none)
            .context("replace", self.full(to))
    }

    /// Removes a file; `false` where there was none.
    pub(crate) fn remove(&self, rel: &str) -> Result<bool> {
        self.step("remove", rel)?;
        match rustix::fs::unlinkat(&self.root, rel, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e).context("remove", self.full(rel)),
        }
    }

    /// Opens a file to read and write, creating it (empty) where there is none.
    pub(crate) fn open_rw(&self, rel: &str) -> Result<File> {
        self.step("open", rel)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o666);
        let open = || rustix::fs::openat(&self.root, rel, flags, mode).map(File::from);
        match open() {
            // A download that was cut off between becoming read-only and being named.
            Err(Errno::ACCESS) => {
                let ours = Mode::from_raw_mode(0o644);
                rustix::fs::chmodat(&self.root, rel, ours, AtFlags::empty()).and_then(|()| open())
            }
            opened => opened,
        }
        .context("open", self.full(rel))
    }

    /// Creates a file that must not exist; `None` where it does.
    pub(crate) fn create_new(&self, rel: &str) -> Result<Option<File>> {
        self.step("create", rel)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.root, rel, flags, Mode::from_raw_mode(0o666)) {
            Ok(fd) => Ok(Some(fd.into())),
            Err(Errno::EXIST) => Ok(None),
            Err(e) => Err(e).context("create", self.full(rel)),
        }
    }

    /// Writes to a file of the store.
    pub(crate) fn write(&self, file: &mut File, bytes: &[u8]) -> Result<()> {
        self.step("write", "")?;
        file.write_all(bytes).context("write to", &self.path)
    }

    /// Writes to an unnamed file.
    pub(crate) fn fill(&self, temp: &mut Temp, bytes: &[u8]) -> Result<()> {
        self.write(&mut temp.file, bytes)
    }

    /// Makes everything written so far to the store's file system outlast a power cut.
    pub(crate) fn sync_all(&self) -> Result<()> {
        self.step("sync", "")?;
        #[cfg(test)]
        if self.faults.is_some() {
            // Counted as a change, but not waited for.
            return Ok(());
        }
        rustix::fs::syncfs(&self.root).context("make durable", &self.path)
    }

    /// Makes the names in a folder outlast a power cut.
    pub(crate) fn sync_dir(&self, rel: &str) -> Result<()> {
        self.step("sync-dir", rel)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.root, rel, flags, Mode::empty())
            .and_then(rustix::fs::fsync)
            .context("make durable", self.full(rel))
    }

    #[cfg(not(test))]
    #[inline]
    #[allow(clippy::unused_self)]
    fn step(&self, _operation: &str, _rel: &str) -> Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self, operation: &str, rel: &str) -> Result<()> {
        match &self.faults {
            Some(faults) => faults
                .step(operation, rel)
                .context("write to", self.full(rel)),
            None => Ok(()),
        }
    }

    /// Behaves as on a file system without `O_TMPFILE`.
    #[cfg(test)]
    pub(crate) fn forbid_unnamed(&mut self) {
        self.no_unnamed = AtomicBool::new(true);
    }

    /// Makes every later change pass through `faults`.
    #[cfg(test)]
    pub(crate) fn set_faults(&mut self, faults: std::sync::Arc<faults::Faults>) {
        self.faults = Some(faults);
    }
}

impl Temp {
    /// The file itself, for reading back or cloning into.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Removes the fallback's name; unnamed files vanish by themselves.
    pub(crate) fn discard(mut self, fs: &Fs) {
        if let Some(name) = self.name.take() {
            // What cannot be removed now is removed by the next collection.
            let _: Result<bool, StoreError> = fs.remove(&name);
        }
    }
}

#[cfg(test)]
pub(crate) mod faults {
    //! Failing on purpose, at a chosen change.

    use std::io;
    use std::sync::{Arc, Mutex};

    /// Lets a number of changes pass and then refuses all, as a full disk or a dead process does;
    /// remembers those that passed.
    pub(crate) struct Faults {
        limit: usize,
        log: Mutex<Vec<String>>,
    }

    impl Faults {
        pub(crate) fn after(changes: usize) -> Arc<Self> {
            Arc::new(Self {
                limit: changes,
                log: Mutex::default(),
            })
        }

        /// The changes that passed: `OPERATION PATH` each.
        pub(crate) fn log(&self) -> Vec<String> {
            self.log.lock().unwrap().clone()
        }

        pub(super) fn step(&self, operation: &str, rel: &str) -> io::Result<()> {
            let mut log = self.log.lock().unwrap();
            if log.len() >= self.limit {
                return Err(io::ErrorKind::StorageFull.into());
            }
            log.push(format!("{operation} {rel}"));
            Ok(())
        }
    }
}

//! From a [`Job`] to a process that stands in its sandbox and waits to be let go.

use crate::child::{self, Message, Place, Plan, Step};
use crate::clock;
use crate::error::SandboxError;
use crate::filter;
use crate::job::Job;
use crate::probe;
use crate::sys::{self, Cloned, Texts};
use crate::user::{self, INSIDE, User};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags,
    SocketType,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Names of the root that the sandbox makes itself.
const OWN: [&str; 5] = ["build", "dev", "out", "proc", "tmp"];

/// Device files of the machine that are safe for everybody.
const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];

/// Links below `/dev`.
const DEVICE_LINKS: [(&str, &str); 4] = [
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
];

/// Bytes of the file system for each file that it may hold, so that empty files are limited too.
const BYTES_PER_FILE: u64 = 8192;

/// Numbers of processes that are not given a second time (`RESERVED_PIDS` of kernel/pid.c).
const RESERVED_NUMBERS: u64 = 300;

/// The file system that a command may write to. It is gone when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: OwnedFd,
    user: User,
}

impl Scratch {
    /// Where this process reaches it: its folders are `build`, `out`, `tmp` and `shm`. The path is
    /// of use to this process alone, and while the scratch lives.
    ///
    /// While a command runs, links in it may change under a reader's hands: read it before
    /// [`crate::Sandbox::run`] and after.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()))
    }

    /// Calls `action`, which puts files into it, so that they belong to the command.
    ///
    /// # Errors
    /// [`SandboxError::Setup`] where this process may not make files for the command's user.
    pub fn fill<T: Send>(
        &self,
        action: impl FnOnce(PathBuf) -> T + Send,
    ) -> Result<T, SandboxError> {
        let path = self.path();
        let done = self.user.making_files(|| action(path));
        done.map_err(|error| SandboxError::Setup {
            step: "filling its folders",
            error: error.into(),
        })
    }

    /// How many bytes are free in it.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let status = rustix::fs::fstatvfs(&self.folder).ok()?;
        Some(status.f_bavail.saturating_mul(status.f_frsize)).filter(|_| status.f_favail > 0)
    }
}

/// A process that is the first of its namespace.
pub(crate) struct Spawned {
    pub(crate) id: i32,
    pub(crate) process: OwnedFd,
    pub(crate) control: OwnedFd,
    /// What it prints; `None` where it talks to the terminal.
    pub(crate) output: Option<OwnedFd>,
    pub(crate) scratch: Scratch,
}

/// Makes the sandbox of a job. Its process waits.
pub(crate) fn spawn(job: &Job) -> Result<Spawned, SandboxError> {
    let setup = |step| {
        move |error: Errno| SandboxError::Setup {
            step,
            error: error.into(),
        }
    };
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(setup("making a socket"))?;
    let (output, printed) = match job.interactive {
        true => (None, None),
        false => {
            let flags = rustix::pipe::PipeFlags::CLOEXEC;
            let (read, write) = rustix::pipe::pipe_with(flags).map_err(setup("making a pipe"))?;
            (Some(read), Some(write))
        }
    };
    let (plan, sources) = plan(job, theirs, printed)?;
    let user = plan.user;
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWCGROUP;
    // SAFETY: `child::main` keeps to what is allowed between fork and exec and never returns.
    let cloned = unsafe { sys::clone(flags) }.map_err(probe::refused)?;
    let (id, process) = match cloned {
        Cloned::Child => child::main(plan),
        Cloned::Parent(id, process) => (id, process),
    };
    drop(plan);
    let guard = KillOnDrop(Some(process));
    map_user(id, user)?;
    go_on(&ours).map_err(setup("talking to the sandbox"))?;
    let folder = match receive(&ours).map_err(setup("talking to the sandbox"))? {
        Some((Message::Ready, Some(folder))) => folder,
        Some((Message::Failed(step, error), _)) => return Err(failed(step, error, &sources)),
        _ => return Err(setup("starting its first process")(Errno::PIPE)),
    };
    let process = guard.disarm();
    Ok(Spawned {
        id,
        process: process.ok_or(setup("starting its first process")(Errno::SRCH))?,
        control: ours,
        output,
        scratch: Scratch { folder, user },
    })
}

/// Ends a half-made sandbox.
struct KillOnDrop(Option<OwnedFd>);

impl KillOnDrop {
    fn disarm(mut self) -> Option<OwnedFd> {
        self.0.take()
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(process) = &self.0 {
            end(process);
        }
    }
}

/// Ends the first process of a sandbox, and with it all others; waits until they are gone.
pub(crate) fn end(process: &OwnedFd) {
    // It may have ended by itself.
    let _ = rustix::process::pidfd_send_signal(process, rustix::process::Signal::KILL);
    let id = rustix::process::WaitId::PidFd(process.as_fd());
    let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
}

pub(crate) fn failed(step: Step, error: Errno, sources: &[PathBuf]) -> SandboxError {
    let io: io::Error = error.into();
    match step {
        Step::Input(at) => SandboxError::Input {
            path: sources.get(at).cloned().unwrap_or_default(),
            error: io,
        },
        // The first things that a namespace without power cannot do.
        Step::Loopback | Step::Mounts | Step::Proc
            if matches!(error, Errno::PERM | Errno::ACCESS) =>
        {
            probe::refused(error)
        }
        _ => SandboxError::Setup {
            step: step.describe(),
            error: io,
        },
    }
}

/// Tells the process to go on.
pub(crate) fn go_on(control: &OwnedFd) -> Result<(), Errno> {
    rustix::net::send(control, &[1], SendFlags::NOSIGNAL).map(drop)
}

/// The next message; `None` where the process has ended.
pub(crate) fn receive(control: &OwnedFd) -> Result<Option<(Message, Option<OwnedFd>)>, Errno> {
    let mut bytes = [0; Message::BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [io::IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(control, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            done => break done?,
        }
    };
    let mut descriptor = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptor = descriptors.last().or(descriptor);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    Ok(Some((Message::decode(bytes), descriptor)))
}

/// Makes the machine's user and group 1000 inside, and lets nobody else in.
fn map_user(id: i32, user: User) -> Result<(), SandboxError> {
    let write = |file: &str, text: String| {
        std::fs::write(format!("/proc/{id}/{file}"), text).map_err(|error| {
            let number = error.raw_os_error().unwrap_or(libc::EPERM);
            probe::refused(Errno::from_raw_os_error(number))
        })
    };
    let (number, group) = user.ids();
    if user == User::Caller {
        // Else an ordinary user may not map a group.
        write("setgroups", "deny".into())?;
    }
    write("uid_map", format!("{INSIDE} {number} 1"))?;
    write("gid_map", format!("{INSIDE} {group} 1"))
}

/// Decides whose processes run inside; takes the inputs for them where that has to be done from here.
fn choose_user(places: &mut [Place]) -> User {
    if !rustix::process::geteuid().is_root() || !user::can_be_apart() {
        return User::Caller;
    }
    let inputs = places.iter().filter(|place| !place.device);
    let taken: Option<Vec<_>> = inputs
        .map(|place| user::input_for_apart(&place.source))
        .collect();
    let Some(taken) = taken else {
        return User::Caller;
    };
    let inputs = places.iter_mut().filter(|place| !place.device);
    for (place, mount) in inputs.zip(taken) {
        place.mount = Some(mount);
    }
    User::Apart
}

/// Everything that the child needs, in memory before it exists.
fn plan(
    job: &Job,
    control: OwnedFd,
    output: Option<OwnedFd>,
) -> Result<(Plan, Vec<PathBuf>), SandboxError> {
    let mut layout = Layout::default();
    for name in OWN {
        layout.folder(name)?;
    }
    for name in DEVICES {
        layout.input(&Path::new("/dev").join(name), &format!("dev/{name}"), true)?;
    }
    for (name, target) in DEVICE_LINKS {
        layout.links.insert(name.into(), target.into());
    }
    let clock = match job.clock_s {
        Some(second) => Some(clock::library(second).ok_or(wrong("the clock has no start".into()))?),
        None => None,
    };
    if clock.is_some() {
        // The file in there that tells of the clock.
        layout.folder("etc")?;
    }
    if let Some(root) = &job.root {
        layout.root(root, "", clock.is_some())?;
    }
    for input in &job.inputs {
        layout.input(&input.source, &input.target, false)?;
    }
    let Some(program) = job.command.first() else {
        return Err(wrong("there is no command".into()));
    };
    let space = job.limits.space_bytes;
    let scratch_size = text(&space.to_string())?;
    let scratch_files = text(&(space / BYTES_PER_FILE).max(1024).to_string())?;
    let most = ceiling(job.limits.processes);
    let mut environment = Vec::new();
    for (name, value) in &job.env {
        environment.push(text(&format!("{name}={value}"))?);
    }
    let arguments = job.command.iter().map(|word| text(word));
    let sources = layout.places.iter().map(|(source, _)| source.clone());
    let sources: Vec<PathBuf> = sources.collect();
    let mut places = Vec::new();
    for (source, (target, device)) in layout.places {
        places.push(Place {
            source: path_text(&source)?,
            target: text(&target)?,
            device,
            mount: None,
        });
    }
    let user = choose_user(&mut places);
    if let Some(output) = &output {
        user.own(output).map_err(|error| SandboxError::Setup {
            step: "making a pipe",
            error: error.into(),
        })?;
    }
    let mounts = places.iter().filter_map(|place| place.mount.as_ref());
    let descriptors = [&control].into_iter().chain(&output).chain(mounts);
    let mut keep: Vec<u32> = descriptors
        .map(|fd| fd.as_raw_fd().cast_unsigned())
        .collect();
    keep.sort_unstable();
    // The kernel counts the processes of every user but root, and who in a namespace is root outside
    // is not known.
    let process_numbers = match user == User::Caller && user::may_be_root() {
        true => Some(text(&most.saturating_add(RESERVED_NUMBERS).to_string())?),
        false => None,
    };
    let mut links = Vec::new();
    for (name, target) in layout.links {
        links.push((text(&name)?, path_text(&target)?));
    }
    let folders = layout.folders.iter().map(|name| text(name));
    let files = layout.files.iter().map(|name| text(name));
    let plan = Plan {
        control,
        output,
        user,
        keep,
        places,
        folders: folders.collect::<Result<_, _>>()?,
        files: files.collect::<Result<_, _>>()?,
        links,
        clock,
        clocks: text(&clock::monotonic_offsets())?,
        scratch_size,
        scratch_files,
        program: text(program)?,
        arguments: Texts::new(arguments.collect::<Result<_, _>>()?),
        environment: Texts::new(environment),
        folder: text(&job.folder)?,
        memory_bytes: job.limits.memory_bytes,
        processes: most,
        process_numbers,
        processors: processors(job.cores),
        filter: filter::program(),
        interactive: job.interactive,
    };
    Ok((plan, sources))
}

/// How many processes the kernel allows a command that may have `processes`: some more, so that one
/// which passes its limit is seen to and ended, instead of living on with what fails in it.
fn ceiling(processes: u64) -> u64 {
    processes.saturating_add(processes / 4).saturating_add(16)
}

/// The processors that a command may use.
fn processors(wanted: Option<usize>) -> Option<rustix::thread::CpuSet> {
    let wanted = wanted?;
    let all = rustix::thread::sched_getaffinity(None).ok()?;
    let mut chosen = rustix::thread::CpuSet::new();
    let usable = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu));
    for cpu in usable.take(wanted.max(1)) {
        chosen.set(cpu);
    }
    Some(chosen)
}

/// What the root holds besides the scratch.
#[derive(Default)]
struct Layout {
    /// Source, and its place without the first `/` and whether it is a device.
    places: Vec<(PathBuf, (String, bool))>,
    /// Folders to make, each behind its parent.
    folders: BTreeSet<String>,
    /// Empty files that inputs are mounted on.
    files: BTreeSet<String>,
    links: BTreeMap<String, PathBuf>,
}

impl Layout {
    /// Adds a folder and those above it.
    fn folder(&mut self, name: &str) -> Result<(), SandboxError> {
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.folder(parent)?;
        }
        if self.links.contains_key(name) || self.places.iter().any(|(_, (at, _))| at == name) {
            return Err(wrong(format!(
                "/{name} is an input, nothing can lie below it"
            )));
        }
        self.folders.insert(name.into());
        Ok(())
    }

    fn input(&mut self, source: &Path, target: &str, device: bool) -> Result<(), SandboxError> {
        let unreachable = |error| SandboxError::Input {
            path: source.to_path_buf(),
            error,
        };
        let name = target.strip_prefix('/').unwrap_or(target);
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(wrong(format!("{target:?} is no place for an input")));
        }
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.folder(parent)?;
        }
        if self.folders.contains(name) || self.files.contains(name) || self.links.contains_key(name)
        {
            return Err(wrong(format!("two things are to be at /{name}")));
        }
        // The child changes its folder and root.
        let source = source.canonicalize().map_err(unreachable)?;
        if source.is_dir() {
            self.folders.insert(name.into());
        } else {
            self.files.insert(name.into());
        }
        self.places.push((source, (name.into(), device)));
        Ok(())
    }

    /// Adds the names of a folder, which belong below `place`; with `open_etc` those of its `etc`.
    fn root(&mut self, folder: &Path, place: &str, open_etc: bool) -> Result<(), SandboxError> {
        let unreachable = |error| SandboxError::Input {
            path: folder.to_path_buf(),
            error,
        };
        for entry in std::fs::read_dir(folder).map_err(unreachable)? {
            let entry = entry.map_err(unreachable)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(wrong(format!(
                    "a name in {} is not UTF-8",
                    folder.display()
                )));
            };
            let name = format!("{place}{name}");
            let kind = entry.file_type().map_err(unreachable)?;
            if OWN.contains(&name.as_str()) || name.as_bytes() == clock::LIST.to_bytes() {
                continue;
            }
            if kind.is_symlink() {
                let target = std::fs::read_link(entry.path()).map_err(unreachable)?;
                self.links.insert(name, target);
            } else if open_etc && name == "etc" && kind.is_dir() {
                self.root(&entry.path(), "etc/", false)?;
            } else {
                self.input(&entry.path(), &name, false)?;
            }
        }
        Ok(())
    }
}

fn wrong(reason: String) -> SandboxError {
    SandboxError::Job { reason }
}

fn text(text: &str) -> Result<CString, SandboxError> {
    CString::new(text).map_err(|_| wrong(format!("{text:?} has a NUL character")))
}

fn path_text(path: &Path) -> Result<CString, SandboxError> {
    let bytes = path.as_os_str().as_bytes();
    CString::new(bytes).map_err(|_| wrong(format!("{} has a NUL character", path.display())))
}

/// A descriptor of nothing in particular, for the child's standard input.
pub(crate) fn null(mode: rustix::fs::OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(c"/dev/null", mode | OFlags::CLOEXEC, Mode::empty())
}

/// Whether a descriptor has something to say.
pub(crate) fn poll_two(
    first: BorrowedFd<'_>,
    second: Option<BorrowedFd<'_>>,
    timeout: std::time::Duration,
) -> Result<(bool, bool), Errno> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let wait = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let mut list = [
        PollFd::from_borrowed_fd(first, PollFlags::IN),
        PollFd::from_borrowed_fd(second.unwrap_or(first), PollFlags::IN),
    ];
    let watched = if second.is_some() { 2 } else { 1 };
    match poll(&mut list[..watched], Some(&wait)) {
        Err(Errno::INTR) => return Ok((false, false)),
        done => done?,
    };
    let some = |at: usize| !list[at].revents().is_empty();
    Ok((some(0), second.is_some() && some(1)))
}

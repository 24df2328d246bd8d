//! `nos trim --trace`: what services really open, seen in a machine that runs them untrimmed.

use super::no_image;
use crate::args::TrimArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::scratch::{HeldSignals, Scratch};
use crate::tools;
use crate::units::human_size;
use crate::verbs::build::{self, Made};
use crate::verbs::image::write_image;
use crate::verbs::run::{SECTOR_SIZE, forwards, power_off};
use crate::verbs::{Outcome, check, lock};
use nos_builder::build::{Built, Composition};
use nos_builder::trim::trace::{Findings, Heard, compare, traced};
use nos_formats::tree::TreePath;
use nos_machine::{Config, Disk, Vm};
use nos_manifest::TRACE_BEGINS;
use nos_store::Blob;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait before looking at the machine again.
const GLANCE: Duration = Duration::from_millis(50);

/// How long the services may take until all of them are healthy.
const READY_LIMIT: Duration = Duration::from_secs(600);

/// What `init` says when all services are healthy.
const READY: &str = "] nos: ready in ";

/// Files and folders of what was not opened that are shown without `--explain`.
const SHOWN: usize = 12;

/// From how many unopened files of a folder on they are shown as one.
const MANY: usize = 3;

/// One image, and what was opened of it.
#[derive(Serialize)]
struct Traced {
    image: String,
    /// The block of the spec that has its attributes.
    block: String,
    /// Whether no news of something opened was lost.
    whole: bool,
    opened: Vec<Opened>,
    /// Folders that were listed and are not in the trimmed image.
    folders: Vec<String>,
    /// What `keep` needs besides, so that all that was opened stays.
    keep: Vec<String>,
    /// What stays and was not opened, the largest first.
    not_opened: Vec<Idle>,
}

#[derive(Serialize)]
struct Opened {
    path: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    by: Vec<String>,
    stays: bool,
}

#[derive(Serialize)]
struct Idle {
    path: String,
    folder: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    because: Vec<String>,
}

pub(super) fn trace(context: &Context, args: &TrimArgs) -> Outcome {
    let project = check::load(context, &args.spec.spec)?;
    let store = context.open_store()?;
    let system = project.system()?.clone();
    let lock = lock::ensure(context, &store, &project, false)?;
    let variant = traced(&system);
    let built = {
        let archive = lock::Archive::new(context, &store, system.debian.mirror.as_deref());
        let session = build::session(context, &store, &project);
        let build = || session.build_aside(&variant, &lock, &archive.environment());
        let built = context.shell.watch(build);
        built.map_err(|error| check::explained(context, &project, error))?
    };
    let session = build::session(context, &store, &project);
    // Before the boot: they say also what cannot work at all.
    let explained = |error| check::explained(context, &project, error);
    let trimmed = session.compositions(&system, &lock).map_err(explained)?;
    if let Some(wanted) = &args.image
        && !trimmed.contains_key(wanted)
    {
        return Err(no_image(wanted, &trimmed));
    }
    let whole = session.compositions(&variant, &lock).map_err(explained)?;
    let made = Made {
        store,
        project,
        built,
    };
    let heard = listen(context, args, &made)?;
    let wanted = |name: &String| args.image.as_ref().is_none_or(|wanted| wanted == name);
    let images = trimmed
        .iter()
        .filter(|(name, composition)| wanted(name) && composition.reach.is_some())
        .filter_map(|(name, composition)| Some((name, composition, whole.get(name)?)));
    let images: Vec<Traced> = images
        .map(|(name, trimmed, whole)| report(name, &made.built, trimmed, whole, &heard))
        .collect();
    if images.iter().any(|image| !image.whole) {
        context.shell.warn(
            "some news of what was opened were lost on the way, so more may be needed than is \
             listed; give the machine less to do at once",
        );
    }
    context.shell.result(&images, |images| {
        let mut text = String::new();
        for image in images {
            text.push_str(&said(image, args.explain));
        }
        if images.is_empty() {
            text.push_str("no image of this host is trimmed: each says trim = false");
        }
        text
    })?;
    Ok(())
}

/// Runs the machine, has it do what the arguments say, and gives what was opened meanwhile.
fn listen(context: &Context, args: &TrimArgs, made: &Made) -> Result<Heard, Failure> {
    let toolbox = tools::toolbox(context, &made.store)?;
    let folder = Scratch::folder("nos-trace-")?;
    let disk = folder.path().join("disk.img");
    write_image(context, made, &disk, None, SECTOR_SIZE)?;
    let system = &made.built.system;
    let mut config = Config::new(std::env::temp_dir());
    config.memory_bytes = system.machine.memory_bytes;
    config.cpus = system.machine.cpus;
    config.disks = vec![Disk::new(disk)];
    config.forwards = forwards(system, &[]);
    let mut machine = Vm::start(&toolbox, &config)?;
    // QEMU has it open; without a name it is gone however this ends.
    drop(folder);
    let signals = HeldSignals::hold();
    let state = Arc::new(Mutex::new(Listening::default()));
    let reader = {
        let (lines, state) = (machine.console().lines(), Arc::clone(&state));
        let quiet = context.shell.quiet();
        std::thread::spawn(move || {
            for line in lines {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                if !state.take(&line) && !quiet {
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
            }
        })
    };
    context.shell.status(
        "Tracing",
        format_args!(
            "{} with nothing trimmed; Ctrl-C ends it",
            made.built.system.manifest.host
        ),
    );
    let mut run = Run {
        context,
        machine: &mut machine,
        signals: &signals,
        state: &state,
    };
    let exercised = run.exercise(args);
    // Whatever came of it, the machine ends well: what is opened at the end counts too.
    let off = power_off(context, &mut machine, &signals);
    let _ = reader.join();
    exercised.and(off)?;
    let state = std::mem::take(&mut *state.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(state.heard)
}

/// What the console has told.
#[derive(Default)]
struct Listening {
    heard: Heard,
    has_begun: bool,
    is_ready: bool,
}

impl Listening {
    /// Takes a line; whether it was about something opened.
    fn take(&mut self, line: &str) -> bool {
        self.has_begun |= line.ends_with(TRACE_BEGINS);
        self.is_ready |= line.contains(READY);
        self.heard.line(line)
    }
}

struct Run<'a> {
    context: &'a Context,
    machine: &'a mut Vm,
    signals: &'a HeldSignals,
    state: &'a Mutex<Listening>,
}

impl Run<'_> {
    /// Has the services do something.
    fn exercise(&mut self, args: &TrimArgs) -> Outcome {
        let state = self.state;
        let look = || {
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.is_ready, state.has_begun)
        };
        if self.wait(READY_LIMIT, || look().0)? == Waited::TooLong {
            return Err(Failure::failed(
                "the services are not healthy after ten minutes, so nothing is said of what they \
                 need; `nos run` shows what they say",
            ));
        }
        if !look().1 && self.signals.count() == 0 {
            return Err(Failure::failed(
                "this machine's kernel does not tell what is opened: it has no CONFIG_FANOTIFY; \
                 leave out that option, or trace with another kernel",
            ));
        }
        for command in &args.exec {
            self.run(command)?;
        }
        match (args.time, args.exec.is_empty()) {
            (Some(time), _) => self.wait(time, || false)?,
            (None, true) => {
                self.context.shell.status(
                    "Waiting",
                    "for Ctrl-C; use the services meanwhile, or let --exec do it",
                );
                self.wait(Duration::MAX, || false)?
            }
            (None, false) => Waited::Enough,
        };
        Ok(())
    }

    /// Waits until `is_enough`, Ctrl-C, or `limit`. A machine that ends before is an error.
    fn wait(&mut self, limit: Duration, is_enough: impl Fn() -> bool) -> Result<Waited, Failure> {
        let begun = Instant::now();
        loop {
            if self.machine.wait(GLANCE)?.is_some() {
                return Err(Failure::failed(
                    "the machine ended by itself; its last words above say why",
                ));
            }
            if is_enough() || self.signals.count() > 0 {
                return Ok(Waited::Enough);
            }
            if begun.elapsed() >= limit {
                return Ok(Waited::TooLong);
            }
        }
    }

    /// Runs a command of this machine, which finds the guest's ports in its environment.
    fn run(&mut self, command: &str) -> Outcome {
        if self.signals.count() > 0 {
            return Ok(());
        }
        self.context.shell.status("Running", command);
        let ports = self.machine.forwards().iter();
        let ports = ports.map(|port| (format!("NOS_PORT_{}", port.guest), port.host.to_string()));
        let mut child = Command::new("/bin/sh")
            .args(["-c", command])
            .envs(ports)
            .stdin(Stdio::null())
            // Standard output is for the report.
            .stdout(std::io::stderr())
            .spawn()
            .map_err(|error| Failure::failed(format_args!("/bin/sh cannot be run: {error}")))?;
        let failed = |error| Failure::failed(format_args!("waiting for {command:?}: {error}"));
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            // Ctrl-C reaches the command too; where it goes on, it is ended.
            if self.machine.wait(GLANCE)?.is_some() || self.signals.count() > 0 {
                let _ = child.kill();
            }
        };
        if status.success() || self.signals.count() > 0 {
            return Ok(());
        }
        Err(Failure::failed(format_args!(
            "--exec {command:?} ended with {status}, so the services did not do what they were to \
             show; ports of the machine are in its environment, such as $NOS_PORT_80"
        )))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    /// It came to pass, or somebody pressed Ctrl-C.
    Enough,
    TooLong,
}

fn report(
    name: &str,
    built: &Built,
    trimmed: &Composition,
    whole: &Composition,
    heard: &Heard,
) -> Traced {
    let manifest = &built.system.manifest;
    let services = manifest.services.iter().filter(|s| s.image == name);
    let services: BTreeSet<&str> = services.map(|s| s.name.as_str()).collect();
    let block = if services.contains(name) {
        "service"
    } else {
        "image"
    };
    let nothing = Default::default();
    let reach = trimmed.reach.as_ref().unwrap_or(&nothing);
    let Findings {
        opened,
        folders,
        keep,
        idle,
    } = compare(
        &whole.tree,
        &trimmed.tree,
        reach,
        heard.of(&services),
        |blob: &Blob| blob.size,
    );
    let package = |path: &TreePath| whole.owners.get(path).cloned();
    let opened = opened.into_iter().map(|opened| Opened {
        package: package(&opened.path),
        path: opened.path.to_string(),
        bytes: opened.bytes,
        by: opened.by,
        stays: opened.stays,
    });
    let idle = idle.into_iter().map(|(path, bytes)| Idle {
        package: package(&path),
        folder: path.parent().unwrap_or_default().to_string(),
        because: reach.reasons(&path).map(ToString::to_string).collect(),
        path: path.to_string(),
        bytes,
    });
    Traced {
        image: name.to_string(),
        block: format!("{block} {name}"),
        whole: heard.is_whole(),
        opened: opened.collect(),
        folders: folders.iter().map(ToString::to_string).collect(),
        keep,
        not_opened: idle.collect(),
    }
}

fn said(image: &Traced, all: bool) -> String {
    let (stay, lack): (Vec<&Opened>, Vec<&Opened>) = image.opened.iter().partition(|o| o.stays);
    let mut text = format!(
        "image {}: {} files were opened, {} of them are not in the trimmed image\n",
        image.image,
        image.opened.len(),
        lack.len()
    );
    let mut line = |bytes: u64, what: &str| {
        text.push_str(&format!("{:>10}  {what}\n", human_size(bytes)));
    };
    for opened in &lack {
        let package = opened.package.as_ref();
        let package = package.map_or_else(String::new, |package| format!(" (package {package})"));
        let by = opened.by.join(", ");
        line(opened.bytes, &format!("{}{package}, by {by}", opened.path));
    }
    if !image.keep.is_empty() {
        text.push_str(&format!(
            "  many programs do without what they do not find; what is needed is kept in {} by\n    \
             keep = {:?}\n",
            image.block, image.keep
        ));
    }
    if !image.folders.is_empty() {
        text.push_str("folders that were listed and are not in the trimmed image\n");
        for folder in &image.folders {
            text.push_str(&format!("{:>12}{folder}\n", ""));
        }
        text.push_str(&format!(
            "  where a program fails without, they are made empty in {} by\n    directories = {:?}\n",
            image.block, image.folders
        ));
    }
    text.push_str(&not_opened(image, all));
    if all {
        text.push_str("opened, and in the trimmed image\n");
        for opened in stay {
            let bytes = human_size(opened.bytes);
            text.push_str(&format!("{bytes:>10}  {}\n", opened.path));
        }
    }
    text
}

/// What stays and was not opened, files of one folder together.
fn not_opened(image: &Traced, all: bool) -> String {
    if image.not_opened.is_empty() {
        return String::new();
    }
    let bytes: u64 = image.not_opened.iter().map(|idle| idle.bytes).sum();
    let mut folders: BTreeMap<(&str, &[String]), Vec<&Idle>> = BTreeMap::new();
    for idle in &image.not_opened {
        let place = (idle.folder.as_str(), idle.because.as_slice());
        folders.entry(place).or_default().push(idle);
    }
    let mut lines: Vec<(u64, String, &[String])> = Vec::new();
    for ((folder, because), files) in folders {
        if files.len() < MANY || all {
            lines.extend(
                files
                    .iter()
                    .map(|idle| (idle.bytes, idle.path.clone(), because)),
            );
            continue;
        }
        let bytes = files.iter().map(|idle| idle.bytes).sum();
        lines.push((bytes, format!("{folder}/ ({} files)", files.len()), because));
    }
    lines.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let mut text = format!(
        "{} stay that were not opened, in {} files; another run may open them\n",
        human_size(bytes),
        image.not_opened.len()
    );
    let shown = if all { lines.len() } else { SHOWN };
    for (bytes, what, because) in lines.iter().take(shown) {
        let because = match because {
            [] => String::new(),
            [one] => format!(": {one}"),
            many if all => format!(": {}", many.join("; ")),
            [first, rest @ ..] => format!(": {first}, and {} more", rest.len()),
        };
        text.push_str(&format!("{:>10}  {what}{because}\n", human_size(*bytes)));
    }
    if let Some(rest) = lines.get(shown..).filter(|rest| !rest.is_empty()) {
        let bytes: u64 = rest.iter().map(|line| line.0).sum();
        let more = format!("{} more; --explain shows all", rest.len());
        text.push_str(&format!("{:>10}  {more}\n", human_size(bytes)));
    }
    text
}

//! The virtual machine that `nos run` uses: pinned packages in the store, or the machine's own.

use crate::context::Context;
use crate::failure::Failure;
use crate::verbs::lock::Archive;
use nos_builder::BuildError;
use nos_builder::build::Session;
use nos_builder::debian::{DebianError, Environment, MirrorError};
use nos_builder::project::replace_file;
use nos_builder::tools::Tools;
use nos_machine::Toolbox;
use nos_specs::lock::Lock;
use nos_store::Store;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Pins that travel with this program.
const PINS: &str = include_str!("../tools.lock");

/// Pins made on this machine, below the store's root; they come before ours.
const LOCAL_PINS: &str = "tools.lock";

/// Release that the tools are taken from.
const SUITE: &str = "trixie";

/// Where Linux distributions put OVMF: code, then variables.
const SYSTEM_OVMF: [(&str, &str); 3] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
];

fn qemu() -> Tools<'static> {
    Tools {
        name: "qemu",
        packages: &Toolbox::PACKAGES,
        programs: &[Toolbox::PROGRAM],
        files: &Toolbox::DATA,
    }
}

/// QEMU and firmware from the store, fetched first where they are missing. Where the mirror no
/// longer has the pinned packages, they are pinned anew, from the signed index, and the pins kept
/// in the store.
pub(crate) fn toolbox(context: &Context, store: &Store) -> Result<Toolbox, Failure> {
    let archive = Archive::new(context, store, None);
    let environment = archive.environment();
    let session = session(context, store);
    let tools = qemu();
    let (pins, local) = pins(store)?;
    let root = match tools.ready(&session, &pins, &environment) {
        Err(error) if is_gone(&error) => {
            context
                .shell
                .warn(format_args!("{error}; pinning the virtual machine anew"));
            let (pins, _) = tools.lock(SUITE, Some(&pins), &environment)?;
            replace_file(&local, pins.to_text().as_bytes()).map_err(|error| {
                Failure::failed(format_args!(
                    "{} cannot be written: {error}",
                    local.display()
                ))
            })?;
            tools.ready(&session, &pins, &environment)?
        }
        other => other?,
    };
    context.shell.clear();
    Toolbox::new(&root).map_err(Failure::failed)
}

/// As [`toolbox`], where the store holds all of it already; nothing is fetched.
pub(crate) fn stored_toolbox(context: &Context, store: &Store) -> Result<Toolbox, Failure> {
    let archive = Archive::new(context, store, None);
    let offline = Environment {
        mirror: Err(MirrorError::Offline),
        ..archive.environment()
    };
    let root = qemu().ready(&session(context, store), &pins(store)?.0, &offline)?;
    Toolbox::new(&root).map_err(Failure::failed)
}

fn session<'a>(context: &'a Context, store: &'a Store) -> Session<'a> {
    Session {
        store,
        folder: Path::new("/"),
        jobs: context.jobs,
        memory_bytes: context.memory_bytes,
        keep_going: false,
        observer: &context.shell,
        options: context.build_options(),
    }
}

/// The pins that hold for this store, and where those made on this machine are kept.
fn pins(store: &Store) -> Result<(Lock, PathBuf), Failure> {
    let local = store.root().join(LOCAL_PINS);
    let pins = match std::fs::read_to_string(&local) {
        Ok(text) => parse(&text, &local)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            parse(PINS, Path::new("the program's own tools.lock"))?
        }
        Err(error) => {
            return Err(Failure::failed(format_args!(
                "{} cannot be read: {error}; remove it and run `nos update --tools`",
                local.display()
            )));
        }
    };
    Ok((pins, local))
}

/// Pins the virtual machine's packages to what the archive has now, in the store.
pub(crate) fn renew(context: &Context, store: &Store) -> Result<PathBuf, Failure> {
    let archive = Archive::new(context, store, None);
    let (pins, _) = qemu().lock(SUITE, None, &archive.environment())?;
    let local = store.root().join(LOCAL_PINS);
    replace_file(&local, pins.to_text().as_bytes()).map_err(|error| {
        Failure::failed(format_args!(
            "{} cannot be written: {error}",
            local.display()
        ))
    })?;
    Ok(local)
}

/// The QEMU and OVMF that are installed on this machine.
pub(crate) fn system_toolbox(context: &Context) -> Result<Toolbox, Failure> {
    let found = context
        .search_path
        .iter()
        .map(|f| f.join("qemu-system-x86_64"))
        .find(|p| p.is_file());
    let qemu = found.ok_or_else(|| {
        Failure::failed(
            "qemu-system-x86_64 is not on the PATH; leave out --system-qemu to use nos's own",
        )
    })?;
    let firmware = SYSTEM_OVMF
        .iter()
        .find(|(code, _)| Path::new(code).is_file());
    let (code, variables) = firmware.ok_or_else(|| {
        Failure::failed("OVMF is not installed; leave out --system-qemu to use nos's own")
    })?;
    Toolbox::from_paths(&qemu, Path::new(code), Path::new(variables)).map_err(Failure::failed)
}

fn parse(text: &str, place: &Path) -> Result<Lock, Failure> {
    Lock::parse(text).map_err(|error| Failure::failed(format_args!("{}: {error}", place.display())))
}

fn is_gone(error: &BuildError) -> bool {
    matches!(error, BuildError::Debian(DebianError::Gone { .. }))
}

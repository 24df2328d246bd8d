//! Verbs that make a whole disk: `nos image` and `nos flash`.

use super::build::{self, Made};
use super::disk::{generation, progress};
use super::Outcome;
use crate::args::ImageArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::scratch::Scratch;
use crate::units::human_size;
use nos_builder::BuiltSystem;
use nos_disk::{BlockDevice, FileDevice, NewDisk, PARTITION_ALIGN, Report};
use nos_formats::ext4;
use nos_store::{Digest, Store};
use serde::Serialize;
use std::path::Path;

/// Label of the state file system.
const STATE_LABEL: &str = "nos-state";

/// All parts of a new disk, so that they can be borrowed.
pub(crate) struct Parts {
    boot_loader: Vec<u8>,
    uki: Vec<u8>,
    seed: [u8; 32],
}

impl Parts {
    /// Reads them from the store.
    pub(crate) fn read(store: &Store, built: &build::Built) -> Result<Self, Failure> {
        let host = &built.system.manifest.host;
        let seed = Digest::of(format!("nos disk\n{host}\n{}", built.digest).as_bytes());
        Ok(Self {
            boot_loader: store.read_object(&built.system.boot_loader.digest)?,
            uki: store.read_object(&built.system.uki.digest)?,
            seed: *seed.as_bytes(),
        })
    }

    /// The layout that a system asks for.
    pub(crate) fn layout(&self, system: &BuiltSystem) -> Result<NewDisk<'_>, Failure> {
        let state_bytes = system.disk.state_bytes.map(|size| size.next_multiple_of(PARTITION_ALIGN));
        Ok(NewDisk {
            esp_bytes: system.disk.esp_bytes,
            state_bytes,
            state_content: state_bytes.map(|size| self.state(size)).transpose()?,
            boot_loader: &self.boot_loader,
            seed: self.seed,
        })
    }

    /// An empty state file system.
    fn state(&self, size_bytes: u64) -> Result<nos_disk::StateContent, Failure> {
        let derive = |what: &str| -> [u8; 16] {
            let digest = Digest::of(&[what.as_bytes(), &self.seed].concat());
            std::array::from_fn(|i| digest.as_bytes()[i])
        };
        let options = ext4::Options {
            size_bytes,
            uuid: derive("state uuid"),
            label: STATE_LABEL,
            hash_seed: derive("state hash seed"),
        };
        let system = ext4::FileSystem::new(&options).map_err(Failure::failed)?;
        // Old bytes in the journal could be taken for a transaction, so its zeros are content.
        let zeroed = system.zeroed();
        let length = usize::try_from(zeroed.end - zeroed.start).map_err(Failure::failed)?;
        let mut extents = vec![(zeroed.start, vec![0; length])];
        extents.extend(system.extents());
        Ok(extents)
    }

    /// Writes the disk.
    pub(crate) fn write(
        &self,
        context: &Context,
        made: &Made,
        device: &mut dyn BlockDevice,
    ) -> Result<Report, Failure> {
        let Made { store, built, .. } = made;
        let new = self.layout(&built.system)?;
        let source = generation(store, &built.system, &self.uki, "", None);
        let report = nos_disk::create(device, &new, &source, &mut progress(&context.shell))?;
        context.shell.clear();
        Ok(report)
    }

    /// Bytes that a disk needs to hold the system and `spare` bytes of further images.
    pub(crate) fn needed(
        &self,
        system: &BuiltSystem,
        spare: u64,
        sector_size: u32,
    ) -> Result<u64, Failure> {
        Ok(nos_disk::minimum_size(&self.layout(system)?, &system.manifest.images, spare, sector_size)?)
    }
}

#[derive(Serialize)]
struct Written<'a> {
    disk: &'a Path,
    host: &'a str,
    size_bytes: u64,
    content_bytes: u64,
    #[serde(flatten)]
    report: &'a Report,
}

pub(crate) fn image(context: &Context, args: &ImageArgs) -> Outcome {
    let output = &args.output;
    check_place(output, args.force)?;
    let made = build::make(context, &args.spec.spec, args.locked)?;
    let size = write_image(context, &made, output, args.size, args.sector_size)?;
    let Made { built, project, .. } = &made;
    let report = Report { number: 1, ..size.1 };
    let written = Written {
        disk: output,
        host: &project.system()?.host,
        size_bytes: size.0,
        content_bytes: built.system.content_bytes(),
        report: &report,
    };
    if context.shell.json() {
        return Ok(context.shell.result(&written, |_| String::new())?);
    }
    context.shell.status(
        "Wrote",
        format_args!(
            "{}: generation 1 of {}, {} of content on a disk of {}",
            output.display(),
            written.host,
            human_size(written.content_bytes),
            human_size(written.size_bytes)
        ),
    );
    Ok(())
}

/// Finds out before the work whether a file can be written at `output`.
fn check_place(output: &Path, force: bool) -> Outcome {
    let place = output.display();
    let wrong = |text: std::fmt::Arguments<'_>| Err(Failure::failed(text));
    match std::fs::metadata(output) {
        // Replacing by name would put a file where the device was.
        Ok(there) if !there.is_file() => wrong(format_args!(
            "{place} is not a regular file; name a file, or write to a device with `nos flash`"
        )),
        Ok(_) if !force => wrong(format_args!(
            "{place} exists already; `nos install` adds a generation to it, --force replaces it"
        )),
        Ok(_) => Ok(()),
        Err(_) => match output.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) if !folder.is_dir() => wrong(format_args!(
                "{} is not a folder, so {place} cannot be written; make it first",
                folder.display()
            )),
            _ => Ok(()),
        },
    }
}

/// Writes a disk image under another name and puts it in place when it is whole. Gives its size
/// and what was written.
pub(crate) fn write_image(
    context: &Context,
    made: &Made,
    output: &Path,
    size: Option<u64>,
    sector_size: u32,
) -> Result<(u64, Report), Failure> {
    let parts = Parts::read(&made.store, &made.built)?;
    let system = &made.built.system;
    let size = match size {
        None => parts.needed(system, system.disk.spare_bytes, sector_size)?,
        Some(size) => {
            let least = parts.needed(system, 0, sector_size)?;
            if size < least {
                return Err(Failure::failed(format_args!(
                    "a disk of {} is too small for {}: it needs {}, {} more ({} bytes); give a \
                     larger --size or leave it out",
                    human_size(size),
                    system.manifest.host,
                    human_size(least),
                    human_size(least - size),
                    least - size
                )));
            }
            size
        }
    };
    let scratch = beside(output);
    let mut device = FileDevice::create(scratch.path(), size, sector_size)?;
    let report = parts.write(context, made, &mut device)?;
    std::fs::rename(scratch.path(), output).map_err(|error| {
        Failure::failed(format_args!("{} cannot be written: {error}; choose another place", output.display()))
    })?;
    Ok((device.size_bytes(), report))
}

/// The name under which a file is written until it is whole.
fn beside(output: &Path) -> Scratch {
    let mut name = output.as_os_str().to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    Scratch::new(name.into())
}

//! Verbs that make a whole disk: `nos image` and `nos flash`.

use super::Outcome;
use super::build::{self, Made};
use super::disk::{generation, on, progress};
use crate::args::ImageArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::scratch::Scratch;
use crate::units::human_size;
use nos_builder::BuiltSystem;
use nos_disk::flash::{FlashError, SealedImage};
use nos_disk::{BlockDevice, FileDevice, NewDisk, PARTITION_ALIGN, Report};
use nos_formats::ext4;
use nos_store::{Digest, SecretKey, Store};
use serde::Serialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Label of the state file system.
const STATE_LABEL: &str = "nos-state";

/// What a signature of a disk image is for.
pub(crate) const PURPOSE: &str = "disk image";

/// All parts of a new disk, so that they can be borrowed.
pub(crate) struct Parts {
    boot_loader: Vec<u8>,
    seed: [u8; 32],
}

impl Parts {
    /// Reads them from the store.
    pub(crate) fn read(store: &Store, built: &build::Built) -> Result<Self, Failure> {
        let host = &built.system.manifest.host;
        let seed = Digest::of(format!("nos disk\n{host}\n{}", built.digest).as_bytes());
        Ok(Self {
            boot_loader: store.read_object(&built.system.boot_loader.digest)?,
            seed: *seed.as_bytes(),
        })
    }

    /// The layout that a system asks for.
    pub(crate) fn layout(&self, system: &BuiltSystem) -> NewDisk<'_> {
        let derive = |what: &str| -> [u8; 16] {
            let digest = Digest::of(&[what.as_bytes(), &self.seed].concat());
            std::array::from_fn(|i| digest.as_bytes()[i])
        };
        NewDisk {
            esp_bytes: system.disk.esp_bytes,
            state_bytes: state_bytes(system),
            state_content: Some(ext4::Identity {
                uuid: derive("state uuid"),
                label: STATE_LABEL.into(),
                hash_seed: derive("state hash seed"),
            }),
            boot_loader: &self.boot_loader,
            seed: self.seed,
        }
    }

    /// Writes the disk to `device`, an image file that messages call `path`.
    fn write(
        &self,
        context: &Context,
        made: &Made,
        device: &mut dyn BlockDevice,
        path: &Path,
    ) -> Result<Report, Failure> {
        let Made { store, built, .. } = made;
        let new = self.layout(&built.system);
        let source = generation(store, &built.system, "", None);
        let report = nos_disk::create(device, &new, &source, &mut progress(&context.shell));
        context.shell.clear();
        on(
            path,
            report.map_err(|error| match error {
                // What the library says of a device is wrong for a file.
                FlashError::Device { doing, source, .. } => {
                    let remedy = match source.0.kind() {
                        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                            "free some space there or choose another place"
                        }
                        _ => "check the device with `dmesg`, then write all of it again",
                    };
                    format!("{doing} failed: {}; {remedy}", source.0)
                }
                FlashError::Source { what, .. } => what.to_string(),
                other => other.to_string(),
            }),
        )
    }

    /// Bytes that a disk needs to hold the system and `spare` bytes of further images.
    pub(crate) fn needed(
        &self,
        system: &BuiltSystem,
        spare: u64,
        sector_size: u32,
    ) -> Result<u64, Failure> {
        let layout = self.layout(system);
        Ok(nos_disk::minimum_size(
            &layout,
            &system.manifest.images,
            spare,
            sector_size,
        )?)
    }

    /// Refuses a disk of `size` bytes that is too small, and says by how much. `remedy` ends the
    /// message.
    pub(crate) fn check_size(
        &self,
        system: &BuiltSystem,
        size: u64,
        sector_size: u32,
        remedy: &str,
    ) -> Outcome {
        let least = self.needed(system, 0, sector_size)?;
        if size >= least {
            return Ok(());
        }
        Err(Failure::failed(format_args!(
            "a disk of {} is too small for {}: it needs {}, {} more ({} bytes); {remedy}",
            human_size(size),
            system.manifest.host,
            human_size(least),
            human_size(least - size),
            least - size
        )))
    }
}

/// Bytes of the state partition, in whole units of partitions.
fn state_bytes(system: &BuiltSystem) -> Option<u64> {
    system
        .disk
        .state_bytes
        .map(|size| size.next_multiple_of(PARTITION_ALIGN))
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(serialize_with = "crate::units::shown")]
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
    let key = args.sign.as_deref().map(read_key).transpose()?;
    let made = build::make(context, &args.spec.spec, args.locked)?;
    let size = write_image(context, &made, output, args.size, args.sector_size)?;
    if let Some(key) = key {
        sign(output, &key)?;
    }
    let Made { built, project, .. } = &made;
    let report = Report {
        number: 1,
        ..size.1
    };
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

/// Reads a secret key.
pub(crate) fn read_key(path: &Path) -> Result<SecretKey, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::failed(format_args!(
            "{}: {error}; check the path and its permissions",
            path.display()
        ))
    })?;
    let seed: [u8; 32] = bytes.try_into().map_err(|_| {
        Failure::Wrong(format!(
            "{} is not a secret key of 32 bytes; `head -c 32 /dev/urandom` makes one",
            path.display()
        ))
    })?;
    Ok(SecretKey::from_seed(&seed))
}

/// Writes a signature beside a disk image.
fn sign(image: &Path, key: &SecretKey) -> Outcome {
    let failed = |error: std::io::Error| {
        Failure::failed(format_args!(
            "{} cannot be signed: {error}; choose another place",
            image.display()
        ))
    };
    let device = FileDevice::open_read_only(image)?;
    let sealed = SealedImage::new(device, &mut |_| {}).map_err(failed)?;
    let signature = key.sign_digest(PURPOSE, &Digest(sealed.digest()));
    let mut path = image.as_os_str().to_owned();
    path.push(".sig");
    std::fs::write(path, signature.to_string()).map_err(failed)
}

/// Finds out before the work whether a file can be written at `output`.
pub(crate) fn check_place(output: &Path, force: bool) -> Outcome {
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
        Err(_) => match output
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
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
            let remedy = "give a larger --size or leave it out";
            parts.check_size(system, size, sector_size, remedy)?;
            size
        }
    };
    let part = part_of(output)?;
    let mut device = FileDevice::create(&part, size, sector_size)?;
    let scratch = Scratch::new(part);
    let report = parts.write(context, made, &mut device, output)?;
    std::fs::rename(scratch.path(), output).map_err(|error| {
        Failure::failed(format_args!(
            "{} cannot be written: {error}; choose another place",
            output.display()
        ))
    })?;
    Ok((device.size_bytes(), report))
}

/// The name under which a file is written until it is whole, free to use: what a `nos` that was
/// killed left there is removed, what one that runs is writing is refused.
fn part_of(output: &Path) -> Result<PathBuf, Failure> {
    let mut name = output.as_os_str().to_os_string();
    name.push(".nos-part");
    let part = PathBuf::from(name);
    if part.exists() {
        drop(FileDevice::open(&part)?);
        std::fs::remove_file(&part).map_err(|error| {
            Failure::failed(format_args!(
                "{}, left behind by a nos that was killed, cannot be removed: {error}",
                part.display()
            ))
        })?;
    }
    Ok(part)
}

//! Systems that are there to be looked into: of a spec, of a build, or a generation on a disk.

use super::build;
use super::disk::on;
use crate::context::Context;
use crate::failure::Failure;
use nos_builder::BuiltSystem;
use nos_builder::contents::{Contents, ContentsError};
use nos_disk::{Disk, FileDevice};
use nos_store::Store;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Bytes that say what a file is: up to the GPT header of a disk with sectors of 4096 bytes.
const HEAD_BYTES: u64 = 4104;

/// How a GPT header begins, at sector 1.
const GPT_SIGNATURE: &[u8] = b"EFI PART";

/// Largest description of a build that is read, in bytes.
const MAX_DESCRIPTION: u64 = 64 << 20;

/// A system that an argument names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A spec, and a host of it.
    Spec(String),
    /// The description that `nos build` printed or linked to.
    Build(PathBuf),
    /// A disk, and a generation on it.
    Disk(PathBuf, Option<u32>),
}

/// A system that is open.
pub(crate) struct Opened<'a> {
    /// What it was named.
    pub(crate) name: String,
    /// Bytes of the boot loader; on a disk it belongs to no generation.
    pub(crate) boot_loader_bytes: Option<u64>,
    pub(crate) contents: Contents<'a>,
}

impl From<ContentsError> for Failure {
    fn from(error: ContentsError) -> Self {
        Failure::failed(error)
    }
}

impl Named {
    /// Finds out what an argument names. `#` selects in a spec the host, on a disk the generation.
    pub(crate) fn find(argument: &str) -> Result<Self, Failure> {
        let whole = Path::new(argument);
        let split = argument
            .rsplit_once('#')
            .filter(|(path, _)| Path::new(path).exists());
        match split {
            Some((path, selected)) if whole.exists() => Err(Failure::Wrong(format!(
                "{argument} is a file, and {selected} in {path} too; rename the file"
            ))),
            Some((path, selected)) => match kind(Path::new(path))? {
                Kind::Spec => Ok(Self::Spec(argument.to_string())),
                Kind::Disk => match selected.parse() {
                    Ok(number) => Ok(Self::Disk(path.into(), Some(number))),
                    Err(_) => Err(Failure::Wrong(format!(
                        "{selected:?} is no number of a generation; `nos generations {path}` \
                         lists them"
                    ))),
                },
                Kind::Build => Err(Failure::Wrong(format!(
                    "{path} is one build, of which nothing can be selected; leave out \
                     #{selected}"
                ))),
            },
            None if whole.exists() => match kind(whole)? {
                Kind::Spec => Ok(Self::Spec(argument.to_string())),
                Kind::Disk => Ok(Self::Disk(whole.into(), None)),
                Kind::Build => Ok(Self::Build(whole.into())),
            },
            None => Err(Failure::Wrong(format!(
                "there is no {argument}; name a spec (FILE#HOST), the result of a build, or a \
                 disk (DISK#N for one of its generations)"
            ))),
        }
    }

    /// Opens the system and lends it to `look`.
    pub(crate) fn with<T>(
        &self,
        context: &Context,
        look: impl FnOnce(&Opened<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self {
            Self::Spec(spec) => {
                let made = build::make(context, spec, false)?;
                look(&built(&made.store, &made.built.system, spec)?)
            }
            Self::Build(path) => {
                let store = context.open_store()?;
                let system = description(path)?;
                if !store.contains(&system.uki.digest)? {
                    return Err(Failure::failed(format_args!(
                        "the store {} does not have what {} describes; name its store with \
                         --store, or build it again",
                        store.root().display(),
                        path.display()
                    )));
                }
                look(&built(&store, &system, &path.display().to_string())?)
            }
            Self::Disk(path, number) => {
                let mut device = FileDevice::open_read_only(path)?;
                let disk = on(path, Disk::open(&mut device))?;
                let number = match number.or_else(|| disk.current()) {
                    Some(number) => number,
                    None => {
                        return Err(Failure::failed(format_args!(
                            "{} says no generation to boot; name one, such as {}#1",
                            path.display(),
                            path.display()
                        )));
                    }
                };
                let uki = on(path, disk.kernel_image(number))?;
                let contents = Contents::open(&uki, |image| {
                    let bytes = disk.image_bytes(image);
                    let bytes = bytes.ok_or_else(|| io::Error::other("it is not on the disk"))?;
                    Ok(Box::new(bytes))
                });
                look(&Opened {
                    name: format!("{}#{number}", path.display()),
                    boot_loader_bytes: None,
                    contents: on(path, contents)?,
                })
            }
        }
    }
}

fn built(store: &Store, system: &BuiltSystem, name: &str) -> Result<Opened<'static>, Failure> {
    Ok(Opened {
        name: name.to_string(),
        boot_loader_bytes: Some(system.boot_loader.size),
        contents: Contents::of_built(store, system)?,
    })
}

enum Kind {
    Spec,
    Build,
    Disk,
}

/// What a file is, by how it begins.
fn kind(path: &Path) -> Result<Kind, Failure> {
    let failed = |error: io::Error| {
        Failure::failed(format_args!(
            "{} cannot be read: {error}; check its permissions",
            path.display()
        ))
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.file_type().is_block_device() {
        return Ok(Kind::Disk);
    }
    if !metadata.is_file() {
        return Ok(Kind::Spec);
    }
    let mut head = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(failed)?;
    let is_gpt = |at: usize| head.get(at..).is_some_and(|b| b.starts_with(GPT_SIGNATURE));
    Ok(match () {
        // Zeros are in no text: a disk whose table is damaged.
        () if is_gpt(512) || is_gpt(4096) || head.contains(&0) => Kind::Disk,
        () if head.starts_with(b"{") => Kind::Build,
        () => Kind::Spec,
    })
}

/// Reads what `nos build` wrote.
fn description(path: &Path) -> Result<BuiltSystem, Failure> {
    let read = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        File::open(path)?
            .take(MAX_DESCRIPTION)
            .read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| {
        Failure::failed(format_args!(
            "{} cannot be read: {error}; check its permissions",
            path.display()
        ))
    })?;
    serde_json::from_slice(&text).map_err(|error| {
        Failure::failed(format_args!(
            "{} is no description of a build that this nos reads: {error}; name what `nos build` \
             printed, or build again",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sharp_selects_and_is_never_guessed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut disk = vec![0; 4096];
        disk[512..520].copy_from_slice(GPT_SIGNATURE);
        std::fs::write(at("disk.img"), &disk).unwrap();
        std::fs::write(at("result"), "{}").unwrap();
        std::fs::write(at("a.nos"), "").unwrap();
        std::fs::write(at("b#1"), &disk).unwrap();

        let find = |name: &str| Named::find(&at(name));
        let disk = PathBuf::from(at("disk.img"));
        assert_eq!(find("disk.img").unwrap(), Named::Disk(disk.clone(), None));
        assert_eq!(find("disk.img#42").unwrap(), Named::Disk(disk, Some(42)));
        assert_eq!(find("a.nos#edge").unwrap(), Named::Spec(at("a.nos#edge")));
        assert_eq!(find("result").unwrap(), Named::Build(at("result").into()));
        assert_eq!(find("b#1").unwrap(), Named::Disk(at("b#1").into(), None));
        for wrong in ["disk.img#x", "disk.img#", "result#1", "gone", "gone#1"] {
            assert!(matches!(find(wrong), Err(Failure::Wrong(_))), "{wrong}");
        }
        std::fs::write(at("b"), "").unwrap();
        assert!(matches!(find("b#1"), Err(Failure::Wrong(_))));
    }
}

//! What is flashed: a spec, a system that was built, or a disk image.

use crate::args::FlashArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::scratch::Scratch;
use crate::shell::Shell;
use crate::units::human_size;
use crate::verbs::Outcome;
use crate::verbs::build::{self, Built};
use crate::verbs::disk::{generation, on};
use crate::verbs::image::{PURPOSE, Parts};
use nos_builder::BuiltSystem;
use nos_disk::flash::{Fit, Plan, SealedImage};
use nos_disk::{BlockDevice, FileDevice};
use nos_formats::gpt::Geometry;
use nos_store::{Digest, PublicKey, Signature, Store};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// First bytes of a file compressed with zstd.
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// First bytes of files compressed by programs that this one leaves to others.
const FOREIGN: [(&str, &[u8]); 3] = [
    ("xz", &[0xFD, b'7', b'z', b'X', b'Z', 0]),
    ("gzip", &[0x1F, 0x8B]),
    ("bzip2", b"BZh"),
];

/// Name of an unpacked image in its folder.
const UNPACKED: &str = "image";

/// Zeros shorter than this are written to the unpacked image, in bytes.
const HOLE: usize = 64 << 10;

/// Largest description of a built system, in bytes.
const MAX_DESCRIPTION: u64 = 16 << 20;

/// What is flashed.
pub(super) enum Source {
    System(Box<System>),
    Image(Box<Image>),
}

/// A built system with everything that a disk is made of.
pub(super) struct System {
    store: Store,
    built: Built,
    parts: Parts,
}

/// A disk image.
pub(super) struct Image {
    path: PathBuf,
    device: Opened,
    signed: Signed,
}

enum Opened {
    Plain(FileDevice),
    Sealed(SealedImage<FileDevice>),
}

/// What is known of who made an image.
enum Signed {
    No,
    /// By a key that the user named.
    Trusted(PublicKey),
    /// By a key that proves nothing to the user.
    Unknown(PublicKey),
}

impl Image {
    pub(super) fn device(&self) -> &dyn BlockDevice {
        match &self.device {
            Opened::Plain(device) => device,
            Opened::Sealed(device) => device,
        }
    }
}

impl Source {
    /// Finds out what the argument names and makes it ready. `geometry` is that of the device,
    /// where there is one.
    pub(super) fn open(
        context: &Context,
        args: &FlashArgs,
        geometry: Option<Geometry>,
    ) -> Result<Self, Failure> {
        let path = Path::new(&args.source);
        let given = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => head(path),
            _ => None,
        };
        let image = |path: &Path| Image::open(context, args, path);
        match given {
            Some(Given::Compressed) => {
                let limit = geometry.map(|g| g.sectors * u64::from(g.sector_size));
                let unpacked = unpack(&context.shell, path, limit)?;
                image(&unpacked.path().join(UNPACKED)).map(|image| Self::Image(Box::new(image)))
            }
            Some(Given::Foreign(program)) => Err(Failure::Wrong(format!(
                "{0} is compressed by {program}; unpack it first (`{program} -dk {0}`)",
                path.display()
            ))),
            Some(Given::Image) => Ok(Self::Image(Box::new(image(path)?))),
            _ if args.signature.is_some() || !args.trust.is_empty() => {
                Err(Failure::Wrong(format!(
                    "{} is no disk image, and only those are signed; leave --signature and \
                     --trust out",
                    path.display()
                )))
            }
            Some(Given::System) => Self::built(context, path),
            None => {
                let made = build::make(context, &args.source, args.locked)?;
                Self::system(made.store, made.built)
            }
        }
    }

    /// A system that `nos build` made, by its link or its place in the store.
    fn built(context: &Context, path: &Path) -> Result<Self, Failure> {
        let failed = |why: String| {
            Failure::failed(format_args!(
                "{} is no built system: {why}; name a spec, or a link of `nos build -o`",
                path.display()
            ))
        };
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let mut bytes = Vec::new();
        file.take(MAX_DESCRIPTION)
            .read_to_end(&mut bytes)
            .map_err(|error| failed(error.to_string()))?;
        let system: BuiltSystem =
            serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        let built = Built {
            digest: Digest::of(&bytes),
            system,
            ran: 0,
        };
        let store = context.open_store()?;
        if !store.contains(&built.digest)? {
            return Err(Failure::failed(format_args!(
                "the system that {} names is not in the store {}; name its store with --store",
                path.display(),
                store.root().display()
            )));
        }
        Self::system(store, built)
    }

    fn system(store: Store, built: Built) -> Result<Self, Failure> {
        let parts = Parts::read(&store, &built)?;
        Ok(Self::System(Box::new(System {
            store,
            built,
            parts,
        })))
    }

    /// What a person calls it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::System(system) => system.built.system.manifest.host.clone(),
            Self::Image(image) => image.path.display().to_string(),
        }
    }

    /// Bytes that a disk needs for it, where that is known before it is laid out.
    pub(super) fn needed(&self, sector_size: u32) -> Result<Option<u64>, Failure> {
        match self {
            Self::System(system) => {
                let needed = system.parts.needed(&system.built.system, 0, sector_size)?;
                Ok(Some(needed))
            }
            Self::Image(_) => Ok(None),
        }
    }

    /// Bytes that stay free for further images where the state takes all, as the spec asks.
    pub(super) fn spare_bytes(&self) -> u64 {
        match self {
            Self::System(system) => system.built.system.disk.spare_bytes,
            Self::Image(_) => 0,
        }
    }

    /// Who signed it, where that is known.
    pub(super) fn signer(&self) -> Option<String> {
        match self {
            Self::Image(image) => match &image.signed {
                Signed::Trusted(key) | Signed::Unknown(key) => Some(key.to_string()),
                Signed::No => None,
            },
            Self::System(_) => None,
        }
    }

    /// A line on who made it; `None` for what was built here.
    pub(super) fn vouched(&self) -> Option<String> {
        match self {
            Self::System(_) => None,
            Self::Image(image) => Some(match &image.signed {
                Signed::No => "unsigned: nobody vouches for this image".into(),
                Signed::Trusted(key) => format!("signed by {key}, which you trust"),
                Signed::Unknown(key) => {
                    format!("signed by {key}; --trust {key} if that is the right key")
                }
            }),
        }
    }

    /// Lays it out for a device and hands the plan on.
    pub(super) fn with_plan(
        &self,
        path: &Path,
        geometry: Geometry,
        fit: &Fit,
        then: impl FnOnce(&Plan<'_>) -> Outcome,
    ) -> Outcome {
        match self {
            Self::System(system) => {
                let System {
                    store,
                    built,
                    parts,
                } = &**system;
                let new = parts.layout(&built.system);
                let source = generation(store, &built.system, "", None);
                let plan = Plan::of_system(geometry, &new, &source, fit);
                then(&on(path, plan)?)
            }
            Self::Image(image) => {
                let plan = Plan::of_image(image.device(), geometry, fit);
                then(&on(&image.path, plan)?)
            }
        }
    }
}

/// What a file looks like from its beginning.
enum Given {
    Compressed,
    /// By a program of this name.
    Foreign(&'static str),
    Image,
    System,
}

/// Looks at a file's beginning. A spec looks like nothing.
fn head(path: &Path) -> Option<Given> {
    let file = File::open(path).ok()?;
    let starts = |offset: u64, mark: &[u8]| {
        let mut found = vec![0; mark.len()];
        file.read_exact_at(&mut found, offset).is_ok() && found == mark
    };
    let table = b"EFI PART";
    if starts(0, &ZSTD) {
        return Some(Given::Compressed);
    }
    // A boot sector is a disk's, whatever else is wrong with it.
    if starts(512, table) || starts(4096, table) || starts(510, &[0x55, 0xAA]) {
        return Some(Given::Image);
    }
    let foreign = FOREIGN.iter().find(|(_, mark)| starts(0, mark));
    match foreign {
        Some((program, _)) => Some(Given::Foreign(program)),
        None => starts(0, b"{").then_some(Given::System),
    }
}

/// Unpacks a compressed image into a folder that is removed when it is open, or the program ends.
fn unpack(shell: &Shell, path: &Path, limit: Option<u64>) -> Result<Scratch, Failure> {
    let scratch = Scratch::folder("nos-flash-")?;
    let failed = |error: std::io::Error| {
        Failure::failed(format_args!(
            "{} cannot be unpacked: {error}; {}",
            path.display(),
            match error.kind() {
                ErrorKind::StorageFull => "set TMPDIR to a folder with more room",
                _ => "fetch it again",
            }
        ))
    };
    let packed = File::open(path).map_err(failed)?;
    let mut reader = zstd::Decoder::new(packed).map_err(failed)?;
    let file = File::create_new(scratch.path().join(UNPACKED)).map_err(failed)?;
    let mut buffer = vec![0; HOLE];
    let mut size = 0;
    loop {
        let mut filled = 0;
        while filled < HOLE {
            match reader.read(&mut buffer[filled..]).map_err(failed)? {
                0 => break,
                n => filled += n,
            }
        }
        if filled == 0 {
            break;
        }
        let part = &buffer[..filled];
        if part.iter().any(|byte| *byte != 0) {
            file.write_all_at(part, size).map_err(failed)?;
        }
        size += filled as u64;
        if let Some(limit) = limit.filter(|limit| size > 2 * limit) {
            return Err(Failure::failed(format_args!(
                "{} unpacks to more than twice the {} of the device; use a larger one",
                path.display(),
                human_size(limit)
            )));
        }
        shell.progress("unpacking", size, None);
    }
    file.set_len(size).map_err(failed)?;
    shell.clear();
    Ok(scratch)
}

impl Image {
    fn open(context: &Context, args: &FlashArgs, path: &Path) -> Result<Self, Failure> {
        let named = Path::new(&args.source);
        let device = FileDevice::open_read_only(path)?;
        let beside = beside(named);
        let file = match &args.signature {
            Some(file) => Some(file.clone()),
            None => beside.is_file().then_some(beside),
        };
        let Some(file) = file else {
            if !args.trust.is_empty() {
                return Err(Failure::failed(format_args!(
                    "{} is not signed: there is no {}; name its signature with --signature, or \
                     leave --trust out",
                    named.display(),
                    beside_name(named)
                )));
            }
            return Ok(Self {
                path: named.to_owned(),
                device: Opened::Plain(device),
                signed: Signed::No,
            });
        };
        let signature: Signature = std::fs::read_to_string(&file)
            .map_err(|error| error.to_string())
            .and_then(|text| {
                text.parse()
                    .map_err(|e: nos_store::SignatureError| e.to_string())
            })
            .map_err(|error| Failure::failed(format_args!("{}: {error}", file.display())))?;
        let total = device.size_bytes();
        let mut done = 0;
        let sealed = SealedImage::new(device, &mut |bytes| {
            done += bytes;
            context
                .shell
                .progress("checking the signature", done, Some(total));
        })
        .map_err(|error| {
            Failure::failed(format_args!(
                "{} cannot be read: {error}; fetch it again",
                named.display()
            ))
        })?;
        context.shell.clear();
        if !signature.vouches_for(PURPOSE, &Digest(sealed.digest())) {
            return Err(Failure::failed(format_args!(
                "{} is not what {} was made for; nothing was written, fetch both again",
                named.display(),
                file.display()
            )));
        }
        let key = signature.key();
        let trusted = args
            .trust
            .iter()
            .map(|key| key.parse::<PublicKey>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Failure::Wrong(error.to_string()))?;
        let signed = match trusted.as_slice() {
            [] => Signed::Unknown(key),
            keys if keys.contains(&key) => Signed::Trusted(key),
            _ => {
                return Err(Failure::failed(format_args!(
                    "{} is signed by {key}, which is none of the keys that you trust; nothing was \
                     written",
                    named.display()
                )));
            }
        };
        Ok(Self {
            path: named.to_owned(),
            device: Opened::Sealed(sealed),
            signed,
        })
    }
}

/// Where an image's signature is, if nothing else is said.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

fn beside_name(path: &Path) -> String {
    beside(path).display().to_string()
}

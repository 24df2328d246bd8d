//! A finished system, open to be looked into: from its kernel image and service images alone,
//! wherever they lie. So a generation on a disk needs no store, and no spec.

use crate::ingredients;
use crate::system::BuiltSystem;
use nos_formats::cpio::initramfs;
use nos_formats::erofs::{Image as Erofs, Inode, ReadError};
use nos_formats::pe::Uki;
use nos_formats::read_at::{Extent, ReadAt};
use nos_formats::tree::Tree;
use nos_manifest::{Image, Ingredients, MANIFEST_PATH, SystemManifest};
use nos_store::{Digest, Store};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// The bytes of an image, wherever they lie.
pub type ImageBytes<'a> = Box<dyn Extent + 'a>;

/// Why a system cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// The kernel image is not one of ours, or damaged.
    #[error("the kernel image {what}; `nos verify` says what of the disk is damaged")]
    Kernel {
        /// What is wrong, in words that complete "the kernel image …".
        what: String,
    },
    /// An image cannot be opened or read.
    #[error("image {image}: {what}; `nos verify` says what of the disk is damaged")]
    Image {
        /// Its name.
        image: String,
        /// What is wrong.
        what: String,
    },
}

/// A system, open.
pub struct Contents<'a> {
    /// What `init` is told.
    pub manifest: SystemManifest,
    /// Kernel command line.
    pub cmdline: String,
    /// Packages and kernel options; `None` for systems of an older `nos`.
    pub ingredients: Option<Ingredients>,
    /// Bytes of the kernel inside the kernel image.
    pub kernel_bytes: u64,
    /// Bytes of the initramfs inside the kernel image.
    pub initrd_bytes: u64,
    /// Bytes of the whole kernel image.
    pub uki_bytes: u64,
    /// Images by name.
    pub images: BTreeMap<String, OpenImage<'a>>,
}

/// An image, open.
pub struct OpenImage<'a> {
    /// What the manifest says of it.
    pub image: Image,
    /// Its files, by path.
    pub tree: Tree<Inode>,
    reader: Erofs<ImageBytes<'a>>,
}

impl<'a> Contents<'a> {
    /// Opens a system by the bytes of its kernel image; `open` finds the bytes of each image.
    ///
    /// # Errors
    /// [`ContentsError`] says what is damaged.
    pub fn open(
        uki: &[u8],
        mut open: impl FnMut(&Image) -> io::Result<ImageBytes<'a>>,
    ) -> Result<Self, ContentsError> {
        let wrong = |what: String| ContentsError::Kernel { what };
        let parts = Uki::parse(uki).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let found = initramfs::find_plain(parts.initrd, MANIFEST_PATH)
            .map_err(|error| wrong(format!("has a damaged initramfs: {error}")))?;
        let bytes = found.ok_or_else(|| wrong("has no manifest of nOs in it".to_string()))?;
        let manifest =
            SystemManifest::from_bytes(bytes).map_err(|e| wrong(format!("says: {e}")))?;
        let record = parts.ingredients.map(ingredients::decode).transpose();
        let mut images = BTreeMap::new();
        for image in &manifest.images {
            let failed = |what: String| ContentsError::Image {
                image: image.name.clone(),
                what,
            };
            let bytes = open(image).map_err(|error| failed(error.to_string()))?;
            let opened = OpenImage::open(image, bytes).map_err(|e| failed(e.to_string()))?;
            images.insert(image.name.clone(), opened);
        }
        Ok(Self {
            cmdline: String::from_utf8_lossy(parts.cmdline).into_owned(),
            ingredients: record
                .map_err(|what| wrong(format!("has a list of ingredients that {what}")))?,
            kernel_bytes: parts.linux.len() as u64,
            initrd_bytes: parts.initrd.len() as u64,
            uki_bytes: uki.len() as u64,
            images,
            manifest,
        })
    }

    /// Bytes that a disk holds for this system: kernel image and images, without the boot loader.
    pub fn content_bytes(&self) -> u64 {
        let images = self.manifest.images.iter().map(|image| image.size_bytes);
        images.fold(self.uki_bytes, u64::saturating_add)
    }
}

impl Contents<'static> {
    /// Opens a system that a store holds.
    ///
    /// # Errors
    /// [`ContentsError`], also where an object is missing.
    pub fn of_built(store: &Store, system: &BuiltSystem) -> Result<Self, ContentsError> {
        let uki = store.read_object(&system.uki.digest);
        let uki = uki.map_err(|error| ContentsError::Kernel {
            what: format!("is not in the store: {error}"),
        })?;
        let names = system.manifest.images.iter().map(|image| &image.name);
        let blobs: BTreeMap<_, _> = names.zip(&system.images).collect();
        Self::open(&uki, |image| {
            let blob = blobs.get(&image.name).ok_or(io::ErrorKind::NotFound)?;
            let file = store.open_object(&blob.digest).map_err(io::Error::other)?;
            Ok(Box::new(Stored {
                file,
                size: blob.size,
            }))
        })
    }
}

impl<'a> OpenImage<'a> {
    fn open(image: &Image, bytes: ImageBytes<'a>) -> Result<Self, ReadError> {
        let reader = Erofs::open(bytes)?;
        Ok(Self {
            tree: reader.tree()?,
            image: image.clone(),
            reader,
        })
    }

    /// SHA-256 of a regular file's content.
    ///
    /// # Errors
    /// Where the image is damaged there.
    pub fn digest(&self, file: &Inode) -> Result<Digest, ReadError> {
        let mut hash = Hash(Sha256::new());
        self.reader.read_to(file, &mut hash)?;
        Ok(Digest(hash.0.finalize().into()))
    }
}

/// Hashes what is written to it.
struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An object of a store.
struct Stored {
    file: File,
    size: u64,
}

impl ReadAt for Stored {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

impl Extent for Stored {
    fn size_bytes(&self) -> u64 {
        self.size
    }
}

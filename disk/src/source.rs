//! What a generation is made of.

use nos_manifest::Image;
use std::io::{self, Read};

/// A system to be put on a disk as a generation.
pub struct GenerationSource<'a> {
    /// The unified kernel image.
    pub uki: KernelSource<'a>,
    /// Title in the boot menu.
    pub title: String,
    /// What the person who installs calls it; may be empty.
    pub label: String,
    /// Kernel release, for listing.
    pub kernel: String,
    /// When it is installed, in seconds since 1970; `None` where a time would make two equal
    /// disks differ.
    pub installed: Option<u64>,
    /// Every image that the system's manifest names.
    pub images: Vec<ImageSource<'a>>,
}

/// Opens an image's content, each time from its beginning.
pub type OpenImage<'a> = Box<dyn Fn() -> io::Result<Box<dyn Read + Send + 'a>> + 'a>;

/// A unified kernel image and where its bytes come from.
pub struct KernelSource<'a> {
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256; the file on the disk has this name.
    pub digest: [u8; 32],
    /// Gives exactly [`KernelSource::size_bytes`] bytes.
    pub open: OpenImage<'a>,
}

/// One image and where its bytes come from.
pub struct ImageSource<'a> {
    /// Name, root hash and sizes.
    pub image: Image,
    /// Gives exactly [`Image::size_bytes`] bytes: data, superblock and hash tree.
    pub open: OpenImage<'a>,
}

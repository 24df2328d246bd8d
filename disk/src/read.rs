//! Looking into a generation: its kernel image and its images, as they lie on the disk.

use crate::disk::Disk;
use crate::entry;
use crate::window::Window;
use crate::{Error, layout};
use nos_formats::read_at::Extent;
use nos_manifest::Image;

impl Disk<'_> {
    /// The bytes of a generation's kernel image. They are not checked against their name, which
    /// [`Disk::verify`] does.
    ///
    /// # Errors
    /// [`Error::NoGeneration`]; [`Error::Broken`] where its entry cannot be read; [`Error::Esp`].
    pub fn kernel_image(&self, number: u32) -> Result<Vec<u8>, Error> {
        let entry = self.state.require(number)?;
        let content = entry.content.as_ref().map_err(|why| Error::Broken {
            number,
            why: format!("its boot entry {why}"),
        })?;
        let window = self.state.esp_window(self.device);
        let path = entry::uki_path(&content.uki);
        Ok(self.state.volume.read_file(&window, &path, u64::MAX)?)
    }

    /// The bytes of an image's partition; `None` where it is not on the disk.
    pub fn image_bytes(&self, image: &Image) -> Option<impl Extent + '_> {
        let (_, partition) = self.state.partition_of(image)?;
        let place = layout::bytes(&self.state.table, partition);
        Some(Window {
            device: &*self.device,
            start: place.start,
            length: image.size_bytes.min(place.end - place.start),
        })
    }
}

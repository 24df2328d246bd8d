//! Looking through a store.

use crate::error::Result;
use crate::{ActionKey, Blob, Store};

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Usage {
    /// Number of objects, tree listings included.
    pub objects: u64,
    /// Their length together, in bytes.
    pub bytes: u64,
    /// Number of action results.
    pub results: u64,
    /// Number of roots.
    pub roots: u64,
}

impl Store {
    /// Calls `each` for every object, in the order of their digests.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn each_object(&self, each: &mut dyn FnMut(Blob)) -> Result<()> {
        self.each_sharded("objects", &mut |digest, rel| {
            // One that was collected since its folder was listed is left out.
            if let Some(stat) = self.fs().stat(rel)? {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                each(Blob { digest, size });
            }
            Ok(())
        })
    }

    /// Calls `each` for the key of every action result, in order.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn each_result(&self, each: &mut dyn FnMut(ActionKey)) -> Result<()> {
        self.each_sharded("results", &mut |digest, _| {
            each(ActionKey(digest));
            Ok(())
        })
    }

    /// How much the store holds.
    ///
    /// # Errors
    /// Where the file system fails.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        self.each_object(&mut |blob| {
            usage.objects += 1;
            usage.bytes += blob.size;
        })?;
        self.each_result(&mut |_| usage.results += 1)?;
        usage.roots = self.read_roots()?.len() as u64;
        Ok(usage)
    }
}

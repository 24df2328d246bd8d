//! Planning a disk from an image of one.

use super::plan::{Fill, Fit, Pieces, Plan, Room};
use crate::disk::State;
use crate::layout::{self, PARTITION_ALIGN, guid};
use crate::window::Window;
use crate::{BlockDevice, Error, StateSize};
use nos_formats::ext4;
use nos_formats::gpt::{self, Entry, Geometry};
use nos_manifest::Image;
use std::ops::Range;

/// Holes in an image file that are shorter than this are written as the zeros they are, in bytes.
const SHORT_HOLE: u64 = 64 << 10;

impl<'a> Plan<'a> {
    /// A disk that holds what an image of one holds, for a device of another size.
    ///
    /// The EFI system partition stays where it is, images move together, the state partition goes
    /// to the end of the device. What the image's partitions do not use is not written.
    ///
    /// # Errors
    /// [`Error::Open`] where the image is not one of ours, [`Error::Layout`] for another sector
    /// size or for a state partition that cannot get the size that it should, [`Error::Space`]
    /// where the device is too small.
    pub fn of_image(
        image: &'a dyn BlockDevice,
        geometry: Geometry,
        fit: &Fit,
    ) -> Result<Self, Error> {
        let state = State::read(image)?;
        let found = image.sector_size();
        if found != geometry.sector_size {
            return Err(Error::Layout {
                what: format!(
                    "the image has sectors of {found} bytes and the device {}; make the image \
                     with that --sector-size",
                    geometry.sector_size
                ),
            });
        }
        let mut planner = Planner {
            room: Room::new(geometry, state.table.disk_guid, fit)?,
            image,
            state: &state,
            pieces: Pieces::default(),
            images: Vec::new(),
        };
        planner.place(fit)?;
        let Planner {
            room,
            pieces,
            images,
            ..
        } = planner;
        Ok(Self {
            number: state.current().map_or(0, |entry| entry.number),
            table: room.finish(fit)?,
            kept: fit.kept.clone(),
            pieces: pieces.finish(),
            images,
            image: Some(image),
        })
    }
}

struct Planner<'a, 's> {
    room: Room,
    image: &'a dyn BlockDevice,
    state: &'s State,
    pieces: Pieces<'a>,
    images: Vec<(Range<u64>, Image)>,
}

impl Planner<'_, '_> {
    fn place(&mut self, fit: &Fit) -> Result<(), Error> {
        let (esp, state) = (
            guid(gpt::ESP_TYPE_GUID),
            guid(nos_manifest::STATE_TYPE_GUID),
        );
        let orphans = self.state.orphan_partitions();
        let mut others: Vec<&Entry> = Vec::new();
        let (mut boot, mut states) = (None, None);
        for (number, entry) in self.state.table.numbered() {
            if entry.type_guid == esp && boot.is_none() {
                boot = Some(entry);
            } else if entry.type_guid == state && states.is_none() {
                states = Some(entry);
            } else if !orphans.contains(&number) {
                others.push(entry);
            }
        }
        others.sort_by_key(|entry| entry.first_lba);
        let boot = boot.ok_or_else(|| Error::Layout {
            what: "the image has no EFI system partition; make it again with `nos image`".into(),
        })?;
        let esp = self.bytes(boot);
        self.room.add_at(boot.clone(), esp.clone())?;
        self.boot_files(&esp)?;
        let sizes = || {
            others.iter().map(|entry| {
                let range = self.bytes(entry);
                range.end - range.start
            })
        };
        let occupied = self
            .room
            .occupied(esp.end.saturating_sub(PARTITION_ALIGN), sizes());
        // Nobody knows what the image's spec asks for: as much again as there is.
        let fit = &Fit {
            spare_bytes: fit.spare_bytes.max(sizes().sum()),
            ..fit.clone()
        };
        self.state_partition(fit, states, occupied)?;
        for entry in others {
            self.other(entry, fit)?;
        }
        Ok(())
    }

    fn bytes(&self, entry: &Entry) -> Range<u64> {
        layout::bytes(&self.state.table, entry)
    }

    /// Boot sectors, allocation tables and used clusters; what is free in them means nothing.
    fn boot_files(&mut self, esp: &Range<u64>) -> Result<(), Error> {
        self.pieces.clear_ends(esp);
        for used in self.state.volume.used() {
            let range = esp.start + used.start..(esp.start + used.end).min(esp.end);
            self.copy(range.clone(), range.start, "boot files")?;
        }
        Ok(())
    }

    fn state_partition(
        &mut self,
        fit: &Fit,
        entry: Option<&Entry>,
        occupied: u64,
    ) -> Result<(), Error> {
        let old = entry.map(|entry| self.bytes(entry));
        let asked = old.as_ref().map(|range| range.end - range.start);
        let (Some(entry), Some(old)) = (entry, old) else {
            if fit.kept.is_none() && fit.state != StateSize::Keep {
                return Err(Error::Layout {
                    what: "the image has no state partition; leave --state out".into(),
                });
            }
            return self
                .room
                .place_state(fit, None, occupied, || {
                    super::plan::state_entry(gpt::Guid::ZERO)
                })
                .map(drop);
        };
        let Some(new) = self
            .room
            .place_state(fit, asked, occupied, || entry.clone())?
        else {
            return Ok(());
        };
        if let Some(format) = self.untouched(&old)? {
            return self.pieces.put_state(&new, Some(&format));
        }
        let (room, size) = (new.end - new.start, old.end - old.start);
        if room < size {
            return Err(Error::Layout {
                what: format!(
                    "the image's state partition is in use and cannot shrink from {size} to {room} \
                     bytes; leave --state out or ask for more"
                ),
            });
        }
        // In a larger partition the file system is enlarged when it is next mounted.
        self.pieces.clear_ends(&new);
        self.copy(new.start..new.start + size, old.start, "state")
    }

    /// The file system of a state partition that nobody has mounted yet.
    fn untouched(&self, range: &Range<u64>) -> Result<Option<ext4::Identity>, Error> {
        let size = range.end - range.start;
        let window = Window {
            device: self.image,
            start: range.start,
            length: size,
        };
        let Some(identity) = ext4::recognise(&window, size) else {
            return Ok(None);
        };
        let options = ext4::Options {
            size_bytes: size,
            uuid: identity.uuid,
            label: &identity.label,
            hash_seed: identity.hash_seed,
        };
        let Ok(system) = ext4::FileSystem::new(&options) else {
            return Ok(None);
        };
        let zeroed = system.zeroed();
        let journal = range.start + zeroed.start..range.start + zeroed.end;
        let mut buffer = Vec::new();
        for data in self.data(&journal)? {
            for part in crate::layout::parts_of(&data, super::write::CHUNK) {
                buffer.resize((part.end - part.start) as usize, 0);
                self.image
                    .read_at(part.start, &mut buffer)
                    .map_err(read_failed)?;
                if buffer.iter().any(|byte| *byte != 0) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(identity))
    }

    /// A service image, or something that is not ours.
    fn other(&mut self, entry: &Entry, fit: &Fit) -> Result<(), Error> {
        let old = self.bytes(entry);
        let listed = self.state.entries.iter().find_map(|generation| {
            let images = &generation.content.as_ref().ok()?.images;
            let ours = |image: &&Image| {
                let there = self.state.partition_of(image);
                there.is_some_and(|(_, found)| found.unique_guid == entry.unique_guid)
            };
            images.iter().find(ours)
        });
        let what = listed.map_or_else(|| entry.label(), |image| image.name.clone());
        let new = self
            .room
            .place_like(&what, entry, old.end - old.start, fit)?;
        if let Some(image) = listed {
            self.images.push((new.clone(), image.clone()));
        }
        self.copy(new, old.start, &what)
    }

    /// Copies a range of the image; its holes become zeros.
    fn copy(&mut self, to: Range<u64>, from: u64, what: &str) -> Result<(), Error> {
        let source = from..from + (to.end - to.start);
        for data in self.data(&source)? {
            let range = to.start + (data.start - from)..to.start + (data.end - from);
            self.pieces
                .put(range, what.to_owned(), Fill::Copy(data.start));
        }
        self.pieces.zero(to);
        Ok(())
    }

    /// Whole sectors of the image that may hold something else than zeros.
    fn data(&self, range: &Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        let sector = u64::from(self.image.sector_size());
        let mut joined: Vec<Range<u64>> = Vec::new();
        for data in self.image.data(range.clone()).map_err(read_failed)? {
            let start = (data.start - data.start % sector).max(range.start);
            let end = data.end.next_multiple_of(sector).min(range.end);
            match joined.last_mut() {
                Some(last) if start < last.end.saturating_add(SHORT_HOLE) => last.end = end,
                _ => joined.push(start..end),
            }
        }
        Ok(joined)
    }
}

fn read_failed(source: std::io::Error) -> Error {
    Error::ReadSource {
        image: "disk image".into(),
        source,
    }
}

//! Putting right what can be put right, as far as the disk itself says how.

use crate::commit::{Overlay, Phase, forget};
use crate::disk::{Disk, POINTER, State, Tables, read_pointer};
use crate::entry::{self, ENTRIES, MAX_ENTRY_BYTES};
use crate::verify::VerifyReport;
use crate::{BlockDevice, Error, OpenError, Report};
use nos_formats::fat::{self, BootIdentity, FatError, Volume};
use nos_pointer::Pointer;

/// Makes a disk whole as far as it says itself how: either partition table from the other, the
/// boot sector of the EFI system partition, the tables of a disk that was copied onto a smaller medium
/// and lost nothing else, a lost pointer (the newest whole generation boots then, as
/// the boot loader does without one), and everything that [`Disk::has_leftovers`] speaks of. The
/// report names what was wrong and is right now; nothing is written where nothing is wrong.
///
/// It can be cut off at any point: the disk boots what it booted before, or what it boots after.
///
/// # Errors
/// [`Error::Open`] where the disk is not ours or too little of it is left; [`Error::Io`].
pub fn repair(device: &mut dyn BlockDevice) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut repaired = Vec::new();
    if let Some(phases) = boot_sector(device)? {
        run(device, &phases, &mut report)?;
        repaired.push("the boot sector of the EFI system partition was damaged".to_owned());
    }
    if let Some(phases) = lost_pointer(device)? {
        run(device, &phases, &mut report)?;
        repaired.push(format!("\\{} was damaged", POINTER.replace('/', "\\")));
    }
    let mut disk = Disk::open(device)?;
    let before = disk.verify_structure()?;
    let (_, phases) = disk.state.recovered(disk.device)?;
    run(disk.device, &phases, &mut report)?;
    forget(disk.device)?;
    disk.refresh()?;
    let after = disk.verify_structure()?;
    repaired.extend(texts(&before).filter(|text| texts(&after).all(|left| left != *text)));
    report.number = disk.current().unwrap_or(0);
    report.repaired = repaired;
    Ok(report)
}

fn texts(report: &VerifyReport) -> impl Iterator<Item = String> + '_ {
    report.findings.iter().map(ToString::to_string)
}

fn run(device: &mut dyn BlockDevice, phases: &[Phase], report: &mut Report) -> Result<(), Error> {
    phases
        .iter()
        .try_for_each(|phase| phase.run(device, report))
}

/// What restores the boot sector of the EFI system partition: FAT32's copy of it, or what
/// [`crate::create`] writes for a partition of this size, where a disk of ours can be read by it.
fn boot_sector(device: &dyn BlockDevice) -> Result<Option<Vec<Phase>>, Error> {
    let tables = Tables::read(device)?;
    let esp = tables.esp()?;
    let window = crate::window::Window {
        device,
        start: esp.start,
        length: esp.end - esp.start,
    };
    let sector_size = device.sector_size();
    let identity = BootIdentity {
        hidden: esp.start / u64::from(sector_size),
        volume_id: tables.esp_id(),
    };
    let restored = fat::restored_boot_sector(&window, window.length, sector_size, identity)?;
    let Some(sector) = restored else {
        return Ok(None);
    };
    let mut phase = Phase::default();
    phase.put_all(esp.start, vec![sector]);
    let after = State::read_without_pointer(&Overlay::new(device, &[&phase]));
    let is_ours = after.is_ok_and(|state| state.is_ours());
    Ok(is_ours.then(|| vec![phase]))
}

/// What makes a pointer where none can be read: the newest whole generation boots. `None` where
/// there is one.
fn lost_pointer(device: &dyn BlockDevice) -> Result<Option<Vec<Phase>>, Error> {
    let mut state = State::read_without_pointer(device)?;
    let window = state.esp_window(device);
    let sector_size = device.sector_size();
    let why = match read_pointer(&window, &state.volume, sector_size) {
        Ok((pointer, _)) if state.entries.iter().any(|e| e.letter == pointer.letter) => {
            return Ok(None);
        }
        Ok(_) => OpenError::Pointer {
            what: "names a generation that is not there".into(),
        },
        // A medium that does not answer is no reason to let something else boot.
        Err(error @ (OpenError::NewerFormat { .. } | OpenError::Esp(FatError::Read { .. }))) => {
            return Err(error.into());
        }
        Err(error) => state.without_boot_files(error),
    };
    for entry in &state.entries {
        let path = format!("{ENTRIES}/{}", entry::file_name(entry.number, entry.letter));
        let read = state.volume.read_file(&window, &path, MAX_ENTRY_BYTES);
        if let Err(error @ FatError::Read { .. }) = read {
            return Err(OpenError::Esp(error).into());
        }
    }
    let current = state.current().map(|entry| entry.number);
    let Some(current) = current.filter(|_| state.is_ours()) else {
        return Err(why.into());
    };
    let fields = state.first_fields(current);
    let sector = Pointer::encode(state.pointer.letter, &fields, sector_size as usize);
    let start = state.esp.start;
    let place = pointer_place(&state.volume, sector_size);
    let mut phases = vec![Phase::default(); 3];
    if let Some(offset) = place {
        phases[0].put(start + offset, sector);
    } else {
        let replaced = if state.volume.find(POINTER).is_ok() {
            Some(state.volume.replace_file(POINTER, &sector)?)
        } else {
            state.volume.create_file(POINTER, &sector)?;
            None
        };
        let changes = state.volume.take_changes();
        phases[0].put_all(start, changes.data);
        phases[0].put_all(start, changes.tables);
        for step in changes.publish {
            phases[1].put_all(start, step);
        }
        if let Some(replaced) = replaced {
            state.volume.release(replaced);
            phases[2].put_all(start, state.volume.take_changes().tables);
        }
    }
    Ok(Some(phases))
}

/// Where the pointer's sector is, where its file has one and no more.
fn pointer_place(volume: &Volume, sector_size: u32) -> Option<u64> {
    match volume.extents(POINTER).ok()?.as_slice() {
        [extent] if extent.end - extent.start == u64::from(sector_size) => Some(extent.start),
        _ => None,
    }
}

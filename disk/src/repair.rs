//! Putting a partition table back that only one good copy is left of.

use crate::commit::{Phase, flush, forget};
use crate::disk::{Disk, geometry};
use crate::layout::guid;
use crate::window::Window;
use crate::{BlockDevice, Error, OpenError, Report};
use nos_formats::gpt::{self, Copy, Table};

/// Makes both copies of a disk's partition table good where one of them is, as UEFI firmware does
/// at a boot: the array first, then the header that names it. Gives the generation that boots in
/// the report; nothing is written where nothing is wrong.
///
/// # Errors
/// [`Error::Open`] where neither copy can be used, or where the disk is not ours: then nothing was
/// written. [`Error::Io`] where the medium fails.
pub fn repair(device: &mut dyn BlockDevice) -> Result<Report, Error> {
    let geometry = geometry(device)?;
    let sector = u64::from(geometry.sector_size);
    let mut report = Report::default();
    let primary = Table::read(&Window::whole(device), geometry, Copy::Primary);
    let last = Copy::Backup(geometry.sectors.saturating_sub(1));
    match primary {
        Err(problem) => {
            let backup = Table::read(&Window::whole(device), geometry, last);
            let table = backup.map_err(|_| OpenError::PrimaryBroken {
                problem,
                backup_good: false,
            })?;
            if table
                .find_type(guid(nos_manifest::IMAGE_TYPE_GUID))
                .is_none()
            {
                let why = "no partition of its backup table is a nOs image".into();
                return Err(OpenError::NotOurs { why }.into());
            }
            let place = table.array_lba(table.place) * sector;
            let mbr = gpt::protective_mbr(geometry.sectors, geometry.sector_size as usize);
            put(device, place, table.encode_array(), &mut report)?;
            put(device, sector, table.encode_primary(), &mut report)?;
            put(device, 0, mbr, &mut report)?;
        }
        Ok(table) => {
            let copy = Copy::Backup(table.backup_lba);
            let backup = Table::read(&Window::whole(device), geometry, copy);
            if !backup.is_ok_and(|backup| backup.agrees_with(&table)) {
                let place = table.backup_array_lba() * sector;
                put(device, place, table.encode_array(), &mut report)?;
                put(
                    device,
                    table.backup_lba * sector,
                    table.encode_backup(),
                    &mut report,
                )?;
            }
        }
    }
    forget(device)?;
    report.number = Disk::open(device)?.current().unwrap_or(0);
    Ok(report)
}

/// One write and a flush behind it.
fn put(
    device: &mut dyn BlockDevice,
    offset: u64,
    bytes: Vec<u8>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut phase = Phase::default();
    phase.put(offset, bytes);
    phase.write(device, report)?;
    flush(device, report)
}

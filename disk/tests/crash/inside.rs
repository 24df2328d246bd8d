//! The pointer as init rewrites it from inside of the machine, by the code that init runs.

use crate::Change;
use crate::cow::CowDevice;
use nos_disk::{BlockDevice, Disk, Error, Failure, Pointer, Verdict};
use nos_pointer::{Medium, Name, Record};
use std::io;

/// The EFI system partition of a device.
struct Partition<'d> {
    device: &'d mut dyn BlockDevice,
    start: u64,
}

impl Medium for Partition<'_> {
    type Error = io::Error;

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.device.read_at(self.start + offset, buffer)
    }

    fn write_through(&mut self, offset: u64, sector: &[u8]) -> io::Result<()> {
        self.device.write_at(self.start + offset, sector)?;
        self.device.flush()
    }
}

/// Rewrites the pointer as init does.
fn rewrite(
    device: &mut dyn BlockDevice,
    change: impl Fn(&Pointer) -> Option<Pointer>,
) -> Result<(), Error> {
    let sector_size = device.sector_size();
    let esp = {
        let disk = Disk::open(device)?;
        let (_, esp) = disk.table().numbered().next().unwrap();
        esp.first_lba
    };
    let mut partition = Partition {
        device,
        start: esp * u64::from(sector_size),
    };
    let failed = |source| Error::Io {
        doing: "rewriting the pointer",
        source,
    };
    let record = Record::open(&mut partition, sector_size as usize);
    let mut record = record.map_err(|error| failed(io::Error::other(error.to_string())))?;
    let pointer = change(record.pointer()).unwrap();
    let written = record.write(&mut partition, pointer);
    written.map_err(|error| failed(io::Error::other(error.to_string())))
}

type Step = fn(&Pointer) -> Option<Pointer>;

/// What init may do to the pointer, each with what came before it. Generation 2 boots and 1 is
/// tried.
const STEPS: [(&str, &[Step], Step); 9] = [
    ("trial begun", &[], |p| p.begun(false)),
    ("trial begun, flipped", &[], |p| p.begun(true)),
    ("trial started", &[|p| p.begun(false)], Pointer::started),
    (
        "trial started, flipped",
        &[|p| p.begun(true)],
        Pointer::started,
    ),
    (
        "verdict good",
        &[|p| p.begun(false), Pointer::started],
        |p| p.judged(Verdict::Good, ""),
    ),
    (
        "verdict good, flipped",
        &[|p| p.begun(true), Pointer::started],
        |p| p.judged(Verdict::Good, ""),
    ),
    (
        "verdict failed",
        &[|p| p.begun(false), Pointer::started],
        |p| {
            p.judged(
                Verdict::Failed(Failure::Unhealthy),
                "service web: no answer",
            )
        },
    ),
    (
        "verdict failed, flipped",
        &[|p| p.begun(true), Pointer::started],
        |p| p.judged(Verdict::Failed(Failure::Silent), Failure::Silent.text()),
    ),
    ("seen healthy", &[], |p| {
        let (number, letter) = (2, p.letter);
        p.seen(Name { number, letter }, true)
    }),
];

/// Everything that init may do to the pointer, with a disk that it is done to.
pub(crate) fn commands(two: &CowDevice) -> Vec<(&'static str, CowDevice, Change)> {
    let mut wanted = two.clone();
    Disk::open(&mut wanted).unwrap().set_trial(Some(1)).unwrap();
    let prepared = STEPS.map(|(name, before, step)| {
        let mut device = wanted.clone();
        for step in before {
            rewrite(&mut device, step).unwrap();
        }
        let change: Change = Box::new(move |device| rewrite(device, step));
        (name, device, change)
    });
    prepared.into()
}

/// A disk that knows something of a generation which is not there any more, by a letter that is
/// given out again.
pub(crate) fn knowing(two: &CowDevice, letter: u8) -> CowDevice {
    let mut device = two.clone();
    let know = |pointer: &Pointer| {
        let mut fields = pointer.fields?.next();
        fields.verdicts.set(letter, Some(Verdict::Good));
        Some(Pointer {
            fields: Some(fields),
            ..*pointer
        })
    };
    rewrite(&mut device, know).unwrap();
    device
}

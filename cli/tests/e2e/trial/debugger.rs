//! A debugger at a machine's processor: GDB's remote protocol, as much of it as breaks things.
//! What it does is what a broken kernel or init would do, without anything for it in either.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long the machine may take to answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long the machine goes on at most between two looks at it.
const LONGEST_RUN: Duration = Duration::from_millis(256);

/// Instructions that break what comes to them: one that does not exist, and a jump to itself.
const UNDEFINED: &str = "0f0b";
const JUMP_HERE: &str = "ebfe";
/// The instruction by which an idle processor waits.
const HALT: &str = "f4";
/// The byte that stops a machine which goes on.
const STOP: u8 = 3;

/// Registers by their number in the protocol.
const PLACE: u8 = 16;
const FLAGS: u8 = 17;
/// Bit of the flags that lets interrupts through.
const INTERRUPTS: u64 = 0x200;

/// Where a machine listens for the debugger.
pub(super) struct Socket(PathBuf);

impl Socket {
    /// A socket in a folder that the tests own.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self(folder.join("gdb"))
    }

    /// Arguments for `nos run`.
    pub(super) fn arguments(&self) -> [String; 2] {
        let address = format!("unix:{},server=on,wait=off", self.0.display());
        ["--qemu=-gdb".into(), format!("--qemu={address}")]
    }

    /// Stops the machine.
    pub(super) fn attach(&self) -> Debugger {
        let stream = UnixStream::connect(&self.0).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut debugger = Debugger(stream);
        debugger.ask("?");
        debugger
    }
}

/// A machine that stands still.
pub(super) struct Debugger(UnixStream);

impl Debugger {
    /// Lets the kernel come to an instruction that does not exist.
    pub(super) fn crash_kernel(mut self) {
        let place = self.place_of_rest();
        self.write(place, UNDEFINED);
        self.ask("D");
    }

    /// Lets the processor run in a circle, deaf to interrupts.
    pub(super) fn hang(mut self) {
        let place = self.place_of_rest();
        self.write(place, JUMP_HERE);
        let flags = self.registers().flags & !INTERRUPTS;
        let bytes: String = flags.to_le_bytes()[..4].iter().map(hex).collect();
        let answer = self.ask(&format!("P{FLAGS:x}={bytes}"));
        assert_eq!(answer, "OK");
        self.ask("D");
    }

    /// Lets the first program that comes to `place` go on where there is nothing.
    pub(super) fn crash_program_at(mut self, place: u64) {
        assert_eq!(self.ask(&format!("Z1,{place:x},1")), "OK");
        let stopped = self.ask("c");
        assert!(
            stopped.starts_with('T') || stopped.starts_with('S'),
            "{stopped}"
        );
        assert_eq!(self.registers().place, place);
        assert_eq!(self.ask(&format!("z1,{place:x},1")), "OK");
        let nowhere = "0".repeat(16);
        assert_eq!(self.ask(&format!("P{PLACE:x}={nowhere}")), "OK");
        self.ask("D");
    }

    /// Lets the machine go on until its processor rests in the kernel's idle loop, where it does
    /// no harm to anything but itself; gives the place of the instruction behind the halt.
    ///
    /// A stop that follows too soon would catch the processor at the same instruction for ever on
    /// a busy machine: each look lets it run for longer.
    fn place_of_rest(&mut self) -> u64 {
        let until = Instant::now() + PATIENCE;
        let mut run = Duration::from_millis(1);
        loop {
            let Registers { place, segment, .. } = self.registers();
            let before = place.wrapping_sub(1);
            if segment & 3 == 0 && self.ask(&format!("m{before:x},1")) == HALT {
                return place;
            }
            assert!(Instant::now() < until, "the processor never rests");
            self.send("c");
            thread::sleep(run);
            run = (2 * run).min(LONGEST_RUN);
            self.0.write_all(&[STOP]).unwrap();
            self.answer();
        }
    }

    fn write(&mut self, place: u64, bytes: &str) {
        let length = bytes.len() / 2;
        assert_eq!(self.ask(&format!("M{place:x},{length:x}:{bytes}")), "OK");
    }

    fn registers(&mut self) -> Registers {
        let text = self.ask("g");
        let word = |at: usize, length: usize| {
            let bytes = (at..at + length).rev();
            let digits: String = bytes.map(|i| &text[2 * i..2 * i + 2]).collect();
            u64::from_str_radix(&digits, 16).unwrap()
        };
        // Sixteen general registers of eight bytes come first.
        Registers {
            place: word(128, 8),
            flags: word(136, 4),
            segment: word(140, 4),
        }
    }

    /// Sends a command; gives the answer.
    fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.answer()
    }

    fn send(&mut self, command: &str) {
        let packet = format!("${command}#{:02x}", sum(command.as_bytes()));
        self.0.write_all(packet.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        let mut inside = false;
        loop {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            match byte[0] {
                b'$' => inside = true,
                b'#' if inside => break,
                byte if inside => answer.push(byte),
                _ => {}
            }
        }
        let mut check = [0; 2];
        self.0.read_exact(&mut check).unwrap();
        assert_eq!(check, *format!("{:02x}", sum(&answer)).as_bytes());
        self.0.write_all(b"+").unwrap();
        String::from_utf8(answer).unwrap()
    }
}

struct Registers {
    place: u64,
    flags: u64,
    segment: u64,
}

fn sum(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}

//! `nos rescue`: the disks of a machine that no longer boots, one line at a time, so that a serial
//! line is enough. Whatever it offers can also be typed as a command of `nos`.

use super::Outcome;
use super::disk::{generation_table, on};
use crate::args::RescueArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::units::{human_size, printable};
use nos_disk::flash::{Device, Machine, Use};
use nos_disk::{Disk, FileDevice, GenerationInfo};
use rustix::system::RebootCommand;
use serde::Serialize;
use std::ffi::OsString;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

/// Longest line that is taken, in bytes.
const MAX_LINE: u64 = 4096;

/// Other generations of a disk that the menu offers; all can be typed.
const MAX_OFFERED: usize = 5;

/// What `help` says.
const HELP: &str = "\
generations DISK       what is on a disk, with verdicts and reasons
rollback DISK          boot the generation before; writes one sector
switch DISK N          boot generation N; writes one sector
verify DISK [--repair] check every byte; put right what can be
log DISK               what was done to a disk
gc DISK, remove DISK N drop generations
help, disks, restart, off, quit
Any other verb of nos works too; `VERB --help` explains it.";

/// A disk that was found.
#[derive(Debug, Serialize)]
struct Found {
    #[serde(serialize_with = "crate::units::shown")]
    disk: PathBuf,
    /// What hardware it is; `None` for an image file.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Device>,
    /// Whether this program runs from it.
    own: bool,
    /// Its generations; empty where it has none that can be read.
    generations: Vec<GenerationInfo>,
    /// Why they cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// A command of `nos`, without its first word.
    Command(Vec<String>),
    /// Look at the disks and show them.
    Look,
    /// List the commands.
    Help,
    /// Start the machine again.
    Restart,
    /// Switch the machine off.
    Off,
    /// End this program.
    Quit,
}

/// One row of the menu.
type Row = (String, Choice);

pub(crate) fn run(context: &Context, args: &RescueArgs) -> Outcome {
    if context.shell.json() {
        return Ok(context.shell.result(&look(args), |_| String::new())?);
    }
    let owns_machine = owns_machine();
    let mut shows = true;
    loop {
        let found = look(args);
        let menu = menu(&found, owns_machine);
        if shows {
            context.shell.plain(&describe(context, &found, &menu));
        }
        context.shell.prompt("rescue> ");
        let Some(line) = read_line()? else {
            return Ok(());
        };
        let choice = choose(&line, &menu);
        shows = choice != Choice::Help;
        match choice {
            Choice::Look => {}
            Choice::Help => context.shell.plain(HELP),
            Choice::Command(words) => obey(context, &words),
            Choice::Restart => end(context, RebootCommand::Restart, owns_machine),
            Choice::Off => end(context, RebootCommand::PowerOff, owns_machine),
            Choice::Quit => return Ok(()),
        }
    }
}

/// Whether ending the machine is for this program to do: as the first process of a service, it
/// asks init, which ends all others well. Anywhere else the same call would pull the plug.
fn owns_machine() -> bool {
    rustix::process::getpid().as_raw_nonzero().get() == 1
}

/// The next line; `None` at the end.
fn read_line() -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let mut input = std::io::stdin().lock().take(MAX_LINE);
    let read = input.read_until(b'\n', &mut line);
    read.map_err(|error| Failure::failed(format_args!("the line cannot be read: {error}")))?;
    let text = String::from_utf8_lossy(&line).trim().to_string();
    Ok((!line.is_empty()).then_some(text))
}

/// What a line means: a number of the menu, a word of this program, else a command of `nos`.
fn choose(line: &str, menu: &[Row]) -> Choice {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
    if words.first().is_some_and(|word| word == "nos") {
        words.remove(0);
    }
    let number = |word: &String| {
        let index = word.parse::<usize>().ok()?.checked_sub(1)?;
        Some(menu.get(index)?.1.clone())
    };
    match words.as_slice() {
        [] => Choice::Look,
        [word] => number(word).unwrap_or_else(|| match word.as_str() {
            "help" | "?" => Choice::Help,
            "disks" => Choice::Look,
            "restart" | "reboot" => Choice::Restart,
            "off" | "poweroff" => Choice::Off,
            "quit" | "exit" => Choice::Quit,
            _ => Choice::Command(vec![word.clone()]),
        }),
        _ => Choice::Command(words),
    }
}

/// Does what a command says, as if it were typed behind `nos`.
fn obey(context: &Context, words: &[String]) {
    if words.first().is_some_and(|verb| verb == "rescue") {
        return context
            .shell
            .failure("this is `nos rescue` already; `help` lists what to type");
    }
    let all = std::iter::once("nos").chain(words.iter().map(String::as_str));
    crate::act(all.map(OsString::from).collect());
}

fn end(context: &Context, how: RebootCommand, owns_machine: bool) {
    if !owns_machine {
        let why = "this program does not own the machine; end it as its system does, or `quit`";
        return context.shell.failure(why);
    }
    if let Err(error) = rustix::system::reboot(how) {
        context.shell.failure(&format!(
            "the machine does not end: {error}; give the service CAP_SYS_BOOT, or use its button"
        ));
    }
}

/// Looks at the disks that were named, or at all that the machine has.
fn look(args: &RescueArgs) -> Vec<Found> {
    let machine = Machine::default();
    let disks = match args.disks.as_slice() {
        [] => machine.disks(),
        named => named.to_vec(),
    };
    let mut found: Vec<Found> = disks
        .into_iter()
        .map(|disk| look_at(&machine, disk))
        .collect();
    // What can be done something about comes last, where a person looks first.
    found.sort_by_key(|found| (!found.is_other(), !found.own, found.disk.clone()));
    found.reverse();
    found
}

fn look_at(machine: &Machine, disk: PathBuf) -> Found {
    let device = machine.inspect(&disk).ok();
    let is_root = |used: &Use| matches!(used, Use::Mounted { at, .. } if at == "/");
    let own = device
        .as_ref()
        .is_some_and(|device| device.uses.iter().any(is_root));
    let (generations, trouble) = match generations(&disk) {
        Ok(generations) => (generations, None),
        Err(failure) => (Vec::new(), failure.message().map(str::to_string)),
    };
    Found {
        disk,
        device,
        own,
        generations,
        trouble,
    }
}

fn generations(path: &Path) -> Result<Vec<GenerationInfo>, Failure> {
    let mut device = FileDevice::open_read_only(path)?;
    Ok(on(path, Disk::open(&mut device))?.generations())
}

impl Found {
    /// Whether it has generations, and is not the disk that this program runs from.
    fn is_other(&self) -> bool {
        !self.own && !self.generations.is_empty()
    }

    /// Its name and what it is.
    fn name(&self) -> String {
        let mut text = self.disk.display().to_string();
        let Some(device) = &self.device else {
            return text;
        };
        for (word, value) in [("", &device.model), ("serial ", &device.serial)] {
            if !value.is_empty() {
                text.push_str(&format!(", {word}{}", printable(value)));
            }
        }
        text.push_str(&format!(", {}", human_size(device.size_bytes)));
        text
    }
}

/// What can be done about these disks.
fn menu(found: &[Found], owns_machine: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    let command = |words: &[&str], disk: &str| {
        let words = words.iter().map(|word| match *word {
            "DISK" => disk.to_string(),
            word => word.to_string(),
        });
        Choice::Command(words.collect())
    };
    // The machine's own system first.
    let mut others: Vec<&Found> = found.iter().filter(|found| !found.own).collect();
    others.sort_by_key(|found| found.generations.is_empty());
    for other in others {
        let disk = other.disk.display().to_string();
        let is_offered = |g: &&GenerationInfo| !g.current && g.broken.is_none();
        let mut offered: Vec<_> = other.generations.iter().filter(is_offered).collect();
        offered.sort_by_key(|g| std::cmp::Reverse((g.previous, g.number)));
        for generation in offered.into_iter().take(MAX_OFFERED) {
            let number = generation.number.to_string();
            rows.push(match generation.previous {
                true => (
                    format!("roll {disk} back to generation {number}"),
                    command(&["rollback", "DISK"], &disk),
                ),
                false => (
                    format!("boot generation {number} of {disk}"),
                    command(&["switch", "DISK", &number], &disk),
                ),
            });
        }
        if other.is_other() || other.trouble.is_some() && other.looks_like_nos() {
            rows.push((
                format!("check every byte of {disk}, and repair what can be"),
                command(&["verify", "DISK", "--repair"], &disk),
            ));
        }
    }
    rows.push(("look at the disks again".into(), Choice::Look));
    match owns_machine {
        true => {
            rows.push(("restart the machine".into(), Choice::Restart));
            rows.push(("switch it off".into(), Choice::Off));
        }
        false => rows.push(("quit".into(), Choice::Quit)),
    }
    rows
}

impl Found {
    /// Whether a disk that cannot be read has partitions of ours.
    fn looks_like_nos(&self) -> bool {
        let Some(device) = &self.device else {
            return true;
        };
        device
            .parts
            .iter()
            .any(|part| part.label == "EFI system" || part.label == "state")
    }
}

fn describe(context: &Context, found: &[Found], menu: &[Row]) -> String {
    let mut text = String::from("\n");
    if found.is_empty() {
        text.push_str("No disk is here. A driver may be missing, or the disk needs a moment.\n");
    }
    for found in found {
        text.push_str(&found.name());
        match (&found.trouble, found.own) {
            (_, true) => text.push_str(": this system runs from it\n"),
            (Some(trouble), _) => text.push_str(&format!("\n  {}\n", printable(trouble))),
            (None, _) => {
                text.push('\n');
                let table = generation_table(&context.shell, &found.generations);
                for line in table.lines() {
                    text.push_str(&format!("  {line}\n"));
                }
            }
        }
    }
    text.push('\n');
    for (number, (what, _)) in (1..).zip(menu) {
        text.push_str(&format!("{number:>3}  {what}\n"));
    }
    text.push_str("A number, or a command such as `switch DISK N`; `help` lists them.");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(disk: &str, own: bool, numbers: &[u32], current: u32) -> Found {
        let generation = |number: &u32| GenerationInfo {
            number: *number,
            current: *number == current,
            previous: *number + 1 == current,
            trial: None,
            booted: false,
            verdict: None,
            pinned: false,
            entry: String::new(),
            uki: String::new(),
            label: String::new(),
            kernel: String::new(),
            installed: None,
            images: Vec::new(),
            new_bytes: 0,
            size_bytes: 0,
            broken: None,
        };
        Found {
            disk: disk.into(),
            device: None,
            own,
            generations: numbers.iter().map(generation).collect(),
            trouble: None,
        }
    }

    fn words(words: &[&str]) -> Choice {
        Choice::Command(words.iter().map(|word| word.to_string()).collect())
    }

    #[test]
    fn the_menu_offers_to_go_back_first_and_leaves_its_own_disk_alone() {
        let disks = [
            found("/dev/sdb", true, &[1, 2], 2),
            found("/dev/sda", false, &[1, 2, 3, 4], 3),
        ];
        let menu = menu(&disks, true);
        let choices: Vec<_> = menu.into_iter().map(|row| row.1).collect();
        assert_eq!(
            choices,
            [
                words(&["rollback", "/dev/sda"]),
                words(&["switch", "/dev/sda", "4"]),
                words(&["switch", "/dev/sda", "1"]),
                words(&["verify", "/dev/sda", "--repair"]),
                Choice::Look,
                Choice::Restart,
                Choice::Off,
            ]
        );
    }

    #[test]
    fn lines_are_numbers_words_or_commands() {
        let rows = menu(&[found("/dev/sda", false, &[1, 2], 2)], false);
        let choose = |line| choose(line, &rows);
        assert_eq!(choose(" 1 \r"), words(&["rollback", "/dev/sda"]));
        assert_eq!(choose("4"), Choice::Quit);
        assert_eq!(choose("0"), words(&["0"]));
        assert_eq!(choose("5"), words(&["5"]));
        assert_eq!(choose(""), Choice::Look);
        assert_eq!(choose("help"), Choice::Help);
        assert_eq!(choose("off"), Choice::Off);
        assert_eq!(
            choose("nos switch /dev/sda 1"),
            words(&["switch", "/dev/sda", "1"])
        );
    }
}

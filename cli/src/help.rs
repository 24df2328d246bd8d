//! What the help and the manual say beyond one line for each verb and option: how a verb is
//! meant, and how it is called.

use crate::args::Cli;
use clap::{Command, CommandFactory};

/// Heading of the options that every verb takes.
const GLOBAL: &str = "Global options";

/// What is said of one verb.
struct Words {
    /// Its name; `store gc` for a verb of a verb.
    verb: &'static str,
    /// How it is meant.
    about: &'static str,
    /// Calls of it, one a line.
    examples: &'static [&'static str],
}

/// The whole command line, with everything that is said of it.
pub(crate) fn command() -> Command {
    let mut command = Cli::command().mut_args(|arg| match arg.is_global_set() {
        true => arg.help_heading(GLOBAL),
        false => arg,
    });
    for words in WORDS {
        command = match words.verb.split_once(' ') {
            Some((verb, below)) if has(&command, verb, Some(below)) => {
                command.mut_subcommand(verb, |c| c.mut_subcommand(below, |c| say(c, words)))
            }
            None if has(&command, words.verb, None) => {
                command.mut_subcommand(words.verb, |c| say(c, words))
            }
            _ => command,
        };
    }
    command
}

fn has(command: &Command, verb: &str, below: Option<&str>) -> bool {
    let found = command.find_subcommand(verb);
    found.is_some_and(|c| below.is_none_or(|below| c.find_subcommand(below).is_some()))
}

fn say(command: Command, words: &Words) -> Command {
    let about = command.get_about().map(ToString::to_string);
    let long = format!("{}.\n\n{}", about.unwrap_or_default(), words.about);
    command.long_about(long).after_help(examples(words))
}

fn examples(words: &Words) -> String {
    let lines = words.examples.iter().map(|line| format!("\n  {line}"));
    format!("Examples:{}", lines.collect::<String>())
}

/// The examples in a verb's help, one a line.
pub(crate) fn examples_of(command: &Command) -> Vec<String> {
    let text = command.get_after_help().map(ToString::to_string);
    let text = text.unwrap_or_default();
    let lines = text.strip_prefix("Examples:").unwrap_or_default().lines();
    let lines = lines.map(|line| line.trim().to_string());
    lines.filter(|line| !line.is_empty()).collect()
}

const WORDS: &[Words] = &[
    Words {
        verb: "check",
        about: "Reads the spec and the files beside it and shows every mistake at its place, \
                without network and without building anything. `nos explain CODE` says more of \
                each kind.",
        examples: &["nos check", "nos check fleet.nos --json"],
    },
    Words {
        verb: "fmt",
        about: "There is one way to write each spec; comments stay. Files are replaced in one \
                step, so a cut leaves the old text or the new. With --check or --diff nothing is \
                written, and the exit code is 3 where something would be.",
        examples: &[
            "nos fmt",
            "nos fmt --check host.nos modules/*.nos",
            "nos fmt --diff host.nos | less",
            "nos fmt - < host.nos",
        ],
    },
    Words {
        verb: "lock",
        about: "Writes nos.lock beside the spec: the version and digest of each package that is \
                needed, taken from an index whose signature was checked. Pins that still fit \
                stay as they are. Building verbs do this by themselves where the lock does not \
                fit the spec.",
        examples: &[
            "nos lock",
            "nos lock examples/web --mirror https://deb.example.org/debian",
        ],
    },
    Words {
        verb: "update",
        about: "Looks at what the archive has now and pins the newest of it: of everything, or \
                of the packages named. Nothing is built; `nos plan` shows what it would mean.",
        examples: &[
            "nos update",
            "nos update . nginx openssl",
            "nos update --tools",
        ],
    },
    Words {
        verb: "plan",
        about: "Shows what a build would fetch and run, and what would be other in its result \
                than in the last one of the same host: + is new, - is gone, ~ is another. \
                Nothing is fetched and nothing runs.",
        examples: &[
            "nos plan",
            "nos plan fleet.nos#edge",
            "nos plan --json | jq .changes",
        ],
    },
    Words {
        verb: "build",
        about: "Builds what the store does not have yet and prints the path of the result's \
                description. The same spec and lock give the same bytes on every machine; \
                --check builds everything again, in an empty store, as another user, with \
                another clock and whatever else may differ between machines, and compares.",
        examples: &[
            "nos build",
            "nos build fleet.nos#edge -o result",
            "nos build --check",
        ],
    },
    Words {
        verb: "image",
        about: "Builds the spec and writes a whole disk with it as generation 1: boot loader, \
                kernel, service images and, where the spec asks for it, a state partition. The \
                file appears when it is whole.",
        examples: &[
            "nos image -o disk.img",
            "nos image fleet.nos#edge -o edge.img --size 8GiB",
        ],
    },
    Words {
        verb: "run",
        about: "Builds the spec and boots it under firmware in a virtual machine. The console \
                is shown here, declared ports are forwarded to this machine. Ctrl-C presses the \
                power button, a second one pulls the plug. Changes of the disk are dropped \
                unless --disk keeps them.",
        examples: &[
            "nos run",
            "nos run examples/web --port 8080:80",
            "nos run --disk disk.img",
            "nos run examples/rescue --usb --with disk.img",
        ],
    },
    Words {
        verb: "flash",
        about: "Shows what the device is and what would be lost, has it confirmed, writes and \
                reads back. Devices that are mounted, in use, read-only, too small or hold this \
                machine's root are refused.",
        examples: &[
            "nos flash fleet.nos#edge /dev/sdb",
            "nos flash . /dev/sdb --yes 4C530001",
        ],
    },
    Words {
        verb: "install",
        about: "Builds the spec and writes it beside what is on the disk: only images that are \
                not there yet, then the boot entry, and last the one sector that says what \
                boots. A cut at any moment leaves a disk that boots the old generation or the \
                new one. The oldest ones beyond the spec's `keep` are removed.",
        examples: &[
            "nos install fleet.nos#edge disk.img",
            "nos install . /dev/sdb --label \"before the upgrade\"",
        ],
    },
    Words {
        verb: "generations",
        about: "Shows each generation with its number, when it was installed, its kernel, what \
                it added to the disk and its size. The arrow to the right boots next; a rollback \
                goes to the arrow to the left.",
        examples: &[
            "nos generations disk.img",
            "nos generations /dev/sda --json",
        ],
    },
    Words {
        verb: "switch",
        about: "Writes the one sector that says what boots. It needs no space and cannot fail \
                half-way. The machine boots the generation at its next start.",
        examples: &["nos switch disk.img 42"],
    },
    Words {
        verb: "rollback",
        about: "Switches to the generation that booted before; a second rollback comes back. \
                Like every switch it writes one sector and needs no space.",
        examples: &["nos rollback disk.img", "nos rollback /dev/sda"],
    },
    Words {
        verb: "verify",
        about: "Reads all of it: partition tables, boot files, boot entries, and each block of \
                each image against its root hash. Each finding names what it harms and what to \
                do. The exit code is 1 where something is damaged.",
        examples: &[
            "nos verify disk.img",
            "nos verify /dev/sda --repair",
            "nos verify disk.img --repair --from web.nos",
        ],
    },
    Words {
        verb: "rescue",
        about: "Shows the disks of this machine with their generations, verdicts and reasons, offers \
                what can be done about them, and takes it line by line: a number of the menu, or a \
                command of nos. Nothing is written that was not asked for. On a stick of \
                examples/rescue it is what appears on the screen and on the serial line.",
        examples: &["nos rescue", "nos rescue disk.img", "nos rescue --json"],
    },
    Words {
        verb: "gc",
        about: "Drops the oldest generations and what no other one needs. The one that boots, \
                the one that a rollback goes to, one on trial and pinned ones always stay.",
        examples: &["nos gc disk.img", "nos gc /dev/sda --keep 2"],
    },
    Words {
        verb: "remove",
        about: "Drops one generation and what no other one needs. The one that boots cannot be \
                removed.",
        examples: &["nos remove disk.img 41"],
    },
    Words {
        verb: "pin",
        about: "No `nos gc` removes a pinned generation. A label says why it is kept.",
        examples: &[
            "nos pin disk.img 42",
            "nos pin disk.img 42 --label \"known good\"",
        ],
    },
    Words {
        verb: "unpin",
        about: "The generation goes with the next `nos gc` that it is too old for.",
        examples: &["nos unpin disk.img 42"],
    },
    Words {
        verb: "grow",
        about: "After a disk image was made larger, or its content was copied to a larger \
                device: moves the backup partition table to the new end, so that the rest can \
                be used.",
        examples: &["truncate -s 16G disk.img && nos grow disk.img"],
    },
    Words {
        verb: "log",
        about: "Shows what was done to a disk, when, by whom and with which nos. The log lies on \
                the disk itself and travels with it; it remembers the newest 128 operations. A \
                disk that was just made has done nothing yet.",
        examples: &["nos log disk.img", "nos log /dev/sda --json"],
    },
    Words {
        verb: "store",
        about: "The store holds what was fetched and built, under the digest of its content. \
                What no root keeps can go at any time: it is fetched or built again.",
        examples: &["nos store ls", "nos store gc --dry-run"],
    },
    Words {
        verb: "store ls",
        about: "Roots are made by builds (one for each spec's folder and host), by links to \
                results and by imports.",
        examples: &["nos store ls", "nos store ls --json"],
    },
    Words {
        verb: "store gc",
        about: "Safe beside running builds. Builds whose folder is gone no longer keep anything. \
                Checked-out trees go with their objects, unfinished files where nobody holds \
                them, folders of failed builds after 7 days, logs after 30.",
        examples: &["nos store gc --dry-run", "nos store gc"],
    },
    Words {
        verb: "store drop",
        about: "What only this root kept goes with the next `nos store gc`.",
        examples: &["nos store drop build:edge:/home/ada/fleet"],
    },
    Words {
        verb: "store export",
        about: "Writes everything that a root keeps into one file. Equal roots give equal files. \
                With a key it is signed, and `nos store import` can tell who made it.",
        examples: &[
            "nos store export link:/home/ada/result -o edge.nosx",
            "nos store export link:/home/ada/result -o edge.nosx --sign key",
        ],
    },
    Words {
        verb: "store import",
        about: "Checks the signature before anything, and each object against its digest before \
                it gets a name.",
        examples: &[
            "nos store import edge.nosx --trust 3f2a09c1d4…",
            "nos store import edge.nosx --unsigned",
        ],
    },
    Words {
        verb: "store verify",
        about: "Reads the whole store. With --repair damaged objects go, and with them the \
                results that name them: the next build makes them again.",
        examples: &["nos store verify", "nos store verify --repair"],
    },
    Words {
        verb: "doctor",
        about: "Tries what building, running and flashing need, and says for everything that is \
                missing the one thing to do.",
        examples: &["nos doctor", "nos doctor --offline --json"],
    },
    Words {
        verb: "hardware",
        about: "Reads what devices the machine has and which drivers they use, and writes a kernel \
                block with just these built in. Nothing is changed; --sys reads a copy of another \
                machine's /sys.",
        examples: &["nos hardware > machine.nos", "nos hardware --json"],
    },
    Words {
        verb: "tree",
        about: "On a terminal it can be walked through: arrows (or h j k l) move, unfold and \
                fold, space opens and closes, s sorts by size or name, q ends. Elsewhere, and \
                with --print, it is printed. SYSTEM is a spec, which is built first, what `nos \
                build` printed or linked to, or a disk: DISK#N is its generation N, without it \
                the one that boots.",
        examples: &[
            "nos tree",
            "nos tree disk.img#2",
            "nos tree result --print --depth 4",
        ],
    },
    Words {
        verb: "why",
        about: "Shows the way from the host to a file in an image, to a package (what depends \
                on it, and one file of it that stays), to a kernel module, or to an option of \
                the kernel (which program of which image calls what needs it).",
        examples: &[
            "nos why . /usr/lib/x86_64-linux-gnu/libz.so.1",
            "nos why fleet.nos#edge libssl3t64",
            "nos why . virtio_net",
            "nos why . CONFIG_EPOLL",
        ],
    },
    Words {
        verb: "diff",
        about: "Compares kernel, kernel options, command line, services, images, packages and \
                files: + is new, - is gone, ~ is another. Each side is a spec, which is built \
                first, what `nos build` printed or linked to, or a disk: DISK#N is its \
                generation N, without it the one that boots. Of generations nothing but the \
                disk is needed.",
        examples: &[
            "nos diff disk.img#41 disk.img#42",
            "nos diff disk.img fleet.nos#edge",
            "nos diff result-before result-after --json",
        ],
    },
    Words {
        verb: "sbom",
        about: "Lists every package and crate of the system with version and digest, from the \
                spec, its lock and the lock files of Rust packages. Nothing is scanned or \
                built; crates are fetched, because they say their licences.",
        examples: &[
            "nos sbom > edge.spdx.json",
            "nos sbom fleet.nos#edge --format cyclonedx",
        ],
    },
    Words {
        verb: "provenance",
        about: "States what the system was built from, as in-toto and SLSA write it down.",
        examples: &["nos provenance > edge.provenance.json"],
    },
    Words {
        verb: "trim",
        about: "Shows for each image what the spec's own words keep in it and what of the \
                packages stays out, so that it can be made smaller by knowing. With --trace \
                the services run in a virtual machine with all files of their packages, and \
                what they open is compared with what stays.",
        examples: &[
            "nos trim",
            "nos trim fleet.nos#edge --json",
            "nos trim --trace --exec 'curl http://127.0.0.1:$NOS_PORT_80/'",
            "nos trim --trace --for 5min",
        ],
    },
    Words {
        verb: "lsp",
        about: "Speaks the language server protocol on standard input and output; editors \
                start it. How to set up VS Code, Neovim and Helix is in the folder editors of \
                the sources.",
        examples: &["nos lsp"],
    },
    Words {
        verb: "explain",
        about: "Says more of a message's code, and of each block and attribute of a spec what \
                it means, takes and defaults to; the text comes from the table that checks it. \
                Without a name it lists all names.",
        examples: &[
            "nos explain E0101",
            "nos explain service.health",
            "nos explain",
        ],
    },
    Words {
        verb: "init",
        about: "Writes a spec and a page that it serves. `nos run` boots it.",
        examples: &["nos init first && nos run first"],
    },
    Words {
        verb: "completions",
        about: "Put the line of your shell from the examples into its start-up file. The script \
                asks nos itself, so that hosts of specs, generations of disks and packages of \
                locks are completed too.",
        examples: &[
            "source <(nos completions bash)                    # in ~/.bashrc",
            "source <(nos completions zsh)                     # in ~/.zshrc",
            "nos completions fish | source                     # in config.fish",
        ],
    },
    Words {
        verb: "man",
        about: "Writes nos.1 and a page for each verb into a folder, or prints one page.",
        examples: &[
            "nos man install | man -l -",
            "nos man --to ~/.local/share/man/man1",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_an_example_that_is_a_call_of_it() {
        let command = command();
        let mut all: Vec<(String, &Command)> = Vec::new();
        for verb in command.get_subcommands() {
            let name = verb.get_name().to_string();
            all.extend(
                verb.get_subcommands()
                    .map(|b| (format!("{name} {}", b.get_name()), b)),
            );
            all.push((name, verb));
        }
        for (name, verb) in &all {
            let examples = examples_of(verb);
            assert!(
                !examples.is_empty(),
                "{name}: add an example to cli/src/help.rs"
            );
            assert!(
                examples
                    .iter()
                    .all(|example| example.contains(&format!("nos {name}"))),
                "{name}: {examples:?}"
            );
            assert!(verb.get_long_about().is_some(), "{name}");
        }
        for words in WORDS {
            assert!(
                all.iter().any(|(name, _)| name == words.verb),
                "{} is no verb",
                words.verb
            );
        }
    }

    #[test]
    fn examples_are_taken_by_the_parser() {
        for example in WORDS.iter().flat_map(|words| words.examples) {
            // Up to what the shell takes; quotes are the only other thing of it in here.
            let ends = [" |", " <", " >", " #", " &"];
            let end = ends.iter().filter_map(|end| example.find(end)).min();
            let call = &example[..end.unwrap_or(example.len())];
            let call = match example.find("nos ") {
                Some(0) => call,
                _ => continue,
            };
            let call = call
                .replace("\"before the upgrade\"", "x")
                .replace("\"known good\"", "x");
            let words: Vec<&str> = call.split_whitespace().collect();
            let parsed = command().try_get_matches_from(&words);
            let fine = parsed
                .as_ref()
                .err()
                .is_none_or(|error| !error.use_stderr());
            assert!(fine, "{example}: {:?}", parsed.err().map(|e| e.to_string()));
        }
    }
}

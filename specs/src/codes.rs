//! Every code a diagnostic can have, with what `nos explain` says about it.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $(#[doc = $title] pub const $name: &str = $code;)*

        /// Code, title and explanation of each diagnostic, in order.
        pub const ALL: &[(&str, &str, &str)] = &[$(($code, $title, $text)),*];
    };
}

/// The explanation of `code`: when it is given and what to do, with an example. Upper and lower
/// case are the same.
pub fn explain(code: &str) -> Option<&'static str> {
    ALL.iter()
        .find(|(known, _, _)| known.eq_ignore_ascii_case(code))
        .map(|(_, _, text)| *text)
}

codes! {
    UNKNOWN_CHARACTER = "E0101", "a character that the language does not have",
"Outside of texts and comments a spec is made of names, numbers, texts in straight double quotes,
and the characters { } [ ] ( ) = , . : + - * < > !=.

  run = ['/bin/httpd'];      wrong: single quotes, semicolon
  run = [\"/bin/httpd\"]       right";
    UNCLOSED_TEXT = "E0102", "a text without an end",
"A text in \"…\" ends on the line on which it begins. Longer texts stand between \"\"\":

  motd = text(\"\"\"
    Welcome.
    \"\"\")

The indentation that all lines share is taken off. In both kinds, ${…} puts a value in; write \\${
for the two characters themselves.";
    BAD_ESCAPE = "E0103", "an unknown escape in a text",
"In a text in \"…\" a backslash begins one of: \\n (new line), \\t (tab), \\\" \\\\ \\$ (the character
itself), \\u{1F600} (the character with that number). A text between \"\"\" has no escapes but \\${ and
\\\"\"\", so it suits configuration files with backslashes.";
    BAD_NUMBER = "E0104", "a number that cannot be read",
"Numbers are whole: 80, 10_000. Sizes end in B, KiB, MiB, GiB or TiB (powers of 1024), times in ms, s,
min or h, without a space: 64MiB, 10s. There are no KB and MB, because people mean two things by them.";
    BAD_LONG_TEXT = "E0105", "a text over several lines that begins or ends within a line",
"The three quotes that open a text over several lines end their line, and the three that close it
stand on a line of their own:

  text = \"\"\"
    first line
    second line
    \"\"\"";
    UNEXPECTED = "E0106", "something stands where something else belongs",
"The message says what was expected and what was found. The forms of the language are:

  use std.kernel                      take names from another file
  let port = 80                       give a value a name
  service web { run = [\"/bin/web\"] }  a block: kind, name, attributes
  name = value                        an attribute, one on each line";
    UNCLOSED_BRACKET = "E0107", "a bracket that is never closed",
"Each { [ ( needs its } ] ). The message marks the one that was opened and where the next block or
the end of the file came instead. `nos fmt` shows the structure by indentation.";
    UNOPENED_BRACKET = "E0108", "a bracket that closes nothing",
"A } ] or ) stands where nothing is open. Take it out, or look further up for a bracket that closes
too early.";
    TOO_DEEP = "E0109", "something lies too deep in itself",
"Brackets can lie 64 deep in each other, values 64 deep, a value can have 256 operators, and a name
can stand for a name for a name up to 200 times. Give inner parts names with `let`.";
    TEXT_TOO_LARGE = "E0110", "a file that is too large",
"A spec file has at most 4 MiB. Split it and put the parts together with `use`.";
    NOT_A_SPEC = "E0111", "a text that is not a spec",
"Almost nothing in the text is of the language, so it is told once and not for each of its lines. A spec
is made of blocks:

  host web {
    services = []
  }

`nos init FOLDER` writes a first one.";

    UNKNOWN_NAME = "E0201", "a name that nothing has",
"Names are defined by blocks, by `let`, by `use`, by the parameters of a template and by `for`. They
are known in the whole file, before and after their definition. What another file defines has the
file's name before it: kernel.stock after `use std.kernel`.";
    DUPLICATE_NAME = "E0202", "two definitions of one name",
"Within one file each block, `let`, template and used file has a name of its own.";
    UNKNOWN_KIND = "E0203", "a kind of block that does not exist",
"The kinds are service, image, build, kernel and host. `nos explain service` lists a kind's attributes.";
    RESERVED_NAME = "E0204", "a name that is a word of the language",
"Words such as use, let, if, true, dhcp or never mean something everywhere and cannot be names.";
    UNKNOWN_CALL = "E0205", "a call of something that cannot be called",
"The calls are file, folder, text, fetch, oci, script, cargo, make, autotools, cmake, tcp, udp,
http, exec, dhcp, static, range, join, service, image, build, kernel and host. Templates are called
behind `like`: service blog like page(port = 80).";
    UNKNOWN_FILE = "E0206", "a used file that cannot be read",
"`use shared.web` reads shared/web.nos in the folder of the file that says so. `use std.kernel` reads
a part of the standard library, which is inside nos.";
    CYCLE = "E0207", "a definition that needs itself",
"A name cannot stand for something that is made of that name, directly or through others; that would
never end. The message marks a place on the way round.";
    BAD_NAME = "E0208", "a name of a block that does not serve as one",
"Names of blocks become host names, user names and labels of partitions: 1 to 32 of a-z, 0-9 and -,
beginning with a letter and ending with a letter or digit.";
    WRONG_KIND = "E0209", "a block of the wrong kind",
"An attribute such as host.services takes blocks of one kind. The message says which kind the name
has and which is needed.";
    UNKNOWN_TYPE = "E0210", "a parameter of an unknown type",
"A template's parameter has one of the types text, number, size, time, bool, list, record, service,
image, build, kernel, host.";

    UNKNOWN_ATTRIBUTE = "E0301", "an attribute that the block does not have",
"`nos explain service` lists the attributes of service blocks, `nos explain service.health` says what
one is for.";
    MISSING_ATTRIBUTE = "E0302", "a block without an attribute that it needs",
"The message names the attribute and shows how it is written.";
    DUPLICATE_ATTRIBUTE = "E0303", "an attribute written twice",
"Each attribute stands once in a block. To add to what a block takes over by `like`, write `+=`.";
    NOTHING_TO_ADD_TO = "E0304", "`+=` without anything to add to",
"`name += value` adds to the list, record or text that the block takes over by `like`. Where there is
nothing, write `=`.";

    WRONG_TYPE = "E0401", "a value of the wrong type",
"The message says what the attribute takes and what it was given.";
    OUT_OF_RANGE = "E0402", "a number, size or time out of its range",
"The message says the range.";
    BAD_PATH = "E0403", "a path that cannot be one",
"Paths inside an image are absolute (/srv/www), without .., without empty parts and without a / at the
end.";
    BAD_SOURCE = "E0404", "a source outside of the spec's folder",
"file(\"…\") and folder(\"…\") name what lies beside the spec, by a relative path without ... So a spec
and its folder can be moved and always mean the same.";
    UNKNOWN_WORD = "E0405", "a word that the attribute does not take",
"The attribute takes one of a few words; the message lists them.";
    BAD_ARGUMENT = "E0406", "an argument that is unknown, missing or given twice",
"Arguments stand in the order of the call's definition or are named: http(port = 80, path = \"/\").";
    BAD_TEXT = "E0407", "a text that does not have the needed form",
"Some texts have a form: names of packages, of modules, of environment variables, capabilities,
addresses, file modes. The message says the form and gives an example.";
    REPEATED_ELEMENT = "E0408", "the same element twice in a list",
"Lists of names, paths and ports are sets: each element stands once.";
    EMPTY_LIST = "E0409", "an empty list where something is needed",
"The message says what the list is for.";
    BAD_OPERANDS = "E0410", "values that the operator does not join",
"+ joins two numbers, sizes, times, texts, lists or records (where both have a name, the right one
counts); - takes numbers, sizes or times; * a number and a number, size or time; < <= > >= numbers,
sizes or times; == and != two values of one type; and, or, not take true and false; in looks for a
value in a list, or for a name in a record.";
    TOO_MUCH = "E0411", "a spec that makes too much",
"Every spec comes to an end, and soon: values, repetitions and texts are limited to what no machine
needs. The message marks where the limit was reached; mostly a `for` inside of `for`s.";
    NOT_A_TEXT_PIECE = "E0412", "a value that cannot be put into a text",
"${…} takes texts, numbers, sizes, times, true and false, and blocks (their name).";
    OVERFLOW = "E0413", "a calculation beyond the largest number",
"Numbers lie between -2^63 and 2^63 - 1.";

    PORT_TAKEN = "E0501", "two services of one host on one port",
"All services of a host share its addresses, so each port belongs to one of them. Give one of the two
another port, or run them on two hosts.";
    NO_STATE_PARTITION = "E0502", "a service with state on a host without a place for it",
"service.state keeps directories on the state partition. Say how large that is:

  disk = { state = 256MiB }";
    DISK_TOO_SMALL = "E0503", "a disk that cannot hold what is asked of it",
"The EFI system partition holds one kernel with its init for each generation that is kept, about
12 MiB each with Debian's cloud kernel and 16 MiB with the one for real hardware. Make disk.esp larger or disk.keep smaller.";
    AFTER_CYCLE = "E0504", "services that wait for each other",
"service.after lists the services that must be healthy first. Going round, none of them would ever
start. Take one of the names out.";
    USER_TAKEN = "E0505", "two services of one host with one user",
"Services are kept apart by their users. Leave service.user out, and each gets one of its own.";
    TWO_CONTENTS = "E0506", "a service with an image and contents of its own",
"A service either refers to an image block (image = base) or has packages, files and the like of its
own, which become an image of its name.";
    NOT_ON_HOST = "E0507", "a service that waits for one that the host does not run",
"Every service in service.after must be among the services of each host that runs it.";
    NO_CONTENT = "E0508", "a service without content",
"A service needs packages, builds, files or an image to run from.";
    SAME_NAME_ON_HOST = "E0509", "two services or images of one name on one host",
"Services and images of a host have names of their own, also where they come from different files.";
    PATHS_COLLIDE = "E0510", "two things at one path of an image",
"Each path of an image is one thing: a file, a folder's content, a link, a directory or a directory
kept on the state partition; and nothing can lie below a file or a link.";
    PORT_NOT_LISTENED = "E0511", "a forwarded port on which nothing listens",
"machine.forward takes TCP ports that one of the host's services has in its `listen`.";
    CHANNEL_ONE_END = "E0512", "a channel with one end",
"A channel joins services of one host: one has it in `serves`, at least one other in `calls`.

  service app   { serves = [\"api\"]  … }
  service front { calls  = [\"api\"]  … }
  host edge     { services = [app, front] }";
    CHANNEL_TWO_SERVERS = "E0513", "a channel that two services of one host serve",
"Connections to a channel go to one service. Give one of the two channels another name.";
    GIVEN_VARIABLE = "E0514", "a variable that the machine sets",
"A service with channels finds them by variables that the machine sets: LISTEN_FDS, LISTEN_FDNAMES and
LISTEN_PID where it serves one, CHANNEL_API where it calls the channel `api`.";
    TERMINAL_TAKEN = "E0515", "two services of one host on one terminal",
"What is typed on a terminal goes to one program. Give one of the two another terminal, or run them on
two hosts.";
    TWO_KERNELS = "E0520", "a kernel that is both Debian's and one of its own",
"`package` names a kernel that Debian has built, and `modules` picks from it. `platform` builds one from
Debian's source instead, with `source` and `options`. A kernel block says the one or the other:

  kernel tiny {
    platform = qemu
    options  = { CONFIG_TUN = \"y\" }
  }";

    NO_SOURCE = "E0521", "a build without a source",
"make, autotools, cmake and cargo build something: a folder beside the spec, an archive or a commit.

  source = folder(\"greeter\")";
    NEEDS_CYCLE = "E0522", "builds that need each other",
"build.needs lists the builds whose results a build sees. Going round, none of them could ever begin.
Take one of the names out.";

    UNKNOWN_PACKAGE = "E0701", "a package that the archive does not have",
"The name of a Debian package is looked for in the release that the spec takes (trixie unless told).
The message offers the names that are nearest. `nos check` needs no network and does not look.";
    BAD_SOURCE_FILE = "E0702", "a source that is not there, or of the wrong kind",
"file(\"…\") names a file and folder(\"…\") a folder beside the spec. The path counts from the folder of
the file in which it is written, and links may not lead out of the spec's folder.";
    PACKAGES_CONFLICT = "E0703", "packages that cannot be together",
"Debian's packages say what they depend on and what they conflict with. The message gives the chain
that leads from the packages of one image to two that exclude each other. Leave out one of them, or put
them into images of two services.";
    MISSING_PROGRAM = "E0704", "a program that is not in the image",
"The first word of `run`, and of a health probe's command, is the path of a program in the image of the
service. No package, file or folder of the image brings this one. The message offers programs of the
same name elsewhere in the image.";
    KERNEL_OPTION = "E0710", "a kernel option that does not take effect",
"The options of a kernel block are held against the configuration that the kernel's own build makes of
them. An option is lost where the kernel has none of that name, where something that it depends on is
off, or where something else needs it. The message says which.";

    UNUSED = "W0601", "a definition that nothing uses",
"Take it out, or use it. Definitions in files that others `use` are not meant by this.";
    NOT_RUN = "W0602", "a service that no host runs",
"Add it to the `services` of a host.";
    HEALTH_PORT = "W0603", "a health probe on a port that the service does not listen on",
"The probe asks a port of the same service; mostly one of the two numbers is a slip.";
    NO_HOST = "W0604", "a spec without a host",
"Only hosts can be built. A file of services that others `use` needs none.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_each_stands_once() {
        assert!(
            ALL.windows(2)
                .all(|pair| pair[0].0 < pair[1].0 || pair[1].0.starts_with('W'))
        );
        assert!(explain("e0502").unwrap().contains("state = 256MiB"));
        assert_eq!(explain("E9999"), None);
    }
}

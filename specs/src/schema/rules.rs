//! Forms that texts must have.

use super::Rule;
use crate::codes;

/// What is wrong with a text.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    /// Continues "`text` …".
    pub(crate) message: String,
    pub(crate) help: String,
    /// The text as it was probably meant.
    pub(crate) better: Option<String>,
}

fn problem(code: &'static str, message: &str, help: impl Into<String>) -> Result<(), Problem> {
    Err(Problem {
        code,
        message: message.into(),
        help: help.into(),
        better: None,
    })
}

fn form(rule: &Rule) -> Result<(), Problem> {
    problem(
        codes::BAD_TEXT,
        &format!("is not {}", rule.name),
        format!("write one like \"{}\"", rule.example),
    )
}

/// Any text without NUL.
pub(crate) const TEXT: Rule = Rule {
    name: "a text",
    example: "text",
    check: plain,
};

fn plain(text: &str) -> Result<(), Problem> {
    if text.contains('\0') {
        return problem(codes::BAD_TEXT, "holds a NUL character", "take it out");
    }
    Ok(())
}

/// A program's argument: any text without NUL.
pub(crate) const ARGUMENT: Rule = Rule {
    name: "an argument",
    example: "/usr/bin/app",
    check: plain,
};

/// The target of a symbolic link.
pub(crate) const TARGET: Rule = Rule {
    name: "a link's target",
    example: "/usr/bin/sh",
    check: target,
};

fn target(text: &str) -> Result<(), Problem> {
    if text.is_empty() || text.len() > 4095 {
        return problem(
            codes::BAD_PATH,
            "cannot be a link's target",
            "give 1 to 4095 bytes",
        );
    }
    plain(text)
}

/// A path inside an image.
pub(crate) const PATH: Rule = Rule {
    name: "an absolute path",
    example: "/srv/www",
    check: path,
};

fn path(text: &str) -> Result<(), Problem> {
    if !text.starts_with('/') {
        return Err(Problem {
            code: codes::BAD_PATH,
            message: "is not an absolute path".into(),
            help: "begin it with `/`".into(),
            better: Some(format!("/{text}")),
        });
    }
    if text == "/" {
        return problem(
            codes::BAD_PATH,
            "is the root itself",
            "name something below it",
        );
    }
    parts(&text[1..], codes::BAD_PATH)
}

/// The first word of a command.
pub(crate) const PROGRAM: Rule = Rule {
    name: "a program",
    example: "/usr/bin/app",
    check: path,
};

/// A directory inside an image, or its root.
pub(crate) const DIRECTORY: Rule = Rule {
    name: "an absolute path",
    example: "/srv/www",
    check: directory,
};

fn directory(text: &str) -> Result<(), Problem> {
    if text == "/" { Ok(()) } else { path(text) }
}

/// A glob of absolute paths.
pub(crate) const GLOB: Rule = Rule {
    name: "a pattern of paths",
    example: "/usr/share/zoneinfo/**",
    check: path,
};

/// A path beside the spec.
pub(crate) const SOURCE: Rule = Rule {
    name: "a relative path",
    example: "site",
    check: source,
};

fn source(text: &str) -> Result<(), Problem> {
    if text.starts_with('/') || text.starts_with('~') {
        return problem(
            codes::BAD_SOURCE,
            "is not below the spec's folder",
            "copy it beside the spec and name it by a relative path",
        );
    }
    if text.split('/').any(|part| part == "..") {
        return problem(
            codes::BAD_SOURCE,
            "leads out of the spec's folder",
            "copy it into the folder and name it without `..`",
        );
    }
    if text.is_empty() {
        return problem(
            codes::BAD_SOURCE,
            "is empty",
            "name a file or folder beside the spec",
        );
    }
    parts(text, codes::BAD_SOURCE)
}

/// The parts of a path between its slashes.
fn parts(text: &str, code: &'static str) -> Result<(), Problem> {
    if text.len() > 4000 || text.split('/').any(|part| part.len() > 255) {
        return problem(
            code,
            "is too long",
            "a path has 4000 bytes at most, each part 255",
        );
    }
    if text.chars().any(|c| c == '\0' || c == '\n') {
        return problem(
            code,
            "holds a character that a path cannot have",
            "take it out",
        );
    }
    if text.split('/').any(|part| part.is_empty()) {
        return problem(
            code,
            "has an empty part",
            "write one `/` between two parts and none last",
        );
    }
    if text.split('/').any(|part| part == "." || part == "..") {
        return problem(code, "holds `.` or `..`", "write the path without them");
    }
    Ok(())
}

/// A Debian package.
pub(crate) const PACKAGE: Rule = Rule {
    name: "a package name",
    example: "nginx",
    check: package,
};

/// A Debian source package; named as packages are.
pub(crate) const SOURCE_PACKAGE: Rule = Rule {
    name: "the name of a source package",
    example: "dropbear",
    check: package,
};

/// Debian policy 5.6.1: lower-case letters, digits, `+`, `-`, `.`, at least two, alphanumeric first.
fn package(text: &str) -> Result<(), Problem> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    let first = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if first && (2..=128).contains(&text.len()) && text.bytes().all(inner) {
        return Ok(());
    }
    let lower = text.to_ascii_lowercase();
    if lower != text && package(&lower).is_ok() {
        return Err(Problem {
            code: codes::BAD_TEXT,
            message: "is not a package name".into(),
            help: "package names are lower-case".into(),
            better: Some(lower),
        });
    }
    if text.contains(['=', '<', '>', ' ', ':', '/']) {
        return problem(
            codes::BAD_TEXT,
            "is not a package name",
            "give the name alone; `nos lock` pins versions, and hosts have one architecture",
        );
    }
    problem(
        codes::BAD_TEXT,
        "is not a package name",
        "write at least two of a-z, 0-9, +, - and ., a letter or digit first, such as \"nginx\"",
    )
}

/// A kernel module.
pub(crate) const MODULE: Rule = Rule {
    name: "a module name",
    example: "virtio_net",
    check: module,
};

fn module(text: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let short = text
        .trim_end_matches(".zst")
        .trim_end_matches(".xz")
        .trim_end_matches(".ko");
    if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
        Ok(())
    } else if short != text && module(short).is_ok() {
        Err(Problem {
            code: codes::BAD_TEXT,
            message: "is a module's file, not its name".into(),
            help: "leave the ending out".into(),
            better: Some(short.into()),
        })
    } else {
        form(&MODULE)
    }
}

/// An option of the kernel's configuration.
pub(crate) const OPTION: Rule = Rule {
    name: "a kernel option",
    example: "CONFIG_TUN",
    check: option,
};

fn option(text: &str) -> Result<(), Problem> {
    let fits = |name: &str| {
        (1..=128).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    match text.strip_prefix("CONFIG_") {
        Some(name) if fits(name) => Ok(()),
        None if fits(text) => Err(Problem {
            code: codes::BAD_TEXT,
            message: "is not a kernel option".into(),
            help: "their names begin with `CONFIG_`".into(),
            better: Some(format!("CONFIG_{}", text.to_ascii_uppercase())),
        }),
        _ => form(&OPTION),
    }
}

/// What an option of the kernel's configuration is set to.
pub(crate) const OPTION_VALUE: Rule = Rule {
    name: "the value of a kernel option",
    example: "y",
    check: option_value,
};

fn option_value(text: &str) -> Result<(), Problem> {
    if text == "m" {
        return Err(Problem {
            code: codes::BAD_TEXT,
            message: "would make a module".into(),
            help: "a kernel of its own has no modules: write \"y\" to build it in".into(),
            better: Some("y".into()),
        });
    }
    let fits = |c: char| (' '..='~').contains(&c) && c != '"' && c != '\\';
    if (1..=256).contains(&text.len()) && text.chars().all(fits) {
        return Ok(());
    }
    problem(
        codes::BAD_TEXT,
        "is no value of a kernel option",
        "write \"y\", \"n\", a number such as \"14\" or \"0x100\", or a text of up to 256 \
         printable ASCII characters without quotes and backslashes",
    )
}

/// One word of the kernel's command line.
pub(crate) const CMDLINE: Rule = Rule {
    name: "a word of the kernel's command line",
    example: "mitigations=off",
    check: cmdline,
};

fn cmdline(text: &str) -> Result<(), Problem> {
    if text.contains(|c: char| c.is_ascii_whitespace()) {
        return problem(
            codes::BAD_TEXT,
            "holds white space",
            "make each word of the command line an element of its own",
        );
    }
    let printable = text.bytes().all(|b| b.is_ascii_graphic());
    if printable && (1..=256).contains(&text.len()) {
        Ok(())
    } else {
        form(&CMDLINE)
    }
}

/// A channel between services.
pub(crate) const CHANNEL: Rule = Rule {
    name: "a channel",
    example: "api",
    check: channel,
};

fn channel(text: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('-');
    if ends && text.len() <= 32 && text.bytes().all(fits) {
        Ok(())
    } else {
        problem(
            codes::BAD_TEXT,
            "is not the name of a channel",
            "write 1 to 32 of a-z, 0-9 and -, beginning with a letter, such as \"api\"",
        )
    }
}

/// An environment variable.
pub(crate) const VARIABLE: Rule = Rule {
    name: "a variable's name",
    example: "LANG",
    check: variable,
};

fn variable(text: &str) -> Result<(), Problem> {
    let word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let first = text.starts_with(|c: char| !c.is_ascii_digit());
    if word && first && text.len() <= 128 {
        return Ok(());
    }
    problem(
        codes::BAD_TEXT,
        "is not a variable's name",
        "write letters, digits and _, and no digit first, such as \"LANG\"",
    )
}

/// A Linux capability.
pub(crate) const CAPABILITY: Rule = Rule {
    name: "a capability",
    example: "CAP_NET_RAW",
    check: capability,
};

/// capabilities(7), in the order of their numbers.
pub(crate) const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

fn capability(text: &str) -> Result<(), Problem> {
    if CAPABILITIES.contains(&text) {
        return Ok(());
    }
    let upper = text.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") {
        upper
    } else {
        format!("CAP_{upper}")
    };
    let near = CAPABILITIES
        .iter()
        .find(|known| **known == full)
        .copied()
        .or_else(|| crate::suggest::nearest(&full, CAPABILITIES.iter().copied()));
    Err(Problem {
        code: codes::BAD_TEXT,
        message: "is not a capability".into(),
        help: match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write one that capabilities(7) lists, such as \"CAP_NET_RAW\"".into(),
        },
        better: near.map(str::to_owned),
    })
}

/// A device of the machine, or several.
pub(crate) const DEVICE: Rule = Rule {
    name: "a device",
    example: "/dev/net/tun",
    check: device,
};

/// What a pattern of devices may not hold: it would be read as more than `*` is.
const NO_PATTERN: &[char] = &['?', '[', ']', '\\'];

fn device(text: &str) -> Result<(), Problem> {
    if text == nos_manifest::ALL_DISKS {
        return Ok(());
    }
    below_dev(text)?;
    if text.contains(NO_PATTERN) {
        return problem(
            codes::BAD_TEXT,
            "is not a device",
            "of patterns only `*` is known, which stands for any characters: \"/dev/video*\"",
        );
    }
    Ok(())
}

/// A terminal of the machine.
pub(crate) const TERMINAL: Rule = Rule {
    name: "a terminal",
    example: "/dev/ttyS0",
    check: terminal,
};

fn terminal(text: &str) -> Result<(), Problem> {
    below_dev(text)?;
    if text.contains('*') || text.contains(NO_PATTERN) {
        return problem(
            codes::BAD_TEXT,
            "is not a terminal",
            "name one: \"/dev/ttyS0\" is the first serial line, \"/dev/tty1\" screen and keyboard",
        );
    }
    Ok(())
}

/// A path below `/dev` whose first name begins as those of devices do.
fn below_dev(text: &str) -> Result<(), Problem> {
    let Some(below) = text.strip_prefix("/dev/") else {
        if text.starts_with('/') {
            return problem(
                codes::BAD_TEXT,
                "is not a path below /dev",
                "name a device as it is called there, such as \"/dev/net/tun\"",
            );
        }
        let better = match text {
            "disk" => nos_manifest::ALL_DISKS.to_owned(),
            other => format!("/dev/{other}"),
        };
        return Err(Problem {
            code: codes::BAD_TEXT,
            message: "is not a path below /dev".into(),
            help: format!("write {better:?}"),
            better: Some(better),
        });
    };
    if !below.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return problem(
            codes::BAD_TEXT,
            "does not name a device",
            "name it as it is called below /dev, such as \"/dev/net/tun\"",
        );
    }
    parts(below, codes::BAD_TEXT)
}

/// Permission bits in octal.
pub(crate) const MODE: Rule = Rule {
    name: "a file mode",
    example: "0755",
    check: mode,
};

fn mode(text: &str) -> Result<(), Problem> {
    let octal = text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if octal && matches!(text.len(), 3 | 4) && !(text.len() == 4 && text.as_bytes()[0] > b'1') {
        return Ok(());
    }
    if octal && text.len() == 4 {
        return problem(
            codes::BAD_TEXT,
            "sets the user or group on execution",
            "services run with no_new_privs, where such bits do nothing; write \"0755\"",
        );
    }
    form(&MODE)
}

/// An address with its prefix length.
pub(crate) const NETWORK_ADDRESS: Rule = Rule {
    name: "an address with its prefix",
    example: "192.0.2.7/24",
    check: network_address,
};

fn network_address(text: &str) -> Result<(), Problem> {
    use core::net::IpAddr;
    let Some((address, prefix)) = text.split_once('/') else {
        return match text.parse::<IpAddr>() {
            Ok(address) => Err(Problem {
                code: codes::BAD_TEXT,
                message: "has no prefix length".into(),
                help: "say how many bits name the network".into(),
                better: Some(format!(
                    "{text}/{}",
                    if address.is_ipv4() { 24 } else { 64 }
                )),
            }),
            Err(_) => form(&NETWORK_ADDRESS),
        };
    };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return form(&NETWORK_ADDRESS),
    };
    match prefix.parse::<u8>() {
        Ok(length) if length <= most && length.to_string() == prefix => Ok(()),
        _ => problem(
            codes::BAD_TEXT,
            "has a wrong prefix length",
            format!("it is a number from 0 to {most}"),
        ),
    }
}

/// An address.
pub(crate) const ADDRESS: Rule = Rule {
    name: "an IP address",
    example: "192.0.2.1",
    check: address,
};

fn address(text: &str) -> Result<(), Problem> {
    match text.parse::<core::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => form(&ADDRESS),
    }
}

/// A network interface.
pub(crate) const INTERFACE: Rule = Rule {
    name: "an interface name",
    example: "eth0",
    check: interface,
};

fn interface(text: &str) -> Result<(), Problem> {
    let fits = text
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
    let dots = text == "." || text == "..";
    if fits && !dots && (1..=15).contains(&text.len()) {
        Ok(())
    } else {
        form(&INTERFACE)
    }
}

/// A Debian release.
pub(crate) const SUITE: Rule = Rule {
    name: "a release's code name",
    example: "trixie",
    check: suite,
};

fn suite(text: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if matches!(text, "stable" | "testing" | "oldstable" | "unstable") {
        return problem(
            codes::BAD_TEXT,
            "means another release every few years",
            "give the code name, such as \"trixie\"",
        );
    }
    if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
        Ok(())
    } else {
        form(&SUITE)
    }
}

/// The address of a package mirror.
pub(crate) const MIRROR: Rule = Rule {
    name: "a web address",
    example: "https://mirror.example/debian",
    check: mirror,
};

fn mirror(text: &str) -> Result<(), Problem> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let graphic = text.bytes().all(|b| b.is_ascii_graphic());
    match rest {
        Some(rest) if graphic && !rest.is_empty() && !rest.starts_with('/') => Ok(()),
        _ => form(&MIRROR),
    }
}

/// A git repository.
pub(crate) const REPOSITORY: Rule = Rule {
    name: "the address of a git repository",
    example: "https://git.example/app.git",
    check: repository,
};

fn repository(text: &str) -> Result<(), Problem> {
    let refuse = |message: &str, help: &str| problem(codes::BAD_TEXT, message, help);
    if mirror(text).is_err() {
        // `git@host:path` is short for SSH.
        let is_ssh = match text.split_once("://") {
            Some((scheme, _)) => scheme.contains("ssh"),
            None => text.contains(':'),
        };
        return match is_ssh {
            true => refuse(
                "is a repository by SSH, for which nos would need a key",
                "write its address for HTTPS, such as \"https://git.example/app.git\"",
            ),
            false => form(&REPOSITORY),
        };
    }
    let authority = text.split('/').nth(2).unwrap_or_default();
    if authority.contains('@') {
        return refuse(
            "holds a name or password, which everybody could read who has the spec",
            "take out what stands before `@`; a private repository can be cloned beside the spec and \
             named by folder(\"…\")",
        );
    }
    match text.contains(['?', '#']) {
        true => form(&REPOSITORY),
        false => Ok(()),
    }
}

/// An image in a registry.
pub(crate) const IMAGE_ADDRESS: Rule = Rule {
    name: "the address of an image in a registry",
    example: "https://registry.example/team/app",
    check: image_address,
};

fn image_address(text: &str) -> Result<(), Problem> {
    if let Some((image, tag)) = text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        return problem(
            codes::BAD_TEXT,
            "names a tag or digest, and a tag stands for another image tomorrow",
            format!(
                "write {image:?} without {:?}; `sha256` says which image",
                format!(":{tag}")
            ),
        );
    }
    repository(text).or_else(|_| form(&IMAGE_ADDRESS))?;
    match text
        .splitn(4, '/')
        .nth(3)
        .is_some_and(|name| !name.is_empty())
    {
        true => Ok(()),
        false => form(&IMAGE_ADDRESS),
    }
}

/// A commit.
pub(crate) const COMMIT: Rule = Rule {
    name: "a commit",
    example: "f3a1b2c4d5e6f708192a3b4c5d6e7f8091a2b3c4",
    check: commit,
};

fn commit(text: &str) -> Result<(), Problem> {
    let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
    match text.len() {
        40 if digits => hexadecimal(text, 40, &COMMIT),
        64 if digits => problem(
            codes::BAD_TEXT,
            "is a commit of a SHA-256 repository, which nos cannot read",
            "clone it beside the spec and name it by folder(\"…\")",
        ),
        7..40 if digits => problem(
            codes::BAD_TEXT,
            "is the beginning of a commit's name",
            "write all 40 digits; `git rev-parse` in a clone prints them",
        ),
        _ => problem(
            codes::BAD_TEXT,
            "is not a commit; a branch or tag stands for another one tomorrow",
            "write the 40 digits that `git ls-remote URL NAME` prints; for a tag those of the line \
             that ends in ^{}, where there is one",
        ),
    }
}

/// An HTTP request path.
pub(crate) const REQUEST: Rule = Rule {
    name: "a request path",
    example: "/health",
    check: request,
};

fn request(text: &str) -> Result<(), Problem> {
    if !text.starts_with('/') {
        return Err(Problem {
            code: codes::BAD_TEXT,
            message: "is not a request path".into(),
            help: "begin it with `/`".into(),
            better: Some(format!("/{text}")),
        });
    }
    let graphic = text.bytes().all(|b| b.is_ascii_graphic());
    if graphic && text.len() <= 1024 {
        Ok(())
    } else {
        form(&REQUEST)
    }
}

/// A SHA-256.
pub(crate) const SHA256: Rule = Rule {
    name: "a SHA-256",
    example: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    check: sha256,
};

fn sha256(text: &str) -> Result<(), Problem> {
    hexadecimal(text, 64, &SHA256)
}

fn hexadecimal(text: &str, digits: usize, rule: &Rule) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == digits && text.bytes().all(fits) {
        return Ok(());
    }
    let lower = text.to_ascii_lowercase();
    if lower.len() == digits && lower.bytes().all(fits) {
        return Err(Problem {
            code: codes::BAD_TEXT,
            message: format!("is not {}", rule.name),
            help: "its letters are lower-case".into(),
            better: Some(lower),
        });
    }
    problem(
        codes::BAD_TEXT,
        &format!("is not {}", rule.name),
        format!(
            "it has {digits} of 0-9 and a-f, such as \"{}\"",
            rule.example
        ),
    )
}

/// A package of Rust.
pub(crate) const CRATE: Rule = Rule {
    name: "a Rust package",
    example: "greeter",
    check: rust_name,
};

/// A feature of a Rust package, perhaps of a given one (`tokio/full`).
pub(crate) const FEATURE: Rule = Rule {
    name: "a feature",
    example: "tls",
    check: feature,
};

fn rust_name(text: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    match (1..=64).contains(&text.len()) && text.bytes().all(fits) {
        true => Ok(()),
        false => form(&CRATE),
    }
}

fn feature(text: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_-+./?".contains(&b);
    match (1..=128).contains(&text.len()) && text.bytes().all(fits) {
        true => Ok(()),
        false => form(&FEATURE),
    }
}

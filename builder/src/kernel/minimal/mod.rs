//! A kernel of the host's own: built from Debian's source with what the host uses, all of it built
//! in.
//!
//! What a host uses says which sets of options ([`sets`]) make the configuration, and what its
//! programs call adds to it ([`calls`]); the options of its spec come last. Kconfig then completes it,
//! and an option that did not take effect is an error that says why ([`refused`]).
//!
//! ```text
//! platform, network, state ─Configuration::of─┐
//! images ─calls─▶ calls ───────────derive─────┴▶ wanted ─build.sh, in the sandbox─▶ bzImage, config
//! ```
//!
//! Where a spec has options of its own, the same kernel without them is built first and its objects
//! are given to the second build: so another option later compiles only what the option reaches,
//! and the kernel without options serves every host of its platform whose programs call the same. What
//! comes out is the same, byte for byte, as from a build of everything.

mod calls;
mod derive;
mod refused;
mod sets;
mod take;
mod why;

pub use calls::Calls;
pub use derive::Deciding;
pub(crate) use derive::{calls, options, read_calls};
pub use refused::{Refused, Remedy};
pub(crate) use take::take;
pub use why::Cause;

use crate::make::{Place, Recipe};
use nos_manifest::Network;
use nos_specs::system::{Platform, System};
use std::collections::{BTreeMap, BTreeSet};

/// Debian packages of the build, besides those that every build has.
pub const TOOLS: [&str; 13] = [
    "bc",
    "binutils",
    "bison",
    "flex",
    "gcc",
    "libc6-dev",
    "libelf-dev",
    "linux-libc-dev",
    "make",
    "perl-base",
    "xz-utils",
    "zlib1g-dev",
    "zstd",
];

const SCRIPT: &str = include_str!("build.sh");
const LEFT_OUT: &str = include_str!("left-out");

/// A kernel configuration: what is wanted of it. Kconfig decides the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Configuration(BTreeMap<String, String>);

impl Configuration {
    /// What a host needs on a platform, whatever its programs call and its spec adds.
    pub fn of(platform: Platform, system: &System) -> Self {
        let has_state = system.disk.state_bytes.is_some();
        let mut wanted = Self::of_platform(platform, has_network(system), has_state);
        for service in &system.services {
            for (_, set) in sets::of_declared(&service.capabilities, &service.devices) {
                wanted.add(set);
            }
        }
        wanted
    }

    /// What every host on a platform needs.
    pub fn of_platform(platform: Platform, has_network: bool, has_state: bool) -> Self {
        let mut wanted = Self::default();
        for (_, set) in sets::of(platform, has_network, has_state) {
            wanted.add(set);
        }
        wanted
    }

    /// Whether it builds an option in.
    pub fn has(&self, option: &str) -> bool {
        self.0.get(option).is_some_and(|value| value == "y")
    }

    fn add(&mut self, set: &str) {
        for line in set.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, value)) = line.split_once('=') {
                self.0.insert(name.into(), value.into());
            }
        }
    }

    /// The same with these options, which overrule what it has.
    pub fn with(&self, options: &BTreeMap<String, String>) -> Self {
        let mut changed = self.clone();
        changed.0.extend(options.clone());
        changed
    }

    /// The text that Kconfig reads, in the form in which it writes it.
    pub fn to_text(&self) -> String {
        let line = |(name, value): (&String, &String)| match value.as_str() {
            "n" => format!("# {name} is not set\n"),
            value if is_bare(value) => format!("{name}={value}\n"),
            value => format!("{name}=\"{value}\"\n"),
        };
        self.0.iter().map(line).collect()
    }
}

/// Whether Kconfig writes a value without quotes: `y` and numbers.
fn is_bare(value: &str) -> bool {
    let hexadecimal = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    let decimal = value.strip_prefix('-').unwrap_or(value);
    value == "y"
        || (!decimal.is_empty() && decimal.bytes().all(|b| b.is_ascii_digit()))
        || value
            .strip_prefix("0x")
            .is_some_and(|digits| !digits.is_empty() && hexadecimal(digits))
}

/// Whether a host has a network.
fn has_network(system: &System) -> bool {
    !matches!(system.network, Network::None)
}

/// The capabilities of the services of an image.
pub fn capabilities(system: &System, image: &str) -> BTreeSet<String> {
    let services = system.services.iter().filter(|s| s.image == image);
    services.flat_map(|s| s.capabilities.clone()).collect()
}

/// How a kernel is built; inputs are the tools, the source package, the configuration as a file, and
/// with `has_base` what the build of another configuration left. Without, it leaves the same for
/// others.
pub fn recipe(has_base: bool) -> Recipe {
    let at = |path: &str| Place::At(path.into());
    let mut places = vec![Place::Root, at("/source"), at("/wanted")];
    let mut files = BTreeMap::from([
        ("build.sh".to_string(), SCRIPT.to_string()),
        ("left-out".into(), LEFT_OUT.into()),
    ]);
    if has_base {
        places.push(at("/base"));
    } else {
        files.insert("keep".into(), String::new());
    }
    Recipe {
        name: "kernel".into(),
        command: vec!["/usr/bin/sh".into(), "/build/build.sh".into()],
        folder: "/build".into(),
        env: BTreeMap::new(),
        places,
        files,
        limits: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_written_as_kconfig_writes_them() {
        let options = [
            ("CONFIG_TUN", "y"),
            ("CONFIG_IPV6", "n"),
            ("CONFIG_NR_CPUS", "8"),
            ("CONFIG_PHYSICAL_START", "0x1000000"),
            ("CONFIG_LOCALVERSION", "-edge"),
            ("CONFIG_MIN", "-3"),
        ];
        let options = options.map(|(name, value)| (name.to_string(), value.to_string()));
        let mut wanted = Configuration::default();
        wanted.add("# why\nCONFIG_IPV6=y\nCONFIG_NET=y\n");
        assert_eq!(
            wanted.with(&options.into()).to_text(),
            "# CONFIG_IPV6 is not set\nCONFIG_LOCALVERSION=\"-edge\"\nCONFIG_MIN=-3\nCONFIG_NET=y\n\
             CONFIG_NR_CPUS=8\nCONFIG_PHYSICAL_START=0x1000000\nCONFIG_TUN=y\n"
        );
    }

    #[test]
    fn a_base_is_one_more_input() {
        assert_eq!(recipe(false).places.len(), 3);
        let second = recipe(true);
        assert_eq!(second.places.last(), Some(&Place::At("/base".into())));
        assert!(!second.files.contains_key("keep"));
    }
}

//! Options that did not take effect, and why.

use nos_specs::suggest::nearest;
use std::fmt;

/// An option that the finished configuration does not have as it was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its name: `CONFIG_…`.
    pub name: String,
    /// What to do about it.
    pub remedy: Remedy,
}

/// Why an option did not take effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// The kernel has no such option.
    Unknown {
        /// The name that is most like it.
        nearest: Option<String>,
    },
    /// It is on although it was to be off: something else needs it.
    StaysOn,
    /// It is off, or has another value.
    Lost {
        /// What its definitions say that it depends on, and its type's prompt where it has none.
        depends: Vec<String>,
        /// Whether a person can set it at all.
        has_prompt: bool,
    },
}

impl Refused {
    /// What is wrong, without what to do.
    pub fn problem(&self) -> String {
        let name = &self.name;
        match &self.remedy {
            Remedy::Unknown { .. } => format!("this kernel has no option {name}"),
            Remedy::StaysOn => format!("{name} cannot be switched off"),
            Remedy::Lost { .. } => format!("{name} does not take effect"),
        }
    }

    /// What to do.
    pub fn help(&self) -> String {
        match &self.remedy {
            Remedy::Unknown {
                nearest: Some(near),
            } => format!("did you mean {near}?"),
            Remedy::Unknown { nearest: None } => "correct the name, or take the option out".into(),
            Remedy::StaysOn => {
                "another option, or the kernel itself, needs it; take this one out".into()
            }
            Remedy::Lost {
                has_prompt: false, ..
            } => "it is set by options that need it, and not by hand; set one of them".into(),
            Remedy::Lost { depends, .. } if depends.is_empty() => {
                "the value is out of its range, or a menu around it is off; see its Kconfig".into()
            }
            Remedy::Lost { depends, .. } => {
                format!("it depends on {}; add what is off", depends.join(" and "))
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem(), self.help())
    }
}

/// Reads what `build.sh` says of lost options. `lost` has a line for each, as it was wanted or, where
/// it was to be off, as it is; `kconfig` their definitions; `names` all options of this kernel.
pub(crate) fn read(
    lost: &str,
    wanted_off: impl Fn(&str) -> bool,
    kconfig: &str,
    names: &str,
) -> Vec<Refused> {
    let refused = lost.lines().filter_map(|line| {
        let name = line.split('=').next()?.trim();
        let remedy = if !names.lines().any(|known| known == name) {
            Remedy::Unknown {
                nearest: nearest(name, names.lines()).map(str::to_owned),
            }
        } else if wanted_off(name) {
            Remedy::StaysOn
        } else {
            definition(kconfig, name.trim_start_matches("CONFIG_"))
        };
        Some(Refused {
            name: name.to_owned(),
            remedy,
        })
    });
    refused.collect()
}

/// What the definitions of an option say.
fn definition(kconfig: &str, name: &str) -> Remedy {
    let mut depends = Vec::new();
    let mut has_prompt = false;
    let mut inside = false;
    for line in kconfig.lines().map(str::trim) {
        if let Some(other) = line.strip_prefix("config ") {
            inside = other == name;
        } else if inside && let Some(condition) = line.strip_prefix("depends on ") {
            depends.push(condition.to_owned());
        } else if inside {
            let word = line.split_whitespace().next().unwrap_or_default();
            let is_type = ["bool", "tristate", "string", "int", "hex", "prompt"].contains(&word);
            has_prompt |= is_type && line.contains('"');
        }
    }
    depends.dedup();
    Remedy::Lost {
        depends,
        has_prompt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KCONFIG: &str = "config WIREGUARD\n\ttristate \"WireGuard\"\n\tdepends on NET && INET\n\
                           \tdepends on IPV6 || !IPV6\nconfig CRC32\n\ttristate\nconfig NET\n\tbool \"x\"\n";
    const NAMES: &str = "CONFIG_CRC32\nCONFIG_NET\nCONFIG_TUN\nCONFIG_WIREGUARD\n";

    #[test]
    fn each_option_says_why_it_is_lost() {
        let lost = "CONFIG_WIREGUARD=y\nCONFIG_CRC32=y\nCONFIG_TUNN=y\nCONFIG_NET=y\n";
        let said: Vec<String> = read(lost, |name| name == "CONFIG_NET", KCONFIG, NAMES)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            said,
            [
                "CONFIG_WIREGUARD does not take effect; it depends on NET && INET and IPV6 || !IPV6; \
                 add what is off",
                "CONFIG_CRC32 does not take effect; it is set by options that need it, and not by \
                 hand; set one of them",
                "this kernel has no option CONFIG_TUNN; did you mean CONFIG_TUN?",
                "CONFIG_NET cannot be switched off; another option, or the kernel itself, needs it; \
                 take this one out",
            ]
        );
    }
}

//! The `.modinfo` of a module: NUL-separated `key=value`.

use super::ModuleName;

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModInfo {
    /// `name=`, where given.
    pub name: Option<ModuleName>,
    /// `depends=`: modules whose symbols it uses. They must be loaded before it.
    pub depends: Vec<ModuleName>,
    /// `softdep=pre:`: loaded before it where they exist (module names or aliases).
    pub soft_before: Vec<String>,
    /// `softdep=post:`: loaded after it where they exist.
    pub soft_after: Vec<String>,
    /// `alias=`: device patterns and other names.
    pub aliases: Vec<String>,
    /// First word of `vermagic=`: the kernel release it was built for.
    pub release: Option<String>,
}

impl ModInfo {
    /// Reads a `.modinfo` section. Unknown keys are passed over; nothing is an error.
    pub fn parse(section: &[u8]) -> Self {
        let mut info = Self::default();
        for entry in section.split(|&b| b == 0) {
            let Ok(entry) = std::str::from_utf8(entry) else {
                continue;
            };
            let Some((key, value)) = entry.split_once('=') else {
                continue;
            };
            match key {
                "name" => info.name = Some(ModuleName::new(value)),
                "depends" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    info.depends.extend(names.map(ModuleName::new));
                }
                "softdep" => info.add_softdep(value),
                "alias" => info.aliases.push(value.to_owned()),
                "vermagic" => {
                    info.release = value.split_whitespace().next().map(str::to_owned);
                }
                _ => {}
            }
        }
        info
    }

    /// `pre: a b post: c`. Words before either, as one driver writes them, are `pre`.
    fn add_softdep(&mut self, value: &str) {
        let mut after = false;
        for word in value.split_whitespace() {
            match word {
                "pre:" => after = false,
                "post:" => after = true,
                name if after => self.soft_after.push(name.to_owned()),
                name => self.soft_before.push(name.to_owned()),
            }
        }
    }
}

/// Reads `modules.builtin.modinfo`: NUL-separated `module.key=value`. Gives each alias with the
/// built-in module that has it.
pub(super) fn builtin_aliases(bytes: &[u8]) -> impl Iterator<Item = (ModuleName, String)> {
    bytes.split(|&b| b == 0).filter_map(|entry| {
        let (module, rest) = std::str::from_utf8(entry).ok()?.split_once('.')?;
        let alias = rest.strip_prefix("alias=")?;
        Some((ModuleName::new(module), alias.to_owned()))
    })
}

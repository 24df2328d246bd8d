//! The record of what a system is made of, see [`nos_manifest::Ingredients`]: how it comes about and
//! how it is packed into the UKI.

use crate::error::BuildError;
use crate::plan::{BOOT_PACKAGE, Plan, image_group};
use crate::work::Work;
use nos_manifest::{INGREDIENTS_VERSION, Ingredients, Package};
use std::collections::BTreeMap;
use std::io::{self, Read};

/// What a package is for (`boot`, `kernel` or `image NAME`) → its name → its version.
pub type Pins = BTreeMap<String, BTreeMap<String, String>>;

/// Fact of a system: its [`Pins`] as JSON.
pub(crate) const PINS_FACT: &str = "pins";

/// Compression of the record: made once per system and read by people only.
const LEVEL: i32 = 19;

/// Largest record read, in bytes. A kernel has under ten thousand options of under a hundred.
const MAX_BYTES: u64 = 16 << 20;

/// Every package that a plan unpacks, by what reads it.
pub(crate) fn pins(plan: &Plan) -> Pins {
    let mut pins = Pins::new();
    let mut pin = |group: String, work: &Work| {
        if let Work::Unpack { name, pin } = work {
            let group = pins.entry(group).or_default();
            group.insert(name.clone(), pin.version.clone());
        }
    };
    for (_, action) in plan.iter() {
        let group = match &action.work {
            Work::Compose(parts) => image_group(&parts.image),
            Work::Kernel { .. } => "kernel".to_string(),
            Work::Unpack { name, .. } if name == BOOT_PACKAGE => {
                pin("boot".to_string(), &action.work);
                continue;
            }
            _ => continue,
        };
        for input in &action.inputs {
            if let Some(input) = plan.actions.get(input.0) {
                pin(group.clone(), &input.work);
            }
        }
    }
    pins
}

/// The record of a system: of the packages pinned, and of the builds (image → build → what stands for
/// its version), those that `kept` (image → package or build → bytes) says are in an image, and the
/// options of a kernel's `config`.
pub(crate) fn of(
    pins: &Pins,
    builds: &BTreeMap<String, BTreeMap<String, String>>,
    kept: &BTreeMap<String, BTreeMap<String, u64>>,
    config: &[u8],
) -> Ingredients {
    let packages = kept.iter().map(|(image, packages)| {
        let pinned = pins.get(&image_group(image));
        let built = builds.get(image);
        let packages = packages.iter().filter_map(|(name, bytes)| {
            let version = pinned.and_then(|versions| versions.get(name));
            let package = Package {
                version: version.or_else(|| built?.get(name))?.clone(),
                bytes: *bytes,
            };
            Some((name.clone(), package))
        });
        (image.clone(), packages.collect())
    });
    let boot = ["boot", "kernel"]
        .iter()
        .filter_map(|group| pins.get(*group));
    Ingredients {
        version: INGREDIENTS_VERSION,
        packages: packages.collect(),
        boot: boot
            .flatten()
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect(),
        options: options(config),
    }
}

/// The options that a kernel's configuration file sets.
fn options(config: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(config);
    let set = text.lines().filter_map(|line| line.split_once('='));
    set.filter(|(name, _)| name.starts_with("CONFIG_"))
        .map(|(name, value)| (name.to_string(), value.trim_end().to_string()))
        .collect()
}

/// Packs a record: JSON, compressed with zstd.
pub(crate) fn encode(ingredients: &Ingredients) -> Result<Vec<u8>, BuildError> {
    let text = serde_json::to_vec(ingredients)?;
    zstd::bulk::compress(&text, LEVEL).map_err(|error| BuildError::Format {
        what: "the list of ingredients",
        reason: error.to_string(),
    })
}

/// Unpacks a record, of at most 16 MiB.
///
/// # Errors
/// What is wrong with it, in words that complete "the list …".
pub fn decode(bytes: &[u8]) -> Result<Ingredients, String> {
    let unpack = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(bytes)?;
        decoder.take(MAX_BYTES + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = unpack().map_err(|error| format!("cannot be unpacked: {error}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {MAX_BYTES} bytes"));
    }
    let ingredients: Ingredients =
        serde_json::from_slice(&text).map_err(|error| format!("cannot be read: {error}"))?;
    if ingredients.version > INGREDIENTS_VERSION {
        let version = ingredients.version;
        return Err(format!("has version {version}, which a newer nos wrote"));
    }
    Ok(ingredients)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(packages: [(&str, &str); 2]) -> BTreeMap<String, String> {
        packages.map(|(n, v)| (n.to_string(), v.to_string())).into()
    }

    #[test]
    fn only_what_is_in_an_image_is_recorded() {
        let pins = Pins::from([
            (
                "boot".into(),
                [("systemd-boot-efi".into(), "257".into())].into(),
            ),
            (
                "image web".into(),
                two([("libc6", "2.41"), ("tzdata", "2025b")]),
            ),
        ]);
        let kept = [("libc6".to_string(), 7), ("build app".to_string(), 9)];
        let kept = BTreeMap::from([("web".to_string(), kept.into())]);
        let builds = [("build app".to_string(), "0123".to_string())];
        let builds = BTreeMap::from([("web".to_string(), builds.into())]);
        let config = b"# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=\"a=b\"\n";
        let record = of(&pins, &builds, &kept, config);
        let libc = Package {
            version: "2.41".into(),
            bytes: 7,
        };
        let app = Package {
            version: "0123".into(),
            bytes: 9,
        };
        assert_eq!(
            record.packages["web"],
            [("libc6".to_string(), libc), ("build app".to_string(), app)].into()
        );
        assert_eq!(record.boot["systemd-boot-efi"], "257");
        assert_eq!(
            record.options,
            two([("CONFIG_B", "y"), ("CONFIG_C", "\"a=b\"")])
        );
        assert_eq!(decode(&encode(&record).unwrap()).unwrap(), record);
    }

    #[test]
    fn hostile_records_are_errors() {
        let bomb = zstd::bulk::compress(&vec![b' '; MAX_BYTES as usize + 2], 1).unwrap();
        assert!(decode(&bomb).unwrap_err().contains("larger"));
        assert!(decode(b"noise").unwrap_err().contains("unpacked"));
        let newer = Ingredients {
            version: INGREDIENTS_VERSION + 1,
            ..Ingredients::default()
        };
        assert!(
            decode(&encode(&newer).unwrap())
                .unwrap_err()
                .contains("newer")
        );
    }
}

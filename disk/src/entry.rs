//! `\loader\entries\nos-000042-b.conf`: what a generation is.
//!
//! The keys are those of the Boot Loader Specification, type 1; what only `nos` needs stands in
//! comments, which every boot loader skips:
//!
//! ```text
//! title edge
//! sort-key nos
//! version 42
//! efi /EFI/nos/3f2a….efi
//! #nos-format 1
//! #nos-kernel 6.12.48-cloud-amd64
//! #nos-label before the upgrade
//! #nos-installed 1760000000
//! #nos-image web <root hash> <salt, or -> <data blocks> <hash start block> <bytes>
//! ```

use nos_manifest::Image;
use nos_pointer::{FORMAT_VERSION, Name};
use std::fmt::Write;

/// Most bytes of a boot entry; more is refused, on both ways.
pub const MAX_ENTRY_BYTES: u64 = 64 << 10;

/// Longest title, label or kernel release kept, in characters.
const MAX_TEXT: usize = 200;

/// Folder of boot entries, and of kernel images.
pub(crate) const ENTRIES: &str = "loader/entries";
pub(crate) const KERNELS: &str = "EFI/nos";

/// A boot entry: its name and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootEntry {
    pub(crate) number: u32,
    pub(crate) letter: u8,
    /// Whether its file is read-only, which keeps `gc` away.
    pub(crate) pinned: bool,
    /// Content, or why it cannot be read.
    pub(crate) content: Result<Content, String>,
}

/// What is in a boot entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) title: String,
    /// SHA-256 of the kernel image in hex.
    pub(crate) uki: String,
    pub(crate) label: String,
    pub(crate) kernel: String,
    pub(crate) installed: Option<u64>,
    pub(crate) images: Vec<Image>,
}

/// Name of the boot entry of a generation.
pub(crate) fn file_name(number: u32, letter: u8) -> String {
    Name { number, letter }.to_string()
}

/// Path of a kernel image by its digest in hex.
pub(crate) fn uki_path(digest: &str) -> String {
    format!("{KERNELS}/{digest}.efi")
}

/// One line of text: no control characters, not too long.
pub(crate) fn clean(text: &str) -> String {
    let one_line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_TEXT)
        .collect();
    one_line.trim().to_owned()
}

impl Content {
    /// The file.
    pub(crate) fn encode(&self, number: u32) -> String {
        let title = match clean(&self.title) {
            title if title.is_empty() => format!("nOs generation {number}"),
            title => title,
        };
        let mut text = format!(
            "title {title}\nsort-key nos\nversion {number}\nefi /{}\n#nos-format {FORMAT_VERSION}\n",
            uki_path(&self.uki)
        );
        let mut line = |key: &str, value: String| {
            // Writing to a string never fails.
            let _ = writeln!(text, "#nos-{key} {value}");
        };
        line("kernel", clean(&self.kernel));
        line("label", clean(&self.label));
        if let Some(installed) = self.installed {
            line("installed", installed.to_string());
        }
        for image in &self.images {
            let salt = if image.salt.is_empty() {
                "-"
            } else {
                &image.salt
            };
            line(
                "image",
                format!(
                    "{} {} {salt} {} {} {}",
                    image.name,
                    image.root_hash,
                    image.data_blocks,
                    image.hash_start_block,
                    image.size_bytes
                ),
            );
        }
        text
    }

    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong, in words that complete "the boot entry …".
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not text".to_owned())?;
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key))
                .and_then(|rest| rest.strip_prefix(' ').or(rest.is_empty().then_some("")))
        };
        let required = |key: &str| value(key).ok_or_else(|| format!("has no `{key}` line"));
        let format = required("#nos-format")?;
        if format
            .parse::<u32>()
            .map_or(true, |format| format > FORMAT_VERSION)
        {
            return Err(format!(
                "has format {format:?}, which this nos does not know"
            ));
        }
        let efi = required("efi")?;
        let uki = efi
            .strip_prefix('/')
            .and_then(|path| {
                path.strip_prefix(KERNELS)?
                    .strip_prefix('/')?
                    .strip_suffix(".efi")
            })
            .filter(|digest| is_digest(digest))
            .ok_or_else(|| format!("names the kernel image {efi:?}"))?;
        let images = text
            .lines()
            .filter_map(|line| line.strip_prefix("#nos-image "))
            .map(|line| {
                parse_image(line).ok_or_else(|| format!("has a damaged image line {line:?}"))
            })
            .collect::<Result<_, _>>()?;
        let installed = value("#nos-installed").map(|text| {
            text.parse()
                .map_err(|_| format!("has the installation time {text:?}"))
        });
        Ok(Self {
            title: required("title")?.to_owned(),
            uki: uki.to_owned(),
            label: value("#nos-label").unwrap_or("").to_owned(),
            kernel: value("#nos-kernel").unwrap_or("").to_owned(),
            installed: installed.transpose()?,
            images,
        })
    }
}

fn parse_image(line: &str) -> Option<Image> {
    let mut words = line.split(' ');
    let image = Image {
        name: words.next()?.to_owned(),
        root_hash: words.next()?.to_owned(),
        salt: match words.next()? {
            "-" => String::new(),
            salt => salt.to_owned(),
        },
        data_blocks: words.next()?.parse().ok()?,
        hash_start_block: words.next()?.parse().ok()?,
        size_bytes: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(())?;
    image.part_uuid()?;
    Some(image)
}

/// Whether this is a SHA-256 in lower-case hex.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    fn content() -> Content {
        Content {
            title: "edge".into(),
            uki: "3f".repeat(32),
            label: "before\nthe upgrade ".into(),
            kernel: "6.12.48-cloud-amd64".into(),
            installed: Some(1_760_000_000),
            images: vec![Image {
                name: "web".into(),
                root_hash: "ab".repeat(32),
                salt: String::new(),
                data_blocks: 10,
                hash_start_block: 11,
                size_bytes: 49152,
            }],
        }
    }

    #[test]
    fn bytes_are_pinned_and_read_back() {
        let text = content().encode(42);
        expect![[r#"
            title edge
            sort-key nos
            version 42
            efi /EFI/nos/3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f.efi
            #nos-format 1
            #nos-kernel 6.12.48-cloud-amd64
            #nos-label before the upgrade
            #nos-installed 1760000000
            #nos-image web abababababababababababababababababababababababababababababababab - 10 11 49152
        "#]].assert_eq(&text);
        let read = Content::parse(text.as_bytes()).unwrap();
        let label = "before the upgrade".into();
        assert_eq!(read, Content { label, ..content() });
    }

    proptest! {
        #[test]
        fn hostile_entries_are_errors_or_entries(
            lines in proptest::collection::vec(
                prop_oneof![
                    "\\PC{0,80}",
                    "(title|efi|#nos-format|#nos-image|#nos-installed)[ -~]{0,90}",
                    Just("#nos-format 1".to_owned()),
                    Just("title x".to_owned()),
                    Just(format!("efi /EFI/nos/{}.efi", "0".repeat(64))),
                ],
                0..12,
            )
        ) {
            if let Ok(content) = Content::parse(lines.join("\n").as_bytes()) {
                prop_assert!(is_digest(&content.uki));
            }
        }
    }
}

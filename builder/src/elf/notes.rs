//! The `dlopen` notes: libraries that a program says it opens by itself.
//!
//! The [ELF dlopen metadata](https://uapi-group.org/specifications/specs/elf_dlopen_metadata/)
//! specification: notes named `FDO` of type `0x407c0c0a` whose content is a JSON list.

use super::{Elf, ElfError, PT_NOTE, ReadAt, damaged, u32_at};

/// Largest note segment read.
const MAX_NOTES_BYTES: u64 = 1 << 20;
const NOTE_OWNER: &[u8] = b"FDO\0";
const NOTE_DLOPEN: u32 = 0x407c_0c0a;

/// How much a program wants a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DlopenPriority {
    /// The program does not work without it.
    Required,
    /// Important functions are lost without it.
    #[default]
    Recommended,
    /// Secondary functions are lost without it.
    Suggested,
}

/// One library, or one choice among several, that a program opens by itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct DlopenNote {
    /// Names by preference; the first that is present is used.
    pub soname: Vec<String>,
    /// Which function of the program needs it.
    #[serde(default)]
    pub feature: String,
    /// The same for people.
    #[serde(default)]
    pub description: String,
    /// How much it matters.
    #[serde(default)]
    pub priority: DlopenPriority,
}

impl<R: ReadAt + ?Sized> Elf<'_, R> {
    /// The `dlopen` notes of this file, in its order.
    ///
    /// # Errors
    /// [`ElfError::Damaged`] where a note segment cannot be read. Notes of others, and content
    /// that is not as specified, are passed over: they are advice.
    pub fn dlopen_notes(&self) -> Result<Vec<DlopenNote>, ElfError> {
        const PART: &str = "note segment";
        let mut found = Vec::new();
        for segment in self.segments.iter().filter(|s| s.kind == PT_NOTE) {
            if segment.file_bytes > MAX_NOTES_BYTES {
                return Err(damaged(PART, segment.offset, "it is over 1 MiB long"));
            }
            let notes = self.bytes(PART, segment.offset, segment.file_bytes)?;
            let mut rest = notes.as_slice();
            while let Some((note, after)) = split_note(rest) {
                if note.owner == NOTE_OWNER && note.kind == NOTE_DLOPEN {
                    let text = note.content.split(|&b| b == 0).next().unwrap_or_default();
                    if let Ok(list) = serde_json::from_slice::<Vec<DlopenNote>>(text) {
                        found.extend(list);
                    }
                }
                rest = after;
            }
        }
        Ok(found)
    }
}

/// One note of a segment.
struct Note<'a> {
    owner: &'a [u8],
    kind: u32,
    content: &'a [u8],
}

/// The note at the start of `bytes`, and what follows it.
fn split_note(bytes: &[u8]) -> Option<(Note<'_>, &[u8])> {
    let header = bytes.get(..12)?;
    let owner_end = (u32_at(header, 0) as usize).checked_add(12)?;
    let content_start = owner_end.checked_next_multiple_of(4)?;
    let content_end = content_start.checked_add(u32_at(header, 4) as usize)?;
    let note = Note {
        owner: bytes.get(12..owner_end)?,
        kind: u32_at(header, 8),
        content: bytes.get(content_start..content_end)?,
    };
    let next = content_end.checked_next_multiple_of(4)?;
    Some((note, bytes.get(next..).unwrap_or_default()))
}

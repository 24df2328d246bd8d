//! Small ELF files for tests, made from the System V ABI's tables, not by a linker.

use super::{HEADER_BYTES, MACHINE_X86_64, PROGRAM_HEADER_BYTES, PT_DYNAMIC, PT_INTERP, PT_LOAD};
use super::{PT_NOTE, SECTION_HEADER_BYTES};

/// What a test file holds.
#[derive(Default, Clone)]
pub(crate) struct TestElf<'a> {
    pub(crate) interpreter: Option<&'a str>,
    pub(crate) needed: &'a [&'a str],
    pub(crate) soname: Option<&'a str>,
    pub(crate) rpath: Option<&'a str>,
    pub(crate) runpath: Option<&'a str>,
    pub(crate) imports: &'a [&'a str],
    /// Library and version.
    pub(crate) versions: &'a [(&'a str, &'a str)],
    /// Versions that it defines.
    pub(crate) defines: &'a [&'a str],
    pub(crate) dlopen: Option<&'a str>,
    pub(crate) modinfo: Option<&'a str>,
    pub(crate) machine: Option<u16>,
    pub(crate) code: &'a [u8],
}

impl TestElf<'_> {
    /// The file's bytes. Virtual addresses are file offsets plus 0x40000.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        const BASE: u64 = 0x40000;
        const SLOTS: usize = 5;
        let mut out = vec![0u8; HEADER_BYTES + SLOTS * PROGRAM_HEADER_BYTES];
        let mut segments: Vec<(u32, u64, u64)> = Vec::new();
        let append = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.resize(out.len().next_multiple_of(8), 0);
            let at = out.len() as u64;
            out.extend_from_slice(bytes);
            (at, bytes.len() as u64)
        };
        if let Some(path) = self.interpreter {
            let (at, size) = append(&mut out, format!("{path}\0").as_bytes());
            segments.push((PT_INTERP, at, size));
        }
        if let Some(json) = self.dlopen {
            let mut note = Vec::new();
            for word in [4, json.len() as u32 + 1, 0x407c_0c0a] {
                note.extend_from_slice(&u32::to_le_bytes(word));
            }
            note.extend_from_slice(b"FDO\0");
            note.extend_from_slice(json.as_bytes());
            note.resize(note.len() + 4 - json.len() % 4, 0);
            let (at, size) = append(&mut out, &note);
            segments.push((PT_NOTE, at, size));
        }
        let dynamic = !self.needed.is_empty()
            || self.soname.is_some()
            || self.rpath.is_some()
            || self.runpath.is_some()
            || !self.imports.is_empty();
        if dynamic {
            let mut strings = vec![0u8];
            let mut entries: Vec<(u64, u64)> = Vec::new();
            let named = (self.needed.iter().map(|n| (1, Some(*n))))
                .chain([(14, self.soname), (15, self.rpath), (29, self.runpath)])
                .chain(self.imports.iter().map(|s| (0, Some(*s))));
            let mut symbols = vec![0u8; 24];
            for (tag, text) in named {
                let Some(text) = text else { continue };
                if tag == 0 {
                    symbols.extend_from_slice(&(strings.len() as u32).to_le_bytes());
                    symbols.extend_from_slice(&[0u8; 20]);
                } else {
                    entries.push((tag, strings.len() as u64));
                }
                strings.extend_from_slice(text.as_bytes());
                strings.push(0);
            }
            let mut word = |text: &str| {
                let at = strings.len() as u32;
                strings.extend_from_slice(text.as_bytes());
                strings.push(0);
                at
            };
            let put = |table: &mut Vec<u8>, fields: &[(u32, usize)]| {
                for (value, bytes) in fields {
                    table.extend_from_slice(&value.to_le_bytes()[..*bytes]);
                }
            };
            // One record for each version, with one more record of its own.
            let (mut needs, mut defined) = (Vec::new(), Vec::new());
            for (index, (library, version)) in self.versions.iter().enumerate() {
                let next = if index + 1 == self.versions.len() {
                    0
                } else {
                    32
                };
                let need = [(1, 2), (1, 2), (word(library), 4), (16, 4), (next, 4)];
                put(&mut needs, &need);
                put(
                    &mut needs,
                    &[(0, 4), (0, 2), (2, 2), (word(version), 4), (0, 4)],
                );
            }
            for (index, version) in self.defines.iter().enumerate() {
                let next = if index + 1 == self.defines.len() {
                    0
                } else {
                    28
                };
                let flags = u32::from(index == 0);
                let number = index as u32 + 1;
                let record = [
                    (1, 2),
                    (flags, 2),
                    (number, 2),
                    (1, 2),
                    (0, 4),
                    (20, 4),
                    (next, 4),
                ];
                put(&mut defined, &record);
                put(&mut defined, &[(word(version), 4), (0, 4)]);
            }
            let (at, size) = append(&mut out, &strings);
            entries.extend([(5, at + BASE), (10, size)]);
            for (tag, table) in [(0x6fff_fffe, needs), (0x6fff_fffc, defined)] {
                if !table.is_empty() {
                    entries.push((tag, append(&mut out, &table).0 + BASE));
                }
            }
            let hash = [
                1u32.to_le_bytes(),
                (symbols.len() as u32 / 24).to_le_bytes(),
            ]
            .concat();
            let (at, _) = append(&mut out, &symbols);
            entries.push((6, at + BASE));
            let (at, _) = append(&mut out, &hash);
            entries.extend([(4, at + BASE), (0, 0)]);
            let table: Vec<u8> = entries
                .iter()
                .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
                .collect();
            let (at, size) = append(&mut out, &table);
            segments.push((PT_DYNAMIC, at, size));
        }
        let sections = self.modinfo.map(|text| {
            let names = b"\0.modinfo\0.shstrtab\0";
            let info = append(&mut out, text.as_bytes());
            let strings = append(&mut out, names);
            (info, strings)
        });
        let (mut section_table, mut section_count) = (0, 0u16);
        if let Some((info, strings)) = sections {
            let mut table = vec![0u8; SECTION_HEADER_BYTES];
            for (name, kind, (at, size)) in [(1u32, 1u32, info), (10, 3, strings)] {
                let mut header = vec![0u8; SECTION_HEADER_BYTES];
                header[0..4].copy_from_slice(&name.to_le_bytes());
                header[4..8].copy_from_slice(&kind.to_le_bytes());
                header[24..32].copy_from_slice(&at.to_le_bytes());
                header[32..40].copy_from_slice(&size.to_le_bytes());
                table.extend(header);
            }
            (section_table, section_count) = (append(&mut out, &table).0, 3);
        }
        let code = append(&mut out, self.code);
        segments.push((PT_LOAD, 0, out.len() as u64));
        if !self.code.is_empty() {
            segments.push((PT_LOAD, code.0, code.1));
        }

        out[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let put16 = |out: &mut Vec<u8>, at: usize, v: u16| {
            out[at..at + 2].copy_from_slice(&v.to_le_bytes());
        };
        put16(&mut out, 16, if sections.is_some() { 1 } else { 3 });
        put16(&mut out, 18, self.machine.unwrap_or(MACHINE_X86_64));
        out[32..40].copy_from_slice(&(HEADER_BYTES as u64).to_le_bytes());
        out[40..48].copy_from_slice(&section_table.to_le_bytes());
        put16(&mut out, 52, HEADER_BYTES as u16);
        put16(&mut out, 54, PROGRAM_HEADER_BYTES as u16);
        put16(&mut out, 56, segments.len() as u16);
        put16(&mut out, 58, SECTION_HEADER_BYTES as u16);
        put16(&mut out, 60, section_count);
        put16(&mut out, 62, section_count.saturating_sub(1));
        for (index, (kind, at, size)) in segments.into_iter().enumerate() {
            let start = HEADER_BYTES + index * PROGRAM_HEADER_BYTES;
            out[start..start + 4].copy_from_slice(&kind.to_le_bytes());
            out[start + 4] = u8::from(kind == PT_LOAD && at > 0);
            let fields = [at, at + BASE, at + BASE, size, size];
            for (slot, value) in fields.into_iter().enumerate() {
                let field = start + 8 + slot * 8;
                out[field..field + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        out
    }
}

//! Which system calls a file's machine code can make by itself.
//!
//! Nothing is disassembled: every place of the executable segments is taken for the start of an
//! instruction. So what is found may be too much, and is too little only for a number that no
//! instruction holds: one that is computed, or that lies in a table.

use super::{Elf, ElfError, PT_LOAD, ReadAt, read_full};

/// System call numbers from here on are not told apart.
const NUMBERS: usize = 512;

/// Bytes of code in memory at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The longest instruction looked for: `mov dword [base + index + displacement], number`.
const LONGEST_BYTES: usize = 11;

const PF_X: u32 = 1;

/// What was found in the code of an x86-64 file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Whether the instruction `syscall` is in it.
    pub makes_calls: bool,
    numbers: [u64; NUMBERS / 64],
}

impl Code {
    /// Whether an instruction puts this number, below 512, where a call could take it from.
    pub fn can_call(&self, number: u16) -> bool {
        let word = self.numbers.get(usize::from(number) / 64);
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn note(&mut self, number: u32) {
        if let Some(word) = self.numbers.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Looks at each of the first `starts` places.
    fn scan(&mut self, bytes: &[u8], starts: usize) {
        for start in 0..starts.min(bytes.len()) {
            let code = &bytes[start..];
            match *code {
                [0x0f, 0x05, ..] => self.makes_calls = true,
                // mov register, number; push number
                [0xb8..=0xbf | 0x68, a, b, 0, 0, ..] => self.note(u32::from(a) | u32::from(b) << 8),
                // push number, short
                [0x6a, number @ 0..0x80, ..] => self.note(number.into()),
                // mov register or memory, number
                [0xc7, form, ..] if form & 0x38 == 0 => {
                    let at = 2 + operand_bytes(form, code.get(2).copied());
                    if let Some(&[a, b, 0, 0]) = code.get(at..at + 4) {
                        self.note(u32::from(a) | u32::from(b) << 8);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Bytes of an operand behind its ModRM byte.
fn operand_bytes(form: u8, next: Option<u8>) -> usize {
    let (mode, base) = (form >> 6, form & 7);
    let index = usize::from(mode != 3 && base == 4);
    let wide_base = match index {
        1 => next.is_some_and(|next| next & 7 == 5),
        _ => base == 5,
    };
    index
        + match mode {
            0 if wide_base => 4,
            1 => 1,
            2 => 4,
            _ => 0,
        }
}

impl<R: ReadAt + ?Sized> Elf<'_, R> {
    /// Reads the file's code through.
    ///
    /// # Errors
    /// [`ElfError::Read`]. What of the code is not in the file is not there.
    pub fn code(&self) -> Result<Code, ElfError> {
        let mut code = Code {
            makes_calls: false,
            numbers: [0; NUMBERS / 64],
        };
        let mut buffer = vec![0; CHUNK_BYTES + LONGEST_BYTES];
        let executable = |flags: u32| flags & PF_X != 0;
        for segment in &self.segments {
            if segment.kind != PT_LOAD || !executable(segment.flags) {
                continue;
            }
            let mut done = 0;
            while done < segment.file_bytes {
                let left = usize::try_from(segment.file_bytes - done).unwrap_or(usize::MAX);
                let wanted = left.min(buffer.len());
                let at = segment.offset.saturating_add(done);
                let got = read_full(self.file, at, &mut buffer[..wanted])?;
                code.scan(&buffer[..got], CHUNK_BYTES);
                if got < wanted {
                    break;
                }
                done += CHUNK_BYTES as u64;
            }
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestElf;
    use super::*;

    fn code(bytes: &[u8]) -> Code {
        let file = TestElf {
            code: bytes,
            ..TestElf::default()
        };
        let file = file.bytes();
        Elf::open(&file).unwrap().unwrap().code().unwrap()
    }

    #[test]
    fn numbers_are_found_wherever_compilers_put_them() {
        // As `objdump -d` shows what gcc made of calls of these numbers.
        for bytes in [
            &b"\xb8\x23\x01\x00\x00\x0f\x05"[..],            // mov eax, 291
            b"\x41\xb8\x23\x01\x00\x00",                     // mov r8d, 291
            b"\x48\xc7\xc0\x23\x01\x00\x00",                 // mov rax, 291
            b"\x68\x23\x01\x00\x00",                         // push 291
            b"\xc7\x04\x24\x23\x01\x00\x00",                 // mov dword [rsp], 291
            b"\x48\xc7\x44\x24\x08\x23\x01\x00\x00",         // mov qword [rsp+8], 291
            b"\xc7\x05\x01\x02\x03\x04\x23\x01\x00\x00",     // mov dword [rip+…], 291
            b"\xc7\x84\x24\x00\x01\x00\x00\x23\x01\x00\x00", // mov dword [rsp+256], 291
        ] {
            let code = code(bytes);
            assert!(code.can_call(291), "{bytes:x?}");
            assert!(!code.can_call(290));
            assert_eq!(code.makes_calls, bytes.ends_with(b"\x0f\x05"));
        }
        assert!(code(b"\x6a\x1d\x58\x0f\x05").can_call(29));
        // A comparison with 291 and an address of 291 load nothing.
        assert!(!code(b"\x3d\x23\x01\x00\x00\x8b\x87\x23\x01\x00\x00").can_call(291));
        assert!(!code(b"\xb8\x23\x01\x00\x01").can_call(291));
        assert!(!code(b"").can_call(u16::MAX));
    }

    #[test]
    fn an_instruction_across_two_chunks_is_seen() {
        for before in CHUNK_BYTES - 6..=CHUNK_BYTES {
            let mut bytes = vec![0x90; before];
            bytes.extend(b"\xb8\x23\x01\x00\x00\x0f\x05");
            bytes.resize(bytes.len() + 40, 0x90);
            assert!(code(&bytes).can_call(291) && code(&bytes).makes_calls);
        }
    }

    #[test]
    fn this_test_program_makes_calls_through_its_library() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let elf = Elf::open(&file).unwrap().unwrap();
        assert!(elf.dynamic().unwrap().unwrap().imports.contains("syscall"));
        // The standard library asks for randomness by number (getrandom is 318).
        assert!(elf.code().unwrap().can_call(318));
    }
}

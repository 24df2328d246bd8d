//! GUIDs in the mixed byte order of the UEFI specification, appendix A.

use std::fmt;
use std::str::FromStr;

/// A GUID as its 16 bytes on disk: the first three groups little-endian, the rest as written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Guid(pub [u8; 16]);

/// Not `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a GUID; write it as 8-4-4-4-12 hexadecimal digits")]
pub struct GuidError {
    /// The text.
    pub text: String,
}

/// Position on disk of each byte in text order.
const TEXT_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl Guid {
    /// The GUID of an unused entry.
    pub const ZERO: Self = Self([0; 16]);

    /// A random-looking GUID (version 4, variant 1) from 16 bytes that the caller derived.
    pub fn from_entropy(mut bytes: [u8; 16]) -> Self {
        bytes[7] = (bytes[7] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Whether this is [`Guid::ZERO`].
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, index) in TEXT_ORDER.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0[*index])?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Guid {
    type Err = GuidError;

    fn from_str(text: &str) -> Result<Self, GuidError> {
        let error = || GuidError {
            text: text.chars().take(64).collect(),
        };
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(error());
        }
        let mut digits = Vec::with_capacity(32);
        for (position, byte) in bytes.iter().enumerate() {
            let digit = char::from(*byte)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok());
            match (matches!(position, 8 | 13 | 18 | 23), digit) {
                (true, _) if *byte == b'-' => {}
                (false, Some(digit)) => digits.push(digit),
                _ => return Err(error()),
            }
        }
        let mut guid = [0; 16];
        for (pair, index) in digits.chunks_exact(2).zip(TEXT_ORDER) {
            guid[index] = pair[0] << 4 | pair[1];
        }
        Ok(Self(guid))
    }
}

//! Signatures that travel beside what they are for.

use crate::Digest;
use crate::sign::{PublicKey, SecretKey};
use std::fmt::{self, Write};
use std::str::FromStr;

/// First line of a signature file.
const TITLE: &str = "nos signature 1";

/// A signature of a digest by a key, for one purpose. As text:
///
/// ```text
/// nos signature 1
/// key HEX
/// signature HEX
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    key: PublicKey,
    bytes: [u8; 64],
}

/// A text that is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no signature of three lines as `nos image --sign` writes it; have it made again")]
pub struct SignatureError;

/// What is signed: the purpose keeps a signature for one thing from passing for another.
fn message(purpose: &str, digest: &Digest) -> Vec<u8> {
    [
        TITLE.as_bytes(),
        b"\n",
        purpose.as_bytes(),
        b"\n",
        &digest.0,
    ]
    .concat()
}

impl SecretKey {
    /// Signs a digest for a purpose, such as `disk image`.
    pub fn sign_digest(&self, purpose: &str, digest: &Digest) -> Signature {
        Signature {
            key: self.public(),
            bytes: self.sign_bytes(&message(purpose, digest)),
        }
    }
}

impl Signature {
    /// The key that it claims to be made with. It proves nothing before [`Signature::vouches_for`].
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Whether the key signed this digest for this purpose.
    pub fn vouches_for(&self, purpose: &str, digest: &Digest) -> bool {
        self.key
            .verifies_bytes(&message(purpose, digest), &self.bytes)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = String::new();
        for byte in self.bytes {
            write!(hex, "{byte:02x}")?;
        }
        writeln!(f, "{TITLE}\nkey {}\nsignature {hex}", self.key)
    }
}

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let mut lines = text.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name);
        let parsed = || -> Option<Self> {
            value(TITLE).filter(|rest| rest.is_empty())?;
            let key = value("key ")?.parse().ok()?;
            let (first, second) = value("signature ")?.split_at_checked(64)?;
            let halves = [first.parse::<Digest>().ok()?, second.parse().ok()?];
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&halves[0].0);
            bytes[32..].copy_from_slice(&halves[1].0);
            Some(Self { key, bytes })
        };
        let mut parsed = parsed;
        let signature = parsed().ok_or(SignatureError)?;
        match lines.next() {
            None => Ok(signature),
            Some(_) => Err(SignatureError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> Signature {
        SecretKey::from_seed(&[7; 32]).sign_digest("disk image", &Digest::of(b"content"))
    }

    #[test]
    fn it_vouches_for_one_digest_and_one_purpose() {
        let signature = signature();
        assert!(signature.vouches_for("disk image", &Digest::of(b"content")));
        assert!(!signature.vouches_for("disk image", &Digest::of(b"other")));
        assert!(!signature.vouches_for("archive", &Digest::of(b"content")));
        let stranger = Signature {
            key: SecretKey::from_seed(&[8; 32]).public(),
            ..signature
        };
        assert!(!stranger.vouches_for("disk image", &Digest::of(b"content")));
    }

    #[test]
    fn its_text_is_read_back_and_nothing_else_is() {
        let text = signature().to_string();
        assert_eq!(text.parse(), Ok(signature()));
        for cut in 0..text.len() - 1 {
            assert_eq!(
                text[..cut].parse::<Signature>(),
                Err(SignatureError),
                "{cut}"
            );
        }
        for wrong in [
            text.replace(TITLE, "nos signature 2"),
            text.to_uppercase(),
            format!("{text}more\n"),
            text.replace("key ", "key  "),
        ] {
            assert_eq!(wrong.parse::<Signature>(), Err(SignatureError), "{wrong}");
        }
    }
}

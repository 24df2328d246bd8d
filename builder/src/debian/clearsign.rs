//! The cleartext signature framework of RFC 9580 §7, in the strict form that archives use.
//!
//! Only what lies between the framework's lines is given out, in exactly the form that was
//! hashed. Anything the framework leaves room for and archives do not use is refused: text
//! around the message, other headers, undashed lines that begin with a dash, carriage returns.

const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// Hash names that the armor may announce. What a signature really uses is checked with it.
const HASHES: [&str; 2] = ["SHA256", "SHA512"];

/// A message taken apart; nothing in it is verified yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clearsigned {
    /// The text, dashes unescaped, trailing blanks of each line removed, lines ended by `\n`.
    pub(crate) text: String,
    /// The armored signature block, framework lines included.
    pub(crate) signature: String,
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClearsignError {
    /// The first line is another.
    #[error("line 1 is not '-----BEGIN PGP SIGNED MESSAGE-----'")]
    NoBegin,
    /// A header other than `Hash:`, or no blank line after the headers.
    #[error("line {0} is not a 'Hash:' header or the blank line after it")]
    BadHeader(usize),
    /// A hash that is too weak or unknown.
    #[error("line {0} announces a hash other than SHA256 or SHA512")]
    WeakHash(usize),
    /// A line that begins with a dash and is not escaped.
    #[error("line {0} begins with '-' and is not dash-escaped")]
    Undashed(usize),
    /// A carriage return or another control character in the text.
    #[error("line {0} has a control character")]
    ControlCharacter(usize),
    /// The end came too early.
    #[error("it ends before '-----END PGP SIGNATURE-----'")]
    Truncated,
    /// Something follows the message.
    #[error("line {0} follows the end of the signature")]
    Trailing(usize),
}

impl Clearsigned {
    /// Takes a message apart.
    ///
    /// # Errors
    /// [`ClearsignError`] with the number of the offending line, from 1.
    pub(crate) fn parse(input: &str) -> Result<Self, ClearsignError> {
        let mut lines = input.split('\n').zip(1usize..);
        if lines.next().map(|(line, _)| line) != Some(BEGIN_MESSAGE) {
            return Err(ClearsignError::NoBegin);
        }
        loop {
            let (line, number) = lines.next().ok_or(ClearsignError::Truncated)?;
            if line.is_empty() {
                break;
            }
            let hashes = line
                .strip_prefix("Hash: ")
                .ok_or(ClearsignError::BadHeader(number))?;
            if !hashes.split(',').all(|hash| HASHES.contains(&hash.trim())) {
                return Err(ClearsignError::WeakHash(number));
            }
        }
        let mut text = String::with_capacity(input.len());
        loop {
            let (line, number) = lines.next().ok_or(ClearsignError::Truncated)?;
            if line == BEGIN_SIGNATURE {
                break;
            }
            let line = match line.strip_prefix("- ") {
                Some(escaped) => escaped,
                None if line.starts_with('-') => return Err(ClearsignError::Undashed(number)),
                None => line,
            };
            if line.chars().any(|c| c.is_control() && c != '\t') {
                return Err(ClearsignError::ControlCharacter(number));
            }
            text.push_str(line.trim_end_matches([' ', '\t']));
            text.push('\n');
        }
        let mut signature = format!("{BEGIN_SIGNATURE}\n");
        loop {
            let (line, _) = lines.next().ok_or(ClearsignError::Truncated)?;
            signature.push_str(line);
            signature.push('\n');
            if line == END_SIGNATURE {
                break;
            }
        }
        match lines.find(|(line, _)| !line.trim().is_empty()) {
            Some((_, number)) => Err(ClearsignError::Trailing(number)),
            None => Ok(Self { text, signature }),
        }
    }

    /// The bytes that signatures are over: lines separated by CR LF, without the last line end
    /// (which belongs to the framework).
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        let text = self.text.strip_suffix('\n').unwrap_or(&self.text);
        text.replace('\n', "\r\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nA: 1 \t\n- -dash\n\n\
        B: é\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn the_text_is_what_was_hashed() {
        let message = Clearsigned::parse(GOOD).unwrap();
        assert_eq!(message.text, "A: 1\n-dash\n\nB: é\n");
        assert_eq!(
            message.signed_bytes(),
            "A: 1\r\n-dash\r\n\r\nB: é".as_bytes()
        );
        assert!(message.signature.starts_with(BEGIN_SIGNATURE));
        assert!(
            message
                .signature
                .ends_with("abc\n-----END PGP SIGNATURE-----\n")
        );
    }

    #[test]
    fn room_for_smuggling_is_refused() {
        use ClearsignError::*;
        let prefixed = format!("Origin: evil\n{GOOD}");
        let trailing = format!("{GOOD}\nOrigin: evil\n");
        let cases = [
            ("".to_owned(), NoBegin),
            (prefixed, NoBegin),
            (format!("\n{GOOD}"), NoBegin),
            (trailing, Trailing(13)),
            (GOOD.replace("Hash: SHA256", "Comment: x"), BadHeader(2)),
            (
                GOOD.replace("Hash: SHA256\n\nA", "Hash: SHA256\nA"),
                BadHeader(3),
            ),
            (GOOD.replace("SHA256", "SHA1"), WeakHash(2)),
            (GOOD.replace("SHA256", "SHA256, MD5"), WeakHash(2)),
            (GOOD.replace("- -dash", "-dash"), Undashed(5)),
            (
                GOOD.replace("- -dash", "-----BEGIN PGP SIGNED MESSAGE-----"),
                Undashed(5),
            ),
            (GOOD.replace('\n', "\r\n"), NoBegin),
            (GOOD.replace("A: 1", "A: 1\r"), ControlCharacter(4)),
            (GOOD.replace("A: 1", "A\0: 1"), ControlCharacter(4)),
            (
                GOOD.replace("-----END PGP SIGNATURE-----", "-----END"),
                Truncated,
            ),
            (
                GOOD.replace("-----BEGIN PGP SIGNATURE-----\n", ""),
                Undashed(10),
            ),
        ];
        for (text, want) in cases {
            assert_eq!(Clearsigned::parse(&text), Err(want), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_cut_is_refused(cut in 0..GOOD.len() - 1) {
            if let Some(text) = GOOD.get(..cut) {
                prop_assert!(Clearsigned::parse(text).is_err());
            }
        }
    }
}

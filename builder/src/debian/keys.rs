//! Which OpenPGP keys may sign an archive, and whether one did.

use super::clearsign::{ClearsignError, Clearsigned};
use super::date;
use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, Signature, SignatureType};
use pgp::types::{KeyDetails, VerifyingKey};
use std::sync::LazyLock;

/// Seconds by which a signer's clock may be ahead of ours.
const CLOCK_SKEW_S: i64 = 24 * 3600;

/// Debian's archive keys: fingerprint of the primary key, and the file that holds it. See
/// `builder/keys/README` for their origin.
const DEBIAN: [(&str, &str); 6] = [
    (
        "04b54c3cdca79751b16bc6b5225629df75b188bd",
        include_str!("../../keys/debian-archive-trixie-automatic.asc"),
    ),
    (
        "5e04a1e3223a19a20706e20f9904613d4cce68c6",
        include_str!("../../keys/debian-archive-trixie-security-automatic.asc"),
    ),
    (
        "41587f7db8c774bccf131416762f67a0b2c39de4",
        include_str!("../../keys/debian-archive-trixie-stable.asc"),
    ),
    (
        "b8b80b5b623eab6ad8775c45b7c5d7d6350947f8",
        include_str!("../../keys/debian-archive-bookworm-automatic.asc"),
    ),
    (
        "05ab90340c0c5e797f44a8c8254cf3b5aec0a8f0",
        include_str!("../../keys/debian-archive-bookworm-security-automatic.asc"),
    ),
    (
        "4d64fec119c2029067d6e791f8d2585b8783d481",
        include_str!("../../keys/debian-archive-bookworm-stable.asc"),
    ),
];

/// The keys that are trusted to sign an archive's indexes.
#[derive(Debug, Clone)]
pub struct TrustSet {
    keys: Keys,
}

#[derive(Debug, Clone)]
enum Keys {
    /// Debian's, which are read when a signature is first verified: that takes as long as much
    /// else of a run that fetches nothing.
    Debian,
    Given(Vec<SignedPublicKey>),
}

/// A key file that cannot be trusted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// Not an armored public key.
    #[error("the key file for {fingerprint} cannot be read: {reason}; put the published file back")]
    Unreadable {
        /// The fingerprint that was pinned.
        fingerprint: String,
        /// What the OpenPGP library says.
        reason: String,
    },
    /// Another key than the pinned one.
    #[error(
        "the key file for {fingerprint} holds the key {found}; put the published file back or pin \
         the new fingerprint"
    )]
    WrongKey {
        /// The fingerprint that was pinned.
        fingerprint: String,
        /// The fingerprint found.
        found: String,
    },
}

/// Why a signed index is refused. The caller adds which one it was.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// A trusted key of this program cannot be read: its source tree was tampered with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The clear-text framework is not as it must be.
    #[error("the signed message is malformed: {0}")]
    Framework(#[from] ClearsignError),
    /// The signature block cannot be read.
    #[error("the signature block cannot be read: {0}")]
    Unreadable(String),
    /// None of the signatures was made by a trusted key.
    #[error("it is signed by {} and none of these is a key this program trusts", list(.signers))]
    UnknownKey {
        /// Key identifiers of all signatures.
        signers: Vec<String>,
    },
    /// Signatures by trusted keys, none of them good.
    #[error("no signature by a trusted key is good: {}", .reasons.join("; "))]
    Bad {
        /// What is wrong with each.
        reasons: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    }
}

impl TrustSet {
    /// Debian's archive keys.
    pub fn debian() -> Self {
        Self { keys: Keys::Debian }
    }

    /// Other keys: pairs of the primary key's fingerprint (lower-case hex) and its armored file.
    ///
    /// # Errors
    /// [`KeyError`] where a file is no key, or another one than pinned.
    pub fn from_armored(keys: &[(&str, &str)]) -> Result<Self, KeyError> {
        let keys = Keys::Given(read(keys)?);
        Ok(Self { keys })
    }

    fn keys(&self) -> Result<&[SignedPublicKey], KeyError> {
        static DEBIANS: LazyLock<Result<Vec<SignedPublicKey>, KeyError>> =
            LazyLock::new(|| read(&DEBIAN));
        match &self.keys {
            Keys::Given(keys) => Ok(keys),
            Keys::Debian => DEBIANS.as_deref().map_err(Clone::clone),
        }
    }

    /// Verifies a clear-signed message and gives its text, and nothing but its text. At least one
    /// signature must be good: by a trusted key (or a signing subkey bound to it), over SHA-256
    /// or SHA-512, with neither it nor its key expired at `now` (seconds since 1970) or revoked.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, message: &str, now: i64) -> Result<String, SignatureError> {
        let message = Clearsigned::parse(message)?;
        let unreadable = |e: pgp::errors::Error| SignatureError::Unreadable(e.to_string());
        let (signatures, _) =
            DetachedSignature::from_string_many(&message.signature).map_err(unreadable)?;
        let signed = message.signed_bytes();
        let mut reasons = Vec::new();
        let mut signers = Vec::new();
        for signature in signatures {
            let signature = signature.map_err(unreadable)?.signature;
            signers.extend(signature.issuer_fingerprint().iter().map(|f| f.to_string()));
            for key in self.keys()? {
                match check(key, &signature, &signed, now) {
                    Verdict::Good => return Ok(message.text),
                    Verdict::NotThisKey => {}
                    Verdict::Bad(reason) => {
                        reasons.push(format!("{}: {reason}", key.fingerprint()));
                    }
                }
            }
        }
        if reasons.is_empty() {
            Err(SignatureError::UnknownKey { signers })
        } else {
            Err(SignatureError::Bad { reasons })
        }
    }
}

/// Reads armored keys, each of which must be the one that is pinned.
fn read(keys: &[(&str, &str)]) -> Result<Vec<SignedPublicKey>, KeyError> {
    let read = |&(fingerprint, armored): &(&str, &str)| {
        let (key, _) = SignedPublicKey::from_string(armored).map_err(|e| KeyError::Unreadable {
            fingerprint: fingerprint.to_owned(),
            reason: e.to_string(),
        })?;
        let found = key.fingerprint().to_string().to_ascii_lowercase();
        if found != fingerprint {
            return Err(KeyError::WrongKey {
                fingerprint: fingerprint.to_owned(),
                found,
            });
        }
        Ok(key)
    };
    keys.iter().map(read).collect()
}

enum Verdict {
    Good,
    NotThisKey,
    Bad(String),
}

/// Judges one signature by one trusted key.
fn check(key: &SignedPublicKey, signature: &Signature, signed: &[u8], now: i64) -> Verdict {
    let made_by = |candidate: &dyn KeyDetails| {
        let fingerprints = signature.issuer_fingerprint();
        let ids = signature.issuer_key_id();
        // A signature that names nobody is not tried with everybody's key.
        fingerprints.iter().any(|f| **f == candidate.fingerprint())
            || (fingerprints.is_empty() && ids.iter().any(|id| **id == candidate.legacy_key_id()))
    };
    let outcome = if made_by(&key.primary_key) {
        check_primary(key, now).and_then(|flags| {
            if !flags.sign() {
                return Err("the primary key may not sign".to_owned());
            }
            check_signature(&key.primary_key, signature, signed, now)
        })
    } else if let Some(subkey) = key.public_subkeys.iter().find(|sub| made_by(&sub.key)) {
        check_primary(key, now)
            .and_then(|_| check_subkey(key, subkey, now))
            .and_then(|()| check_signature(&subkey.key, signature, signed, now))
    } else {
        return Verdict::NotThisKey;
    };
    match outcome {
        Ok(()) => Verdict::Good,
        Err(reason) => Verdict::Bad(reason),
    }
}

fn check_signature(
    key: &impl VerifyingKey,
    signature: &Signature,
    signed: &[u8],
    now: i64,
) -> Result<(), String> {
    if signature.typ() != Some(SignatureType::Text) {
        return Err("it is not a signature over text".to_owned());
    }
    check_hash(signature)?;
    let made = check_times(signature, now)?;
    if made < i64::from(key.created_at().as_secs()) {
        return Err("it is older than the key that made it".to_owned());
    }
    let verified = signature.verify(key, signed);
    verified.map_err(|_| "the text was changed, or the signature was not made by it".to_owned())
}

fn check_hash(signature: &Signature) -> Result<(), String> {
    match signature.hash_alg() {
        Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha512) => Ok(()),
        other => Err(format!("it uses {other:?}, not SHA-256 or SHA-512")),
    }
}

/// Checks a signature's own times; gives when it was made.
fn check_times(signature: &Signature, now: i64) -> Result<i64, String> {
    let made = signature
        .created()
        .ok_or("it does not say when it was made")?;
    let made = i64::from(made.as_secs());
    if made > now.saturating_add(CLOCK_SKEW_S) {
        return Err(format!(
            "it was made on {}, which is in the future; check this machine's clock",
            date::rfc3339(made)
        ));
    }
    if let Some(life) = signature.signature_expiration_time() {
        let end = made + i64::from(life.as_secs());
        if life.as_secs() != 0 && end < now {
            return Err(format!("it expired on {}", date::rfc3339(end)));
        }
    }
    Ok(made)
}

fn check_key_life(key: &impl KeyDetails, binding: &Signature, now: i64) -> Result<(), String> {
    let Some(life) = binding.key_expiration_time() else {
        return Ok(());
    };
    let end = i64::from(key.created_at().as_secs()) + i64::from(life.as_secs());
    if life.as_secs() != 0 && end < now {
        return Err(format!("the key expired on {}", date::rfc3339(end)));
    }
    Ok(())
}

/// The primary key's own word about itself: its newest valid self-signature. Gives its flags.
fn check_primary(key: &SignedPublicKey, now: i64) -> Result<KeyFlags, String> {
    let primary = &key.primary_key;
    let revoked = key.details.revocation_signatures.iter();
    if revoked.into_iter().any(|r| r.verify_key(primary).is_ok()) {
        return Err("the key was revoked".to_owned());
    }
    let usable = |s: &&Signature| check_hash(s).is_ok() && check_times(s, now).is_ok();
    let made = |s: &&Signature| s.created().map(|t| t.as_secs());
    let users = key.details.users.iter().flat_map(|user| {
        let tag = pgp::types::Tag::UserId;
        let own = move |s: &&Signature| s.verify_certification(primary, tag, &user.id).is_ok();
        let certifications = user.signatures.iter().filter(|s| s.is_certification());
        certifications.filter(own)
    });
    let direct = key.details.direct_signatures.iter();
    let direct = direct.filter(|s| s.verify_key(primary).is_ok() && usable(s));
    // Flags and expiry stand in the newest word about a user id. One about the key itself often
    // only names who else may revoke it; where it sets an expiry, that counts too.
    let direct = direct.max_by_key(made);
    let user = users.filter(usable).max_by_key(made);
    let own = user
        .or(direct)
        .ok_or("the key has no valid self-signature")?;
    for word in [Some(own), direct].into_iter().flatten() {
        check_key_life(primary, word, now)?;
    }
    Ok(own.key_flags())
}

/// Whether a subkey is bound to the primary key, by both, for signing.
fn check_subkey(
    key: &SignedPublicKey,
    subkey: &pgp::composed::SignedPublicSubKey,
    now: i64,
) -> Result<(), String> {
    let primary = &key.primary_key;
    let of_type = |typ| {
        let valid = move |s: &&Signature| {
            s.typ() == Some(typ) && s.verify_subkey_binding(primary, &subkey.key).is_ok()
        };
        subkey.signatures.iter().filter(valid)
    };
    if of_type(SignatureType::SubkeyRevocation).next().is_some() {
        return Err("the subkey was revoked".to_owned());
    }
    let newest = of_type(SignatureType::SubkeyBinding)
        .filter(|s| check_hash(s).is_ok() && check_times(s, now).is_ok())
        .max_by_key(|s| s.created().map(|t| t.as_secs()))
        .ok_or("the subkey is not bound to the key")?;
    let back = newest.embedded_signature();
    let both = back.is_some_and(|b| b.verify_primary_key_binding(&subkey.key, primary).is_ok());
    if !newest.key_flags().sign() || !both {
        return Err("the subkey may not sign".to_owned());
    }
    check_key_life(&subkey.key, newest, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_keys_are_the_pinned_ones_and_valid() {
        let trust = TrustSet::debian();
        let keys = trust.keys().unwrap();
        let now = date::parse_rfc3339("2026-11-20T00:00:00Z").unwrap();
        for key in keys {
            let flags = check_primary(key, now).unwrap();
            let subkeys = &key.public_subkeys;
            assert!(flags.sign() || !subkeys.is_empty());
            for subkey in subkeys {
                check_subkey(key, subkey, now).unwrap();
            }
        }
        let later = date::parse_rfc3339("2040-01-01T00:00:00Z").unwrap();
        for key in keys {
            assert!(check_primary(key, later).unwrap_err().contains("expired"));
        }
    }

    #[test]
    fn a_key_file_must_hold_the_pinned_key() {
        let (fingerprint, _) = DEBIAN[0];
        let (_, other) = DEBIAN[1];
        let error = TrustSet::from_armored(&[(fingerprint, other)]).unwrap_err();
        assert!(matches!(error, KeyError::WrongKey { .. }));
        let error = TrustSet::from_armored(&[(fingerprint, "")]).unwrap_err();
        assert!(matches!(error, KeyError::Unreadable { .. }));
    }
}

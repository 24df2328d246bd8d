//! Keys that vouch for archives: Ed25519 (RFC 8032).

use crate::Digest;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use std::fmt;
use std::str::FromStr;

/// Put before what is signed, so that a signature means an archive and nothing else.
const CONTEXT: &[u8] = b"nos-archive signature 1\n";

/// A key that signs archives. Its memory is cleared when it is dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// The public half of a [`SecretKey`]; 64 lower-case hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text or 32 bytes that are no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a public key is 64 lower-case hexadecimal digits, a point of Ed25519; copy it whole from its owner"
)]
pub struct KeyError;

impl SecretKey {
    /// The key of a seed of 32 random bytes, which the caller draws and keeps secret.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The key that others need to trust this one.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, manifest: &[u8]) -> [u8; 64] {
        self.sign_bytes(&message(manifest))
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl serde::Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public())
    }
}

impl PublicKey {
    /// The key of 32 bytes in RFC 8032's form.
    ///
    /// # Errors
    /// [`KeyError`] for bytes that are no point of the curve.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        VerifyingKey::from_bytes(bytes)
            .map(Self)
            .map_err(|_| KeyError)
    }

    pub(crate) fn verifies(&self, manifest: &[u8], signature: &[u8; 64]) -> bool {
        self.verifies_bytes(&message(manifest), signature)
    }

    pub(crate) fn verifies_bytes(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        // Strict: a key of small order or a malleable signature vouches for nothing.
        self.0.verify_strict(message, &signature).is_ok()
    }
}

fn message(manifest: &[u8]) -> Vec<u8> {
    // Signing the digest keeps the cost of signing independent of the manifest's length.
    [CONTEXT, &Digest::of(manifest).0].concat()
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Digest(self.0.to_bytes()).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes: Digest = text.parse().map_err(|_| KeyError)?;
        Self::from_bytes(&bytes.0)
    }
}

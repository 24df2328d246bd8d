//! Signatures themselves: one that Debian made, and every way of changing one that we made.

use crate::archive::{Key, NOW, clearsign, trust};
use nos_builder::debian::{SignatureError, TrustSet};
use pgp::crypto::hash::HashAlgorithm;
use proptest::prelude::*;

const DEBIANS: &str = include_str!("data/trixie-updates.InRelease");

/// 2026-11-20 00:00 UTC.
const DEBIANS_NOW: i64 = 1_795_132_800;

const TEXT: &str = "Origin: Test\nCodename: trixie\n\n- a dash\n-----BEGIN x\nLabel: é\n";

fn signed() -> String {
    clearsign(TEXT, Key::GoodSubkey, HashAlgorithm::Sha512, NOW - 1000)
}

#[test]
fn what_debian_signed_is_believed() {
    let text = TrustSet::debian().verify(DEBIANS, DEBIANS_NOW).unwrap();
    assert!(text.starts_with("Origin: Debian\nLabel: Debian\nSuite: stable-updates\n"));
    assert!(!text.contains("PGP"));
}

#[test]
fn what_debian_signed_is_not_believed_of_others_or_at_other_times() {
    let error = trust().verify(DEBIANS, DEBIANS_NOW).unwrap_err();
    assert!(matches!(error, SignatureError::UnknownKey { signers } if !signers.is_empty()));
    let debian = TrustSet::debian();
    let early = debian
        .verify(DEBIANS, DEBIANS_NOW - 400 * 86_400)
        .unwrap_err();
    assert!(early.to_string().contains("in the future"), "{early}");
    let late = debian
        .verify(DEBIANS, DEBIANS_NOW + 5000 * 86_400)
        .unwrap_err();
    assert!(late.to_string().contains("expired"), "{late}");
    let changed = DEBIANS.replacen("Suite: stable-updates", "Suite: stable-upd4tes", 1);
    assert!(debian.verify(&changed, DEBIANS_NOW).is_err());
}

#[test]
fn the_text_comes_back_as_it_was_signed() {
    assert_eq!(trust().verify(&signed(), NOW).unwrap(), TEXT);
}

#[test]
fn a_second_signature_by_a_stranger_does_no_harm_and_alone_does_no_good() {
    let block = |message: &str| {
        message
            .split_once("-----BEGIN PGP SIGNATURE-----")
            .unwrap()
            .1
            .to_owned()
    };
    let stranger = clearsign(TEXT, Key::Stranger, HashAlgorithm::Sha512, NOW - 1000);
    let swapped = signed().replace(&block(&signed()), &block(&stranger));
    assert!(matches!(
        trust().verify(&swapped, NOW),
        Err(SignatureError::UnknownKey { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_change_passes_as_another_text(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = signed().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(message) = String::from_utf8(bytes)
            && let Ok(text) = trust().verify(&message, NOW)
        {
            prop_assert_eq!(text, TEXT);
        }
    }

    #[test]
    fn any_bytes_are_refused(text in "(-----BEGIN PGP SIGNED MESSAGE-----|-----BEGIN PGP SIGNATURE-----|-----END PGP SIGNATURE-----|Hash: SHA256|\n|a|=|AAAA){0,30}") {
        prop_assert!(trust().verify(&text, NOW).is_err());
    }
}

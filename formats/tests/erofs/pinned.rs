//! Digests of whole images. A change here makes every service image of every user new: it must
//! be worth a full update of their disks.

use expect_test::{Expect, expect};
use sha2::{Digest, Sha256};

use crate::support::*;

fn check(form: usize, expected: &Expect) {
    let options = &forms()[form];
    let bytes = image(&sample(), options);
    let digest: String = Sha256::digest(&bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    expected.assert_eq(&format!("{} {digest}", bytes.len()));
}

#[test]
fn images_are_these_bytes() {
    check(
        0,
        &expect!["2441216 7397c9356da2d2725f1f7c095f060a617d65195fa27a7372a1f255a0fa73af32"],
    );
    check(
        1,
        &expect!["1191936 a68a7173b72873dc98eb1a0b136e776edfd801fff3b7108995c844b6bf7ce088"],
    );
    check(
        2,
        &expect!["1069056 dea8276337082104a2f13d9d97aa08762b92a17feaeb046ccd6bf8292b9391e8"],
    );
    check(
        3,
        &expect!["860160 7044694b88afa1609cc0107747463b4aec8aec23f60340c6a9829c4dbccf274a"],
    );
    check(
        4,
        &expect!["745472 c03ceaf07e59b0f815a78b25dfab8773c2d1c871404e3832dc4e7bc2a3bf67c0"],
    );
    check(
        5,
        &expect!["745472 2529714f8a4ecbe06fde7bf7551e1bdb643a545a645341e387a8d4006f3e5ca6"],
    );
    check(
        6,
        &expect!["737280 54ae27835c0a5e13db275b4ae5cd87bb5ead542ec8567076aa3f0cdf0571bc5b"],
    );
}

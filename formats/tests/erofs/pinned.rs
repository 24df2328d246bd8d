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
    check(0, &expect!["2441216 7397c9356da2d2725f1f7c095f060a617d65195fa27a7372a1f255a0fa73af32"]);
    check(1, &expect!["1191936 a68a7173b72873dc98eb1a0b136e776edfd801fff3b7108995c844b6bf7ce088"]);
    check(2, &expect!["1069056 78627f527e279aed8f813a4a0fdfc86c134ca0a12122de5151bb717b94144da2"]);
    check(3, &expect!["860160 ade3f7763a77ce36550e01cb52421ce2cfee2ffa965f9e5da97b852e6c55d320"]);
    check(4, &expect!["737280 b211d64dae5b6c8f61d66eae34fea2b399ff363c4fc410123b5ac3320e7a6543"]);
    check(5, &expect!["737280 35e3394683198df872da3fe8066549895a428e7cc04d7ffe22decfcef8f9fe2a"]);
    check(6, &expect!["733184 c4a9a74d375e78ffcfff45e2f0a3c738b2e25436ed49055b40cbda27ec4f5bf6"]);
}

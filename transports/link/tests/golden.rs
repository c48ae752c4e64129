//! Golden vectors: whole datagrams, byte by byte. They were computed with another implementation of
//! HKDF, AES-GCM and CRC-32C, so they pin labels, salt, nonce and the order of everything.

mod common;

use common::*;
use link::{Provider, Security};
use synchrotron_link as link;

/// The first two datagrams of node 1, boot 1, cluster "test", key epoch 3.
const SEALED: [&str; 2] = [
    "53594e430100010303000600010000002ac4d4d7d1c8e081010101010101010101010101010101010000000000000000\
     6297d865b487460cb2de355876bb51e6ce5404ee0775",
    "53594e430100010303000600010000002ac4d4d7d1c8e081010101010101010101010101010101010100000000000000\
     02797fc0b2c315a4fce25c93d3d6b11c3d3846e7e45a",
];

/// The same with encryption off.
const CHECKED: &str = "53594e430100000000000600010000002ac4d4d7d1c8e081010101010101010101010101010101010000000000000000\
     676f6c64656e59208db3";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn sealed_datagrams_are_these_bytes() {
    for provider in Provider::ALL {
        let mut a = node(1, 1, gcm(KEY, 3, *provider));
        for expected in SEALED {
            assert_eq!(hex(&seal(&mut a, b"golden")), expected, "{provider:?}");
        }
    }
}

#[test]
fn checked_datagrams_are_these_bytes() {
    assert_eq!(hex(&seal(&mut node(1, 1, Security::Off), b"golden")), CHECKED);
}

#[test]
fn no_two_datagrams_share_a_nonce_and_a_key() {
    // Same counter, other boot, sender, cluster or epoch: other bytes for the same body.
    let usual = || gcm(KEY, 3, Provider::AesGcm);
    let mut all: Vec<_> = [
        node(1, 1, usual()),
        node(1, 2, usual()),
        node(2, 1, usual()),
        node_of("tset", 1, 1, usual()),
        node(1, 1, gcm(KEY, 4, Provider::AesGcm)),
        node(1, 1, gcm(OTHER_KEY, 3, Provider::AesGcm)),
    ]
    .iter_mut()
    .flat_map(|link| (0..100).map(|_| seal(link, &[0; 32])[48..80].to_vec()).collect::<Vec<_>>())
    .collect();
    all.sort();
    all.dedup();
    assert_eq!(
        all.len(),
        600,
        "the keystream shows through a body of zeros, and none is used twice"
    );
}

//! One suite for every AES-256-GCM provider: published vectors, agreement with each other, refusal.

use synchrotron_link as link;

use link::{Aead, BadTag, Provider};

/// A vector: key, nonce, additional data, plaintext, ciphertext, tag, in hexadecimal.
struct Vector([&'static str; 6]);

/// McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, test cases 13, 14, 16.
const VECTORS: [Vector; 3] = [
    Vector([
        "0000000000000000000000000000000000000000000000000000000000000000",
        "000000000000000000000000",
        "",
        "",
        "",
        "530f8afbc74536b9a963b4f1c4cb738b",
    ]),
    Vector([
        "0000000000000000000000000000000000000000000000000000000000000000",
        "000000000000000000000000",
        "",
        "00000000000000000000000000000000",
        "cea7403d4d606b6e074ec5d3baf39d18",
        "d0d1c8a799996bf0265b98b5d48ab919",
    ]),
    Vector([
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
         8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ]),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn key(provider: Provider, byte: u8) -> Box<dyn Aead> {
    provider.key(&[byte; 32])
}

#[test]
fn published_vectors() {
    for provider in Provider::ALL {
        for Vector(fields) in &VECTORS {
            let [key, nonce, aad, plain, cipher, tag] = fields.map(bytes);
            let aead = provider.key(&key.try_into().unwrap());
            let (nonce, tag) = (nonce.try_into().unwrap(), tag.try_into().unwrap());
            let mut body = plain.clone();
            assert_eq!(aead.seal(&nonce, &aad, &mut body), Some(tag), "{provider:?}");
            assert_eq!(body, cipher, "{provider:?}");
            assert_eq!(aead.open(&nonce, &aad, &mut body, &tag), Ok(()), "{provider:?}");
            assert_eq!(body, plain, "{provider:?}");
        }
    }
}

#[test]
fn every_provider_opens_what_any_other_sealed() {
    let nonce = [7; 12];
    for len in (0..300).chain([1400, 8192, 65_535]) {
        let plain: Vec<u8> = (0..len).map(|at| at as u8).collect();
        for sealer in Provider::ALL {
            let mut sealed = plain.clone();
            let tag = key(*sealer, 1).seal(&nonce, b"header", &mut sealed).unwrap();
            for opener in Provider::ALL {
                let mut body = sealed.clone();
                let opened = key(*opener, 1).open(&nonce, b"header", &mut body, &tag);
                assert_eq!((opened, &body), (Ok(()), &plain), "{sealer:?} to {opener:?}, {len}");
            }
        }
    }
}

#[test]
fn anything_changed_is_refused() {
    for provider in Provider::ALL {
        let (aead, nonce, plain) = (key(*provider, 1), [7; 12], [9; 100]);
        let mut sealed = plain;
        let tag = aead.seal(&nonce, b"header", &mut sealed).unwrap();
        let open = |nonce: [u8; 12], aad: &[u8], mut body: Vec<u8>, tag: [u8; 16]| {
            aead.open(&nonce, aad, &mut body, &tag)
        };
        assert_eq!(open(nonce, b"header", sealed.to_vec(), tag), Ok(()));
        assert_eq!(open([8; 12], b"header", sealed.to_vec(), tag), Err(BadTag));
        assert_eq!(open(nonce, b"Header", sealed.to_vec(), tag), Err(BadTag));
        assert_eq!(open(nonce, b"header", sealed[..99].to_vec(), tag), Err(BadTag));
        for bit in 0..100 * 8 {
            let mut changed = sealed.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(nonce, b"header", changed, tag), Err(BadTag));
        }
        for bit in 0..16 * 8 {
            let mut changed = tag;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(nonce, b"header", sealed.to_vec(), changed), Err(BadTag));
        }
        let mut body = sealed;
        assert_eq!(key(*provider, 2).open(&nonce, b"header", &mut body, &tag), Err(BadTag));
    }
}

#[test]
fn providers_are_found_by_name() {
    for provider in Provider::ALL {
        assert_eq!(Provider::from_name(provider.name()), Some(*provider));
        assert_eq!(key(*provider, 0).provider(), *provider);
    }
    assert_eq!(Provider::from_name("rot13"), None);
    assert_eq!(Provider::from_name("aes-gcm"), Some(Provider::AesGcm));
}

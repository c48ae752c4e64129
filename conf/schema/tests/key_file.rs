//! Key files that must be refused, and one that is read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use synchrotron_schema::{KeySource, Secret, key_file};

fn write(dir: &Path, text: &str, mode: u32) -> PathBuf {
    let file = dir.join("key");
    _ = fs::remove_file(&file);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    file
}

#[test]
fn a_good_key_is_read_and_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), &format!("{}\n", "0aF1".repeat(16)), 0o600);
    let key = key_file::read(&file).unwrap();
    assert_eq!(key.0[..4], [0x0a, 0xf1, 0x0a, 0xf1]);
    assert_eq!(format!("{key:?}"), "ClusterKey(..)");
}

#[test]
fn bad_keys_are_refused_without_showing_them() {
    let dir = tempfile::tempdir().unwrap();
    let digits = "ab".repeat(32);
    let cases = [
        (digits[1..].to_owned(), 0o600, "has 63 digits; accepted: 64 hexadecimal digits"),
        (String::new(), 0o600, "has 0 digits; accepted: 64 hexadecimal digits"),
        ("ab".repeat(4000), 0o600, "has 4096 digits; accepted: 64 hexadecimal digits"),
        (format!("{}xy", &digits[2..]), 0o600, "character 63 is no hexadecimal digit"),
        (digits.clone(), 0o640, "mode 0640 lets others than its owner at it; accepted: 0600"),
        (digits.clone(), 0o604, "mode 0604 lets others than its owner at it; accepted: 0600"),
    ];
    for (text, mode, expected) in cases {
        let file = write(dir.path(), &text, mode);
        let said = key_file::read(&file).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{}: {expected}", file.display())), "{said}");
        assert!(!said.contains("abab"), "{said}");
    }
}

#[test]
fn missing_files_and_directories_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let said = key_file::read(&dir.path().join("none")).unwrap_err().to_string();
    assert!(said.contains("cannot be read") && said.contains("synchrotron keygen"), "{said}");
    let said = key_file::read(dir.path()).unwrap_err().to_string();
    assert!(said.ends_with("is not a regular file"), "{said}");
}

#[test]
fn a_key_of_corosync_makes_a_cluster_key_that_depends_on_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..128).collect();
    let file = dir.path().join("authkey");
    let derived = |bytes: &[u8]| {
        _ = fs::remove_file(&file);
        fs::write(&file, bytes).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        key_file::cluster_key(&KeySource::CorosyncFile(file.clone()))
    };
    let key = derived(&bytes).unwrap();
    assert_eq!(key, key_file::cluster_key(&KeySource::Bytes(Secret(bytes.clone()))).unwrap());
    // HKDF-SHA-256, computed with another implementation (Python's hmac).
    assert_eq!(key.0[..8], [0x11, 0x32, 0xc0, 0x4f, 0xa2, 0x42, 0xab, 0x81]);
    let mut other = bytes.clone();
    other[127] ^= 1;
    assert_ne!(derived(&other).unwrap(), key);
    for (bytes, expected) in [(&bytes[..127], "has 127 bytes"), (&[0; 5000][..], "has 4097 bytes")]
    {
        let said = derived(bytes).unwrap_err().to_string();
        assert!(said.ends_with(&format!("{expected}; accepted: 128 to 4096")), "{said}");
    }
    let none = KeySource::CorosyncFile(dir.path().join("none"));
    let said = key_file::cluster_key(&none).unwrap_err().to_string();
    assert!(said.contains("`corosync-keygen -k "), "{said}");
}

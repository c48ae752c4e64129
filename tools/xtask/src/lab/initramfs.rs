//! An initramfs in memory: files, links and programs with the libraries they name, as a `newc` archive
//! (kernel documentation, `driver-api/early-userspace/buffer-format.rst`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// Files by their path, in the order in which directories come before what is in them.
pub(crate) struct Initramfs {
    entries: BTreeMap<String, (u32, Vec<u8>)>,
    /// Libraries taken along already.
    libraries: BTreeSet<PathBuf>,
}

impl Initramfs {
    pub(crate) fn new() -> Self {
        Self { entries: BTreeMap::new(), libraries: BTreeSet::new() }
    }

    /// Adds a file; `path` has no leading slash.
    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        for (at, _) in path.match_indices('/') {
            self.entries.entry(path[..at].to_owned()).or_insert((DIRECTORY | 0o755, Vec::new()));
        }
        self.entries.insert(path.to_owned(), (REGULAR | mode, bytes));
    }

    /// Adds an empty directory.
    pub(crate) fn directory(&mut self, path: &str) {
        self.entries.insert(path.to_owned(), (DIRECTORY | 0o755, Vec::new()));
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.entries.insert(path.to_owned(), (SYMLINK | 0o777, target.as_bytes().to_vec()));
    }

    /// Adds a file of this machine under the same path.
    pub(crate) fn same(&mut self, path: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let name = path.to_str().context("a path in UTF-8")?.trim_start_matches('/').to_owned();
        self.file(&name, 0o755, bytes);
        Ok(())
    }

    /// Adds a program or shared object under `name`, without its debug information, and every library
    /// that `ldd` names under its own path.
    pub(crate) fn program(&mut self, path: &Path, name: &str) -> anyhow::Result<()> {
        let bytes = stripped(path)?;
        self.file(name, 0o755, bytes);
        for library in libraries(path)? {
            if self.libraries.insert(library.clone()) {
                self.same(&library)?;
            }
        }
        Ok(())
    }

    /// The archive. Not compressed: unpacking under emulation takes longer than loading.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, (path, (mode, bytes))) in self.entries.iter().enumerate() {
            append(&mut out, number as u32 + 1, path, *mode, bytes);
        }
        append(&mut out, 0, "TRAILER!!!", 0, &[]);
        out
    }
}

fn append(out: &mut Vec<u8>, number: u32, path: &str, mode: u32, bytes: &[u8]) {
    let (length, name) = (bytes.len() as u32, path.len() as u32 + 1);
    // Magic; then inode, mode, uid, gid, links, mtime, size, device and rdevice (two each), name, check.
    let fields = [number, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name, 0];
    out.extend(b"070701");
    for field in fields {
        out.extend(format!("{field:08x}").as_bytes());
    }
    out.extend(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend(bytes);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The program's bytes; without symbols for debuggers where `strip` is there to take them off.
fn stripped(path: &Path) -> anyhow::Result<Vec<u8>> {
    let copy = std::env::temp_dir().join(format!("rdma-lab-strip-{}", std::process::id()));
    let args = ["--strip-debug", "-o"];
    let done = Command::new("strip").args(args).arg(&copy).arg(path).output();
    let smaller = done.is_ok_and(|output| output.status.success());
    let bytes = std::fs::read(if smaller { &copy } else { path });
    let _ = std::fs::remove_file(&copy);
    bytes.with_context(|| path.display().to_string())
}

/// Libraries that the dynamic loader would map for this file.
fn libraries(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(path).output().context("cannot start `ldd`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let missing: Vec<_> = text.lines().filter(|line| line.contains("not found")).collect();
    ensure!(missing.is_empty(), "{}: {}", path.display(), missing.join("; "));
    // `name => /path (address)`, or `/path (address)` for the loader itself; a static program says so.
    let found =
        |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(text.lines().filter(|line| line.contains("(0x")).filter_map(found).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_have_directories_first_and_end_with_the_trailer() {
        let mut image = Initramfs::new();
        image.file("a/b/c", 0o644, b"hello".to_vec());
        image.link("a/d", "b/c");
        let bytes = image.finish();
        assert_eq!(bytes.len() % 4, 0);
        let at = |what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
        let order = [
            at(b"a\0"),
            at(b"a/b\0"),
            at(b"a/b/c\0"),
            at(b"hello"),
            at(b"a/d\0"),
            at(b"TRAILER!!!\0"),
        ];
        assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?}");
        // Size of the file in its header: 54 bytes into it (magic and six fields).
        let header = at(b"a/b/c\0").expect("found") - 110;
        assert_eq!(&bytes[header + 54..header + 62], b"00000005");
    }
}

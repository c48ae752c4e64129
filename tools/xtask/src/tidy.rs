//! The rules of the house that no compiler checks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use cargo_metadata::MetadataCommand;

/// Top-level entries that may exist (DESIGN, section 2), beside dot-files.
const TOP_LEVEL: [&str; 15] = [
    "Cargo.lock",
    "Cargo.toml",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "conf",
    "deny.toml",
    "docs",
    "engine",
    "perf",
    "rustfmt.toml",
    "shm-ipc",
    "tools",
];

/// More top-level entries: drivers, and fuzz targets (a workspace of their own).
const TOP_LEVEL_TOO: [&str; 2] = ["fuzz", "transports"];

/// Lines of a source file at the very most.
const FILE_LINES_MAX: usize = 800;

/// Columns of a source line; what rustfmt leaves longer is a string or a table.
const LINE_COLUMNS_MAX: usize = 120;

/// Packages whose crate root must say `no_std` and forbid unsafe code: they know no clock and no I/O.
const PURE: [&str; 5] = [
    "synchrotron-wire",
    "synchrotron-totem",
    "synchrotron-groups",
    "synchrotron-link",
    "synchrotron-node",
];

/// Packages that may contain `unsafe`; every other one forbids it at its root.
const UNSAFE_ALLOWED: &[&str] = &[
    "synchrotron-frame",
    "synchrotron-uring",
    "synchrotron-verbs",
    "synchrotron-ring",
    "synchrotron-session",
    "synchrotron-capi",
    "synchrotron-libcpg",
];

/// What each package of the house may depend on, within the house.
const MAY_USE: &[(&str, &[&str])] = &[
    ("synchrotron-frame", &[]),
    ("synchrotron-wire", &[]),
    ("synchrotron-totem", &["frame", "wire"]),
    ("synchrotron-groups", &["frame", "wire", "totem"]),
    ("synchrotron-link", &["frame", "wire"]),
    ("synchrotron-node", &["frame", "wire", "totem", "groups", "link"]),
    ("synchrotron-sim", &["frame", "wire", "totem", "groups", "link", "node"]),
    ("synchrotron-transport", &["frame"]),
    ("synchrotron-uring", &["frame", "transport"]),
    ("synchrotron-verbs", &["frame", "transport"]),
    ("synchrotron-ring", &[]),
    ("synchrotron-session", &["frame", "ring"]),
    ("synchrotron-client", &["ring", "session"]),
    ("synchrotron-services", &["session"]),
    ("synchrotron-capi", &["client", "services"]),
    ("synchrotron-schema", &[]),
    (
        "synchrotron-daemon",
        &[
            "frame",
            "wire",
            "totem",
            "groups",
            "link",
            "node",
            "transport",
            "uring",
            "verbs",
            "ring",
            "session",
            "services",
            "schema",
        ],
    ),
    ("synchrotron-cluster", &["client", "daemon"]),
    ("synchrotron-pacemaker", &["cluster"]),
    ("synchrotron-bench", &["client", "cluster", "daemon", "libcpg", "model", "ring"]),
    (
        "synchrotron-model",
        &["frame", "wire", "totem", "groups", "link", "node", "transport", "uring", "ring"],
    ),
    ("synchrotron-libcpg", &[]),
    (
        "synchrotron",
        &["bench", "daemon", "client", "services", "cluster", "schema", "uring", "verbs"],
    ),
    (
        "synchrotron-fuzz",
        &["frame", "wire", "totem", "groups", "link", "node", "schema", "ring", "session"],
    ),
    ("synchrotron-tools", &["services", "session", "vqsim"]),
    ("synchrotron-manual", &["daemon", "synchrotron", "tools", "vqsim"]),
    ("synchrotron-vqsim", &["groups", "wire"]),
    ("xtask", &[]),
];

/// Marks of unfinished work, split so that this file does not contain them.
const UNFINISHED: [&[&str]; 6] = [
    &["TO", "DO"],
    &["FIX", "ME"],
    &["XX", "X:"],
    &["todo", "!("],
    &["unimplemented", "!("],
    &["#[ign", "ore"],
];

/// Runs every check and reports all findings at once.
pub(crate) fn run() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
    let root = metadata.workspace_root.as_std_path();
    let mut findings = Vec::new();
    top_level(root, &mut findings)?;
    for package in &metadata.packages {
        dependencies(package, &mut findings);
        let name = package.name.as_str();
        for target in &package.targets {
            if target.is_lib() || target.is_bin() {
                let text = std::fs::read_to_string(&target.src_path)?;
                attributes(name, target.src_path.as_str(), &text, &mut findings);
            }
        }
    }
    for file in tracked(root)? {
        if file.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(root.join(&file))
                .with_context(|| file.display().to_string())?;
            source(&file, &text, &mut findings);
        }
    }
    ensure!(findings.is_empty(), "{} findings:\n  {}", findings.len(), findings.join("\n  "));
    Ok(())
}

/// Files git tracks.
fn tracked(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output()?;
    ensure!(output.status.success(), "git ls-files failed");
    let names = String::from_utf8(output.stdout)?;
    let present = |file: &PathBuf| root.join(file).exists();
    Ok(names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).filter(present).collect())
}

fn top_level(root: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let mut seen: Vec<String> = tracked(root)?
        .iter()
        .filter_map(|file| file.iter().next())
        .map(|first| first.to_string_lossy().into_owned())
        .collect();
    seen.sort();
    seen.dedup();
    for name in seen {
        let known = TOP_LEVEL.contains(&name.as_str()) || TOP_LEVEL_TOO.contains(&name.as_str());
        if !known && !name.starts_with('.') {
            findings.push(format!("{name}: not in the fixed top-level layout"));
        }
    }
    Ok(())
}

/// Dependencies point one way. Tests may reach further: only normal dependencies are looked at.
fn dependencies(package: &cargo_metadata::Package, findings: &mut Vec<String>) {
    let allowed: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let Some(allowed) = allowed.get(package.name.as_str()) else {
        findings.push(format!("{}: not in tidy's table of dependencies", package.name));
        return;
    };
    for dependency in &package.dependencies {
        let Some(house) = dependency.path.as_ref().map(|_| house_name(&dependency.name)) else {
            continue;
        };
        let normal = dependency.kind == cargo_metadata::DependencyKind::Normal;
        if normal && !allowed.contains(&house) {
            findings.push(format!("{} may not depend on {}", package.name, dependency.name));
        }
    }
}

fn house_name(package: &str) -> &str {
    package.strip_prefix("synchrotron-").unwrap_or(package)
}

fn attributes(package: &str, path: &str, text: &str, findings: &mut Vec<String>) {
    let pure = PURE.contains(&package);
    if pure && !text.contains("#![no_std]") {
        findings.push(format!("{path}: {package} must be no_std"));
    }
    if !UNSAFE_ALLOWED.contains(&package) && !text.contains("#![forbid(unsafe_code)]") {
        findings.push(format!("{path}: {package} must forbid unsafe code"));
    }
}

fn source(file: &Path, text: &str, findings: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", file.display()));
    }
    for (number, line) in text.lines().enumerate() {
        let at = || format!("{}:{}", file.display(), number + 1);
        // A row of a table cannot be wrapped.
        let is_row = line.trim_start().trim_start_matches(['/', '!']).trim_start().starts_with('|');
        if line.chars().count() > LINE_COLUMNS_MAX && !is_row {
            findings.push(format!("{}: longer than {LINE_COLUMNS_MAX} columns", at()));
        }
        for parts in UNFINISHED {
            let mark = parts.concat();
            if line.contains(&mark) {
                findings.push(format!("{}: unfinished mark {mark}", at()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_long_lines_and_unfinished_marks_are_found() {
        let mut findings = Vec::new();
        let mark = UNFINISHED[0].concat();
        let text =
            format!("{}// {mark} later\n{}\n", "x\n".repeat(FILE_LINES_MAX), "y".repeat(121));
        source(Path::new("a.rs"), &text, &mut findings);
        assert_eq!(findings.len(), 3, "{findings:?}");
    }

    #[test]
    fn roots_without_the_required_attributes_are_found() {
        let mut findings = Vec::new();
        attributes("synchrotron-totem", "lib.rs", "#![forbid(unsafe_code)]", &mut findings);
        attributes("synchrotron-daemon", "lib.rs", "", &mut findings);
        attributes("synchrotron-ring", "lib.rs", "", &mut findings);
        assert_eq!(findings.len(), 2, "{findings:?}");
    }
}

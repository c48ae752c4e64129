//! What the package with the libraries tells dpkg about them: `shlibs`, `symbols` and the trigger of `ldconfig`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use super::LIBRARIES as PACKAGE;
use crate::capi::LIBRARIES;
use crate::run;

/// Since when Corosync's own libraries have every symbol with the version it has here.
const ALIKE_SINCE: &str = "3.1.8";

/// The version of this house whose libraries a program needs that was linked with them.
const NEEDED_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Adds these files, and what the libraries themselves depend on: cargo-deb looks at programs only.
pub(crate) fn complete_libraries(deb: &Path) -> anyhow::Result<()> {
    repack(deb, &[], |dir| {
        let control = dir.join("DEBIAN");
        fs::write(control.join("shlibs"), shlibs())?;
        fs::write(control.join("symbols"), symbols())?;
        fs::write(control.join("triggers"), "activate-noawait ldconfig\n")?;
        set_field(dir, "Depends", &depends(dir)?)
    })
}

/// The package as its next revision, packed in no time.
pub(crate) fn next_revision(deb: &Path) -> anyhow::Result<()> {
    repack(deb, &["-Znone"], |dir| {
        let version = run::output(Command::new("dpkg-deb").arg("-f").arg(deb).arg("Version"))?;
        set_field(dir, "Version", &format!("{}.1", version.trim()))
    })
}

/// Unpacks a package, changes it and packs it again.
fn repack(
    deb: &Path,
    options: &[&str],
    change: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let dir = deb.with_extension("unpacked");
    run::run(Command::new("dpkg-deb").arg("-R").arg(deb).arg(&dir))?;
    change(&dir)?;
    let mut pack = Command::new("dpkg-deb");
    pack.arg("--root-owner-group").args(options).arg("-b").arg(&dir).arg(deb);
    run::run(pack.stdout(Stdio::null()))?;
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Puts a field into the control file of an unpacked package, in the place of the one there, if any.
fn set_field(dir: &Path, field: &str, value: &str) -> anyhow::Result<()> {
    let file = dir.join("DEBIAN/control");
    let text = fs::read_to_string(&file)?;
    let name = format!("{field}:");
    let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with(&name)).collect();
    let new = format!("{name} {value}");
    // The description is last, over several lines.
    let at = lines.iter().position(|line| line.starts_with("Description:"));
    lines.insert(at.unwrap_or(lines.len()), &new);
    fs::write(file, lines.join("\n") + "\n")?;
    Ok(())
}

/// What the unpacked libraries need, as dpkg-shlibdeps finds it.
fn depends(dir: &Path) -> anyhow::Result<String> {
    let source = dir.with_extension("source");
    fs::create_dir_all(source.join("debian"))?;
    let control = format!("Source: {PACKAGE}\n\nPackage: {PACKAGE}\nArchitecture: any\n");
    fs::write(source.join("debian/control"), control)?;
    let mut command = Command::new("dpkg-shlibdeps");
    command.current_dir(&source).args(["-O", "--warnings=0"]);
    for multiarch in fs::read_dir(dir.join("usr/lib"))? {
        for file in fs::read_dir(multiarch?.path())? {
            let file = file?;
            if file.file_type()?.is_file() {
                command.arg(file.path());
            }
        }
    }
    let found = run::output(&mut command)?;
    fs::remove_dir_all(&source)?;
    let depends = found.trim().strip_prefix("shlibs:Depends=");
    depends.map(str::to_owned).with_context(|| format!("dpkg-shlibdeps says {found:?}"))
}

/// What a program depends on that was linked with these libraries, one line for each of them.
fn shlibs() -> String {
    LIBRARIES
        .iter()
        .map(|library| {
            let debian = library.debian_package();
            format!(
                "lib{} {} {PACKAGE} (>= {NEEDED_VERSION}) | {debian} (>= {ALIKE_SINCE})\n",
                library.name, library.major
            )
        })
        .collect()
}

/// The same, symbol by symbol.
fn symbols() -> String {
    let mut text = String::new();
    for library in LIBRARIES {
        let (soname, debian) = (library.soname(), library.debian_package());
        text += &format!("{soname} {PACKAGE} #MINVER# | {debian} (>= {ALIKE_SINCE})\n");
        for (node, _) in library.nodes.iter().filter(|(node, _)| !node.is_empty()) {
            text += &format!(" {node}@{node} {NEEDED_VERSION}\n");
        }
        for (symbol, node) in library.symbols() {
            let node = if node.is_empty() { "Base" } else { node };
            text += &format!(" {symbol}@{node} {NEEDED_VERSION}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_says_what_its_users_depend_on() {
        let (shlibs, symbols) = (shlibs(), symbols());
        assert_eq!(shlibs.lines().count(), LIBRARIES.len());
        assert!(shlibs.contains("libcpg 4 synchrotron-corosync-libs (>= "), "{shlibs}");
        assert!(shlibs.contains(" | libcorosync-common4 (>= 3.1.8)\n"), "{shlibs}");
        assert!(symbols.contains("\n cpg_join@COROSYNC_CPG_1.0 "), "{symbols}");
        assert!(symbols.contains("\n cs_strerror@Base "), "{symbols}");
    }
}

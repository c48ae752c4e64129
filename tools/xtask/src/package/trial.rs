//! Trying the packages in a clean Debian: `try.sh` does it, this finds out from where Debian comes.
//!
//! Everything happens in a mount namespace of its own, on a layer in memory over the clean Debian: nothing is left when
//! it ends, however it ends. The clean Debian and what was downloaded stay in `target/debian-root`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use super::control;
use crate::capi::Places;
use crate::host;
use crate::run;

/// Programs this needs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 3] =
    [("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("pkg-config", "pkg-config")];

/// Where a Debian archive is, and which of its parts this machine uses.
struct Mirror {
    uri: String,
    suite: String,
    component: String,
}

/// Whether packages can be tried here.
///
/// # Errors
/// Why not, for people to read.
pub(crate) fn needs() -> Result<(), String> {
    if !host::is_root() {
        return Err("trying packages needs root (debootstrap, chroot)".into());
    }
    PROGRAMS.iter().try_for_each(|(program, package)| host::ensure_program(program, package))
}

/// Installs, uses, upgrades, removes and purges the packages.
pub(crate) fn run(places: &Places, debs: &[PathBuf]) -> anyhow::Result<()> {
    needs().map_err(anyhow::Error::msg)?;
    let dir = places.target.join("debian-root");
    let offered = dir.join("offered");
    let _ = fs::remove_dir_all(&offered);
    for revision in ["1", "2"] {
        let to = offered.join(revision);
        fs::create_dir_all(&to)?;
        for deb in debs {
            let copy = to.join(deb.file_name().context("a package is a file")?);
            fs::copy(deb, &copy)?;
            if revision == "2" {
                control::next_revision(&copy)?;
            }
        }
    }
    let suite = suite()?;
    let mirrors = mirrors(&suite)?;
    let main = mirrors
        .iter()
        .find(|mirror| mirror.suite == suite)
        .with_context(|| format!("apt on this machine has no archive with {suite} itself"))?;
    let sources: String = mirrors
        .iter()
        .map(|mirror| format!("deb {} {} {}\n", mirror.uri, mirror.suite, mirror.component))
        .collect();
    fs::write(dir.join("sources.list"), sources)?;
    // How apt reaches the archive from here: proxies, certificates, time limits.
    fs::write(
        dir.join("apt.conf"),
        run::output(Command::new("apt-config").args(["dump", "Acquire"]))?,
    )?;
    fs::write(dir.join("inside.sh"), include_str!("inside.sh"))?;
    let program = places.root.join("tools/xtask/src/package/program.c");
    let script = dir.join("try.sh");
    fs::write(&script, include_str!("try.sh"))?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-eu"]).arg(&script);
    run::run(unshare.arg(&dir).arg(&suite).arg(&main.uri).arg(&program))
}

/// The release of Debian that this machine runs: what was built here needs its C library.
fn suite() -> anyhow::Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let value = |key: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim_matches('"').to_owned()))
    };
    ensure!(value("ID=").as_deref() == Some("debian"), "packages are tried on Debian only");
    value("VERSION_CODENAME=").context("/etc/os-release has no VERSION_CODENAME")
}

/// Debian's archives as this machine's apt knows them, for `suite` and what belongs to it.
fn mirrors(suite: &str) -> anyhow::Result<Vec<Mirror>> {
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)";
    let targets = run::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        format,
        "Created-By: Packages",
    ]))?;
    let mut seen = BTreeSet::new();
    let mut mirrors = Vec::new();
    for line in targets.lines().filter(|line| seen.insert((*line).to_owned())) {
        if let [uri, release, component, "Debian"] = line.split(' ').collect::<Vec<_>>()[..]
            && release.starts_with(suite)
        {
            let [uri, suite, component] = [uri, release, component].map(str::to_owned);
            mirrors.push(Mirror { uri, suite, component });
        }
    }
    ensure!(
        !mirrors.is_empty(),
        "apt on this machine knows no archive of Debian {suite}: apt-get update?"
    );
    Ok(mirrors)
}

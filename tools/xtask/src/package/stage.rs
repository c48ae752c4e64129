//! What packages hold beside programs: libraries, headers, manual pages, completions, below `target/release/packaging`.
//!
//! cargo-deb finds things below `target/release` wherever cargo's target directory is.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::capi::Places;
use crate::run;
use crate::steps::cargo;

/// Which package a program's manual page and completions belong to.
fn package_of(program: &str) -> &'static str {
    match program {
        "corosync-notifyd" => "synchrotron-corosync-notifyd",
        name if name.starts_with("corosync-") => "synchrotron-corosync",
        _ => "synchrotron",
    }
}

/// Makes all of it anew.
pub(crate) fn stage(places: &Places) -> anyhow::Result<()> {
    let dir = places.target.join("release/packaging");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let manual = dir.join("manual");
    run::run(cargo(["run", "--quiet", "-p", "synchrotron-manual", "--"]).arg(&manual))?;
    for below in ["man", "completions"] {
        share(&manual.join(below), Path::new(if below == "man" { "man" } else { "" }), &dir)?;
    }
    for entry in fs::read_dir(&places.out)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().contains(".so") {
            let to = dir.join("lib").join(&name);
            fs::create_dir_all(dir.join("lib"))?;
            if entry.file_type()?.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(entry.path())?, to)?;
            } else {
                fs::copy(entry.path(), to)?;
            }
        }
    }
    copy(&places.out.join("include"), &dir.join("include"))?;
    copy(&places.out.join("pkgconfig"), &dir.join("pkgconfig"))
}

/// Sorts the files below `from` by the package they belong to: `PACKAGE/BELOW/...`.
fn share(from: &Path, below: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            share(&entry.path(), &below.join(&name), to)?;
            continue;
        }
        let program = name.trim_start_matches('_').split('.').next().unwrap_or_default();
        let dir = to.join(package_of(program)).join(below);
        fs::create_dir_all(&dir)?;
        let copy = dir.join(&name);
        fs::copy(entry.path(), &copy)?;
        if below.starts_with("man") {
            // Without name and time, so that the same page makes the same file.
            run::run(Command::new("gzip").args(["-9", "-n"]).arg(&copy))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

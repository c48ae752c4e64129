//! Licences, duplicate versions, banned crates and sources, by cargo-deny (installed on first use).

use anyhow::ensure;

use crate::steps::cargo;

/// The version the configuration was written for.
const VERSION: &str = "0.20.2";

/// Runs the checks that need no network. Advisories need a clone of the advisory database; run
/// `cargo deny check advisories` where there is a network.
pub(crate) fn run() -> anyhow::Result<()> {
    let installed =
        cargo(["deny", "--version"]).output().is_ok_and(|output| output.status.success());
    if !installed {
        let args = ["install", "--locked", "cargo-deny", "--version", VERSION];
        ensure!(cargo(args).status()?.success(), "cannot install cargo-deny {VERSION}");
    }
    let checks = ["deny", "--all-features", "check", "bans", "licenses", "sources"];
    ensure!(cargo(checks).status()?.success(), "cargo deny found something");
    Ok(())
}

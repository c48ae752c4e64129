//! What the machine has, and installing what it lacks.

use std::path::Path;
use std::process::{Command, Stdio};

/// Whether a program is on the PATH (or in the system directories that ordinary users lack).
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(system).any(|dir| dir.join(name).is_file())
}

/// Whether we may make namespaces and install packages.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes sure that a program is there, installing its Debian package if we can.
///
/// # Errors
/// The reason why it is not, for people to read.
pub(crate) fn ensure_program(program: &str, package: &str) -> Result<(), String> {
    if has_program(program) {
        return Ok(());
    }
    install(package).map_err(|reason| format!("`{program}` is missing; {reason}"))?;
    if has_program(program) {
        Ok(())
    } else {
        Err(format!("`{program}` is missing, and package `{package}` does not bring it"))
    }
}

/// Installs a Debian package, if we may.
///
/// # Errors
/// What to do by hand.
pub(crate) fn install(package: &str) -> Result<(), String> {
    let manual = format!("install the package `{package}`");
    let _quiet = Policy::forbid();
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return Err(manual);
    }
    for args in
        [vec!["update", "-qq"], vec!["install", "-y", "-qq", "--no-install-recommends", package]]
    {
        let status = Command::new("apt-get")
            .args(&args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("{manual} (apt-get {} failed)", args.join(" ")));
        }
    }
    Ok(())
}

/// Where Debian's packages ask whether they may start what they bring.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// While this lives, no package starts a service; a policy that was there already stays in force.
struct Policy {
    is_ours: bool,
}

impl Policy {
    fn forbid() -> Self {
        use std::os::unix::fs::OpenOptionsExt;
        // 101: the action is not allowed.
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o755).open(POLICY);
        let is_ours = file.is_ok_and(|mut file| {
            std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n").is_ok()
        });
        Self { is_ours }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.is_ours {
            // Left behind, it would only keep later packages from starting services, as we just did.
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

//! `cargo xtask package`: Debian packages in `target/debian`, and trying them in a clean Debian.

mod control;
mod stage;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use clap::Args as ClapArgs;

use crate::capi::{self, Places};
use crate::host;
use crate::run;
use crate::steps::cargo;

/// What is wanted.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Install, use, upgrade, remove and purge the packages in a clean Debian made with debootstrap, and Debian's
    /// Pacemaker on top of them. Needs root, the Debian mirror of this machine's apt, and some minutes.
    #[arg(long)]
    r#try: bool,
}

impl Args {
    /// Make them and try them.
    pub(crate) const TRIAL: Self = Self { r#try: true };
}

/// A Debian package.
pub(crate) struct Package {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Whose `Cargo.toml` describes it.
    crate_name: &'static str,
    /// Which variant there; empty for the main one.
    variant: &'static str,
    /// Whether its libraries go where those of several architectures stand side by side.
    multiarch: bool,
}

/// All of them.
pub(crate) const PACKAGES: [Package; 5] = [
    Package { name: "synchrotron", crate_name: "synchrotron", variant: "", multiarch: false },
    Package {
        name: "synchrotron-corosync",
        crate_name: "synchrotron-tools",
        variant: "",
        multiarch: false,
    },
    Package {
        name: "synchrotron-corosync-notifyd",
        crate_name: "synchrotron-tools",
        variant: "notifyd",
        multiarch: false,
    },
    Package { name: LIBRARIES, crate_name: "synchrotron-capi", variant: "", multiarch: true },
    Package {
        name: "synchrotron-corosync-dev",
        crate_name: "synchrotron-capi",
        variant: "dev",
        multiarch: true,
    },
];

/// The package with the C libraries.
const LIBRARIES: &str = "synchrotron-corosync-libs";

/// The version of cargo-deb that the metadata was written for.
const CARGO_DEB_VERSION: &str = "3.8.0";

/// Programs this needs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 3] =
    [("dpkg-deb", "dpkg"), ("dpkg-shlibdeps", "dpkg-dev"), ("gzip", "gzip")];

pub(crate) use trial::needs as trial_needs;

/// Makes the packages, and tries them if that is wanted.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    for (program, package) in PROGRAMS {
        host::ensure_program(program, package).map_err(anyhow::Error::msg)?;
    }
    install_cargo_deb()?;
    let places = capi::link()?;
    let programs = [
        "build",
        "--release",
        "-p",
        "synchrotron",
        "-p",
        "synchrotron-daemon",
        "-p",
        "synchrotron-tools",
    ];
    run::run(&mut cargo(programs))?;
    stage::stage(&places)?;
    let made = pack(&places)?;
    for deb in &made {
        println!("{}", deb.display());
    }
    if args.r#try { trial::run(&places, &made) } else { Ok(()) }
}

/// Every package, in `target/debian` and nothing else there.
fn pack(places: &Places) -> anyhow::Result<Vec<PathBuf>> {
    // cargo-deb empties `target/debian` now and then: packages go there when all are made.
    let making = places.target.join("debian-making");
    let out = places.target.join("debian");
    let _ = fs::remove_dir_all(&making);
    fs::create_dir_all(&making)?;
    let mut made = Vec::new();
    for package in &PACKAGES {
        let deb = making.join(format!("{}.deb", package.name));
        let mut cargo =
            cargo(["deb", "--quiet", "--no-build", "--strip", "-p", package.crate_name]);
        cargo.arg("-o").arg(&deb).stdout(Stdio::null());
        if !package.variant.is_empty() {
            cargo.arg(format!("--variant={}", package.variant));
        }
        if package.multiarch {
            cargo.arg("--multiarch=same");
        }
        run::run(&mut cargo)?;
        if package.name == LIBRARIES {
            control::complete_libraries(&deb)?;
        }
        let deb = named(&deb)?;
        made.push(out.join(deb.file_name().context("a package is a file")?));
    }
    let _ = fs::remove_dir_all(&out);
    fs::rename(&making, &out)?;
    Ok(made)
}

/// Gives a package the file name that its contents say: `NAME_VERSION_ARCHITECTURE.deb`.
fn named(deb: &Path) -> anyhow::Result<PathBuf> {
    let format = "${Package}_${Version}_${Architecture}.deb";
    let name = run::output(Command::new("dpkg-deb").args(["--showformat", format, "-W"]).arg(deb))?;
    ensure!(!name.is_empty() && !name.contains('/'), "{}: no name in it", deb.display());
    let path = deb.with_file_name(name);
    fs::rename(deb, &path)?;
    Ok(path)
}

/// cargo-deb, installed on first use.
fn install_cargo_deb() -> anyhow::Result<()> {
    let version = cargo(["deb", "--version"]).output();
    let found = version.is_ok_and(|out| {
        out.status.success()
            && String::from_utf8_lossy(&out.stdout).trim().ends_with(CARGO_DEB_VERSION)
    });
    if !found {
        let args = ["install", "--locked", "--force", "cargo-deb", "--version", CARGO_DEB_VERSION];
        run::run(&mut cargo(args))?;
    }
    Ok(())
}

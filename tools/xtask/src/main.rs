//! What CI runs, runnable at home: `cargo xtask tidy | ci | test | sim | link-capi | cpg-load | cpg-members | package |
//! rdma-lab`.
#![forbid(unsafe_code)]

mod capi;
mod deny;
mod host;
mod lab;
mod pacemaker;
mod package;
mod run;
mod steps;
mod test;
mod tidy;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::steps::{Steps, cargo};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The house's own tools")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check the rules of the house that no compiler checks: layout, dependencies, file sizes.
    Tidy,
    /// Everything CI runs: formatting, lints, tidy, licences, documentation, then every test.
    Ci,
    /// Every test; sets up what it needs (packages, when it is root on Debian).
    Test {
        /// Leave out the tests that need more than a minute.
        #[arg(long)]
        quick: bool,
    },
    /// The deterministic simulator; arguments go to `synchrotron-sim` (try `-- --help`).
    Sim {
        /// `--seeds N`, `--seed S`, `--nodes K`, `--trace`, ...
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Link Corosync's C libraries into `target/capi`, with headers and pkg-config files, and check what they export
    /// and how structures are laid out.
    LinkCapi {
        /// Run the programs of `shm-ipc/capi/tests` over them, too.
        #[arg(long)]
        r#try: bool,
    },
    /// Run one program for process groups over Debian's Corosync and over ours: latency and throughput, side by side.
    CpgLoad(capi::load::Args),
    /// Run a client of one group on each node over Debian's Corosync and over ours: start, steady state, failover.
    CpgMembers {
        /// `--nodes N`, `--clusters ...`, `--faults ...`, `--rounds N`, `--json`, ...
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Make Debian packages in `target/debian`, and try them in a clean Debian with `--try`.
    Package(package::Args),
    /// Run something beside soft-RoCE devices in an emulated machine; needs no hardware.
    RdmaLab(lab::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut steps = Steps::default();
    match args.task {
        Task::Tidy => steps.check("tidy", tidy::run),
        Task::Ci => ci(&mut steps),
        Task::Test { quick } => test::run(&mut steps, quick),
        Task::Sim { args } => return sim(&args),
        Task::LinkCapi { r#try: true } => test::c_libraries(&mut steps),
        Task::LinkCapi { r#try: false } => steps.check("link-capi", || capi::link().map(drop)),
        Task::CpgLoad(args) => steps.check("cpg-load", || capi::load::run(&args)),
        Task::CpgMembers { args } => {
            steps.check("cpg-members", || capi::members::run(&args));
        }
        Task::Package(args) => steps.check("package", || package::run(&args)),
        Task::RdmaLab(args) => steps.check("rdma-lab", || lab::run(&args)),
    }
    steps.finish()
}

/// What the feature `verbs` touches.
const VERBS_LINTS: [&str; 15] = [
    "clippy",
    "-p",
    "synchrotron-verbs",
    "-p",
    "synchrotron-daemon",
    "-p",
    "synchrotron",
    "--features",
    "synchrotron-verbs/lab,synchrotron-daemon/verbs,synchrotron/verbs",
    "--all-targets",
    "--quiet",
    "--no-deps",
    "--",
    "-D",
    "warnings",
];

/// The cheap checks first: a slip in formatting should not cost a test run.
fn ci(steps: &mut Steps) {
    steps.run("format", cargo(["fmt", "--all", "--check"]));
    steps.check("tidy", tidy::run);
    let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    steps.run("lints", cargo(lints));
    let portable = [
        "clippy",
        "-p",
        "synchrotron-link",
        "-p",
        "synchrotron-daemon",
        "-p",
        "synchrotron",
        "--no-default-features",
        "--",
        "-D",
        "warnings",
    ];
    steps.run("lints without aws-lc", cargo(portable));
    match lab::build_needs() {
        Ok(()) => steps.run("lints with verbs", cargo(VERBS_LINTS)),
        Err(reason) => steps.skip("lints with verbs", &reason),
    }
    let mut docs = cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    docs.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links");
    steps.run("documentation", docs);
    steps.check("licences", deny::run);
    match package::trial_needs() {
        Ok(()) => steps.check("packages", || package::run(&package::Args::TRIAL)),
        Err(reason) => steps.skip("packages", &reason),
    }
    test::run(steps, false);
}

fn sim(args: &[OsString]) -> ExitCode {
    let mut command = cargo(["run", "--release", "--quiet", "-p", "synchrotron-sim", "--"]);
    command.args(args);
    match command.status() {
        Ok(status) => ExitCode::from(status.code().unwrap_or(1).clamp(0, 255) as u8),
        Err(error) => {
            eprintln!("cannot start cargo: {error}");
            ExitCode::FAILURE
        }
    }
}

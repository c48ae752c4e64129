//! One program under many names: `corosync-cfgtool`, `corosync-cmapctl` and so on are links to it.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// The simulator of votes, a program of its own that goes by Corosync's name here.
const SIMULATOR: &str = "corosync-vqsim";

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let name = args.first().and_then(|first| name_of(first)).or_else(|| {
        // Called by its own name: the first argument says which tool is meant.
        args.remove(0);
        args.first().and_then(|first| name_of(first))
    });
    match name {
        Some(SIMULATOR) => vqsim::main_with(args),
        Some(name) => ExitCode::from(tools::run(name, &args[1..], &mut tools::Terminal::new())),
        None => {
            eprintln!(
                "usage: synchrotron-corosync TOOL [OPTIONS], or a link to it that is called TOOL:"
            );
            for name in tools::TOOLS.iter().map(|tool| tool.name).chain([SIMULATOR]) {
                eprintln!("  {name}");
            }
            ExitCode::FAILURE
        }
    }
}

fn name_of(path: &OsStr) -> Option<&'static str> {
    let is_simulator = Path::new(path).file_name() == Some(OsStr::new(SIMULATOR));
    tools::name_of(path).or(is_simulator.then_some(SIMULATOR))
}

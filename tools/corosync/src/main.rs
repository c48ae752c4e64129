//! One program under many names: `corosync-cfgtool`, `corosync-cmapctl` and so on are links to it.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let name = args.first().and_then(|first| tools::name_of(first)).or_else(|| {
        // Called by its own name: the first argument says which tool is meant.
        args.remove(0);
        args.first().and_then(|first| tools::name_of(first))
    });
    let Some(name) = name else {
        eprintln!(
            "usage: synchrotron-corosync TOOL [OPTIONS], or a link to it that is called TOOL:"
        );
        for name in tools::NAMES {
            eprintln!("  {name}");
        }
        return ExitCode::FAILURE;
    };
    let code = tools::run(name, &args[1..], &mut tools::Terminal::new());
    ExitCode::from(code)
}

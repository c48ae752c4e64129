//! The simulator as a program of its own.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    synchrotron_vqsim::main_with(std::env::args_os())
}

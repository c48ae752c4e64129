//! Writes manual pages and shell completions of every program, from the definitions by which they read their command
//! lines: `synchrotron-manual DIR` makes `DIR/man` and `DIR/completions` as they stand below `/usr/share`.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Arg, ArgAction, Command, CommandFactory, Parser};
use clap_complete::Shell;
use clap_mangen::Man;
use tools::{About, Flag};

#[derive(Parser)]
#[command(about = "Writes manual pages and shell completions")]
struct Options {
    /// Where to.
    dir: PathBuf,
}

/// Where completions of a shell stand below `/usr/share`, and what stands before and behind a program's name.
const SHELLS: [(Shell, &str, [&str; 2]); 3] = [
    (Shell::Bash, "bash-completion/completions", ["", ""]),
    (Shell::Zsh, "zsh/vendor-completions", ["_", ""]),
    (Shell::Fish, "fish/vendor_completions.d", ["", ".fish"]),
];

fn main() -> anyhow::Result<()> {
    write(&Options::parse().dir)
}

fn write(dir: &Path) -> anyhow::Result<()> {
    for (section, command) in programs() {
        pages(&dir.join("man"), section, &command)?;
        for (shell, place, [before, behind]) in SHELLS {
            let file = format!("{before}{}{behind}", command.get_name());
            let path = dir.join("completions").join(place).join(file);
            let mut out = create(&path)?;
            let name = command.get_name().to_owned();
            clap_complete::generate(shell, &mut command.clone(), name, &mut out);
        }
    }
    Ok(())
}

/// Every program, and the section of the manual it belongs to.
fn programs() -> Vec<(&'static str, Command)> {
    let simulator = vqsim::command().name("corosync-vqsim").bin_name("corosync-vqsim");
    let mut programs = vec![
        ("1", cli::command()),
        ("8", daemon::CommandLine::command()),
        ("8", simulator.version(env!("CARGO_PKG_VERSION"))),
    ];
    programs.extend(tools::TOOLS.iter().map(|tool| ("8", command(tool))));
    programs
}

/// A tool that reads its options as `getopt` does.
fn command(tool: &About) -> Command {
    let mut command = Command::new(tool.name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(tool.about)
        .after_help(tool.notes)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(tool.options.iter().map(option));
    if !tool.words.is_empty() {
        command = command.arg(Arg::new("words").value_name(tool.words).num_args(0..));
    }
    command
}

fn option(flag: &Flag) -> Arg {
    let mut arg = Arg::new(flag.letter.to_string()).short(flag.letter).help(flag.help);
    if !flag.long.is_empty() {
        arg = arg.long(flag.long);
    }
    if flag.value.is_empty() { arg.action(ArgAction::SetTrue) } else { arg.value_name(flag.value) }
}

/// The page of a program, and one for each of its commands.
fn pages(man: &Path, section: &str, command: &Command) -> anyhow::Result<()> {
    let mut command = command.clone();
    command.build();
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = man.join(format!("man{section}/{name}.{section}"));
    let page = Man::new(command.clone().name(name)).section(section).manual("Synchrotron");
    page.render(&mut create(&path)?)?;
    for sub in
        command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
    {
        pages(man, section, sub)?;
    }
    Ok(())
}

fn create(path: &Path) -> anyhow::Result<File> {
    let dir = path.parent().context("a file stands in a directory")?;
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    File::create(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every option of every program is in its page and in its completions, and the shell reads these.
    #[test]
    fn pages_and_completions_name_every_option() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        write(dir.path()).expect("all of them are written");
        let read = |path: String| fs::read_to_string(dir.path().join(&path)).expect(&path);
        for (section, command) in programs() {
            let name = command.get_name();
            let page = read(format!("man/man{section}/{name}.{section}")).replace('\\', "");
            let shell = read(format!("completions/bash-completion/completions/{name}"));
            read(format!("completions/zsh/vendor-completions/_{name}"));
            read(format!("completions/fish/vendor_completions.d/{name}.fish"));
            for arg in command.get_arguments() {
                let option = match (arg.get_long(), arg.get_short()) {
                    (Some(long), _) => format!("--{long}"),
                    (None, Some(short)) => format!("-{short}"),
                    (None, None) => continue,
                };
                assert!(page.contains(&option), "{option} is not in the page of {name}");
                assert!(shell.contains(&option), "{option} is not completed for {name}");
            }
            let file = format!("completions/bash-completion/completions/{name}");
            let mut bash = std::process::Command::new("bash");
            let status = bash.arg("-n").arg(dir.path().join(file)).status().expect("bash starts");
            assert!(status.success(), "{name}");
        }
        read("man/man1/synchrotron-bench-compare.1".to_owned());
    }
}

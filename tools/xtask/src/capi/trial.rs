//! `calls.c`, `services.c` and `sam.c` over a real engine: what every function returns, compared with what is
//! written down.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use super::engines::Engine;
use super::{Places, link, old_abi, views};
use crate::host;
use crate::run::run as run_command;
use crate::steps::cargo;

/// Line after which the program wants the engine to end.
const END_THE_ENGINE: &str = "now end the engine";

/// A program of `shm-ipc/capi/tests`: it says what the file of its name with `.txt` says.
struct Program {
    name: &'static str,
    arguments: &'static [&'static str],
    /// The libraries it links.
    libraries: &'static [&'static str],
    /// `quorum.provider` of its engine.
    provider: &'static str,
}

const CALLS: Program = Program {
    name: "calls",
    arguments: &["null"],
    libraries: &["cpg", "cfg", "cmap", "quorum", "votequorum", "corosync_common"],
    provider: "none",
};

const SERVICES: Program = Program {
    name: "services",
    arguments: &["null"],
    libraries: &["cfg", "cmap", "quorum", "votequorum"],
    provider: "votequorum",
};

const SAM: Program =
    Program { name: "sam", arguments: &[], libraries: &["sam", "cmap"], provider: "votequorum" };

/// Links the libraries, then runs the programs, each over an engine of its own, linked as with Corosync up to 3.1.7 and
/// as with newer ones.
pub(crate) fn run() -> anyhow::Result<()> {
    let places = link()?;
    run_command(&mut cargo(["build", "--quiet", "-p", "synchrotron-daemon"]))?;
    let old = old_abi::libraries(&places.out)?;
    for program in [CALLS, SERVICES, SAM] {
        let file = compile(&places, program.name, program.libraries, &places.out)?;
        compare(&places, &program, &file, &places.out)?;
        let file = compile(&places, program.name, program.libraries, &old)?;
        old_abi::check(&file)?;
        compare(&places, &program, &file, &places.out).context("linked as with Corosync 3.1.7")?;
    }
    fs::remove_dir_all(&old)?;
    let libraries = ["cpg", "quorum", "votequorum"];
    views::run(&places, &compile(&places, "views", &libraries, &places.out)?)
}

/// Where Debian's own libsam is, which is a client of libquorum and libcmap.
///
/// # Errors
/// Why it is not there, for people to read.
pub(crate) fn debian_libsam() -> Result<PathBuf, String> {
    let found = || {
        let places = fs::read_dir("/usr/lib").ok()?;
        places.filter_map(|dir| Some(dir.ok()?.path().join("libsam.so.4"))).find(|p| p.exists())
    };
    found().map_or_else(|| host::install("libsam4"), |_| Ok(()))?;
    found().ok_or_else(|| "the package libsam4 brings no libsam.so.4".to_owned())
}

/// Runs the program for libsam with Debian's, over our other libraries.
pub(crate) fn beside_debian_libsam(libsam: &Path) -> anyhow::Result<()> {
    let places = Places::find()?;
    let program = compile(&places, SAM.name, SAM.libraries, &places.out)?;
    let libraries = places.out.join("beside");
    fs::create_dir_all(&libraries)?;
    std::os::unix::fs::symlink(libsam, libraries.join("libsam.so.4"))?;
    for library in ["libquorum.so.5", "libcmap.so.4"] {
        std::os::unix::fs::symlink(places.out.join(library), libraries.join(library))?;
    }
    let compared = compare(&places, &SAM, &program, &libraries);
    fs::remove_dir_all(&libraries)?;
    compared
}

fn compile(
    places: &Places,
    name: &str,
    libraries: &[&str],
    linked: &Path,
) -> anyhow::Result<PathBuf> {
    let source = places.root.join(format!("shm-ipc/capi/tests/{name}.c"));
    let program = places.out.join(name);
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Wno-nonnull"])
        .arg("-I")
        .arg(places.out.join("include"))
        .arg("-o")
        .arg(&program);
    cc.arg(source).arg("-L").arg(linked);
    cc.args(libraries.iter().map(|library| format!("-l{library}")));
    run_command(cc.arg("-lpthread"))?;
    Ok(program)
}

/// Runs a program with these libraries over an engine of its own: it says what is written down.
fn compare(
    places: &Places,
    program: &Program,
    file: &Path,
    libraries: &Path,
) -> anyhow::Result<()> {
    let dir = places.out.join("trial");
    let mut engines =
        Engine::cluster(&places.target.join("debug/synchrotrond"), &dir, 1, program.provider)?;
    let [engine] = &mut engines[..] else { bail!("one engine was asked for") };
    let mut command = Command::new(file);
    command.args(program.arguments).env("LD_LIBRARY_PATH", libraries);
    let found = said(command.env("SYNCHROTRON_SOCKET", engine.socket()), engine)?;
    fs::remove_dir_all(&dir)?;
    fs::remove_file(file)?;
    let file = format!("{}.txt", program.name);
    let written = fs::read_to_string(places.root.join("shm-ipc/capi/tests").join(&file))?;
    let different: Vec<_> =
        found.lines().zip(written.lines()).filter(|(found, written)| found != written).collect();
    ensure!(different.is_empty(), "found, and written in {file}: {different:#?}");
    ensure!(found == written, "{file} has other lines than these:\n{found}");
    Ok(())
}

/// Runs the program, ends the engine when it asks for that, and returns what it said.
fn said(command: &mut Command, engine: &mut Engine) -> anyhow::Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("its output was piped")?;
    let mut said = String::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        said += &line;
        said += "\n";
        if line == END_THE_ENGINE {
            engine.kill()?;
            child.stdin.take().context("its input was piped")?.write_all(b"\n")?;
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "the program ended with {status} after:\n{said}");
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::super::table::LIBRARIES;

    /// Between them, the programs call every function of every library.
    #[test]
    fn every_function_is_called() {
        let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shm-ipc/capi/tests");
        let read = |name| std::fs::read_to_string(format!("{tests}/{name}.c")).expect(name);
        // cmap_set_uint8 and its like are made by a macro from the type's name.
        let text = ["calls", "services", "sam"].map(read).concat();
        let typed = |symbol: &str| {
            let kind = symbol.strip_prefix("cmap_set_").or(symbol.strip_prefix("cmap_get_"));
            kind.is_some_and(|kind| text.contains(&format!("NUMBER({kind}, ")))
        };
        for (symbol, _) in LIBRARIES.iter().flat_map(|library| library.symbols()) {
            assert!(text.contains(&format!("{symbol}(")) || typed(symbol), "{symbol}");
        }
    }
}

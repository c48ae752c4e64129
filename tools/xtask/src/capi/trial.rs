//! `calls.c` and `sam.c` over a real engine: what every function returns, compared with what is written down.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{Places, link};
use crate::host;
use crate::run::run as run_command;
use crate::steps::cargo;

/// How long the engine may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Line after which the program wants the engine to end.
const END_THE_ENGINE: &str = "now end the engine";

/// Programs of `shm-ipc/capi/tests`, with their arguments and the libraries they link: each says what the file of its
/// name with `.txt` says.
const PROGRAMS: [(&str, &[&str], &[&str]); 2] = [
    ("calls", &["null"], &["cpg", "cfg", "cmap", "quorum", "votequorum", "corosync_common"]),
    ("sam", &[], &["sam", "cmap"]),
];

/// Links the libraries, then runs the programs, each over an engine of its own.
pub(crate) fn run() -> anyhow::Result<()> {
    let places = link()?;
    run_command(&mut cargo(["build", "--quiet", "-p", "synchrotron-daemon"]))?;
    PROGRAMS.iter().try_for_each(|(name, arguments, libraries)| {
        let program = compile(&places, name, libraries)?;
        compare(&places, name, &program, arguments, &places.out)
    })
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
    let program = compile(&places, "sam", &["sam", "cmap"])?;
    let libraries = places.out.join("beside");
    fs::create_dir_all(&libraries)?;
    std::os::unix::fs::symlink(libsam, libraries.join("libsam.so.4"))?;
    for library in ["libquorum.so.5", "libcmap.so.4"] {
        std::os::unix::fs::symlink(places.out.join(library), libraries.join(library))?;
    }
    let compared = compare(&places, "sam", &program, &[], &libraries);
    fs::remove_dir_all(&libraries)?;
    compared
}

fn compile(places: &Places, name: &str, libraries: &[&str]) -> anyhow::Result<PathBuf> {
    let source = places.root.join(format!("shm-ipc/capi/tests/{name}.c"));
    let program = places.out.join(name);
    let mut cc = Command::new("cc");
    cc.arg("-Wall").arg("-I").arg(places.out.join("include")).arg("-o").arg(&program);
    cc.arg(source).arg("-L").arg(&places.out);
    cc.args(libraries.iter().map(|library| format!("-l{library}")));
    run_command(cc.arg("-lpthread"))?;
    Ok(program)
}

/// Runs a program with these libraries over an engine of its own: it says what is written down.
fn compare(
    places: &Places,
    name: &str,
    program: &Path,
    arguments: &[&str],
    libraries: &Path,
) -> anyhow::Result<()> {
    let dir = places.out.join("trial");
    let mut engine = Engine::start(&places.target.join("debug/synchrotrond"), &dir)?;
    let mut command = Command::new(program);
    command.args(arguments).env("LD_LIBRARY_PATH", libraries);
    let found = said(command.env("SYNCHROTRON_SOCKET", dir.join("socket")), &mut engine)?;
    let file = format!("{name}.txt");
    let written = fs::read_to_string(places.root.join("shm-ipc/capi/tests").join(&file))?;
    fs::remove_dir_all(&dir)?;
    fs::remove_file(program)?;
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
            engine.0.kill()?;
            engine.0.wait()?;
            child.stdin.take().context("its input was piped")?.write_all(b"\n")?;
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "the program ended with {status} after:\n{said}");
    Ok(said)
}

/// A running engine, ended with this.
struct Engine(Child);

impl Engine {
    fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir)?;
        let port = UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?.port().clamp(2000, 60_000);
        let config = dir.join("synchrotron.toml");
        let text = format!(
            "[cluster]\nname = \"calls-{port}\"\n[node]\nid = 1\n[ipc]\nsocket = \"socket\"\n\
             [transport]\nmulticast = \"239.255.79.9:{port}\"\n[log]\nfile = \"log\"\n\
             [[nodes]]\nid = 1\naddress = \"127.0.0.1:{}\"\n[limits]\n\
             message_bytes_max = \"16MiB\"\n[engine]\nstate_dir = \"state\"\n",
            port + 1
        );
        fs::write(&config, text)?;
        let child = Command::new(program).arg("--config").arg(&config).spawn()?;
        let mut engine = Self(child);
        let start = Instant::now();
        while !dir.join("socket").exists() {
            ensure!(engine.0.try_wait()?.is_none(), "the engine ended at once");
            ensure!(start.elapsed() < PATIENCE, "the engine does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(engine)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

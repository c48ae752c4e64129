//! `cargo xtask link-capi`: Corosync's libraries in `target/capi`, with headers and pkg-config files, checked.

mod engines;
pub(crate) mod load;
pub(crate) mod members;
mod old_abi;
mod table;
mod trial;
mod views;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use cargo_metadata::MetadataCommand;

use crate::host;
use crate::run::{output, run};
use crate::steps::cargo;
pub(crate) use table::{LIBRARIES, Library};
pub(crate) use trial::{beside_debian_libsam, debian_libsam, run as trial};

/// Programs this needs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 3] = [("cc", "gcc"), ("nm", "binutils"), ("readelf", "binutils")];

/// Where things are.
pub(crate) struct Places {
    /// The sources.
    pub(crate) root: PathBuf,
    /// What cargo makes.
    pub(crate) target: PathBuf,
    /// What this makes: `lib*.so*`, `include`, `pkgconfig`.
    pub(crate) out: PathBuf,
}

impl Places {
    fn find() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
        let target = metadata.target_directory.into_std_path_buf();
        let out = target.join("capi");
        Ok(Self { root: metadata.workspace_root.into_std_path_buf(), target, out })
    }
}

/// Builds, links and checks all libraries.
pub(crate) fn link() -> anyhow::Result<Places> {
    for (program, package) in PROGRAMS {
        host::ensure_program(program, package).map_err(anyhow::Error::msg)?;
    }
    let places = Places::find()?;
    run(&mut cargo(["build", "--quiet", "--profile", "clib", "-p", "synchrotron-capi"]))?;
    let _ = fs::remove_dir_all(&places.out);
    fs::create_dir_all(places.out.join("pkgconfig"))?;
    let archive = places.target.join("clib/libcapi.a");
    for library in LIBRARIES {
        link_one(library, &archive, &places.out)?;
        check_symbols(library, &places.out)?;
        let text = pkg_config(library);
        fs::write(places.out.join(format!("pkgconfig/lib{}.pc", library.name)), text)?;
    }
    fs::write(places.out.join("pkgconfig/corosync.pc"), pkg_config_of_all())?;
    let headers = places.out.join("include/corosync");
    fs::create_dir_all(&headers)?;
    for header in fs::read_dir(places.root.join("shm-ipc/capi/include/corosync"))? {
        let header = header?;
        fs::copy(header.path(), headers.join(header.file_name()))?;
    }
    check_layouts(&places)?;
    Ok(places)
}

/// One shared object: everything that its functions need and nothing else, and nothing else exported.
fn link_one(library: &Library, archive: &Path, out: &Path) -> anyhow::Result<()> {
    let script = out.join(format!("lib{}.map", library.name));
    fs::write(&script, library.version_script())?;
    let file = out.join(library.file());
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-static-libgcc", "-s", "-o"]).arg(&file);
    cc.arg(format!("-Wl,-soname,{}", library.soname()));
    cc.arg(format!("-Wl,--version-script,{}", script.display()));
    cc.args([
        "-Wl,--gc-sections",
        "-Wl,-O1",
        "-Wl,-z,relro,-z,now,-z,defs",
        "-Wl,--hash-style=gnu",
    ]);
    for (symbol, _) in library.symbols() {
        cc.arg(format!("-Wl,-u,{symbol}"));
    }
    run(cc.arg(archive).args(["-lpthread", "-ldl", "-lm", "-lc"]))?;
    fs::remove_file(&script)?;
    for link in [library.soname(), format!("lib{}.so", library.name)] {
        std::os::unix::fs::symlink(library.file(), out.join(link))?;
    }
    Ok(())
}

/// What it exports is what the table says, each with its version, and it needs the C library only.
fn check_symbols(library: &Library, out: &Path) -> anyhow::Result<()> {
    let file = out.join(library.file());
    let nm = output(Command::new("nm").args(["-D", "--defined-only"]).arg(&file))?;
    let mut found: Vec<String> = nm
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        // Version nodes show as absolute symbols of their own name.
        .filter(|name| {
            !library
                .nodes
                .iter()
                .any(|(node, _)| name.starts_with(&format!("{node}@")) || name == node)
        })
        .map(str::to_owned)
        .collect();
    let mut expected: Vec<String> = library
        .symbols()
        .map(|(s, node)| if node.is_empty() { s.to_owned() } else { format!("{s}@@{node}") })
        .collect();
    found.sort();
    expected.sort();
    let file = file.display();
    ensure!(found == expected, "{file} exports {found:?}, it should export {expected:?}");
    let dynamic = output(Command::new("readelf").args(["-d"]).arg(out.join(library.file())))?;
    let soname = format!("[{}]", library.soname());
    ensure!(dynamic.contains(&soname), "{file}: its soname is not {soname}");
    for needed in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
        let known = ["libc.so", "libm.so", "ld-linux"].iter().any(|name| needed.contains(name));
        ensure!(known, "{file} needs more than the C library: {needed}");
    }
    Ok(())
}

/// Sizes and offsets of every structure: as written down, and as Corosync's own headers have them where those are
/// installed.
fn check_layouts(places: &Places) -> anyhow::Result<()> {
    let source = places.root.join("shm-ipc/capi/tests/layouts.c");
    let probe = |include: Option<&Path>| {
        let program = places.out.join("layouts");
        let mut cc = Command::new("cc");
        if let Some(include) = include {
            cc.arg("-I").arg(include);
        }
        run(cc.arg("-Wall").arg("-Werror").arg("-o").arg(&program).arg(&source))?;
        let found = output(&mut Command::new(&program))?;
        fs::remove_file(&program)?;
        anyhow::Ok(found)
    };
    let ours = probe(Some(&places.out.join("include")))?;
    let written = fs::read_to_string(source.with_extension("txt"))?;
    ensure!(ours == written, "structures are laid out otherwise than layouts.txt says:\n{ours}");
    if Path::new("/usr/include/corosync/cpg.h").exists() {
        let theirs = probe(None)?;
        ensure!(ours == theirs, "ours:\n{ours}\nCorosync's:\n{theirs}");
    }
    Ok(())
}

fn pkg_config(library: &Library) -> String {
    let Library { name, about, .. } = library;
    format!(
        "prefix=/usr\nincludedir=${{prefix}}/include\nlibdir=${{prefix}}/lib\n\n\
         Name: lib{name}\nDescription: Synchrotron's library for {about}, as Corosync's\n\
         Version: {LIKE_VERSION}\nLibs: -L${{libdir}} -l{name}\nCflags: -I${{includedir}}\n"
    )
}

/// The version of Corosync that this is like: programs look whether it is new enough for them.
const LIKE_VERSION: &str = "3.1.7";

/// Where Corosync has its files; programs ask `corosync.pc`.
fn pkg_config_of_all() -> String {
    format!(
        "prefix=/usr\nincludedir=${{prefix}}/include\nlogdir=/var/log/corosync\n\
         corosysconfdir=/etc/corosync\n\n\
         Name: corosync\nDescription: Synchrotron in the place of Corosync\n\
         Version: {LIKE_VERSION}\nCflags: -I${{includedir}}\n"
    )
}

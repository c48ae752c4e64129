//! Programs linked with Corosync up to 3.1.7 ask for most symbols without a version, newer ones for all with one. Both
//! kinds must run over our libraries; this links the older kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use super::table::{LIBRARIES, Library};
use crate::run::{output, run};

/// The symbols that had a version in 3.1.7.
const VERSIONED: [(&str, &[&str]); 6] = [
    (
        "cpg",
        &[
            "cpg_context_get",
            "cpg_context_set",
            "cpg_dispatch",
            "cpg_fd_get",
            "cpg_finalize",
            "cpg_initialize",
            "cpg_join",
            "cpg_leave",
            "cpg_mcast_joined",
            "cpg_membership_get",
            "cpg_zcb_alloc",
            "cpg_zcb_free",
        ],
    ),
    ("quorum", &["quorum_dispatch", "quorum_finalize", "quorum_getquorate", "quorum_initialize"]),
    (
        "votequorum",
        &[
            "votequorum_context_get",
            "votequorum_context_set",
            "votequorum_finalize",
            "votequorum_getinfo",
            "votequorum_initialize",
            "votequorum_qdevice_poll",
            "votequorum_qdevice_register",
            "votequorum_qdevice_unregister",
            "votequorum_setexpected",
            "votequorum_setvotes",
            "votequorum_trackstart",
            "votequorum_trackstop",
        ],
    ),
    (
        "cfg",
        &[
            "corosync_cfg_dispatch",
            "corosync_cfg_fd_get",
            "corosync_cfg_finalize",
            "corosync_cfg_initialize",
            "corosync_cfg_node_status_get",
            "corosync_cfg_ring_status_get",
            "corosync_cfg_trackstart",
            "corosync_cfg_trackstop",
        ],
    ),
    ("cmap", &["cmap_initialize"]),
    (
        "sam",
        &[
            "sam_finalize",
            "sam_hc_callback_register",
            "sam_hc_send",
            "sam_register",
            "sam_start",
            "sam_stop",
        ],
    ),
];

/// Libraries below `out` that are good for linking only: the symbols of 3.1.7, with its versions.
pub(crate) fn libraries(out: &Path) -> anyhow::Result<PathBuf> {
    let dir = out.join("old-abi");
    fs::create_dir_all(&dir)?;
    for library in LIBRARIES {
        let source = dir.join("stub.c");
        let functions = library.symbols().map(|(symbol, _)| format!("void {symbol}(void) {{}}\n"));
        fs::write(&source, functions.collect::<String>())?;
        let script = dir.join("stub.map");
        fs::write(&script, script_of(library))?;
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-fno-builtin", "-nostdlib", "-o"]);
        cc.arg(dir.join(format!("lib{}.so", library.name))).arg(&source);
        cc.arg(format!("-Wl,-soname,{}", library.soname()));
        if !fs::read_to_string(&script)?.is_empty() {
            cc.arg(format!("-Wl,--version-script,{}", script.display()));
        }
        run(&mut cc)?;
    }
    Ok(dir)
}

/// Whatever is not named is exported without a version.
fn script_of(library: &Library) -> String {
    let versioned = VERSIONED.iter().find(|(name, _)| *name == library.name);
    versioned.map_or(String::new(), |(_, symbols)| {
        let (node, _) = library.nodes[0];
        format!("{node} {{ global: {}; }};\n", symbols.join("; "))
    })
}

/// Makes sure that a program asks as older ones do: for some symbols with their version, for others without.
pub(crate) fn check(program: &Path) -> anyhow::Result<()> {
    let nm = output(Command::new("nm").args(["-D", "--undefined-only"]).arg(program))?;
    let ours = |name: &str| LIBRARIES.iter().any(|l| l.symbols().any(|(s, _)| s == name));
    let asked: Vec<&str> = nm.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let plain = asked.iter().filter(|name| ours(name)).count();
    let versioned = asked.iter().filter(|name| name.contains("@COROSYNC_")).count();
    ensure!(plain > 0 && versioned > 0, "{}: {plain} and {versioned}", program.display());
    Ok(())
}

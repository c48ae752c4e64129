//! What the lab is made of: a kernel with its modules, and programs of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::initramfs::Initramfs;
use crate::host;

/// The first process of the lab.
const INIT: &str = include_str!("init.sh");

/// Modules, with what `modprobe` says they depend on. `crc32_generic` by name: nothing loads modules on
/// demand in the lab, and without it rxe cannot be made.
const MODULES: [&str; 16] = [
    "crc32_generic",
    "crc32c_generic",
    "ib_uverbs",
    "rdma_ucm",
    "ib_umad",
    "rdma_rxe",
    "veth",
    "bridge",
    "ipv6",
    "sch_netem",
    "sch_prio",
    "sch_tbf",
    "cls_u32",
    "nf_tables",
    "nft_chain_filter",
    "tls",
];

/// Programs, and the packages that have them.
const PROGRAMS: [(&str, &str); 14] = [
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("rdma", "iproute2"),
    ("nft", "nftables"),
    ("kmod", "kmod"),
    ("ibv_devinfo", "ibverbs-utils"),
    ("ibv_rc_pingpong", "ibverbs-utils"),
    ("ibv_ud_pingpong", "ibverbs-utils"),
    ("rping", "rdmacm-utils"),
    ("mckey", "rdmacm-utils"),
    ("ib_send_lat", "perftest"),
    ("ib_send_bw", "perftest"),
    ("ib_write_lat", "perftest"),
    ("taskset", "util-linux"),
];

/// Where Debian puts programs.
const PROGRAM_DIRS: [&str; 5] = ["/usr/bin", "/usr/sbin", "/sbin", "/bin", "/usr/local/bin"];

/// The soft-RoCE driver's user half.
const PROVIDER: &str = "libibverbs/librxe-rdmav34.so";

/// Everything found.
pub(crate) struct Parts {
    pub(crate) kernel: PathBuf,
    /// Directory above `lib/modules`.
    root: PathBuf,
    release: String,
    busybox: PathBuf,
}

impl Parts {
    /// Looks for everything, installing packages where we are root on Debian. A kernel is only read: it is
    /// taken from `/boot`, else its package is downloaded and unpacked in `cache`.
    ///
    /// # Errors
    /// What is missing and which package has it.
    pub(crate) fn find(cache: &Path) -> anyhow::Result<Self> {
        ensure!(cfg!(target_arch = "x86_64"), "the RDMA lab knows x86_64 machines only");
        let need = |program: &str, package: &str| {
            host::ensure_program(program, package)
                .map_err(|reason| anyhow::anyhow!("rdma-lab: {reason}"))
        };
        need("qemu-system-x86_64", "qemu-system-x86")?;
        need("busybox", "busybox-static")?;
        for (program, package) in PROGRAMS {
            need(program, package)?;
        }
        if library(PROVIDER).is_none() {
            host::install("ibverbs-providers")
                .map_err(|reason| anyhow::anyhow!("rdma-lab: {reason}"))?;
        }
        let (root, release) = kernel(cache)?;
        let kernel = root.join(format!("boot/vmlinuz-{release}"));
        Ok(Self { kernel, root, release, busybox: program("busybox")? })
    }

    /// Puts everything but the programs under test into the image.
    pub(crate) fn pack(&self, image: &mut Initramfs) -> anyhow::Result<()> {
        for directory in
            ["proc", "sys", "dev", "run", "tmp", "root", "results", "var", "lab", "etc"]
        {
            image.directory(directory);
        }
        image.file("init", 0o755, INIT.as_bytes().to_vec());
        image.program(&self.busybox, "bin/busybox")?;
        image.link("bin/sh", "busybox");
        for (name, _) in PROGRAMS {
            image.program(&program(name)?, &format!("usr/bin/{name}"))?;
        }
        image.link("usr/bin/insmod", "kmod");
        let provider = library(PROVIDER).context("the soft-RoCE provider was looked for")?;
        image.program(&provider, provider.to_str().context("UTF-8")?.trim_start_matches('/'))?;
        for name in ["libibverbs.so.1", "librdmacm.so.1", "libgcc_s.so.1"] {
            let path = library(name).with_context(|| format!("{name} is not installed"))?;
            image.program(&path, path.to_str().context("UTF-8")?.trim_start_matches('/'))?;
        }
        image.file("etc/libibverbs.d/rxe.driver", 0o644, b"driver rxe\n".to_vec());
        image.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n".to_vec());
        image.file("etc/group", 0o644, b"root:x:0:\n".to_vec());
        // Programs look for the loader's libraries here, wherever `/lib` leads on this machine.
        self.modules(image)
    }

    fn modules(&self, image: &mut Initramfs) -> anyhow::Result<()> {
        let mut order: Vec<String> = Vec::new();
        for module in MODULES {
            for path in self.dependencies(module)? {
                let name = path.file_name().and_then(|n| n.to_str()).context("UTF-8")?.to_owned();
                if !order.contains(&name) {
                    image.file(&format!("modules/{name}"), 0o644, std::fs::read(&path)?);
                    order.push(name);
                }
            }
        }
        image.file("modules/order", 0o644, (order.join("\n") + "\n").into_bytes());
        Ok(())
    }

    /// Files of a module and of what it depends on, in the order of loading; none if it is built in or
    /// this kernel does not know it.
    fn dependencies(&self, module: &str) -> anyhow::Result<Vec<PathBuf>> {
        let output = Command::new("modprobe")
            .arg("-d")
            .arg(&self.root)
            .args(["-S", &self.release, "--show-depends", module])
            .output()
            .context("cannot start `modprobe` (package kmod)")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let file = |line: &str| line.strip_prefix("insmod ").map(|path| PathBuf::from(path.trim()));
        let files: Vec<_> = text.lines().filter_map(file).collect();
        ensure!(
            !files.is_empty() || module != "rdma_rxe",
            "kernel {} has no soft RoCE (module rdma_rxe)",
            self.release
        );
        Ok(files)
    }
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let found =
        PROGRAM_DIRS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file());
    found.with_context(|| format!("`{name}` is not in {}", PROGRAM_DIRS.join(", ")))
}

fn library(name: &str) -> Option<PathBuf> {
    let dirs = ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];
    dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

/// A kernel image with its modules: directory above `boot` and `lib`, and release.
fn kernel(cache: &Path) -> anyhow::Result<(PathBuf, String)> {
    let unpacked = cache.join("kernel");
    for root in [Path::new("/"), &unpacked] {
        if let Some(release) = newest(root) {
            return Ok((root.to_owned(), release));
        }
    }
    ensure!(
        host::has_program("apt-get") && host::has_program("dpkg-deb"),
        "rdma-lab: no kernel image in /boot with modules in /lib/modules; install a distribution's kernel package"
    );
    download(&unpacked)
        .context("rdma-lab: no kernel in /boot, and `linux-image-amd64` cannot be downloaded")?;
    let release =
        newest(&unpacked).context("rdma-lab: the kernel package has no image with soft RoCE")?;
    Ok((unpacked, release))
}

/// The highest release that has an image, modules and soft RoCE among them.
fn newest(root: &Path) -> Option<String> {
    let mut releases: Vec<String> = std::fs::read_dir(root.join("boot"))
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_prefix("vmlinuz-").map(ToOwned::to_owned))
        .filter(|release| {
            root.join(format!("lib/modules/{release}/kernel/drivers/infiniband/sw/rxe")).is_dir()
        })
        .collect();
    releases.sort();
    releases.pop()
}

/// Downloads and unpacks the kernel package that `linux-image-amd64` stands for.
fn download(to: &Path) -> anyhow::Result<()> {
    if host::is_root() {
        let _ = Command::new("apt-get").args(["update", "-qq"]).output();
    }
    let shown = Command::new("apt-cache").args(["depends", "linux-image-amd64"]).output()?;
    let text = String::from_utf8_lossy(&shown.stdout);
    let package = text.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let package = format!("linux-image-{}", package.context("apt knows no such package")?);
    std::fs::create_dir_all(to)?;
    let done =
        Command::new("apt-get").current_dir(to).args(["download", "-qq", &package]).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr).trim());
    let file = std::fs::read_dir(to)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "deb"));
    let file = file.context("apt-get downloaded nothing")?;
    let done = Command::new("dpkg-deb").arg("-x").arg(&file).arg(to).output()?;
    std::fs::remove_file(&file)?;
    if !done.status.success() {
        bail!("{}", String::from_utf8_lossy(&done.stderr).trim());
    }
    if let Some(release) = newest(to) {
        // The package brings no index of its modules; the installer makes it.
        let done = Command::new("depmod").arg("-b").arg(to).arg(release).status()?;
        ensure!(done.success(), "depmod failed");
    }
    Ok(())
}

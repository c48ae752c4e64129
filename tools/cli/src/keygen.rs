//! `synchrotron keygen`: a cluster key in a file that only its owner can read.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

/// Bytes of a cluster key (AES-256).
const KEY_BYTES: usize = 32;

/// Options of `keygen`.
#[derive(Args)]
pub(crate) struct Keygen {
    /// File to write; it must not exist yet.
    #[arg(default_value = "synchrotron.key")]
    file: PathBuf,
}

/// Writes 64 hexadecimal digits and a newline, mode 0600.
pub(crate) fn run(options: &Keygen, json: bool) -> anyhow::Result<()> {
    let mut key = [0_u8; KEY_BYTES];
    getrandom::fill(&mut key)
        .map_err(|error| anyhow::anyhow!("the kernel gives no random bytes: {error}"))?;
    let file = &options.file;
    let mut out =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).with_context(
            || format!("cannot create {} (an existing key is never overwritten)", file.display()),
        )?;
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(out, "{digits}")?;
    out.sync_all()?;
    if json {
        println!("{}", serde_json::json!({ "file": file, "bytes": KEY_BYTES }));
    } else {
        println!(
            "wrote {}: copy it to every node (mode 0600) and name it as security.key_file",
            file.display()
        );
    }
    Ok(())
}

//! `corosync-keygen`: random bytes for `totem.keyfile`.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use crate::about::{About, flag, valued};
use crate::seat::{Seat, Stop, Try};
use crate::{SUCCESS, options};

/// Where the key goes by default.
const KEY_FILE: &str = "/etc/corosync/authkey";

/// Bytes of a key by default.
const BYTES: usize = 256;

/// Bytes of a key at least and at most.
const BYTES_RANGE: std::ops::RangeInclusive<usize> = 128..=4096;

/// What this tool accepts.
pub(crate) const ABOUT: About = About {
    name: "corosync-keygen",
    about: "Makes a cluster key.",
    words: "",
    options: &[
        valued('k', "filename", "file to write, /etc/corosync/authkey by default").long("key-file"),
        valued('r', "filename", "where random bytes come from; by default the kernel")
            .long("random-file"),
        valued('s', "bytes", "size of the key, 128 to 4096, 256 by default").long("size"),
        flag('l', "taken and ignored").long("less-secure"),
        flag('h', "this text").long("help"),
    ],
    notes: "",
};

pub(crate) fn run(args: &[OsString], seat: &mut dyn Seat) -> Try<u8> {
    let tool = "corosync-keygen";
    let options = options::read(&ABOUT, args)?;
    let (mut file, mut source, mut bytes) = (KEY_FILE.to_owned(), "/dev/urandom".to_owned(), BYTES);
    for (letter, value) in options.letters {
        match letter {
            'k' => file = value,
            'r' => source = value,
            's' => {
                let size = value.parse().ok().filter(|size| BYTES_RANGE.contains(size));
                bytes = size.ok_or_else(|| {
                    Stop(format!("{tool}: Unsupported key size (supported <128,4096>)"))
                })?;
            }
            'h' => {
                seat.print(&ABOUT.help());
                return Ok(SUCCESS);
            }
            _ => {}
        }
    }
    seat.print("Corosync Cluster Engine Authentication key generator.\n");
    seat.print(&format!("Gathering {} bits for key from {source}.\n", bytes * 8));
    let key = random(&source, bytes).map_err(|error| Stop(format!("{source}: {error}")))?;
    seat.print(&format!("Writing corosync key to {file}.\n"));
    write(&file, &key).map_err(|error| Stop(format!("{file}: {error}")))?;
    Ok(SUCCESS)
}

fn random(source: &str, bytes: usize) -> std::io::Result<Vec<u8>> {
    let mut key = vec![0; bytes];
    if source == "/dev/urandom" {
        getrandom::fill(&mut key).map_err(|error| std::io::Error::other(error.to_string()))?;
    } else {
        File::open(source)?.read_exact(&mut key)?;
    }
    Ok(key)
}

/// Replaces the file at once or not at all, readable by its owner only from the first byte on.
fn write(file: &str, key: &[u8]) -> std::io::Result<()> {
    let new = format!("{file}.new");
    _ = std::fs::remove_file(&new);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&new)?;
    out.set_permissions(Permissions::from_mode(0o400))?;
    out.write_all(key)?;
    out.sync_all()?;
    std::fs::rename(&new, file)
}

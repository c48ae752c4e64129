//! One engine per state directory.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::exit::{Exit, Failure};

/// Holds a state directory. The kernel gives it up with the process, however that ends.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

/// Makes the state directory where it is missing (mode 0755: counters and recorder are for tools of
/// other users, too) and takes it.
///
/// # Errors
/// [`Exit::Busy`] with the other engine's process id when it is taken, [`Exit::Files`] when it cannot
/// be made or written to.
pub(crate) fn take(dir: &Path) -> Result<DirLock, Failure> {
    let files = |what: &str, path: &Path, error: std::io::Error| {
        let hint = "engine.state_dir must be a directory that the engine's user may write to";
        Failure::new(Exit::Files, format!("{what} {}: {error}; {hint}", path.display()))
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .map_err(|error| files("cannot make the state directory", dir, error))?;
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .open(&path)
        .map_err(|error| files("cannot open", &path, error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(busy(dir, &mut file)),
        Err(error) => return Err(files("cannot lock", &path, error.into())),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    // The lock is what counts; the number in it is for people. A full disk is no reason not to start.
    let _ = write(&mut file);
    Ok(DirLock { _file: file })
}

fn busy(dir: &Path, file: &mut File) -> Failure {
    let mut pid = String::new();
    // Read for the message only.
    let _ = file.take(32).read_to_string(&mut pid);
    let owner = match pid.trim().parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => "another process".to_owned(),
    };
    let dir = dir.display();
    let message = format!(
        "{owner} runs with the state directory {dir}; give each engine its own engine.state_dir"
    );
    Failure::new(Exit::Busy, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_engine_is_refused_by_name_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        let first = take(&state).unwrap();
        let failure = take(&state).unwrap_err();
        assert_eq!(failure.exit, Exit::Busy);
        let pid = format!("process {} runs with", std::process::id());
        assert!(failure.message.starts_with(&pid), "{failure}");
        drop(first);
        take(&state).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        std::fs::write(&state, "x").unwrap();
        let failure = take(&state).unwrap_err();
        assert_eq!(failure.exit, Exit::Files);
        assert!(failure.message.contains("engine.state_dir"), "{failure}");
    }
}

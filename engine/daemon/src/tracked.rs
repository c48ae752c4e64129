//! The most votes that were ever expected, kept where `quorum.expected_votes_tracking` asks for it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the file in the state directory.
const FILE: &str = "expected-votes";

/// Where the number is kept, as text.
#[derive(Debug)]
pub(crate) struct VotesFile {
    dir: PathBuf,
    /// What is not stored yet.
    wanted: Option<u32>,
}

impl VotesFile {
    /// In a directory that exists.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), wanted: None }
    }

    /// The number; zero where none was ever stored.
    ///
    /// # Errors
    /// When the file is there but cannot be read or is damaged: fewer votes than were expected once would
    /// let two parts of the cluster act.
    pub(crate) fn load(&self) -> io::Result<u32> {
        match fs::read_to_string(self.dir.join(FILE)) {
            Ok(text) => text.trim().parse().map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "it does not hold a whole number")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Asks for a number to be stored; a higher one replaces one that waits.
    pub(crate) fn ask(&mut self, votes: u32) {
        self.wanted = self.wanted.max(Some(votes));
    }

    /// Whether something is to be stored.
    pub(crate) fn is_asked(&self) -> bool {
        self.wanted.is_some()
    }

    /// Stores what was asked for, durably; it stays asked for when that fails.
    ///
    /// # Errors
    /// When the disk is full or broken.
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        let Some(votes) = self.wanted else { return Ok(()) };
        let draft = self.dir.join("expected-votes.new");
        let mut file = File::create(&draft)?;
        writeln!(file, "{votes}")?;
        file.sync_all()?;
        fs::rename(draft, self.dir.join(FILE))?;
        File::open(&self.dir)?.sync_all()?;
        self.wanted = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_survives_and_a_damaged_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut votes = VotesFile::new(dir.path());
        assert_eq!(votes.load().unwrap(), 0);
        votes.ask(7);
        votes.ask(5);
        votes.turn().unwrap();
        assert_eq!(votes.load().unwrap(), 7);
        fs::write(dir.path().join(FILE), "x").unwrap();
        assert_eq!(votes.load().unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut lost = VotesFile::new(&dir.path().join("not-there"));
        lost.ask(1);
        assert!(lost.turn().is_err() && lost.wanted == Some(1));
    }
}

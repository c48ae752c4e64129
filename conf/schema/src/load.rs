//! Reading a configuration in any of its shapes, and writing it in another.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::check;
use crate::config::Config;
use crate::corosync::flat::Flat;
use crate::corosync::{self, ConfKey, Shape};
use crate::host::Host;
use crate::problem::{Problem, Problems, Report};
use crate::reader::{self, Document};

/// Where a configuration is, and in which language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `synchrotron.toml`
    Toml(PathBuf),
    /// `corosync.conf`
    Corosync(PathBuf),
    /// `corosync.xml`
    CorosyncXml(PathBuf),
}

/// Something a person should know about a configuration that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; 0 when it is not about a line.
    pub line: usize,
    /// The key.
    pub key: String,
    /// What happens instead.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}: {}", self.file.display(), self.key, self.text),
            line => write!(f, "{}:{line}: {}: {}", self.file.display(), self.key, self.text),
        }
    }
}

/// A configuration that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The model.
    pub config: Config,
    /// What programs read in the configuration map: Corosync's names and types, whatever language the file
    /// is in.
    pub keys: Vec<ConfKey>,
    /// What is not carried over.
    pub warnings: Vec<Warning>,
}

/// A text in another language, and what got lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The text.
    pub text: String,
    /// What is not carried over.
    pub warnings: Vec<Warning>,
}

impl Source {
    /// The file.
    pub fn file(&self) -> &Path {
        match self {
            Self::Toml(file) | Self::Corosync(file) | Self::CorosyncXml(file) => file,
        }
    }

    /// Reads and checks it. The cluster key is not read: see [`crate::key_file::read`].
    ///
    /// # Errors
    /// Everything that is wrong, or why it cannot be read.
    pub fn load(&self, host: &dyn Host) -> Result<Loaded, Problems> {
        let text = read(self.file())?;
        self.parse(&text, host)
    }

    /// Checks a text as if it were the file's.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(&self, text: &str, host: &dyn Host) -> Result<Loaded, Problems> {
        let (config, _, flat, warnings) = self.checked(text, host, Some(host))?;
        let keys = with_local_position(&flat, &config);
        Ok(Loaded { config, keys, warnings })
    }

    /// A text that passes all checks, in every shape. Which node this machine is matters with `me` only.
    fn checked(
        &self,
        text: &str,
        host: &dyn Host,
        me: Option<&dyn Host>,
    ) -> Result<(Config, Document, Flat, Vec<Warning>), Problems> {
        let mut report = Report::new(text);
        let mut warnings = Vec::new();
        let found = self.document(text, host, &mut report, &mut warnings)?;
        let config = found
            .as_ref()
            .and_then(|(document, _)| check::config(document, self.file(), me, &mut report));
        report.finish(self.file())?;
        let (document, flat) = found.expect("a text without problems makes a document");
        let config = config.expect("a configuration without problems is complete");
        warnings.sort_by_key(|warning| warning.line);
        Ok((config, document, flat, warnings))
    }

    /// The document and the flat keys of a text; `None` if it has none, which is reported.
    fn document(
        &self,
        text: &str,
        host: &dyn Host,
        report: &mut Report<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<(Document, Flat)>, Problems> {
        let shape = match self {
            Self::Toml(_) => {
                let Some(document) = reader::document(text, report) else { return Ok(None) };
                // What cannot be said in corosync.conf is not in programs' map either.
                let flat = corosync::write::flat(&document);
                return Ok(Some((document, flat)));
            }
            Self::Corosync(_) => Shape::Conf,
            Self::CorosyncXml(_) => Shape::Xml,
        };
        let file = self.file();
        let mut flat = corosync::read(text, shape, file, host, report, warnings);
        if flat.entries.is_empty() && !report.list.is_empty() {
            // Nothing could be read: what is missing then is not worth a word.
            return Ok(None);
        }
        uid_files(file, host, &mut flat)?;
        let document = corosync::map::document(&flat, file, host, report, warnings);
        Ok(Some((document, flat)))
    }

    /// The same configuration as TOML.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn to_toml(&self, host: &dyn Host) -> Result<Converted, Problems> {
        let text = read(self.file())?;
        let (_, document, _, warnings) = self.checked(&text, host, None)?;
        Ok(Converted { text: crate::write::toml(&document), warnings })
    }

    /// The same configuration as `corosync.conf`.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn to_corosync(&self, host: &dyn Host) -> Result<Converted, Problems> {
        let text = read(self.file())?;
        let (_, _, flat, warnings) = self.checked(&text, host, None)?;
        Ok(Converted { text: corosync::write::text(&flat), warnings })
    }
}

/// Adds the key that says which entry of the node list this machine is.
fn with_local_position(flat: &Flat, config: &Config) -> Vec<ConfKey> {
    let mut keys = flat.keys();
    let id = u64::from(config.me);
    let position = (0..flat.nodes)
        .find(|n| flat.number(&format!("nodelist.node.{n}.nodeid")) == Some(id))
        .and_then(|position| u32::try_from(position).ok());
    if let Some(position) = position {
        let name = "nodelist.local_node_pos".to_owned();
        keys.push(ConfKey { name, value: corosync::ConfValue::U32(position) });
        keys.sort_by(|a, b| a.name.cmp(&b.name));
    }
    keys
}

/// Merges the files of `uidgid.d` beside the configuration, in the order of their names.
fn uid_files(file: &Path, host: &dyn Host, flat: &mut Flat) -> Result<(), Problems> {
    let dir = file.parent().unwrap_or(Path::new("")).join("uidgid.d");
    let Ok(listed) = std::fs::read_dir(&dir) else { return Ok(()) };
    let mut files: Vec<PathBuf> = listed
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    for file in files {
        let text = read(&file)?;
        let mut report = Report::new(&text);
        let mut warnings = Vec::new();
        let found = corosync::read(&text, Shape::Conf, &file, host, &mut report, &mut warnings);
        for (name, entry) in &found.entries {
            if !name.starts_with("uidgid.config.") {
                report.at(name, entry.offset, "does not belong here", "uidgid { uid: NAME } only");
            }
        }
        report.finish(&file)?;
        for (name, mut entry) in found.entries {
            // Its place is in another text than the one problems are shown in.
            (entry.offset, entry.span) = (0, 0..0);
            flat.entries.entry(name).or_insert(entry);
        }
    }
    Ok(())
}

/// The text of a file.
pub(crate) fn read(file: &Path) -> Result<String, Problems> {
    let unreadable = |wrong: String| Problems {
        file: file.to_owned(),
        list: vec![Problem {
            offset: 0,
            line: 0,
            column: 0,
            key: String::new(),
            value: String::new(),
            wrong,
            accepted: String::new(),
        }],
    };
    let bytes =
        std::fs::read(file).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| unreadable(format!("is not UTF-8 text: {error}")))
}

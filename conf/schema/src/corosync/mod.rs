//! `corosync.conf` and `corosync.xml`: read into the same model as TOML, and written from it.
//!
//! The way in: text → tree (`syntax`, `xml`) → flat keys with the names and types that Corosync's own
//! configuration map gives them (`flat`) → the document the TOML reader makes, too (`map`), which all
//! checks then work on. The way out is the same backwards (`write`). One table ([`keys`]) names every key
//! of Corosync 3 and says what becomes of it.

pub(crate) mod flat;
pub mod keys;
pub(crate) mod map;
mod nodelist;
pub(crate) mod reference;
mod syntax;
pub(crate) mod write;
mod xml;

pub use flat::{ConfKey, ConfValue};
pub use reference::corosync_reference;

use std::path::Path;

use crate::host::Host;
use crate::load::Warning;
use crate::problem::Report;

/// Where `keyfile` points when a file does not say it.
pub(crate) const KEY_FILE: &str = "/etc/corosync/authkey";

/// The section of `corosync.conf` that carries this engine's own keys, which Corosync ignores.
pub(crate) const OWN_SECTION: &str = "synchrotron";

/// Shape of a text that configures Corosync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Sections and `key: value`.
    Conf,
    /// The same as XML elements and attributes.
    Xml,
}

/// Reads a text into flat keys. Problems go to `report`.
pub(crate) fn read(
    text: &str,
    shape: Shape,
    file: &Path,
    host: &dyn Host,
    report: &mut Report<'_>,
    warnings: &mut Vec<Warning>,
) -> flat::Flat {
    let items = match shape {
        Shape::Conf => syntax::parse(text, report),
        Shape::Xml => xml::parse(text, report),
    };
    flat::flatten(&items, file, host, report, warnings)
}

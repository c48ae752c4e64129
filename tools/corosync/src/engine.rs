//! Questions to an engine, in the words of the tools.

use std::net::IpAddr;

use services::cmap::{self, Map, Value};
use services::{Answer, Failure, Notice, Reply, Request, cfg, quorum, votequorum};

/// What a tool waits for.
#[derive(Debug)]
pub enum Event {
    /// The engine has something to say.
    Notice(Notice),
    /// A line was typed; `None`: there are no more.
    Input(Option<String>),
}

/// An engine.
pub trait Ask {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Why there is none.
    fn ask(&mut self, request: &Request) -> Reply;
    /// The node of this engine.
    fn node(&self) -> u32;
    /// Waits for a notice or, with `input`, for a line typed.
    ///
    /// # Errors
    /// When the connection is over.
    fn next(&mut self, input: bool) -> Result<Event, Failure>;
}

/// An answer that was not asked for: the engine and this tool are of different versions.
const MISPLACED: Failure = Failure::Library;

impl dyn Ask + '_ {
    /// The value of a key.
    pub(crate) fn get(&mut self, map: Map, key: &str) -> Result<Value, Failure> {
        let key = key.to_owned();
        match self.ask(&Request::Cmap(cmap::Request::Get { map, key }))? {
            Answer::Cmap(cmap::Answer::Value(value)) => Ok(value),
            _ => Err(MISPLACED),
        }
    }

    /// The value of a key of the configuration, if it is a text.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        match self.get(Map::Config, key) {
            Ok(Value::Text(bytes)) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            _ => None,
        }
    }

    /// The value of a key of the configuration, if it is a `u32`.
    pub(crate) fn number(&mut self, key: &str) -> Option<u32> {
        match self.get(Map::Config, key) {
            Ok(Value::U32(number)) => Some(number),
            _ => None,
        }
    }

    /// All keys that begin with `prefix`, in byte order.
    pub(crate) fn keys(&mut self, map: Map, prefix: &str) -> Result<Vec<String>, Failure> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().cloned().unwrap_or_default();
            let list = cmap::Request::List { map, prefix: prefix.to_owned(), after };
            match self.ask(&Request::Cmap(list))? {
                Answer::Cmap(cmap::Answer::Keys(keys)) if keys.is_empty() => return Ok(names),
                Answer::Cmap(cmap::Answer::Keys(keys)) => {
                    // An engine that does not get on would keep us for ever.
                    if keys
                        .first()
                        .is_some_and(|key| names.last().is_some_and(|last| key.name <= *last))
                    {
                        return Err(MISPLACED);
                    }
                    names.extend(keys.into_iter().map(|key| key.name));
                }
                _ => return Err(MISPLACED),
            }
        }
    }

    /// Asks for something to be done.
    pub(crate) fn act(&mut self, request: &Request) -> Result<(), Failure> {
        self.ask(request).map(|_| ())
    }

    /// Addresses of a node, by link.
    pub(crate) fn addresses(&mut self, node: u32) -> Result<Vec<IpAddr>, Failure> {
        match self.ask(&Request::Cfg(cfg::Request::NodeAddresses { node }))? {
            Answer::Cfg(cfg::Answer::Addresses(addresses)) => Ok(addresses),
            _ => Err(MISPLACED),
        }
    }

    /// A node as the engine sees it.
    pub(crate) fn node_status(&mut self, node: u32) -> Result<cfg::Node, Failure> {
        match self.ask(&Request::Cfg(cfg::Request::NodeStatus { node }))? {
            Answer::Cfg(cfg::Answer::Node(node)) => Ok(node),
            _ => Err(MISPLACED),
        }
    }

    /// Whether this part is quorate, and whether votes are counted at all.
    pub(crate) fn quorate(&mut self) -> Result<(bool, bool), Failure> {
        match self.ask(&Request::Quorum(quorum::Request::State))? {
            Answer::Quorum(quorum::Answer::State { quorate, counted }) => Ok((quorate, counted)),
            _ => Err(MISPLACED),
        }
    }

    /// A node and its votes.
    pub(crate) fn votes(&mut self, node: u32) -> Result<votequorum::Info, Failure> {
        match self.ask(&Request::Votequorum(votequorum::Request::Info { node }))? {
            Answer::Votequorum(votequorum::Answer::Info(info)) => Ok(info),
            _ => Err(MISPLACED),
        }
    }
}

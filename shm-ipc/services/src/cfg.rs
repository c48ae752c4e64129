//! Administration of this node and, where it says so, of the cluster.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// How to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shutdown {
    /// Ask all who track it; one no is enough to stay.
    Request,
    /// Tell all who track it, whatever they answer.
    Regardless,
    /// Now.
    Immediate,
}

/// A question to administration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Which node is this? [`Answer::Local`].
    LocalGet,
    /// [`Answer::Addresses`], or `NotExist`. Node 0 is this one.
    NodeAddresses {
        /// Of which node.
        node: u32,
    },
    /// [`Answer::Node`], or `FailedOperation` if there is no such node.
    NodeStatus {
        /// Of which node.
        node: u32,
    },
    /// This node's own links: [`Answer::Links`].
    Links,
    /// Make another node, or this one, leave at once: `Done`, `NotExist` if it is no member.
    Kill {
        /// Which.
        node: u32,
        /// Why, for its log.
        reason: Vec<u8>,
    },
    /// Ask me before shutting down: `Done`.
    Track,
    /// Do not ask me any more: `Done`.
    Untrack,
    /// Shut this node down: `Done`, `Busy` if somebody said no, `Exist` if it is under way already.
    TryShutdown(Shutdown),
    /// The answer to [`Notice::Shutdown`]: `Done`, `Access` if nobody asked.
    ReplyShutdown {
        /// Whether we agree.
        yes: bool,
    },
    /// Read the configuration anew, on every node: `Done`, or the failure; the map has the details.
    Reload,
    /// Open log files anew: `Done`.
    ReopenLogs,
}

/// One link of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number.
    pub number: u8,
    /// Whether it is configured.
    pub enabled: bool,
    /// Whether something was heard on it lately.
    pub connected: bool,
    /// Whether its address is found out by listening.
    pub dynamic: bool,
    /// Largest datagram, in bytes.
    pub mtu: u32,
    /// Our address, as text.
    pub source: String,
    /// Its address, as text.
    pub destination: String,
}

/// A node as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: u32,
    /// Whether something was heard of it lately.
    pub reachable: bool,
    /// Whether it is reached through another node.
    pub remote: bool,
    /// Whether it is outside of the cluster.
    pub external: bool,
    /// Lowest version of the wire format it speaks.
    pub wire_min: u8,
    /// Highest version it speaks.
    pub wire_max: u8,
    /// The version spoken with it.
    pub wire: u8,
    /// Its links.
    pub links: Vec<Link>,
}

/// This node's end of one link, as `ring_status_get` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Its name: our address on it.
    pub name: String,
    /// What there is to say about it: one character per node.
    pub status: String,
}

/// What administration answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Which node this is.
    Local {
        /// Its id.
        node: u32,
    },
    /// Addresses of a node, by link.
    Addresses(Vec<IpAddr>),
    /// A node.
    Node(Node),
    /// This node's links.
    Links(Vec<LinkStatus>),
}

/// What those who track are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// This node is about to shut down: reply with [`Request::ReplyShutdown`].
    Shutdown(Shutdown),
}

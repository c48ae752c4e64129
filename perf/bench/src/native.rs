//! A seat at an engine of ours.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, bail};
use client::{Client, Event, Group, Message, Options, PublishError};

use crate::desk::Desk;
use crate::payload;
use crate::seat::lock;

/// Longest message written in place in the submit ring.
const LOAN_BYTES_MAX: usize = 32 << 10;

/// Submit ring asked for where messages are longer than that: room for two of the longest (1 MiB).
const SUBMIT_BYTES_LARGE: u32 = 4 << 20;

/// What a message takes in the submit ring beyond its bytes, at most: headers of its pieces.
const HEADERS_BYTES: usize = 4 << 10;

/// A member of the group, connected to one engine.
pub(crate) struct Native {
    client: Client,
    group: Group,
    me: (u32, u32),
    submit_bytes: usize,
    /// Buffer for messages that are not written in place.
    large: Vec<u8>,
}

impl Native {
    /// Connects and joins; `None` while there is no engine.
    pub(crate) fn connect(
        socket: &Path,
        group: &str,
        message_bytes_max: usize,
        desk: &Mutex<Desk>,
    ) -> anyhow::Result<Option<Self>> {
        let is_large = message_bytes_max > LOAN_BYTES_MAX;
        let submit_bytes = if is_large { SUBMIT_BYTES_LARGE } else { 0 };
        let options = Options { submit_bytes, ..Options::default() };
        let Ok(mut client) = Client::connect(socket, options) else { return Ok(None) };
        client.start_join(group.as_bytes()).context("join")?;
        let me = (client.me().node, client.me().session);
        let group = loop {
            let event = client.recv(None).context("the engine does not answer")?;
            if let Event::View(view) = &event {
                let group = view.is_first.then(|| view.group.clone());
                note(me, &mut lock(desk), event);
                if let Some(group) = group {
                    break group;
                }
            } else if matches!(event, Event::Disconnected | Event::Evicted(_)) {
                return Ok(None);
            }
        };
        let large = vec![0; if is_large { message_bytes_max } else { 0 }];
        Ok(Some(Self { client, group, me, submit_bytes: submit_bytes as usize, large }))
    }

    /// Publishes a message, which [`Native::show`] shows; `false` if there is no room now.
    #[inline]
    pub(crate) fn send(&mut self, bytes: usize, number: u64, due_ns: u64) -> anyhow::Result<bool> {
        let sent = if bytes <= LOAN_BYTES_MAX {
            self.client.loan(&self.group, bytes).map(|mut loan| {
                payload::fill(&mut loan, number, due_ns);
                loan.stage();
            })
        } else if self.client.unsent_bytes() + bytes + HEADERS_BYTES > self.submit_bytes {
            Err(PublishError::Full)
        } else {
            payload::fill(&mut self.large[..bytes], number, due_ns);
            self.client.publish(&self.group, &self.large[..bytes])
        };
        match sent {
            Ok(()) => Ok(true),
            Err(PublishError::Full) => Ok(false),
            Err(error) => Err(error).context("publish"),
        }
    }

    /// Shows the engine what was published.
    pub(crate) fn show(&mut self) {
        self.client.show();
    }

    /// Enters what has arrived, about `most` events; how many there were.
    pub(crate) fn take(&mut self, most: usize, desk: &Mutex<Desk>) -> anyhow::Result<usize> {
        let mut taken = 0;
        let mut desk = lock(desk);
        let me = self.me;
        while taken < most {
            let more = self.client.take_messages(most - taken, |m| enter(me, &mut desk, m));
            taken += more;
            if more > 0 {
                continue;
            }
            let Some(event) = self.client.try_recv() else { break };
            taken += 1;
            if !note(me, &mut desk, event) {
                bail!("the engine ended the session");
            }
        }
        desk.stamp();
        Ok(taken)
    }

    /// Waits for something to arrive.
    pub(crate) fn wait(&mut self, timeout: Duration, desk: &Mutex<Desk>) -> anyhow::Result<()> {
        let Some(event) = self.client.recv(Some(timeout)) else { return Ok(()) };
        let mut desk = lock(desk);
        if !note(self.me, &mut desk, event) {
            bail!("the engine ended the session");
        }
        desk.stamp();
        Ok(())
    }
}

/// Enters a message.
#[inline]
fn enter(me: (u32, u32), desk: &mut Desk, message: &Message<'_>) {
    let sender = (message.sender.node, message.sender.session);
    desk.message(sender.0, sender == me, message.bytes);
}

/// Enters an event; `false`: it was the last one.
fn note(me: (u32, u32), desk: &mut Desk, event: Event<'_>) -> bool {
    match event {
        Event::Message(message) => enter(me, desk, &message),
        Event::View(view) => {
            let mut nodes: Vec<u32> = view.members.iter().map(|member| member.node).collect();
            nodes.dedup();
            desk.view(nodes.len());
        }
        Event::Configuration(_) => {}
        Event::Refused { reason, .. } => desk.account.find(format!("refused: {reason}")),
        Event::NotSent { count, reason, .. } => {
            desk.account.find(format!("{count} messages not sent: {reason}"));
        }
        Event::Dropped { total_bytes, .. } => {
            desk.account.find(format!("a message of {total_bytes} bytes was dropped"));
        }
        Event::Evicted(cause) => {
            desk.account.find(format!("evicted: {}", cause.text()));
            return false;
        }
        Event::Disconnected => return false,
    }
    true
}

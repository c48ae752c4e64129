//! A replicated state machine: a key-value store that every member keeps by applying the same
//! commands in the same order.
//!
//! `cargo run --example replicated_log -p synchrotron-client -- SOCKET GROUP [--drive COUNT]`
//!
//! Commands on standard input: `set KEY VALUE`, `del KEY`, `get KEY`, `hash`; the end of input ends
//! the program. With `--drive` it publishes COUNT commands by itself and ends when it has applied
//! its last one. It prints a hash of its state at each view and at the end; members that stand at
//! the same point print the same. Kill it, start it again: it catches up from an elder. Kill the
//! engine: it waits for it, rejoins and catches up.

mod store;

use std::io::BufRead;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use client::{Client, Event, Group, Options, PublishError};
use store::{Command, Store};

/// How long to wait for events before looking at the input again.
const LOOK: Duration = Duration::from_millis(20);

/// Commands published ahead of what has come back, in `--drive`.
const AHEAD: u64 = 64;

struct Replica {
    client: Client,
    /// None while we are no member (after a reconnection, until the first view).
    group: Option<Group>,
    store: Store,
    /// Own commands that came back.
    own: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: replicated_log SOCKET GROUP [--drive COUNT]";
    let (socket, name, drive) = match &args[..] {
        [socket, name] => (socket, name, None),
        [socket, name, flag, count] if flag == "--drive" => (socket, name, Some(count.parse()?)),
        _ => return Err(usage.into()),
    };
    let mut client = Client::connect(socket, Options::default())?;
    let group = Some(client.join(name.as_bytes())?);
    let store = Store::new(client.me());
    let mut replica = Replica { client, group, store, own: 0 };
    match drive {
        Some(count) => drive_alone(&mut replica, count)?,
        None => follow_input(&mut replica)?,
    }
    replica.report("end");
    Ok(())
}

/// Publishes `count` commands and waits until the last one was applied.
fn drive_alone(replica: &mut Replica, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut sent = 0;
    while replica.own < count || !replica.store.is_current() {
        if sent < count && sent < replica.own + AHEAD && replica.group.is_some() {
            let pid = std::process::id();
            let (key, value) = (format!("{}", sent % 1000), format!("{pid}.{sent}"));
            let command =
                if sent % 7 == 6 { Command::Delete(key) } else { Command::Set(key, value) };
            replica.publish(&command.to_bytes())?;
            sent += 1;
        } else if replica.step()? {
            // The session is a new one: what had not come back may be lost. Send that many again.
            sent = replica.own;
        }
    }
    Ok(())
}

fn follow_input(replica: &mut Replica) -> Result<(), Box<dyn std::error::Error>> {
    let lines = keyboard();
    loop {
        match lines.try_recv() {
            Ok(line) => {
                let words: Vec<&str> = line.split_whitespace().collect();
                match words[..] {
                    ["set", key, value] => {
                        let command = Command::Set(key.to_owned(), value.to_owned());
                        replica.publish(&command.to_bytes())?;
                    }
                    ["del", key] => {
                        replica.publish(&Command::Delete(key.to_owned()).to_bytes())?;
                    }
                    ["get", key] => println!("{}", replica.store.get(key).unwrap_or("(none)")),
                    ["hash"] => replica.report("asked"),
                    [] => {}
                    _ => println!("known: set KEY VALUE, del KEY, get KEY, hash"),
                }
            }
            Err(TryRecvError::Empty) => {
                replica.step()?;
            }
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

impl Replica {
    fn publish(&mut self, bytes: &[u8]) -> Result<(), PublishError> {
        match &self.group {
            Some(group) => self.client.publish(group, bytes),
            None => Ok(()),
        }
    }

    /// Receives one event. True: it was the end of a session and this is a new one.
    fn step(&mut self) -> Result<bool, Box<dyn std::error::Error>> {
        let me = self.client.me();
        let answer = match self.client.recv(Some(LOOK)) {
            Some(Event::Message(message)) => {
                let is_command = message.bytes.first() == Some(&b'C');
                self.own += u64::from(is_command && message.sender == me);
                self.store.message(message.sender, message.order, message.bytes)
            }
            Some(Event::View(view)) => {
                if view.is_first {
                    self.group = Some(view.group.clone());
                }
                let answer = self.store.view(&view);
                self.report("view");
                answer
            }
            Some(Event::Evicted(cause)) => return Err(cause.text().into()),
            Some(Event::Disconnected) => {
                println!("the engine is gone, waiting for it");
                while self.client.reconnect().is_err() {
                    std::thread::sleep(Duration::from_millis(100));
                }
                self.group = None;
                self.store.reconnected(self.client.me());
                return Ok(true);
            }
            _ => None,
        };
        if let Some(bytes) = answer {
            self.publish(&bytes)?;
        }
        Ok(false)
    }

    fn report(&self, when: &str) {
        let state = if self.store.is_current() { "" } else { " (catching up)" };
        println!("{when}: applied {} hash {:016x}{state}", self.store.applied(), self.store.hash());
    }
}

/// Lines typed, read by a thread of its own because reading blocks.
fn keyboard() -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

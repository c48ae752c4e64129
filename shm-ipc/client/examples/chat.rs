//! A chat: join a group, publish lines, show what everybody says, in the same order everywhere.
//!
//! `cargo run --example chat -p synchrotron-client -- SOCKET GROUP`, once per terminal; lines are read from
//! standard input. Ends at the end of input.

use std::io::BufRead;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use client::{Client, Event, Group, Options};

/// How long to wait for events before looking at the keyboard again.
const LOOK: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(socket), Some(name)) = (args.next(), args.next()) else {
        return Err("usage: chat SOCKET GROUP".into());
    };
    let mut client = Client::connect(socket, Options::default())?;
    let mut group = client.join(name.as_bytes())?;
    let lines = keyboard();
    loop {
        match lines.try_recv() {
            Ok(line) => client.publish(&group, line.as_bytes())?,
            Err(TryRecvError::Empty) => {}
            // Dropping the client closes in good order: what was published is still sent.
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
        if let Some(joined) = show(&mut client) {
            group = joined;
        }
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

/// Shows one event; returns the group when it was joined anew.
fn show(client: &mut Client) -> Option<Group> {
    match client.recv(Some(LOOK))? {
        Event::Message(message) => {
            let sender = message.sender;
            let text = String::from_utf8_lossy(message.bytes);
            println!("{}.{}: {text}", sender.node, sender.pid);
        }
        Event::View(view) => {
            for change in view.joined.iter().chain(&view.left) {
                let (member, cause) = (change.member, change.cause);
                println!("* {}.{} ({cause:?})", member.node, member.pid);
            }
            println!("* {} here", view.members.len());
            return view.is_first.then_some(view.group);
        }
        Event::NotSent { count, reason, .. } => println!("* {count} lines not sent: {reason}"),
        Event::Evicted(cause) => {
            println!("* the engine put us out: {}", cause.text());
            std::process::exit(1);
        }
        Event::Disconnected => {
            println!("* the engine is gone, waiting for it");
            while client.reconnect().is_err() {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        _ => {}
    }
    None
}

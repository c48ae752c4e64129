//! One `poll` for everything: the client's descriptor beside any others, and messages written in place.
//!
//! `cargo run --example poll_loop -p synchrotron-client -- SOCKET GROUP`: every line of standard
//! input becomes a message that is composed in the submit ring itself; everything received is
//! printed. The same pattern serves epoll, io_uring and async runtimes: arm, wait for the
//! descriptor by any means, disarm, read until nothing is left.

use client::{Client, Event, Group, Options, PublishError};
use rustix::event::{PollFd, PollFlags, poll};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(socket), Some(name)) = (args.next(), args.next()) else {
        return Err("usage: poll_loop SOCKET GROUP".into());
    };
    let mut client = Client::connect(socket, Options::default())?;
    let group = client.join(name.as_bytes())?;
    let input = std::io::stdin();
    let mut typed = Vec::new();
    loop {
        while let Some(event) = client.try_recv() {
            match event {
                Event::Message(m) => println!("{}", String::from_utf8_lossy(m.bytes)),
                Event::View(view) => println!("* {} members", view.members.len()),
                Event::Evicted(cause) => return Err(cause.text().into()),
                Event::Disconnected => return Err("the engine is gone".into()),
                _ => {}
            }
        }
        // From here on the engine makes the descriptor readable if something comes; if something has come since
        // the last look, `arm` says so.
        if !client.arm() {
            client.disarm();
            continue;
        }
        let keyboard_ready = {
            let ours = client.as_fd();
            let mut fds = [PollFd::new(&input, PollFlags::IN), PollFd::new(&ours, PollFlags::IN)];
            poll(&mut fds, None)?;
            !fds[0].revents().is_empty()
        };
        client.disarm();
        if keyboard_ready {
            let mut bytes = [0; 4096];
            // Straight from the descriptor: a buffered reader could hold lines that `poll` knows nothing of.
            let count = rustix::io::read(&input, &mut bytes)?;
            if count == 0 {
                return Ok(());
            }
            typed.extend_from_slice(&bytes[..count]);
            while let Some(end) = typed.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = typed.drain(..=end).collect();
                compose(&mut client, &group, &line[..end])?;
            }
        }
    }
}

/// Writes a message where it will be read: no copy in between.
fn compose(client: &mut Client, group: &Group, line: &[u8]) -> Result<(), PublishError> {
    loop {
        match client.loan(group, line.len() + 2) {
            Ok(mut loan) => {
                let (mark, text) = loan.split_at_mut(2);
                mark.copy_from_slice(b"> ");
                text.copy_from_slice(line);
                loan.commit();
                return Ok(());
            }
            Err(PublishError::Full) => {
                client.wait_for_room(line.len() + 2, None);
            }
            Err(error) => return Err(error),
        }
    }
}

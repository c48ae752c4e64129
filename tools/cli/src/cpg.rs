//! `synchrotron cpg`: process groups from a shell.

use std::io::{BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use client::{Client, Event, Group, Member, Options, View};
use serde_json::{Value, json};

use crate::engine::Engine;

/// Subcommands of `cpg`.
#[derive(Subcommand)]
pub(crate) enum Cpg {
    /// Groups of the cluster that have a member, with their members.
    Ls(Engine),
    /// Join a group and print its views until interrupted (or for a time).
    Join(Membership),
    /// Send each line of standard input as a message, then leave.
    Send(Send),
    /// Join a group and print its messages, a line each.
    Listen(Membership),
}

/// Options of `join` and `listen`.
#[derive(Args)]
pub(crate) struct Membership {
    /// The group's name.
    group: String,
    /// End after this many messages (`listen`) or views (`join`).
    #[arg(long, short = 'n')]
    count: Option<u64>,
    /// End after this many seconds.
    #[arg(long)]
    seconds: Option<f64>,
    #[command(flatten)]
    engine: Engine,
}

/// Options of `send`.
#[derive(Args)]
pub(crate) struct Send {
    /// The group's name.
    group: String,
    /// Deliver only once every node has it.
    #[arg(long)]
    safe: bool,
    /// Wait until the group has this many members before sending.
    #[arg(long, default_value_t = 1)]
    members: usize,
    #[command(flatten)]
    engine: Engine,
}

/// How long `send` waits for the engine to take and order everything.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a subcommand.
pub(crate) fn run(command: &Cpg, json: bool) -> anyhow::Result<()> {
    match command {
        Cpg::Ls(engine) => list(engine, json),
        Cpg::Join(membership) => follow(membership, json, Show::Views),
        Cpg::Listen(membership) => follow(membership, json, Show::Messages),
        Cpg::Send(send) => self::send(send, json),
    }
}

fn connect(engine: &Engine) -> anyhow::Result<Client> {
    Ok(Client::connect(&engine.socket, Options::default())?)
}

fn list(engine: &Engine, json: bool) -> anyhow::Result<()> {
    let status = engine.status()?;
    let groups = status.pointer("/groups/list").cloned().unwrap_or_else(|| json!([]));
    if json {
        println!("{groups}");
        return Ok(());
    }
    for group in groups.as_array().into_iter().flatten() {
        let name = group.get("name").and_then(Value::as_str).unwrap_or("?");
        println!("{name}");
        for member in group.get("members").and_then(Value::as_array).into_iter().flatten() {
            let field = |key| member.get(key).and_then(Value::as_u64).unwrap_or(0);
            println!("  node {} pid {} session {}", field("node"), field("pid"), field("session"));
        }
    }
    Ok(())
}

/// What `follow` prints.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Views,
    Messages,
}

fn follow(options: &Membership, json: bool, show: Show) -> anyhow::Result<()> {
    let mut client = connect(&options.engine)?;
    client.start_join(options.group.as_bytes())?;
    let end = options.seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    let mut out = std::io::stdout().lock();
    let flush_each = out.is_terminal();
    let mut left = options.count.unwrap_or(u64::MAX);
    while left > 0 {
        let wait = end.map(|end| end.saturating_duration_since(Instant::now()));
        // What was printed must not wait in a pipe's buffer while we wait for more.
        let event = match client.try_recv() {
            Some(event) => event,
            None => {
                out.flush()?;
                match client.recv(wait) {
                    Some(event) => event,
                    None => break,
                }
            }
        };
        match event {
            Event::Message(message) if show == Show::Messages => {
                left -= 1;
                print_message(&mut out, json, message.sender, message.bytes)?;
            }
            Event::View(view) if show == Show::Views => {
                left -= 1;
                print_view(&mut out, json, &view)?;
            }
            Event::Refused { reason, .. } => bail!("the engine refused: {reason}"),
            Event::Evicted(cause) => bail!("the engine ended the session: {}", cause.text()),
            Event::Disconnected => bail!("the engine is gone"),
            _ => {}
        }
        if flush_each {
            out.flush()?;
        }
    }
    Ok(out.flush()?)
}

fn print_message(
    out: &mut impl Write,
    json: bool,
    from: Member,
    bytes: &[u8],
) -> anyhow::Result<()> {
    if json {
        let text = String::from_utf8_lossy(bytes);
        let line =
            json!({ "node": from.node, "pid": from.pid, "session": from.session, "message": text });
        writeln!(out, "{line}")?;
    } else {
        out.write_all(bytes)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn print_view(out: &mut impl Write, json: bool, view: &View) -> anyhow::Result<()> {
    let name = |member: &Member| format!("{}:{}:{}", member.node, member.pid, member.session);
    let members: Vec<String> = view.members.iter().map(name).collect();
    let changes = |list: &[client::Change]| -> Vec<Value> {
        let change = |c: &client::Change| json!({ "member": name(&c.member), "cause": format!("{:?}", c.cause) });
        list.iter().map(change).collect()
    };
    if json {
        let (joined, left) = (changes(&view.joined), changes(&view.left));
        let line = json!({ "members": members, "joined": joined, "left": left });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    let list = |list: &[client::Change], sign: &str| {
        list.iter()
            .map(|c| format!(" {sign}{} ({:?})", name(&c.member), c.cause))
            .collect::<String>()
    };
    let (joined, left) = (list(&view.joined, "+"), list(&view.left, "-"));
    writeln!(out, "members {}{joined}{left}", members.join(" "))?;
    Ok(())
}

/// Sends the lines and waits until they have come back in order: then they are at every member.
fn send(options: &Send, json: bool) -> anyhow::Result<()> {
    let mut client = connect(&options.engine)?;
    let me = client.me();
    client.start_join(options.group.as_bytes())?;
    let group = wait_for_members(&mut client, options.members)?;
    let (mut sent, mut back) = (0_u64, 0_u64);
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line?;
        match options.safe {
            true => client.publish_safe(&group, &line)?,
            false => client.publish(&group, &line)?,
        }
        sent += 1;
        while let Some(event) = client.try_recv() {
            back += own(event, me)?;
        }
    }
    let end = Instant::now() + SEND_TIMEOUT;
    while back < sent {
        let wait = end.saturating_duration_since(Instant::now());
        let event = client.recv(Some(wait));
        let event = event
            .with_context(|| format!("only {back} of {sent} messages were ordered in time"))?;
        back += own(event, me)?;
    }
    if json {
        println!("{}", json!({ "sent": sent }));
    }
    Ok(())
}

fn wait_for_members(client: &mut Client, members: usize) -> anyhow::Result<Group> {
    loop {
        match client.recv(None) {
            Some(Event::View(view)) if view.members.len() >= members => return Ok(view.group),
            Some(Event::Refused { reason, .. }) => bail!("the engine refused: {reason}"),
            Some(Event::Evicted(cause)) => bail!("the engine ended the session: {}", cause.text()),
            Some(Event::Disconnected) => bail!("the engine is gone"),
            _ => {}
        }
    }
}

/// 1 for a message of ours that came back.
fn own(event: Event<'_>, me: Member) -> anyhow::Result<u64> {
    match event {
        Event::Message(message) => {
            let from = message.sender;
            Ok(u64::from((from.node, from.session) == (me.node, me.session)))
        }
        Event::NotSent { count, reason, .. } => bail!("{count} messages were not sent: {reason}"),
        Event::Evicted(cause) => bail!("the engine ended the session: {}", cause.text()),
        Event::Disconnected => bail!("the engine is gone"),
        _ => Ok(0),
    }
}

//! `corosync-cfgtool`: links, nodes, and what can be done to them.

use std::ffi::OsString;
use std::time::Duration;

use services::cmap::Map;
use services::{Failure, Request, cfg};

use crate::about::{About, flag, valued};
use crate::engine::Ask;
use crate::errors::name;
use crate::seat::{Seat, Stop, Try};
use crate::{SUCCESS, cpgtool, nodes, options};

/// What this tool accepts.
pub(crate) const ABOUT: About = About {
    name: "corosync-cfgtool",
    about: "Shows and changes what the cluster engine is doing.",
    words: "",
    options: &[
        valued('i', "address", "taken and ignored, as by Corosync 3").long("if"),
        flag('s', "links of this node and who is reached on them").long("status"),
        flag('n', "nodes that are reached, and their links").long("nodes"),
        flag('b', "with -s: in brief").long("brief"),
        flag('R', "read the configuration anew on all nodes").long("reload"),
        flag('L', "open log files anew").long("reopen"),
        valued('k', "nodeid", "make a node leave").long("kill"),
        valued('a', "nodeid", "addresses of a node").long("address"),
        flag('H', "shut the engine of this node down").long("shutdown"),
        flag('F', "with -H: whatever programs say to that").long("force"),
        flag('h', "this text"),
    ],
    notes: "",
};

/// Links a node can have.
const LINKS_MAX: usize = 8;

/// How often a busy engine is asked again to shut down, once a second.
const TRIES_MAX: u32 = 30;

enum Action {
    Help,
    Links,
    Nodes,
    Reload,
    Reopen,
    Kill(u32),
    Addresses(u32),
    Shutdown,
}

pub(crate) fn run(args: &[OsString], seat: &mut dyn Seat) -> Try<u8> {
    let options = options::read(&ABOUT, args)?;
    let (mut action, mut brief, mut force) = (Action::Help, false, false);
    let node = |text: &str| {
        let id = text.parse().ok().filter(|id| *id > 0);
        id.ok_or_else(|| Stop("The nodeid was not valid, try a positive number".into()))
    };
    for (letter, value) in options.letters {
        match letter {
            's' => action = Action::Links,
            'n' => action = Action::Nodes,
            'b' => brief = true,
            'R' => action = Action::Reload,
            'L' => action = Action::Reopen,
            'k' => action = Action::Kill(node(&value)?),
            'a' => action = Action::Addresses(node(&value)?),
            'H' => action = Action::Shutdown,
            'F' => force = true,
            _ => {}
        }
    }
    match action {
        Action::Help => seat.print(&ABOUT.help()),
        Action::Links => links(seat, brief)?,
        Action::Nodes => reached(seat)?,
        Action::Reload => return reload(seat),
        Action::Reopen => return reopen(seat),
        Action::Kill(node) => kill(seat, node)?,
        Action::Addresses(node) => addresses(seat, node)?,
        Action::Shutdown => shutdown(seat, force)?,
    }
    Ok(SUCCESS)
}

fn no_api(failure: Failure) -> Stop {
    Stop(format!("Could not initialize corosync configuration API error {}", failure.code()))
}

/// What both views of the links start with.
struct View {
    engine: Box<dyn Ask>,
    /// Ids of the node list, ascending.
    ids: Vec<u32>,
    knet: bool,
    /// What each link is called.
    link_names: Vec<String>,
}

fn view(seat: &mut dyn Seat) -> Try<View> {
    let mut engine = seat.connect().map_err(no_api)?;
    let transport = engine.text("totem.transport").unwrap_or_else(|| "knet".to_owned());
    let listed = nodes::listed(engine.as_mut()).map_err(|failure| {
        Stop(format!("Could not get nodelist from cmap. error {}", failure.code()))
    })?;
    let mut ids: Vec<u32> = listed.into_iter().map(|(_, id)| id).collect();
    if ids.is_empty() {
        return Err(Stop("No nodes found in nodelist".into()));
    }
    ids.sort_unstable();
    let knet = transport != "udp" && transport != "udpu";
    let default = if knet { "udp" } else { "" };
    let mut link_names = vec![default.to_owned(); LINKS_MAX];
    for key in engine.keys(Map::Config, "totem.interface.").unwrap_or_default() {
        let link = key
            .strip_prefix("totem.interface.")
            .and_then(|rest| rest.strip_suffix(".knet_transport")?.parse::<usize>().ok());
        if let Some(name) = link.and_then(|link| link_names.get_mut(link))
            && let Some(text) = engine.text(&key)
        {
            *name = text;
        }
    }
    seat.print(&format!("Local node ID {}, transport {transport}\n", engine.node()));
    Ok(View { engine, ids, knet, link_names })
}

fn links(seat: &mut dyn Seat, brief: bool) -> Try<()> {
    let mut view = view(seat)?;
    let me = view.engine.node();
    let mut infos = Vec::new();
    for id in &view.ids {
        let info = view.engine.node_status(*id).map_err(|failure| {
            let code = failure.code();
            seat.complain(&format!(
                "Could not get the node status for nodeid {id}, the error is: {code}"
            ));
        });
        infos.push(info.ok());
    }
    // A node's links to itself say nothing: those to the last other node do, as with Corosync.
    let other = view.ids.iter().rposition(|id| *id != me).unwrap_or(0);
    let link_of = |node: usize, link: usize| {
        let info = infos.get(node)?.as_ref()?;
        info.links.iter().find(|found| usize::from(found.number) == link)
    };
    for (link, name) in view.link_names.iter().enumerate() {
        let Some(shown) = link_of(other, link).filter(|shown| shown.enabled) else { continue };
        let mut text = format!("LINK ID {link} {name}\n\taddr\t= {}\n", shown.source);
        if brief {
            let states = view.ids.iter().enumerate().map(|(node, id)| match link_of(node, link) {
                _ if *id == me => 'n',
                Some(found) => {
                    char::from(b'0' + u8::from(found.enabled) + 2 * u8::from(found.connected))
                }
                None => '0',
            });
            text += &format!("\tstatus\t= {}\n", states.collect::<String>());
        } else {
            text += "\tstatus:\n";
            for (node, id) in view.ids.iter().enumerate() {
                let connected = link_of(node, link).is_some_and(|found| found.connected);
                let state = match (*id == me, connected) {
                    (true, _) => "localhost",
                    (false, true) => "connected",
                    (false, false) => "disconnected",
                };
                text += &format!("\t\tnodeid: {id:>10}:\t{state}\n");
            }
        }
        seat.print(&text);
    }
    Ok(())
}

fn reached(seat: &mut dyn Seat) -> Try<()> {
    let mut view = view(seat)?;
    let me = view.engine.node();
    for id in view.ids.clone() {
        let Ok(node) = view.engine.node_status(id) else { continue };
        if !node.reachable || id == me {
            continue;
        }
        let mut text = format!("nodeid: {id} reachable");
        if node.remote {
            text += " remote";
        }
        if node.external {
            text += " external";
        }
        text += "\n";
        for link in node.links.iter().filter(|link| link.enabled) {
            let name = view.link_names.get(usize::from(link.number)).map_or("", String::as_str);
            let arrow = if view.knet { "->" } else { "" };
            let connected = if link.connected { " connected" } else { "" };
            let dynamic = if link.dynamic { " dynconnected" } else { "" };
            text += &format!(
                "   LINK: {} {name} ({}{arrow}{}) enabled{connected}{dynamic} mtu: {}\n",
                link.number, link.source, link.destination, link.mtu
            );
        }
        seat.print(&(text + "\n"));
    }
    Ok(())
}

fn no_named_api(failure: Failure) -> Stop {
    Stop(format!("Could not initialize corosync configuration API error {}", name(failure)))
}

fn reload(seat: &mut dyn Seat) -> Try<u8> {
    seat.print("Reloading corosync.conf...\n");
    let mut engine = seat.connect().map_err(no_named_api)?;
    match engine.act(&Request::Cfg(cfg::Request::Reload)) {
        Ok(()) => {
            seat.print("Done\n");
            Ok(SUCCESS)
        }
        Err(failure) => {
            seat.complain(&format!("Could not reload configuration. Error {}", name(failure)));
            if let Some(why) = engine.text("config.reload_error_message") {
                seat.complain(&why);
            }
            Ok(failure.code())
        }
    }
}

fn reopen(seat: &mut dyn Seat) -> Try<u8> {
    let mut engine = seat.connect().map_err(no_named_api)?;
    match engine.act(&Request::Cfg(cfg::Request::ReopenLogs)) {
        Ok(()) => Ok(SUCCESS),
        Err(failure) => {
            seat.complain(&format!(
                "Could not reopen corosync logging files. Error {}",
                name(failure)
            ));
            Ok(failure.code())
        }
    }
}

fn kill(seat: &mut dyn Seat, node: u32) -> Try<()> {
    seat.print(&format!("Killing node {node}\n"));
    let mut engine = seat.connect().map_err(no_api)?;
    let reason = b"Killed by corosync-cfgtool".to_vec();
    engine
        .act(&Request::Cfg(cfg::Request::Kill { node, reason }))
        .map_err(|failure| Stop(format!("Could not kill node (error = {})", name(failure))))
}

fn addresses(seat: &mut dyn Seat, node: u32) -> Try<()> {
    let mut engine = seat.connect().map_err(no_api)?;
    if engine.addresses(node).is_err() {
        return Err(Stop(format!("Could not get node address for nodeid {node}")));
    }
    let addresses = cpgtool::addresses(engine.as_mut(), node);
    seat.print(&format!("{addresses}\n"));
    Ok(())
}

/// As Corosync's tool, this one ends well whatever the engine answers; what it answers is said.
fn shutdown(seat: &mut dyn Seat, force: bool) -> Try<()> {
    let mut engine = seat.connect().map_err(no_api)?;
    seat.print("Shutting down corosync\n");
    let how = if force { cfg::Shutdown::Regardless } else { cfg::Shutdown::Request };
    let mut result = Err(Failure::TryAgain);
    for _ in 0..TRIES_MAX {
        result = engine.act(&Request::Cfg(cfg::Request::TryShutdown(how)));
        if result != Err(Failure::TryAgain) {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    if let Err(failure) = result {
        seat.complain(&format!("Could not shutdown (error = {})", failure.code()));
    }
    Ok(())
}

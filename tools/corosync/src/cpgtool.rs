//! `corosync-cpgtool`: process groups and their members.

use std::ffi::OsString;

use services::{Answer, Failure, Request, cpg};

use crate::about::{About, flag, valued};
use crate::cmapctl::escaped;
use crate::engine::Ask;
use crate::seat::{Seat, Stop, Try};
use crate::{SUCCESS, options};

/// What this tool accepts.
pub(crate) const ABOUT: About = About {
    name: "corosync-cpgtool",
    about: "Shows process groups and their members.",
    words: "",
    options: &[
        valued('d', "delimiter", "between fields"),
        flag('e', "show names of groups as they are, unprintable characters too"),
        flag('n', "show names of groups only"),
        flag('h', "this text"),
    ],
    notes: "",
};

pub(crate) fn run(args: &[OsString], seat: &mut dyn Seat) -> Try<u8> {
    let options = options::read(&ABOUT, args)?;
    let (mut delimiter, mut escape, mut names_only) = (None, true, false);
    for (letter, value) in options.letters {
        match letter {
            'h' => {
                seat.print(&ABOUT.help());
                return Ok(SUCCESS);
            }
            'd' => delimiter = value.chars().next().or(delimiter),
            'e' => escape = false,
            _ => names_only = true,
        }
    }
    let no_api = |failure: Failure| {
        Stop(format!("Could not initialize corosync cpg API error {}", failure.code()))
    };
    let mut engine = seat.connect().map_err(no_api)?;
    let groups = match engine.ask(&Request::Cpg(cpg::Request::Groups)) {
        Ok(Answer::Cpg(cpg::Answer::Groups(groups))) => groups,
        Ok(_) => return Err(no_api(Failure::Library)),
        Err(failure) => {
            return Err(Stop(format!("Cannot initialize cpg iterator error {}", failure.code())));
        }
    };
    let named = |name: &[u8]| match escape {
        true => escaped(name).into_bytes(),
        false => name.to_vec(),
    };
    if names_only {
        for group in &groups {
            seat.print_bytes(&named(&group.name));
            seat.print(&delimiter.unwrap_or('\n').to_string());
        }
        if delimiter.is_some() {
            seat.print("\n");
        }
    } else if let Some(d) = delimiter {
        seat.print(&format!("GRP_NAME{d}PID{d}NODEID\n"));
        for group in &groups {
            for member in &group.members {
                seat.print_bytes(&named(&group.name));
                seat.print(&format!("{d}{}{d}{}\n", member.pid, member.node));
            }
        }
    } else {
        seat.print(&format!("Group Name\t{:>10}\t{:>10}\n", "PID", "Node ID"));
        for group in &groups {
            seat.print_bytes(&named(&group.name));
            seat.print("\n");
            for member in &group.members {
                let addresses = addresses(engine.as_mut(), member.node);
                seat.print(&format!("\t\t{:>10}\t{:>10} ({addresses})\n", member.pid, member.node));
            }
        }
    }
    Ok(SUCCESS)
}

/// Addresses of a node on all links.
pub(crate) fn addresses(engine: &mut dyn Ask, node: u32) -> String {
    let addresses = engine.addresses(node).unwrap_or_default();
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

//! `corosync-notifyd`: says when nodes, quorum, programs and links come and go.
//!
//! Lines go to standard output (`-o`) or standard error (`-l`, which a service manager passes on to its journal).
//! There are no D-Bus signals and no SNMP traps; asking for them is refused.

use std::ffi::OsString;

use services::cmap::{self, Change, Events, Map, Value};
use services::{Failure, Notice, Request, Track, quorum};

use crate::about::{About, flag, valued};
use crate::engine::{Ask, Event};
use crate::errors::name;
use crate::seat::{Seat, Stop, Try};
use crate::{FAILURE, SUCCESS, nodes, options};

/// What this tool accepts.
pub(crate) const ABOUT: About = About {
    name: "corosync-notifyd",
    about: "Says when nodes join or leave, when quorum is won or lost, when programs connect, and when links fail.",
    words: "",
    options: &[
        flag('f', "stay in the foreground (always)"),
        flag('l', "say it on standard error, which the service manager passes on to its journal"),
        flag('o', "say it on standard output"),
        flag('n', "taken and ignored: names are those of the node list"),
        flag('d', "D-Bus signals: not here, refused"),
        flag('s', "SNMP traps: not here, refused"),
        valued('m', "manager", "of SNMP traps: not here, refused"),
        valued('c', "community", "of SNMP traps: not here, refused"),
        flag('h', "this text"),
    ],
    notes: "For D-Bus signals and SNMP traps run Debian's corosync-notifyd: it runs unchanged over this engine.",
};

pub(crate) fn run(args: &[OsString], seat: &mut dyn Seat) -> Try<u8> {
    let options = options::read(&ABOUT, args)?;
    let (mut out, mut log) = (false, false);
    for (letter, _) in options.letters {
        match letter {
            'h' => {
                seat.print(&ABOUT.help());
                return Ok(SUCCESS);
            }
            'o' => out = true,
            'l' => log = true,
            'd' => {
                return Err(Stop("corosync-notifyd: this build has no D-Bus signals (-d)".into()));
            }
            's' | 'm' | 'c' => {
                let wrong = format!("corosync-notifyd: this build has no SNMP traps (-{letter})");
                return Err(Stop(wrong));
            }
            _ => {}
        }
    }
    if !out && !log {
        return Err(Stop("corosync-notifyd: nothing to do: give -o or -l, see -h".into()));
    }
    let no_engine =
        |failure| Stop(format!("Failed to initialize the cmap API. Error {}", name(failure)));
    let mut engine = seat.connect().map_err(no_engine)?;
    let mut tool = Tool::start(engine.as_mut(), seat, out, log).map_err(no_engine)?;
    loop {
        match tool.engine.next(false) {
            Ok(Event::Notice(Notice::Quorum(quorum::Notice::Quorum { quorate, .. }))) => {
                tool.quorum(quorate);
            }
            Ok(Event::Notice(Notice::Cmap(notice))) => tool.changed(&notice),
            Ok(_) => {}
            Err(failure) => {
                let line = format!("Could not dispatch cmap events. Error {}", failure.code());
                tool.seat.complain(&line);
                return Ok(FAILURE);
            }
        }
    }
}

struct Tool<'t> {
    engine: &'t mut dyn Ask,
    seat: &'t mut dyn Seat,
    out: bool,
    log: bool,
    quorate: Option<bool>,
    me: String,
}

impl<'t> Tool<'t> {
    fn start(
        engine: &'t mut dyn Ask,
        seat: &'t mut dyn Seat,
        out: bool,
        log: bool,
    ) -> Result<Self, Failure> {
        let all = Events { delete: true, modify: true, add: true, prefix: true };
        let tracks = [
            (Map::Config, "runtime.members."),
            (Map::Stats, "stats.ipcs."),
            (Map::Stats, "stats.knet."),
        ];
        for (map, key) in tracks {
            let key = key.to_owned();
            engine.act(&Request::Cmap(cmap::Request::Track { map, key, events: all }))?;
        }
        let track = Track { current: true, changes: true, changes_only: false };
        engine.act(&Request::Quorum(quorum::Request::Track(track)))?;
        let node = engine.node();
        let named = nodes::name(engine, node).unwrap_or_else(|| "localhost".to_owned());
        let me = format!("{named}[{node}]");
        Ok(Self { engine, seat, out, log, quorate: None, me })
    }

    fn say(&mut self, line: &str) {
        if self.out {
            self.seat.print(&format!("[notice] {line}\n"));
        }
        if self.log {
            self.seat.complain(line);
        }
    }

    fn quorum(&mut self, quorate: bool) {
        if self.quorate.replace(quorate) == Some(quorate) {
            return;
        }
        let me = &self.me;
        let line = match quorate {
            true => format!("{me} is now quorate"),
            false => format!("{me} has lost quorum"),
        };
        self.say(&line);
    }

    fn changed(&mut self, notice: &cmap::Notice) {
        let parts: Vec<&str> = notice.key.split('.').collect();
        match parts.as_slice() {
            ["runtime", "members", node, "status"] if notice.change != Change::Delete => {
                if let (Ok(node), Some(Value::Text(state))) = (node.parse(), &notice.new) {
                    let state = String::from_utf8_lossy(state).into_owned();
                    self.member(node, &state);
                }
            }
            ["stats", "ipcs", service, pid, id, "procname"] => {
                let (value, state) = match notice.change {
                    Change::Add => (&notice.new, "connected to"),
                    Change::Delete => (&notice.old, "disconnected from"),
                    Change::Modify => return,
                };
                let program = match value {
                    Some(Value::Text(name)) => String::from_utf8_lossy(name).into_owned(),
                    _ => (*service).to_owned(),
                };
                self.say(&format!("{} {id}.{pid}.{program} is now {state} corosync", self.me));
            }
            ["stats", "knet", node, link, "connected"] if notice.change == Change::Modify => {
                let number = |text: &str, prefix: &str| {
                    text.strip_prefix(prefix).and_then(|rest| rest.parse::<u32>().ok())
                };
                if let (Some(node), Some(link)) = (number(node, "node"), number(link, "link")) {
                    let up = notice.new == Some(Value::U8(1));
                    let state = if up { "operational" } else { "disconnected" };
                    self.say(&format!("{} link {link} to node {node} is now {state}", self.me));
                }
            }
            _ => {}
        }
    }

    fn member(&mut self, node: u32, state: &str) {
        // "r(0) ip(10.0.0.1)": the last address.
        let text = self.engine.text(&format!("runtime.members.{node}.ip")).unwrap_or_default();
        let ip =
            text.rsplit('(').next().and_then(|rest| rest.split(')').next()).unwrap_or_default();
        let named = nodes::name(self.engine, node).unwrap_or_else(|| ip.to_owned());
        self.say(&format!("{named}[{node}] ip:{ip} {state}"));
    }
}

//! `corosync-quorumtool`: votes, quorum, members.

use std::ffi::OsString;
use std::net::IpAddr;

use services::votequorum::{Info, flags};
use services::{Failure, Notice, Request, Ring, Track, quorum, votequorum};

use crate::about::{About, flag, valued};
use crate::engine::{Ask, Event};
use crate::errors::name;
use crate::seat::{Seat, Stop, Try};
use crate::watch::{Watch, shown};
use crate::{FAILURE, LIKE_VERSION, SUCCESS, nodes, options};

/// What this tool accepts.
pub(crate) const ABOUT: About = About {
    name: "corosync-quorumtool",
    about: "Shows whether there is a quorum, and changes votes.",
    words: "",
    options: &[
        flag('s', "show quorum status"),
        flag('m', "show it again whenever it changes"),
        flag('l', "list nodes"),
        flag('a', "show all names or addresses of each node"),
        flag('p', "with -s or -l: for machines to read"),
        valued('v', "votes", "change the votes of a node (*)"),
        valued('n', "nodeid", "of which node, with -v"),
        valued('e', "expected", "change the votes expected (*)"),
        flag('H', "show node ids in hexadecimal"),
        flag('i', "show addresses instead of names"),
        valued('o', "a|n|i", "order by address (as it is by default), name, or node id"),
        flag('f', "unregister a quorum device by force, which is DANGEROUS (*)"),
        valued('W', "q|x|qx", "watch: q the quorum, x what quorum devices have to say (*)"),
        valued('X', "string", "set what this node's quorum device has to say (*)"),
        flag('C', "clear it (*)"),
        flag('h', "this text"),
        flag('V', "show the version"),
    ],
    notes: "(*) only where votequorum is the quorum provider",
};

/// Exit code of a status without quorum.
const NOT_QUORATE: u8 = 2;

/// The id that stands for a quorum device.
const QDEVICE_NODE: u32 = 0;

/// How things are shown.
#[derive(Clone, Copy, Default)]
struct Style {
    hexadecimal: bool,
    addresses: bool,
    all_addresses: bool,
    machine: bool,
    order: Order,
}

#[derive(Clone, Copy, Default)]
enum Order {
    #[default]
    Address,
    Name,
    Id,
}

enum Action {
    Status,
    Monitor,
    Nodes,
    SetVotes(u32),
    SetExpected(u32),
    Unregister,
    Watch(Watch),
    SetExtra(Vec<u8>),
}

pub(crate) fn run(args: &[OsString], seat: &mut dyn Seat) -> Try<u8> {
    let tool = "corosync-quorumtool";
    let read = options::read(&ABOUT, args);
    let options = read.inspect_err(|_| seat.print(&ABOUT.help()))?;
    let (mut action, mut style, mut node) = (Action::Status, Style::default(), None);
    for (letter, value) in options.letters {
        match letter {
            's' => action = Action::Status,
            'm' => action = Action::Monitor,
            'l' => action = Action::Nodes,
            'f' => action = Action::Unregister,
            'a' => style.all_addresses = true,
            'i' => style.addresses = true,
            'H' => style.hexadecimal = true,
            'p' => style.machine = true,
            'e' => {
                let wrong = "New expected votes value was not valid, try a positive number";
                action = Action::SetExpected(number(&value, 1, i32::MAX as u32, wrong)?);
            }
            'v' => {
                let wrong = "New votes value was not valid, try a positive number or zero";
                action = Action::SetVotes(number(&value, 0, i32::MAX as u32, wrong)?);
            }
            'n' => {
                let wrong = "The nodeid was not valid, try a positive number";
                node = Some(number(&value, 1, u32::MAX, wrong)?);
            }
            'o' => {
                style.order = match value.as_str() {
                    "a" => Order::Address,
                    "i" => Order::Id,
                    "n" => Order::Name,
                    _ => {
                        let known = "a(address), i(node ID) or n(name)";
                        return Err(Stop(format!(
                            "Invalid ordering option. valid orders are {known}"
                        )));
                    }
                };
            }
            'W' => {
                let wrong = "Invalid watch option. valid watch options are q(quorum) or x(qdevice extra info)";
                let watch = Watch::from_letters(&value).ok_or_else(|| Stop(wrong.to_owned()))?;
                action = Action::Watch(watch);
            }
            // With a zero byte at its end, as C has texts.
            'X' => action = Action::SetExtra([value.as_bytes(), &[0][..]].concat()),
            'C' => action = Action::SetExtra(Vec::new()),
            'V' => {
                seat.print(&format!("{tool} version: {LIKE_VERSION}\n"));
                return Ok(SUCCESS);
            }
            _ => {
                seat.print(&ABOUT.help());
                return Ok(SUCCESS);
            }
        }
    }
    let mut tool = Tool::open(seat, style)?;
    match action {
        Action::Status => tool.status(),
        Action::Monitor => tool.monitor(),
        Action::Nodes => tool.nodes(),
        Action::SetVotes(votes) => tool.set_votes(node, votes),
        Action::SetExpected(votes) => tool.set_expected(votes),
        Action::Unregister => tool.unregister(),
        Action::Watch(watch) => tool.watch(watch),
        Action::SetExtra(bytes) => tool.set_extra(bytes),
    }
}

fn number(text: &str, min: u32, max: u32, wrong: &str) -> Try<u32> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| Stop(wrong.to_owned()))
}

/// A ring and who is in it.
struct View {
    ring: Ring,
    members: Vec<u32>,
    quorate: bool,
}

struct Tool<'t> {
    engine: Box<dyn Ask>,
    seat: &'t mut dyn Seat,
    style: Style,
    /// Whether votes are counted.
    counted: bool,
    me: u32,
}

impl<'t> Tool<'t> {
    fn open(seat: &'t mut dyn Seat, style: Style) -> Try<Self> {
        let none = |_: Failure| Stop("Cannot initialize CMAP service".into());
        let mut engine = seat.connect().map_err(none)?;
        let no_quorum = |_: Failure| Stop("Cannot initialize QUORUM service".into());
        let (_, counted) = engine.quorate().map_err(no_quorum)?;
        let me = engine.node();
        Ok(Self { engine, seat, style, counted, me })
    }

    /// The present ring.
    fn view(&mut self) -> Try<View> {
        let no_status = |failure: Failure| {
            Stop(format!("Unable to get cluster quorate status: {}", name(failure)))
        };
        let (quorate, _) = self.engine.quorate().map_err(no_status)?;
        let track = Track { current: true, changes: false, changes_only: false };
        self.track(track)?;
        let mut view = self.next_view()?;
        view.quorate = quorate;
        _ = self.engine.act(&Request::Quorum(quorum::Request::Untrack));
        Ok(view)
    }

    fn track(&mut self, track: Track) -> Try<()> {
        self.engine.act(&Request::Quorum(quorum::Request::Track(track))).map_err(|failure| {
            Stop(format!("Unable to start quorum status tracking: {}", name(failure)))
        })
    }

    /// Waits until quorum is told.
    fn next_view(&mut self) -> Try<View> {
        loop {
            match self.engine.next(false) {
                Ok(Event::Notice(Notice::Quorum(quorum::Notice::Quorum {
                    quorate,
                    ring,
                    members,
                }))) => {
                    return Ok(View { ring, members, quorate });
                }
                Ok(_) => {}
                Err(failure) => {
                    let failure = name(failure);
                    return Err(Stop(format!("Unable to dispatch quorum status: {failure}")));
                }
            }
        }
    }

    fn status(&mut self) -> Try<u8> {
        let view = self.view()?;
        let quorate = view.quorate;
        self.show(&view)?;
        Ok(if quorate { SUCCESS } else { NOT_QUORATE })
    }

    fn monitor(&mut self) -> Try<u8> {
        if !self.counted {
            self.seat.print("\nQuorum is not configured - cannot monitor\n");
            return self.status();
        }
        self.track(Track { current: false, changes: true, changes_only: false })?;
        loop {
            let view = self.next_view()?;
            self.show(&view)?;
            self.seat.print("\n");
        }
    }

    fn watch(&mut self, watch: Watch) -> Try<u8> {
        if !self.counted {
            self.seat.print("\nQuorum is not configured - cannot monitor\n");
            return Ok(FAILURE);
        }
        let track = Track { current: false, changes: true, changes_only: false };
        self.track(track)?;
        let votes = Request::Votequorum(votequorum::Request::Track(track));
        self.engine.act(&votes).map_err(|failure| {
            Stop(format!("Unable to start votequorum status tracking: {}", name(failure)))
        })?;
        self.seat.print("Watching for updates:\n");
        loop {
            let line = match self.engine.next(false) {
                Ok(Event::Notice(Notice::Quorum(quorum::Notice::Quorum { quorate, .. })))
                    if watch.quorum =>
                {
                    (if quorate { "Quorate" } else { "Not quorate" }).to_owned()
                }
                Ok(Event::Notice(Notice::Votequorum(votequorum::Notice::QdeviceExtra {
                    node,
                    bytes,
                }))) if watch.extra => format!("{node:>10} {}", shown(&bytes)),
                Ok(_) => continue,
                Err(failure) => {
                    let failure = name(failure);
                    return Err(Stop(format!("Unable to dispatch quorum status: {failure}")));
                }
            };
            self.seat.print(&format!("{line}\n"));
        }
    }

    fn set_extra(&mut self, bytes: Vec<u8>) -> Try<u8> {
        self.must_count("set quorum device extra info")?;
        let set = Request::Votequorum(votequorum::Request::QdeviceExtraSet { bytes });
        let failed = |failure| Stop(format!("Failed to set extra info {}", name(failure)));
        self.engine.act(&set).map_err(failed)?;
        Ok(SUCCESS)
    }

    fn nodes(&mut self) -> Try<u8> {
        let view = self.view()?;
        self.show_members(&view);
        Ok(SUCCESS)
    }

    fn id(&self, id: u32) -> String {
        if self.style.hexadecimal { format!("0x{id:08x}") } else { id.to_string() }
    }

    fn show(&mut self, view: &View) -> Try<()> {
        let provider = match self.counted {
            true => self.engine.text("quorum.provider"),
            false => None,
        };
        let provider = provider.unwrap_or_else(|| "Not configured".to_owned());
        let ring = match self.counted {
            true => format!("{:x}.{:x}", view.ring.node, view.ring.seq),
            false => format!("{:x}", view.ring.seq),
        };
        let date = self.seat.date();
        self.seat.print(&format!(
            "Quorum information\n------------------\n\
             Date:             {date}\n\
             Quorum provider:  {provider}\n\
             Nodes:            {}\n\
             Node ID:          {}\n\
             Ring ID:          {ring}\n\
             Quorate:          {}\n",
            view.members.len(),
            self.id(self.me),
            if view.quorate { "Yes" } else { "No" }
        ));
        if !self.counted {
            return Ok(());
        }
        let info = self
            .engine
            .votes(self.me)
            .map_err(|failure| Stop(format!("Unable to get node info: {}", name(failure))))?;
        let quorate = info.flags & flags::QUORATE != 0;
        let words: String = FLAGS
            .iter()
            .filter(|(flag, _)| info.flags & flag != 0)
            .map(|(_, word)| format!("{word} "))
            .collect();
        self.seat.print(&format!(
            "\nVotequorum information\n----------------------\n\
             Expected votes:   {}\n\
             Highest expected: {}\n\
             Total votes:      {}\n\
             Quorum:           {} {}\n\
             Flags:            {words}\n",
            info.expected,
            info.highest_expected,
            info.total,
            info.quorum,
            if quorate { " " } else { "Activity blocked" }
        ));
        self.show_members(view);
        Ok(())
    }

    fn show_members(&mut self, view: &View) {
        let mut rows: Vec<(u32, String, Option<Info>)> = Vec::new();
        for id in &view.members {
            let info = match self.counted {
                true => self.engine.votes(*id).ok(),
                false => None,
            };
            if self.counted && info.is_none() {
                self.seat.print(&format!("Unable to get node {id} info\n"));
            }
            let named = self.name_of(*id);
            rows.push((*id, named, info));
        }
        match self.style.order {
            Order::Address => {}
            Order::Id => rows.sort_by_key(|(id, ..)| *id),
            Order::Name => rows.sort_by(|a, b| a.1.cmp(&b.1)),
        }
        let registered = |info: &Option<Info>| has(info.as_ref(), flags::QDEVICE_REGISTERED);
        let device = rows.iter().any(|(.., info)| registered(info));
        let mut text =
            format!("\nMembership information\n----------------------\n{:>10} ", "Nodeid");
        if self.counted {
            text += &format!("{:>10} ", "Votes");
            if device || self.style.machine {
                text += &format!("{:>10} ", "Qdevice");
            }
        }
        text += "Name\n";
        for (id, named, info) in &rows {
            text += &self.padded(*id);
            if self.counted {
                text += &format!("{:>10} ", info.as_ref().map_or(0, |info| info.votes));
                if device || self.style.machine {
                    text += &format!("{:>10} ", device_state(info.as_ref()));
                }
            }
            let local = if *id == self.me { " (local)" } else { "" };
            text += &format!("{named}{local}\n");
        }
        if device && let Some((.., Some(first))) = rows.first() {
            let mine =
                rows.iter().find(|(id, ..)| *id == self.me).and_then(|(.., info)| info.as_ref());
            let casts = has(mine, flags::QDEVICE_CAST_VOTE);
            let votes = if casts { first.qdevice_votes } else { 0 };
            let device = String::from_utf8_lossy(&first.qdevice_name);
            text += &format!("{}{votes:>10}            {device}", self.padded(QDEVICE_NODE));
            if !casts {
                text += &format!(" (votes {})", first.qdevice_votes);
            }
            text.push('\n');
        }
        self.seat.print(&text);
    }

    fn padded(&self, id: u32) -> String {
        if self.style.hexadecimal { format!("0x{id:08x} ") } else { format!("{id:>10} ") }
    }

    /// The name of the node list, or addresses.
    fn name_of(&mut self, node: u32) -> String {
        let mut parts = Vec::new();
        if !self.style.addresses {
            parts.extend(nodes::name(self.engine.as_mut(), node).filter(|name| !name.is_empty()));
        }
        match self.engine.addresses(node) {
            Ok(addresses) => {
                let wanted = if self.style.all_addresses { addresses.len() } else { 1 };
                let further: Vec<IpAddr> =
                    addresses.into_iter().take(wanted).skip(parts.len()).collect();
                parts.extend(further.iter().map(ToString::to_string));
            }
            Err(failure) => {
                let failure = name(failure);
                let line = format!("Unable to get node address for nodeid {node}: {failure}");
                self.seat.complain(&line);
                return String::new();
            }
        }
        parts.join(", ")
    }

    /// Whether votes are counted; says so if not.
    fn must_count(&mut self, what: &str) -> Try<()> {
        if self.counted {
            return Ok(());
        }
        Err(Stop(format!("You cannot {what}, corosync is not using votequorum")))
    }

    fn set_votes(&mut self, node: Option<u32>, votes: u32) -> Try<u8> {
        self.must_count("change node votes")?;
        let node = node.unwrap_or(self.me);
        let request = votequorum::Request::SetVotes { node, votes };
        self.engine.act(&Request::Votequorum(request)).map_err(|failure| {
            let failure = name(failure);
            Stop(format!("Unable to set votes {votes} for nodeid: {node}: {failure}"))
        })?;
        Ok(SUCCESS)
    }

    fn set_expected(&mut self, votes: u32) -> Try<u8> {
        self.must_count("change expected votes")?;
        let request = votequorum::Request::SetExpected { votes };
        self.engine
            .act(&Request::Votequorum(request))
            .map_err(|failure| Stop(format!("Unable to set expected votes: {}", name(failure))))?;
        Ok(SUCCESS)
    }

    fn unregister(&mut self) -> Try<u8> {
        self.must_count("unregister quorum device")?;
        let info = self.engine.votes(self.me).map_err(|failure| {
            Stop(format!("Unable to get quorum device info: {}", name(failure)))
        })?;
        if has(Some(&info), flags::QDEVICE_REGISTERED) {
            let request = votequorum::Request::QdeviceUnregister { name: info.qdevice_name };
            if let Err(failure) = self.engine.act(&Request::Votequorum(request)) {
                let failure = name(failure);
                self.seat.complain(&format!("Unable to unregister quorum device: {failure}"));
                return Ok(FAILURE);
            }
        }
        Ok(SUCCESS)
    }
}

/// Flags that are shown, and their words.
const FLAGS: [(u32, &str); 7] = [
    (flags::TWO_NODE, "2Node"),
    (flags::QUORATE, "Quorate"),
    (flags::WAIT_FOR_ALL, "WaitForAll"),
    (flags::LAST_MAN_STANDING, "LastManStanding"),
    (flags::AUTO_TIE_BREAKER, "AutoTieBreaker"),
    (flags::ALLOW_DOWNSCALE, "AllowDownscale"),
    (flags::QDEVICE_REGISTERED, "Qdevice"),
];

fn has(info: Option<&Info>, flag: u32) -> bool {
    info.is_some_and(|info| info.flags & flag != 0)
}

/// What a node's quorum device is up to: alive, voting, winning.
fn device_state(info: Option<&Info>) -> String {
    if !has(info, flags::QDEVICE_REGISTERED) {
        return "NR".to_owned();
    }
    let word = |flag, yes, no| if has(info, flag) { yes } else { no };
    format!(
        "{},{},{}",
        word(flags::QDEVICE_ALIVE, "A", "NA"),
        word(flags::QDEVICE_CAST_VOTE, "V", "NV"),
        word(flags::QDEVICE_MASTER_WINS, "MW", "NMW")
    )
}

//! The tools print what Debian's print: every command of the golden files is run against an engine in the state in
//! which Debian's Corosync 3.1.7 was when the files were taken (three nodes listed, two of them there).

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;

use services::cmap::{self, Key, Map, Value};
use services::votequorum::{Info, NodeState, flags};
use services::{Answer, Failure, Notice, Reply, Request, Ring, cfg, cpg, quorum, votequorum};
use tools::{Ask, Event, Seat};

/// The engine's state, kept from one connection to the next.
#[derive(Clone)]
struct State {
    map: BTreeMap<String, Value>,
    expected: u32,
    quorate: bool,
    groups: Vec<cpg::Group>,
    device: bool,
    notices: VecDeque<Notice>,
    input: VecDeque<String>,
}

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

impl State {
    fn new() -> Self {
        let mut map = BTreeMap::new();
        for node in 0..3_u32 {
            let prefix = format!("nodelist.node.{node}");
            map.insert(format!("{prefix}.name"), text(&format!("n{}", node + 1)));
            map.insert(format!("{prefix}.nodeid"), Value::U32(node + 1));
            map.insert(format!("{prefix}.ring0_addr"), text(&format!("10.77.0.{}", node + 1)));
        }
        map.insert("nodelist.local_node_pos".into(), Value::U32(0));
        map.insert("totem.version".into(), Value::U32(2));
        map.insert("totem.transport".into(), text("knet"));
        map.insert("quorum.provider".into(), text("corosync_votequorum"));
        let (notices, input) = (VecDeque::new(), VecDeque::new());
        Self { map, expected: 3, quorate: false, groups: vec![], device: false, notices, input }
    }

    fn cmap(&mut self, request: cmap::Request) -> Reply {
        use cmap::Request::{Delete, Get, List, Set, Track};
        let answer = match request {
            Get { key, .. } => {
                cmap::Answer::Value(self.map.get(&key).cloned().ok_or(Failure::NotExist)?)
            }
            Set { map: Map::Config, key, .. } if key.starts_with("totem.") => {
                return Err(Failure::Access);
            }
            Set { key, value, .. } => {
                self.map.insert(key, value);
                return Ok(Answer::Done);
            }
            Delete { key, .. } => {
                self.map.remove(&key).ok_or(Failure::NotExist)?;
                return Ok(Answer::Done);
            }
            // Two at a time, so that lists come in parts.
            List { prefix, after, .. } => cmap::Answer::Keys(
                self.map
                    .iter()
                    .filter(|(key, _)| key.starts_with(&prefix) && **key > after)
                    .take(2)
                    .map(|(name, value)| Key {
                        name: name.clone(),
                        type_code: value.type_code(),
                        bytes: value.native_bytes() as u32,
                    })
                    .collect(),
            ),
            Track { .. } => cmap::Answer::Tracking { track: 1 },
            _ => return Err(Failure::NotSupported),
        };
        Ok(Answer::Cmap(answer))
    }

    fn cfg(request: cfg::Request) -> Reply {
        use cfg::Request::{Kill, NodeAddresses, NodeStatus, Reload, ReopenLogs, TryShutdown};
        match request {
            NodeAddresses { node: node @ 1..=3 } => {
                let address = format!("10.77.0.{node}").parse().unwrap();
                Ok(Answer::Cfg(cfg::Answer::Addresses(vec![address])))
            }
            NodeStatus { node: id @ 1..=3 } => {
                let link = cfg::Link {
                    number: 0,
                    enabled: true,
                    connected: id != 3,
                    dynamic: false,
                    mtu: 1446,
                    source: "10.77.0.1".into(),
                    destination: format!("10.77.0.{id}"),
                };
                Ok(Answer::Cfg(cfg::Answer::Node(cfg::Node {
                    id,
                    reachable: id != 3,
                    remote: false,
                    external: false,
                    wire_min: 1,
                    wire_max: 1,
                    wire: 1,
                    links: vec![link],
                })))
            }
            Reload | ReopenLogs => Ok(Answer::Done),
            TryShutdown(_) => Err(Failure::Busy),
            Kill { .. } | NodeAddresses { .. } => Err(Failure::NotExist),
            _ => Err(Failure::FailedOperation),
        }
    }

    fn votes(&mut self, request: votequorum::Request) -> Reply {
        use votequorum::Request::{Info as Ask, SetExpected, SetVotes};
        match request {
            Ask { node } => {
                let mut flags = flags::WAIT_FOR_ALL;
                if self.quorate {
                    flags |= flags::QUORATE;
                }
                if self.device {
                    flags |= flags::QDEVICE_REGISTERED | flags::QDEVICE_ALIVE;
                    if node == 1 {
                        flags |= flags::QDEVICE_CAST_VOTE;
                    }
                }
                Ok(Answer::Votequorum(votequorum::Answer::Info(Info {
                    node,
                    state: NodeState::Member,
                    votes: 1,
                    expected: self.expected,
                    highest_expected: self.expected,
                    total: 2,
                    quorum: self.expected / 2 + 1,
                    flags,
                    qdevice_votes: 1,
                    qdevice_name: b"Qdevice".to_vec(),
                })))
            }
            SetExpected { votes } => {
                self.expected = votes;
                Ok(Answer::Done)
            }
            SetVotes { .. } => Err(Failure::NotExist),
            votequorum::Request::Track(_) => Ok(Answer::Done),
            votequorum::Request::QdeviceExtraSet { bytes } if self.device => {
                let notice = votequorum::Notice::QdeviceExtra { node: 1, bytes };
                self.notices.push_back(Notice::Votequorum(notice));
                Ok(Answer::Done)
            }
            votequorum::Request::QdeviceExtraSet { .. } => Err(Failure::NotExist),
            _ => Err(Failure::NotSupported),
        }
    }
}

/// A connection: works on the state that the test holds.
struct Engine(std::rc::Rc<std::cell::RefCell<State>>);

impl Ask for Engine {
    fn ask(&mut self, request: &Request) -> Reply {
        let mut state = self.0.borrow_mut();
        match request.clone() {
            Request::Cmap(request) => state.cmap(request),
            Request::Cfg(request) => State::cfg(request),
            Request::Votequorum(request) => state.votes(request),
            Request::Quorum(quorum::Request::State) => {
                let quorate = state.quorate;
                Ok(Answer::Quorum(quorum::Answer::State { quorate, counted: true }))
            }
            Request::Quorum(quorum::Request::Track(_)) => {
                let (quorate, ring) = (state.quorate, Ring { node: 1, seq: 9 });
                let members = vec![1, 2];
                let notice = quorum::Notice::Quorum { quorate, ring, members };
                state.notices.push_front(Notice::Quorum(notice));
                Ok(Answer::Done)
            }
            Request::Quorum(quorum::Request::Untrack) => Ok(Answer::Done),
            Request::Cpg(cpg::Request::Groups) => {
                Ok(Answer::Cpg(cpg::Answer::Groups(state.groups.clone())))
            }
            Request::Cpg(_) => Err(Failure::NotSupported),
        }
    }

    fn node(&self) -> u32 {
        1
    }

    fn next(&mut self, input: bool) -> Result<Event, Failure> {
        let mut state = self.0.borrow_mut();
        if let Some(notice) = state.notices.pop_front() {
            return Ok(Event::Notice(notice));
        }
        match state.input.pop_front() {
            Some(line) if input => Ok(Event::Input(Some(line))),
            _ => Err(Failure::Library),
        }
    }
}

/// Keeps what a tool prints.
struct Paper {
    out: Vec<u8>,
    err: String,
    state: Option<std::rc::Rc<std::cell::RefCell<State>>>,
}

impl Paper {
    fn new(state: Option<State>) -> Self {
        let state = state.map(|state| std::rc::Rc::new(std::cell::RefCell::new(state)));
        Self { out: Vec::new(), err: String::new(), state }
    }

    /// Runs a command line; what it printed (standard error first, as where the golden files were taken), and its
    /// exit code.
    fn run(&mut self, line: &str) -> (String, u8) {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let args: Vec<OsString> = words.map(OsString::from).collect();
        let code = tools::run(name, &args, self);
        let out = String::from_utf8(std::mem::take(&mut self.out)).unwrap();
        (std::mem::take(&mut self.err) + &out, code)
    }
}

impl Seat for Paper {
    fn print(&mut self, text: &str) {
        self.print_bytes(text.as_bytes());
    }

    fn print_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn complain(&mut self, line: &str) {
        self.err += &format!("{line}\n");
    }

    fn connect(&mut self) -> Result<Box<dyn Ask>, Failure> {
        let state = self.state.as_ref().ok_or(Failure::Library)?;
        Ok(Box::new(Engine(state.clone())))
    }

    fn input(&mut self) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn date(&self) -> String {
        "DATE".to_owned()
    }
}

/// Runs every command of a golden file and compares.
fn compare(golden: &str, paper: &mut Paper) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("binary");
    std::fs::write(&binary, b"a\\\x01b").unwrap();
    let (mut wrong, mut count) = (String::new(), 0);
    for block in golden.split("$ ").filter(|block| !block.is_empty()) {
        let (line, expected) = block.split_once('\n').unwrap();
        let (said, code) = paper.run(&line.replace("BINFILE", &binary.display().to_string()));
        let said = format!("{said}rc={code}\n");
        if said != expected {
            wrong += &format!("$ {line}\n-- expected\n{expected}-- said\n{said}");
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    count
}

#[test]
fn the_same_state_looks_as_with_debians_tools() {
    let golden = include_str!("golden/debian-3.1.7.txt");
    assert!(compare(golden, &mut Paper::new(Some(State::new()))) >= 40);
}

#[test]
fn without_an_engine_they_say_and_end_as_debians() {
    assert_eq!(compare(include_str!("golden/without-an-engine.txt"), &mut Paper::new(None)), 9);
}

#[test]
fn groups_are_listed_in_every_way() {
    let mut state = State::new();
    let member = |node, pid| cpg::Member { node, pid };
    state.groups = vec![
        cpg::Group { name: b"crmd\0".to_vec(), members: vec![member(1, 42), member(2, 4711)] },
        cpg::Group { name: b"a\\b".to_vec(), members: vec![member(1, 7)] },
    ];
    let mut paper = Paper::new(Some(state));
    let (said, code) = paper.run("corosync-cpgtool");
    assert_eq!(
        said,
        "Group Name\t       PID\t   Node ID\ncrmd\\x00\n\t\t        42\t         1 (10.77.0.1)\n\
         \t\t      4711\t         2 (10.77.0.2)\na\\\\b\n\t\t         7\t         1 (10.77.0.1)\n"
    );
    assert_eq!(code, 0);
    assert_eq!(paper.run("corosync-cpgtool -e -n").0, "crmd\0\na\\b\n");
    let listed = "GRP_NAME;PID;NODEID\ncrmd\\x00;42;1\ncrmd\\x00;4711;2\na\\\\b;7;1\n";
    assert_eq!(paper.run("corosync-cpgtool -d ;").0, listed);
    assert_eq!(paper.run("corosync-cpgtool -nd ;").0, "crmd\\x00;a\\\\b;\n");
}

#[test]
fn a_quorum_device_has_a_row_and_a_column() {
    let mut state = State::new();
    (state.device, state.quorate) = (true, true);
    let (said, code) = Paper::new(Some(state)).run("corosync-quorumtool -s");
    let expected = "Quorum:           2  \nFlags:            Quorate WaitForAll Qdevice \n\n\
        Membership information\n----------------------\n    Nodeid      Votes    Qdevice Name\n         \
        1          1    A,V,NMW n1 (local)\n         2          1   A,NV,NMW n2\n         \
        0          1            Qdevice\n";
    assert!(said.ends_with(expected), "{said}");
    assert_eq!(code, 0);
}

#[test]
fn what_a_quorum_device_has_to_say_is_set_and_watched() {
    let mut state = State::new();
    (state.device, state.quorate) = (true, true);
    let mut paper = Paper::new(Some(state));
    for (line, code) in [("-X more", 0), ("-C", 0), ("-W z", 1)] {
        assert_eq!(paper.run(&format!("corosync-quorumtool {line}")).1, code, "{line}");
    }
    let ended = "Unable to dispatch quorum status: CS_ERR_LIBRARY\n";
    let extra = "         1 more\n         1 <unset>\n";
    let (said, code) = paper.run("corosync-quorumtool -W qx");
    assert_eq!(said, format!("{ended}Watching for updates:\nQuorate\n{extra}"));
    assert_eq!(code, 1);
    let mut none = Paper::new(Some(State::new()));
    let failed = ("Failed to set extra info CS_ERR_NOT_EXIST\n".to_owned(), 1);
    assert_eq!(none.run("corosync-quorumtool -X more"), failed);
}

#[test]
fn keys_are_tracked_until_q() {
    let mut state = State::new();
    let notice = |change, old, new| {
        Notice::Cmap(cmap::Notice { track: 1, key: "test.key".into(), change, old, new })
    };
    state.notices.extend([
        notice(cmap::Change::Add, None, Some(Value::U8(1))),
        notice(cmap::Change::Modify, Some(Value::U8(1)), Some(Value::U8(2))),
        notice(cmap::Change::Delete, Some(Value::U8(2)), None),
    ]);
    state.input.extend(["x".to_owned(), "q".to_owned()]);
    let (said, code) = Paper::new(Some(state)).run("corosync-cmapctl -t test.key");
    let expected = "Type \"q\" to finish\ncreate> test.key (u8) = 1\nmodify> test.key (u8) = 2\n\
        delete> test.key (u8) = 2\n";
    assert_eq!((said.as_str(), code), (expected, 0));
}

#[test]
fn a_file_of_settings_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("settings");
    let lines =
        "# settings\n\n test.a u32 7\ntest.b str word\ntest.c i8 -5\n^test.b\n^^nodelist.\n";
    std::fs::write(&file, lines).unwrap();
    let mut paper = Paper::new(Some(State::new()));
    assert_eq!(paper.run(&format!("corosync-cmapctl -p {}", file.display())), (String::new(), 0));
    assert_eq!(paper.run("corosync-cmapctl test.").0, "test.a (u32) = 7\ntest.c (i8) = -5\n");
    assert_eq!(paper.run("corosync-cmapctl nodelist."), (String::new(), 1));
    std::fs::write(&file, "test.a u32\n").unwrap();
    let (said, code) = paper.run(&format!("corosync-cmapctl -p {}", file.display()));
    assert_eq!((said.as_str(), code), ("Both type and value for key test.a are required\n", 1));
}

#[test]
fn keys_are_made_that_only_their_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authkey");
    let mut paper = Paper::new(None);
    let (said, code) = paper.run(&format!("corosync-keygen -l -s 128 -k {}", file.display()));
    let expected = format!(
        "Corosync Cluster Engine Authentication key generator.\nGathering 1024 bits for key from \
         /dev/urandom.\nWriting corosync key to {}.\n",
        file.display()
    );
    assert_eq!((said, code), (expected, 0));
    let first = std::fs::read(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o400);
    assert_eq!(first.len(), 128);
    assert_eq!(paper.run(&format!("corosync-keygen --key-file={}", file.display())).1, 0);
    let second = std::fs::read(&file).unwrap();
    assert_eq!(second.len(), 256);
    assert_ne!(second[..128], first);
}

#[test]
fn what_comes_and_goes_is_said() {
    let mut state = State::new();
    state.map.insert("runtime.members.2.ip".into(), text("r(0) ip(10.77.0.2) "));
    let notice = |key: &str, change, old: Option<Value>, new: Option<Value>| {
        Notice::Cmap(cmap::Notice { track: 1, key: key.into(), change, old, new })
    };
    use cmap::Change::{Add, Modify};
    state.notices.extend([
        notice("runtime.members.2.status", Modify, Some(text("joined")), Some(text("left"))),
        notice("runtime.members.2.join_count", Modify, Some(Value::U32(1)), Some(Value::U32(2))),
        notice("stats.ipcs.service2.42.7.procname", Add, None, Some(text("pacemakerd"))),
        notice("stats.knet.node2.link0.connected", Modify, Some(Value::U8(1)), Some(Value::U8(0))),
    ]);
    let (said, code) = Paper::new(Some(state)).run("corosync-notifyd -f -o");
    assert_eq!(
        said,
        "Could not dispatch cmap events. Error 2\n[notice] n1[1] has lost quorum\n\
         [notice] n2[2] ip:10.77.0.2 left\n[notice] n1[1] 7.42.pacemakerd is now connected to corosync\n\
         [notice] n1[1] link 0 to node 2 is now disconnected\n"
    );
    assert_eq!(code, 1, "the engine is gone");
    let mut paper = Paper::new(None);
    for args in ["", " -f", " -d -o", " -m host -o"] {
        let (said, code) = paper.run(&format!("corosync-notifyd{args}"));
        assert!(code == 1 && said.starts_with("corosync-notifyd: "), "{said}");
    }
}

#[test]
fn a_tool_is_known_by_its_programs_name() {
    use std::ffi::OsStr;
    let name = tools::name_of(OsStr::new("/usr/sbin/corosync-cfgtool"));
    assert_eq!(name, Some("corosync-cfgtool"));
    assert_eq!(tools::name_of(OsStr::new("/usr/bin/synchrotron-corosync")), None);
    for name in tools::TOOLS.iter().map(|tool| tool.name) {
        let (said, code) = Paper::new(None).run(&format!("{name} -h"));
        assert!(code == 0 && said.contains(name.trim_start_matches("corosync-")), "{name}: {said}");
    }
}

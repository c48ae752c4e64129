//! Commands, as corosync-vqsim has them.

use std::io::{self, Write};

use crate::simulator::{PARTITIONS, Simulator};

/// What comes after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next one.
    Go,
    /// The end.
    Exit,
}

/// Reads commands and shows what follows from them.
pub struct Shell<'w> {
    simulator: Simulator,
    out: &'w mut dyn Write,
    err: &'w mut dyn Write,
    /// After every change, nodes without a quorum are taken away.
    autofence: bool,
    /// After every change the states are shown.
    sync: bool,
}

/// Each command with the number of words it needs after it, and what it does.
const COMMANDS: [(&str, &str); 8] = [
    ("up       [P:]N[,N...] ...", "start nodes N in partition P (0 if not given)"),
    ("down     N[,N...] ...", "stop nodes"),
    ("move     [P:]N[,N...] ...", "put nodes into partitions; also: split"),
    ("join     P P ...", "put all nodes of the later partitions into the first"),
    ("qdevice  on|off [P:]N[,N...] ...", "let the nodes' quorum device vote, or not"),
    ("autofence on|off", "stop nodes without a quorum after each change"),
    ("sync     on|off", "show all nodes after each change"),
    ("show", "show all nodes; timeout N and assert on|off are taken and change nothing"),
];

impl<'w> Shell<'w> {
    /// A shell around a simulation.
    pub fn new(simulator: Simulator, out: &'w mut dyn Write, err: &'w mut dyn Write) -> Self {
        Self { simulator, out, err, autofence: false, sync: true }
    }

    /// Shows nothing after changes: only `show` does.
    pub fn set_sync(&mut self, sync: bool) {
        self.sync = sync;
    }

    /// Starts all nodes of the configuration.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn start(&mut self) -> io::Result<()> {
        for id in self.simulator.configured() {
            self.simulator.start(id, 0);
        }
        self.changed(false)
    }

    /// Lets time pass.
    pub fn advance(&mut self, now_ns: u64) {
        self.simulator.advance(now_ns);
    }

    /// The output, for prompts.
    pub fn out(&mut self) -> &mut dyn Write {
        self.out
    }

    /// One line of input.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn run(&mut self, line: &str) -> io::Result<Flow> {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let Some((command, arguments)) = words.split_first() else { return Ok(Flow::Go) };
        if line.starts_with('#') {
            return Ok(Flow::Go);
        }
        match (command.to_ascii_lowercase().as_str(), arguments) {
            ("up", [_, ..]) => self.up(arguments)?,
            ("down", [_, ..]) => self.down(arguments)?,
            ("move" | "split", [_, ..]) => self.place(arguments)?,
            ("join", [_, _, ..]) => self.join(arguments)?,
            ("qdevice", [state, nodes @ ..]) => {
                if let Some(votes) = self.on_off("qdevice", state)? {
                    self.device(votes, nodes)?;
                }
            }
            ("autofence", [state]) => {
                if let Some(on) = self.on_off("autofence", state)? {
                    self.autofence = on;
                    writeln!(self.out, "#autofence: {}", word(on))?;
                }
            }
            ("sync", [state]) => {
                if let Some(on) = self.on_off("sync", state)? {
                    self.sync = on;
                    writeln!(self.out, "#sync: {}", word(on))?;
                }
            }
            ("timeout" | "assert", [_]) => {}
            ("show", []) => self.show()?,
            ("exit" | "quit" | "q", []) => return Ok(Flow::Exit),
            _ => self.usage()?,
        }
        Ok(Flow::Go)
    }

    fn usage(&mut self) -> io::Result<()> {
        for (command, meaning) in COMMANDS {
            writeln!(self.out, "{command:<34} {meaning}")?;
        }
        writeln!(self.out, "exit")
    }

    fn on_off(&mut self, what: &str, state: &str) -> io::Result<Option<bool>> {
        match state.to_ascii_lowercase().as_str() {
            "on" => Ok(Some(true)),
            "off" => Ok(Some(false)),
            _ => {
                writeln!(self.err, "ERR: {what} is {state:?}; it can be 'on' or 'off'")?;
                Ok(None)
            }
        }
    }

    fn up(&mut self, arguments: &[&str]) -> io::Result<()> {
        for (partition, nodes) in self.places(arguments)? {
            for id in nodes {
                if let Some(there) = self.simulator.find(id) {
                    let text = format!("ERR: nodeid {id} already exists in partition {there}");
                    writeln!(self.err, "{text}")?;
                } else {
                    self.simulator.start(id, partition);
                }
            }
        }
        self.changed(false)
    }

    fn down(&mut self, arguments: &[&str]) -> io::Result<()> {
        for (_, nodes) in self.places(arguments)? {
            for id in nodes {
                match self.simulator.stop(id) {
                    Some(partition) => {
                        writeln!(self.out, "{partition}:{id}: Quit (on request)")?;
                    }
                    None => writeln!(self.err, "ERR: nodeid {id} is not up")?,
                }
            }
        }
        self.changed(false)
    }

    fn place(&mut self, arguments: &[&str]) -> io::Result<()> {
        for (partition, nodes) in self.places(arguments)? {
            for missing in self.simulator.place(&nodes, partition) {
                writeln!(self.out, "ERR: node {missing} does not exist")?;
            }
        }
        self.simulator.reform_all(true);
        self.changed(true)
    }

    fn join(&mut self, arguments: &[&str]) -> io::Result<()> {
        let mut partitions = Vec::new();
        for argument in arguments {
            match partition(argument) {
                Ok(number) => partitions.push(number),
                Err(what) => return writeln!(self.err, "ERR: {what}"),
            }
        }
        if let Some((to, others)) = partitions.split_first() {
            others.iter().for_each(|from| self.simulator.join(*to, *from));
        }
        self.simulator.reform_all(true);
        self.changed(true)
    }

    fn device(&mut self, votes: bool, arguments: &[&str]) -> io::Result<()> {
        for (_, nodes) in self.places(arguments)? {
            for id in nodes {
                if self.simulator.find(id).is_some() && !self.simulator.set_device(id, votes) {
                    writeln!(self.err, "{id}: the configuration has no quorum device to switch")?;
                }
            }
        }
        self.simulator.reform_all(false);
        self.changed(true)
    }

    /// Reads `[P:]N[,N...]` words; what is not one is said and left out.
    fn places(&mut self, arguments: &[&str]) -> io::Result<Vec<(usize, Vec<u32>)>> {
        let mut places = Vec::new();
        for argument in arguments {
            match place(argument) {
                Ok(place) => places.push(place),
                Err(what) => writeln!(self.err, "ERR: {what}")?,
            }
        }
        Ok(places)
    }

    fn changed(&mut self, may_fence: bool) -> io::Result<()> {
        if may_fence && self.autofence {
            for (partition, id) in self.simulator.fence() {
                writeln!(self.out, "{partition}:{id}: Quit (autofenced)")?;
            }
        }
        if self.sync { self.show() } else { Ok(()) }
    }

    fn show(&mut self) -> io::Result<()> {
        for line in self.simulator.states() {
            writeln!(self.out, "{line}")?;
        }
        writeln!(self.out, "#autofence: {}", word(self.autofence))
    }
}

fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn partition(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number < PARTITIONS);
    number.ok_or_else(|| format!("{text:?} is no partition; they are 0 to {}", PARTITIONS - 1))
}

fn place(text: &str) -> Result<(usize, Vec<u32>), String> {
    let (number, list) = text.split_once(':').unwrap_or(("0", text));
    let partition = partition(number)?;
    let node = |id: &str| match id.parse() {
        Ok(0) | Err(_) => Err(format!("{id:?} is no node id; they start at 1")),
        Ok(id) => Ok(id),
    };
    Ok((partition, list.split(',').map(node).collect::<Result<_, _>>()?))
}

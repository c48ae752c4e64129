//! The table of scenarios: every feature of votequorum alone, and every pair that may be combined.

/// One step of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A command after which both simulators show the same.
    Do(&'static str),
    /// A command after which ours is safer, on purpose, and why.
    Safer(&'static str, &'static str),
    /// A command after which corosync-vqsim shows sometimes one thing and sometimes another, and why.
    Races(&'static str, &'static str),
    /// A time that passes, milliseconds.
    Pass(u64),
}

/// A configuration and what happens to it.
pub(crate) struct Scenario {
    /// What it is about.
    pub(crate) name: &'static str,
    /// Entries of the section `quorum`.
    pub(crate) quorum: &'static [&'static str],
    /// Votes of the nodes, which are numbered from 1.
    pub(crate) votes: &'static [u32],
    /// What happens.
    pub(crate) steps: Vec<Step>,
}

/// A scenario in which nothing happens yet.
fn scenario(
    name: &'static str,
    quorum: &'static [&'static str],
    votes: &'static [u32],
) -> Scenario {
    Scenario { name, quorum, votes, steps: Vec::new() }
}

impl Scenario {
    /// Then these commands, one after another, with semicolons between them; `pass 300` lets 300 ms pass.
    fn run(mut self, commands: &'static str) -> Self {
        self.steps.extend(commands.split("; ").map(
            |command| match command.strip_prefix("pass ") {
                Some(ms) => Step::Pass(ms.parse().expect("milliseconds")),
                None => Step::Do(command),
            },
        ));
        self
    }

    /// Then a command after which ours is safer, on purpose, and why.
    fn safer(mut self, command: &'static str, why: &'static str) -> Self {
        self.steps.push(Step::Safer(command, why));
        self
    }

    /// Then a command after which corosync-vqsim shows sometimes this and sometimes that, and why.
    fn races(mut self, command: &'static str, why: &'static str) -> Self {
        self.steps.push(Step::Races(command, why));
        self
    }
}

/// Corosync's simulator has no barrier: a node decides on a new ring before it hears what it said itself
/// before, takes that for news of a quorum, and waits for nobody. Its daemon has the barrier.
const NO_BARRIER: &str = "a node that lost its quorum waits for all again, as Corosync's daemon does; \
                          corosync-vqsim forgets it";

/// The same lack: whoever waits for all and comes to nodes with a quorum may decide before it hears of it.
const JOINS_LATE: &str =
    "all agree; in corosync-vqsim who comes may hear of the others' quorum too late";

const THREE_OF_FIVE: &str = "1 and 2 go on; with Corosync 3, 4 and 5 do so, too, because 3 expects \
                             only three votes";

const EIGHT_BITS: &str = "Corosync keeps the votes needed in eight bits: 451 becomes 195, and every \
                          node alone has 300";

const WAIT: &str = "wait_for_all: 1";
const TWO_NODE: &str = "two_node: 1";
const TIE: &str = "auto_tie_breaker: 1";
const LAST_MAN: &str = "last_man_standing: 1\n  last_man_standing_window: 50";
const DOWNSCALE: &str = "allow_downscale: 1";
const TRACKING: &str = "expected_votes_tracking: 1";
const DEVICE: &str = "device {\n    model: net\n    timeout: 2000\n    sync_timeout: 2000\n  }";

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    [without_features(), waiting(), last_man(), ties(), counting()].into_iter().flatten().collect()
}

/// No feature, and votes given.
fn without_features() -> Vec<Scenario> {
    vec![
        scenario("majority of three", &[], &[1, 1, 1])
            .run("split 1:3; split 1:2,3 2:1; join 0 1 2; down 1; down 2; up 1; up 2"),
        scenario("three of five go on", &[], &[1, 1, 1, 1, 1])
            .run("split 1:4,5; split 2:3; join 1 2; join 0 1"),
        scenario("both halves of four lose", &[], &[1, 1, 1, 1])
            .run("split 1:3,4; join 0 1; split 1:1 2:2 3:3,4; join 0 1 2 3"),
        scenario("more nodes than configured", &[], &[1, 1, 1])
            .run("up 4; up 5; split 1:4,5; split 1:3; join 0 1"),
        scenario("one heavy node", &[], &[3, 1, 1]).run("split 1:2,3; join 0 1; down 1; up 1"),
        scenario("a node without votes", &[], &[1, 1, 1, 0])
            .run("split 1:4; join 0 1; split 1:3,4; split 1:1,2 2:3,4"),
        scenario("expected votes given", &["expected_votes: 5"], &[1, 1, 1])
            .run("split 1:3; join 0 1; up 4; split 1:3,4"),
    ]
}

/// Waiting for all, and two nodes.
fn waiting() -> Vec<Scenario> {
    vec![
        scenario("wait for all", &[WAIT], &[1, 1, 1])
            .run("down 3; down 2")
            .safer("up 2", NO_BARRIER)
            .run("up 3; split 1:3; join 0 1; split 1:2 2:3")
            .safer("join 1 2", NO_BARRIER)
            .run("join 0 1"),
        scenario("wait for all with uneven votes", &[WAIT], &[3, 1, 1])
            .run("split 1:2,3; down 2")
            .races("up 2", JOINS_LATE)
            .run("join 0 1"),
        scenario("wait for all and expected votes", &[WAIT, "expected_votes: 4"], &[1, 1, 1])
            .run("up 4; split 1:4; split 1:3; join 0 1"),
        scenario("two nodes", &[TWO_NODE], &[1, 1])
            .run("split 1:2; join 0 1; down 2; up 2; down 1; up 1"),
        scenario("two nodes that do not wait", &[TWO_NODE, "wait_for_all: 0"], &[1, 1])
            .run("down 2; down 1; up 2; up 1; split 1:2"),
        scenario("two nodes and a third", &[TWO_NODE], &[1, 1])
            .run("up 3; split 1:3; split 1:2,3; join 0 1"),
        scenario("two nodes and a tie breaker", &[TWO_NODE, TIE], &[1, 1])
            .run("split 1:2; join 0 1; split 1:1"),
        scenario("two nodes and the last man", &[TWO_NODE, LAST_MAN], &[1, 1])
            .run("split 1:2; pass 300; join 0 1; down 2; pass 300; up 2"),
    ]
}

/// The last man standing.
fn last_man() -> Vec<Scenario> {
    vec![
        scenario("the last man standing", &[LAST_MAN], &[1, 1, 1, 1, 1, 1, 1, 1])
            .run("split 1:6,7,8; pass 300; split 2:4,5; pass 300")
            .run("split 3:3; pass 300; split 4:2")
            .safer("join 0 4", "both lost the quorum: the six others may have one by now"),
        scenario("the last man standing waits for all", &[WAIT, LAST_MAN], &[1, 1, 1, 1, 1])
            .run("split 1:4,5; pass 300; join 0 1; down 5; pass 300; down 4"),
        scenario(
            "who was one of the last men standing meets others",
            &[WAIT, LAST_MAN],
            &[1, 1, 1, 1, 1],
        )
        .run("split 1:4,5; pass 300; split 2:3")
        .safer("join 1 2", THREE_OF_FIVE),
        scenario("the last man standing with uneven votes", &[LAST_MAN], &[2, 1, 1])
            .run("split 1:3; pass 300; split 2:2; join 0 1 2"),
    ]
}

/// Ties.
fn ties() -> Vec<Scenario> {
    vec![
        scenario("a tie goes to the lowest", &[TIE], &[1, 1, 1, 1])
            .run("split 1:3,4; join 0 1; split 1:1,4; join 0 1; split 1:1"),
        scenario(
            "a tie goes to the highest",
            &[TIE, "auto_tie_breaker_node: highest"],
            &[1, 1, 1, 1],
        )
        .run("split 1:3,4; join 0 1; split 1:1,4; down 4; up 4"),
        scenario("a tie goes by a list", &[TIE, "auto_tie_breaker_node: 3 2"], &[1, 1, 1, 1])
            .run("split 1:3,4; join 0 1; split 1:1,4; join 0 1; down 3; split 1:1,4"),
        scenario("a tie of two", &[TIE], &[1, 1])
            .run("split 1:2; join 0 1; split 1:1; join 0 1; down 1"),
        scenario("a tie breaker in an odd cluster is off", &[TIE], &[1, 1, 1, 1, 1])
            .run("split 1:3,4,5; join 0 1; split 1:4,5 2:3; join 0 1 2"),
        scenario("a tie breaker in an odd cluster that waits", &[TIE, WAIT], &[1, 1, 1, 1, 1])
            .run("split 1:3,4,5; join 0 1; split 1:3; split 2:4,5; join 0 1 2"),
        scenario("a tie breaker that waits for all", &[TIE, WAIT], &[1, 1, 1, 1])
            .run("down 4; down 3")
            .races("up 3", JOINS_LATE)
            .run("up 4; split 1:3,4; join 0 1"),
        scenario("a tie breaker and the last man", &[TIE, LAST_MAN], &[1, 1, 1, 1])
            .run("split 1:4; pass 300; split 2:3; pass 300; split 3:2; pass 300; join 0 3"),
        scenario("a tie breaker, the last man, and waiting", &[TIE, WAIT, LAST_MAN], &[1, 1, 1, 1])
            .run("split 1:3,4; pass 300; split 2:2; join 0 2; join 0 1"),
    ]
}

/// Downscaling, tracked votes, devices, and many votes.
fn counting() -> Vec<Scenario> {
    vec![
        scenario("downscale", &[DOWNSCALE], &[1, 1, 1])
            .run("up 4; up 5; down 5; down 4; down 3; up 3"),
        scenario("downscale and waiting", &[DOWNSCALE, WAIT], &[1, 1, 1])
            .run("split 1:3; join 0 1; split 1:2 2:3")
            .safer("join 1 2", NO_BARRIER)
            .run("join 0 1"),
        scenario("downscale and a tie breaker", &[DOWNSCALE, TIE], &[1, 1, 1, 1])
            .run("split 1:3,4; join 0 1"),
        scenario("downscale and the last man", &[DOWNSCALE, WAIT, LAST_MAN], &[1, 1, 1, 1, 1])
            .run("split 1:4,5; pass 300")
            .races("split 2:3", "1 and 2 agree; in corosync-vqsim they may not"),
        scenario("tracked votes", &[TRACKING], &[1, 1, 1])
            .run("up 4; up 5; split 1:4,5; down 3; up 3"),
        scenario("tracked votes and waiting", &[TRACKING, WAIT], &[1, 1, 1])
            .run("split 1:3; split 2:2; join 0 1 2"),
        scenario("tracked votes and a tie breaker", &[TRACKING, TIE], &[1, 1, 1, 1])
            .run("split 1:3,4; join 0 1"),
        scenario("a device with one side of four", &[DEVICE], &[1, 1, 1, 1])
            .run("split 1:3,4; qdevice on 1,2; show"),
        scenario("a device with two nodes", &[DEVICE], &[1, 1])
            .run("split 1:2; qdevice on 2; show"),
        scenario("a device that waits for all", &[WAIT, DEVICE], &[1, 1])
            .run("qdevice on 1,2; show"),
        scenario("more votes than eight bits hold", &[], &[300, 300, 300])
            .safer("split 1:3 2:2", EIGHT_BITS),
    ]
}

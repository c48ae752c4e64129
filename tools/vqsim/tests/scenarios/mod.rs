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

use Step::{Do, Pass, Races, Safer};

/// A configuration and what happens to it.
pub(crate) struct Scenario {
    /// What it is about.
    pub(crate) name: &'static str,
    /// Lines of the section `quorum`.
    pub(crate) quorum: &'static str,
    /// Votes of the nodes, which are numbered from 1.
    pub(crate) votes: &'static [u32],
    /// What happens.
    pub(crate) steps: &'static [Step],
}

/// Corosync's simulator has no barrier: a node decides on a new ring before it hears what it said itself
/// before, takes that for news of a quorum, and waits for nobody. Its daemon has the barrier.
const NO_BARRIER: &str = "a node that lost its quorum waits for all again, as Corosync's daemon does; \
                          corosync-vqsim forgets it";

/// The same lack: whoever waits for all and comes to nodes with a quorum may decide before it hears of it.
const JOINS_LATE: &str =
    "all agree; in corosync-vqsim who comes may hear of the others' quorum too late";

const LAST_MAN: &str = "last_man_standing: 1\n  last_man_standing_window: 50";
const LAST_MAN_WAIT: &str =
    "wait_for_all: 1\n  last_man_standing: 1\n  last_man_standing_window: 50";
const TIE_LAST_MAN: &str =
    "auto_tie_breaker: 1\n  last_man_standing: 1\n  last_man_standing_window: 50";
const TIE_LAST_MAN_WAIT: &str = "auto_tie_breaker: 1\n  wait_for_all: 1\n  last_man_standing: 1\n  \
                                 last_man_standing_window: 50";
const DEVICE: &str = "device {\n    model: net\n    timeout: 2000\n    sync_timeout: 2000\n  }";
const DEVICE_WAIT: &str =
    "wait_for_all: 1\n  device {\n    model: net\n    timeout: 2000\n    sync_timeout: 2000\n  }";

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "majority of three",
        quorum: "",
        votes: &[1, 1, 1],
        steps: &[
            Do("split 1:3"),
            Do("split 1:2,3 2:1"),
            Do("join 0 1 2"),
            Do("down 1"),
            Do("down 2"),
            Do("up 1"),
            Do("up 2"),
        ],
    },
    Scenario {
        name: "three of five go on",
        quorum: "",
        votes: &[1, 1, 1, 1, 1],
        steps: &[Do("split 1:4,5"), Do("split 2:3"), Do("join 1 2"), Do("join 0 1")],
    },
    Scenario {
        name: "both halves of four lose",
        quorum: "",
        votes: &[1, 1, 1, 1],
        steps: &[Do("split 1:3,4"), Do("join 0 1"), Do("split 1:1 2:2 3:3,4"), Do("join 0 1 2 3")],
    },
    Scenario {
        name: "more nodes than configured",
        quorum: "",
        votes: &[1, 1, 1],
        steps: &[Do("up 4"), Do("up 5"), Do("split 1:4,5"), Do("split 1:3"), Do("join 0 1")],
    },
    Scenario {
        name: "one heavy node",
        quorum: "",
        votes: &[3, 1, 1],
        steps: &[Do("split 1:2,3"), Do("join 0 1"), Do("down 1"), Do("up 1")],
    },
    Scenario {
        name: "a node without votes",
        quorum: "",
        votes: &[1, 1, 1, 0],
        steps: &[Do("split 1:4"), Do("join 0 1"), Do("split 1:3,4"), Do("split 1:1,2 2:3,4")],
    },
    Scenario {
        name: "expected votes given",
        quorum: "expected_votes: 5",
        votes: &[1, 1, 1],
        steps: &[Do("split 1:3"), Do("join 0 1"), Do("up 4"), Do("split 1:3,4")],
    },
    Scenario {
        name: "wait for all",
        quorum: "wait_for_all: 1",
        votes: &[1, 1, 1],
        steps: &[
            Do("down 3"),
            Do("down 2"),
            Safer("up 2", NO_BARRIER),
            Do("up 3"),
            Do("split 1:3"),
            Do("join 0 1"),
            Do("split 1:2 2:3"),
            Safer("join 1 2", NO_BARRIER),
            Do("join 0 1"),
        ],
    },
    Scenario {
        name: "wait for all with uneven votes",
        quorum: "wait_for_all: 1",
        votes: &[3, 1, 1],
        steps: &[Do("split 1:2,3"), Do("down 2"), Races("up 2", JOINS_LATE), Do("join 0 1")],
    },
    Scenario {
        name: "wait for all and expected votes",
        quorum: "wait_for_all: 1\n  expected_votes: 4",
        votes: &[1, 1, 1],
        steps: &[Do("up 4"), Do("split 1:4"), Do("split 1:3"), Do("join 0 1")],
    },
    Scenario {
        name: "two nodes",
        quorum: "two_node: 1",
        votes: &[1, 1],
        steps: &[
            Do("split 1:2"),
            Do("join 0 1"),
            Do("down 2"),
            Do("up 2"),
            Do("down 1"),
            Do("up 1"),
        ],
    },
    Scenario {
        name: "two nodes that do not wait",
        quorum: "two_node: 1\n  wait_for_all: 0",
        votes: &[1, 1],
        steps: &[Do("down 2"), Do("down 1"), Do("up 2"), Do("up 1"), Do("split 1:2")],
    },
    Scenario {
        name: "two nodes and a third",
        quorum: "two_node: 1",
        votes: &[1, 1],
        steps: &[Do("up 3"), Do("split 1:3"), Do("split 1:2,3"), Do("join 0 1")],
    },
    Scenario {
        name: "two nodes and a tie breaker",
        quorum: "two_node: 1\n  auto_tie_breaker: 1",
        votes: &[1, 1],
        steps: &[Do("split 1:2"), Do("join 0 1"), Do("split 1:1")],
    },
    Scenario {
        name: "two nodes and the last man",
        quorum: "two_node: 1\n  last_man_standing: 1\n  last_man_standing_window: 50",
        votes: &[1, 1],
        steps: &[Do("split 1:2"), Pass(300), Do("join 0 1"), Do("down 2"), Pass(300), Do("up 2")],
    },
    Scenario {
        name: "the last man standing",
        quorum: LAST_MAN,
        votes: &[1, 1, 1, 1, 1, 1, 1, 1],
        steps: &[
            Do("split 1:6,7,8"),
            Pass(300),
            Do("split 2:4,5"),
            Pass(300),
            Do("split 3:3"),
            Pass(300),
            Do("split 4:2"),
            Safer("join 0 4", "both lost the quorum: the six others may have one by now"),
        ],
    },
    Scenario {
        name: "the last man standing waits for all",
        quorum: LAST_MAN_WAIT,
        votes: &[1, 1, 1, 1, 1],
        steps: &[
            Do("split 1:4,5"),
            Pass(300),
            Do("join 0 1"),
            Do("down 5"),
            Pass(300),
            Do("down 4"),
        ],
    },
    Scenario {
        name: "who was one of the last men standing meets others",
        quorum: LAST_MAN_WAIT,
        votes: &[1, 1, 1, 1, 1],
        steps: &[
            Do("split 1:4,5"),
            Pass(300),
            Do("split 2:3"),
            Safer(
                "join 1 2",
                "1 and 2 go on; with Corosync 3, 4 and 5 do so, too, because 3 expects only three votes",
            ),
        ],
    },
    Scenario {
        name: "the last man standing with uneven votes",
        quorum: LAST_MAN,
        votes: &[2, 1, 1],
        steps: &[Do("split 1:3"), Pass(300), Do("split 2:2"), Do("join 0 1 2")],
    },
    Scenario {
        name: "a tie goes to the lowest",
        quorum: "auto_tie_breaker: 1",
        votes: &[1, 1, 1, 1],
        steps: &[
            Do("split 1:3,4"),
            Do("join 0 1"),
            Do("split 1:1,4"),
            Do("join 0 1"),
            Do("split 1:1"),
        ],
    },
    Scenario {
        name: "a tie goes to the highest",
        quorum: "auto_tie_breaker: 1\n  auto_tie_breaker_node: highest",
        votes: &[1, 1, 1, 1],
        steps: &[Do("split 1:3,4"), Do("join 0 1"), Do("split 1:1,4"), Do("down 4"), Do("up 4")],
    },
    Scenario {
        name: "a tie goes by a list",
        quorum: "auto_tie_breaker: 1\n  auto_tie_breaker_node: 3 2",
        votes: &[1, 1, 1, 1],
        steps: &[
            Do("split 1:3,4"),
            Do("join 0 1"),
            Do("split 1:1,4"),
            Do("join 0 1"),
            Do("down 3"),
            Do("split 1:1,4"),
        ],
    },
    Scenario {
        name: "a tie of two",
        quorum: "auto_tie_breaker: 1",
        votes: &[1, 1],
        steps: &[Do("split 1:2"), Do("join 0 1"), Do("split 1:1"), Do("join 0 1"), Do("down 1")],
    },
    Scenario {
        name: "a tie breaker in an odd cluster is off",
        quorum: "auto_tie_breaker: 1",
        votes: &[1, 1, 1, 1, 1],
        steps: &[Do("split 1:3,4,5"), Do("join 0 1"), Do("split 1:4,5 2:3"), Do("join 0 1 2")],
    },
    Scenario {
        name: "a tie breaker in an odd cluster that waits",
        quorum: "auto_tie_breaker: 1\n  wait_for_all: 1",
        votes: &[1, 1, 1, 1, 1],
        steps: &[
            Do("split 1:3,4,5"),
            Do("join 0 1"),
            Do("split 1:3"),
            Do("split 2:4,5"),
            Do("join 0 1 2"),
        ],
    },
    Scenario {
        name: "a tie breaker that waits for all",
        quorum: "auto_tie_breaker: 1\n  wait_for_all: 1",
        votes: &[1, 1, 1, 1],
        steps: &[
            Do("down 4"),
            Do("down 3"),
            Races("up 3", JOINS_LATE),
            Do("up 4"),
            Do("split 1:3,4"),
            Do("join 0 1"),
        ],
    },
    Scenario {
        name: "a tie breaker and the last man",
        quorum: TIE_LAST_MAN,
        votes: &[1, 1, 1, 1],
        steps: &[
            Do("split 1:4"),
            Pass(300),
            Do("split 2:3"),
            Pass(300),
            Do("split 3:2"),
            Pass(300),
            Do("join 0 3"),
        ],
    },
    Scenario {
        name: "a tie breaker, the last man, and waiting",
        quorum: TIE_LAST_MAN_WAIT,
        votes: &[1, 1, 1, 1],
        steps: &[Do("split 1:3,4"), Pass(300), Do("split 2:2"), Do("join 0 2"), Do("join 0 1")],
    },
    Scenario {
        name: "downscale",
        quorum: "allow_downscale: 1",
        votes: &[1, 1, 1],
        steps: &[Do("up 4"), Do("up 5"), Do("down 5"), Do("down 4"), Do("down 3"), Do("up 3")],
    },
    Scenario {
        name: "downscale and waiting",
        quorum: "allow_downscale: 1\n  wait_for_all: 1",
        votes: &[1, 1, 1],
        steps: &[
            Do("split 1:3"),
            Do("join 0 1"),
            Do("split 1:2 2:3"),
            Safer("join 1 2", NO_BARRIER),
            Do("join 0 1"),
        ],
    },
    Scenario {
        name: "downscale and a tie breaker",
        quorum: "allow_downscale: 1\n  auto_tie_breaker: 1",
        votes: &[1, 1, 1, 1],
        steps: &[Do("split 1:3,4"), Do("join 0 1")],
    },
    Scenario {
        name: "downscale and the last man",
        quorum: "allow_downscale: 1\n  wait_for_all: 1\n  last_man_standing: 1\n  last_man_standing_window: 50",
        votes: &[1, 1, 1, 1, 1],
        steps: &[
            Do("split 1:4,5"),
            Pass(300),
            Races("split 2:3", "1 and 2 agree; in corosync-vqsim they may not"),
        ],
    },
    Scenario {
        name: "tracked votes",
        quorum: "expected_votes_tracking: 1",
        votes: &[1, 1, 1],
        steps: &[Do("up 4"), Do("up 5"), Do("split 1:4,5"), Do("down 3"), Do("up 3")],
    },
    Scenario {
        name: "tracked votes and waiting",
        quorum: "expected_votes_tracking: 1\n  wait_for_all: 1",
        votes: &[1, 1, 1],
        steps: &[Do("split 1:3"), Do("split 2:2"), Do("join 0 1 2")],
    },
    Scenario {
        name: "tracked votes and a tie breaker",
        quorum: "expected_votes_tracking: 1\n  auto_tie_breaker: 1",
        votes: &[1, 1, 1, 1],
        steps: &[Do("split 1:3,4"), Do("join 0 1")],
    },
    Scenario {
        name: "a device with one side of four",
        quorum: DEVICE,
        votes: &[1, 1, 1, 1],
        steps: &[Do("split 1:3,4"), Do("qdevice on 1,2"), Do("show")],
    },
    Scenario {
        name: "a device with two nodes",
        quorum: DEVICE,
        votes: &[1, 1],
        steps: &[Do("split 1:2"), Do("qdevice on 2"), Do("show")],
    },
    Scenario {
        name: "a device that waits for all",
        quorum: DEVICE_WAIT,
        votes: &[1, 1],
        steps: &[Do("qdevice on 1,2"), Do("show")],
    },
    Scenario {
        name: "more votes than eight bits hold",
        quorum: "",
        votes: &[300, 300, 300],
        steps: &[Safer(
            "split 1:3 2:2",
            "Corosync keeps the votes needed in eight bits: 451 becomes 195, and every node alone has 300",
        )],
    },
];

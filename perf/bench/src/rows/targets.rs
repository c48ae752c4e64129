//! Rows 1 to 16: what was asked for, with the figures to reach on a machine with two cores that all nodes share.

use super::Metric::{
    Cores, Cpu, Failover, Formed, Held, Latency, Left, Megabytes, Rate, RingRate, RingShare,
    RingTime,
};
use super::Of::{P50, P99, Rotations, Skew};
use super::Target::{AtLeast, AtMost, Shown, Times};
use super::{Row, Target, item, want};

const TWO: &str = "compare --nodes 2 --size 64";
const EIGHT: &str = "compare --nodes 8 --size 64";
const MANY: &str = "compare --nodes 32 --size 64";
const MANY_SEND: &str = "local --nodes 32 --size 64 --senders all --loads flood";

const SPINNING: &str = "local --nodes 2 --loads idle --mode busy --waiting yield";
const PARKED: &str = "local --nodes 2 --loads idle --mode park";
const PARKED_MANY: &str = "local --nodes 32 --loads idle --mode park";

const HALF_TWO: &str = "local --nodes 2 --loads flood,half";
const HALF_EIGHT: &str = "local --nodes 8 --loads flood,half";
const HALF_MANY: &str = "local --nodes 32 --loads flood,half,rate:300000";

const PLAIN_TWO: &str = "local --nodes 2 --size 64 --loads flood --encryption off";
const SEALED_TWO: &str = "local --nodes 2 --size 64 --loads flood --encryption on";
const PLAIN_LONG: &str = "local --nodes 2 --size 1400 --loads flood --encryption off";
const SEALED_LONG: &str = "local --nodes 2 --size 1400 --loads flood --encryption on";
const PLAIN_MANY: &str = "local --nodes 32 --size 64 --loads flood --encryption off";
const SEALED_MANY: &str = "local --nodes 32 --size 64 --loads flood --encryption on";

const KILL: &str = "failover --nodes 3 --fault kill";
const UNPLUG: &str = "failover --nodes 3 --fault unplug";
const KILL_THEIRS: &str = "failover --nodes 3 --fault kill --engine corosync";
const UNPLUG_THEIRS: &str = "failover --nodes 3 --fault unplug --engine corosync";
const HOGS_MANY: &str = "local --nodes 32 --loads rate:20000 --hogs 2";

const FAIR: &str = "local --nodes 3 --loads flood,half";
const LOSS: &str = "local --nodes 3 --loads flood,half --loss 1";
const SINGLE_LOSS: &str = "local --nodes 3 --loads flood,half --datagram-loss 1";
const FAIR_ALL: &str = "local --nodes 3 --senders all --loads flood,half";
const LOSS_ALL: &str = "local --nodes 3 --senders all --loads flood,half --datagram-loss 1";

const NO_HOGS: &str = "local --nodes 3 --loads flood";
const HOGS: &str = "local --nodes 3 --loads flood --hogs 2";

/// Bells, by what `bench ring` calls them.
const EVENTFD: &str = "bare eventfd";

pub(super) const ROWS: [Row; 16] = [
    Row {
        number: 1,
        what: "2 nodes, 64 B, flood from one sender, a subscriber on every node",
        commands: &[item(TWO, 3)],
        lines: &[want("2 nodes, 64 B, flood", TWO, Rate, Times(8e6, 29.0))
            .summary("64 B from one sender to 2 nodes, ordered")],
    },
    Row {
        number: 2,
        what: "8 nodes, same",
        commands: &[item(EIGHT, 3)],
        lines: &[
            want("8 nodes, 64 B, flood", EIGHT, Rate, Times(3.5e6, 50.0)).summary("... to 8 nodes")
        ],
    },
    Row {
        number: 3,
        what: "32 nodes, same, and with every node sending",
        commands: &[item(MANY, 3), item(MANY_SEND, 3)],
        lines: &[
            want("32 nodes, 64 B, flood", MANY, Rate, Times(1.2e6, 60.0))
                .summary("... to 32 nodes"),
            want("32 nodes, 64 B, every node sends", MANY_SEND, Rate, AtLeast(1.2e6)),
        ],
    },
    Row {
        number: 4,
        what: "1400 B: 2, 8 and 32 nodes",
        commands: &[
            item("compare --nodes 2 --size 1400 --flood-only", 3),
            item("compare --nodes 8 --size 1400 --flood-only", 3),
            item("compare --nodes 32 --size 1400 --flood-only", 3),
        ],
        lines: &[
            want("2 nodes", "compare --nodes 2 --size 1400 --flood-only", Rate, AtLeast(400e3)),
            want("8 nodes", "compare --nodes 8 --size 1400 --flood-only", Rate, AtLeast(200e3)),
            want("32 nodes", "compare --nodes 32 --size 1400 --flood-only", Rate, AtLeast(60e3)),
        ],
    },
    Row {
        number: 5,
        what: "64 KiB: 2 and 8 nodes",
        commands: &[
            item("compare --nodes 2 --size 65536 --flood-only", 3),
            item("compare --nodes 8 --size 65536 --flood-only", 3),
        ],
        lines: &[
            want(
                "2 nodes",
                "compare --nodes 2 --size 65536 --flood-only",
                Megabytes,
                AtLeast(1.2e3),
            )
            .summary("64 KiB to 2 nodes"),
            want(
                "8 nodes",
                "compare --nodes 8 --size 65536 --flood-only",
                Megabytes,
                AtLeast(400.0),
            ),
        ],
    },
    Row {
        number: 6,
        what: "CPU of the whole machine per ordered 64 B message: from rows 1, 2 and 3",
        commands: &[],
        lines: &[
            want("2 nodes", TWO, Cpu, AtMost(0.3))
                .summary("CPU of the whole machine for a 64 B message to 2 nodes"),
            want("8 nodes", EIGHT, Cpu, AtMost(0.8)),
            want("32 nodes", MANY, Cpu, AtMost(2.5)).summary("... to 32 nodes"),
        ],
    },
    Row {
        number: 7,
        what: "latency of an idle ring, 64 B, one message at a time, publish to own agreed delivery",
        commands: &[item(SPINNING, 3), item(PARKED, 3), item(PARKED_MANY, 3)],
        lines: &[
            want("2 nodes, adaptive: p50", TWO, Latency("idle", P50), Shown)
                .summary("one message at a time, 2 nodes: p50 to its own delivery"),
            want("2 nodes, adaptive: p99", TWO, Latency("idle", P99), Shown),
            want("2 nodes, spinning: p50", SPINNING, Latency("idle", P50), AtMost(10.0)),
            want(
                "2 nodes, spinning, as the lone sender: p50",
                SPINNING,
                Latency("idle", P50),
                AtMost(2.0),
            ),
            want("2 nodes, spinning: p99", SPINNING, Latency("idle", Skew), AtMost(3.0)),
            want("2 nodes, parked: p50", PARKED, Latency("idle", P50), AtMost(60.0)),
            want(
                "2 nodes, parked, as the lone sender: p50",
                PARKED,
                Latency("idle", P50),
                AtMost(30.0),
            ),
            want("2 nodes, parked: p99", PARKED, Latency("idle", Skew), AtMost(3.0)),
            want("32 nodes, adaptive: p50", MANY, Latency("idle", P50), Shown),
            want(
                "32 nodes, parked, as the lone sender: p50",
                PARKED_MANY,
                Latency("idle", P50),
                AtMost(30.0),
            ),
            want("32 nodes, parked: p99", PARKED_MANY, Latency("idle", Skew), AtMost(3.0)),
        ],
    },
    Row {
        number: 8,
        what: "latency at half of Corosync's peak rate: from rows 1, 2 and 3",
        commands: &[],
        lines: &[
            want("2 nodes: p50", TWO, Latency("half", P50), AtMost(60.0))
                .summary("at half of Corosync's peak, 2 nodes: p50"),
            want("2 nodes: p99", TWO, Latency("half", P99), AtMost(250.0)),
            want("8 nodes: p50", EIGHT, Latency("half", P50), AtMost(120.0)),
            want("8 nodes: p99", EIGHT, Latency("half", P99), AtMost(500.0)),
            want("32 nodes: p50", MANY, Latency("half", P50), AtMost(600.0))
                .summary("... 32 nodes: p50"),
            want("32 nodes: p99", MANY, Latency("half", P99), AtMost(1.8e3)),
        ],
    },
    Row {
        number: 9,
        what: "latency at half of our own flood, and at 300 k messages/s to 32 nodes",
        commands: &[item(HALF_TWO, 3), item(HALF_EIGHT, 3), item(HALF_MANY, 3)],
        lines: &[
            want("2 nodes, half: p50", HALF_TWO, Latency("half", P50), Shown),
            want("2 nodes, half: p99", HALF_TWO, Latency("half", Skew), AtMost(4.0)),
            want("8 nodes, half: p50", HALF_EIGHT, Latency("half", P50), Shown),
            want("8 nodes, half: p99", HALF_EIGHT, Latency("half", Skew), AtMost(4.0)),
            want("32 nodes, half: p50", HALF_MANY, Latency("half", P50), Shown),
            want("32 nodes, half: p99", HALF_MANY, Latency("half", Skew), AtMost(4.0)),
            want("32 nodes, 300 k/s: p50", HALF_MANY, Latency("rate:300000", P50), AtMost(3e3)),
            want("32 nodes, 300 k/s: p99", HALF_MANY, Latency("rate:300000", P99), AtMost(10e3)),
        ],
    },
    Row {
        number: 10,
        what: "encryption (AES-256-GCM) on against off: what is left of the flood",
        commands: &[
            item(PLAIN_TWO, 3),
            item(SEALED_TWO, 3),
            item(PLAIN_LONG, 3),
            item(SEALED_LONG, 3),
            item(PLAIN_MANY, 3),
            item(SEALED_MANY, 3),
            item("compare --nodes 2 --size 64 --flood-only --encryption on", 1),
            item("compare --nodes 2 --size 1400 --flood-only --encryption on", 1),
        ],
        lines: &[
            want("2 nodes, 64 B", SEALED_TWO, Left, AtLeast(85.0)).beside(PLAIN_TWO),
            want("2 nodes, 1400 B", SEALED_LONG, Left, AtLeast(75.0)).beside(PLAIN_LONG),
            want("32 nodes, 64 B", SEALED_MANY, Left, AtLeast(65.0)).beside(PLAIN_MANY),
            want(
                "2 nodes, 64 B, both encrypted: flood",
                "compare --nodes 2 --size 64 --flood-only --encryption on",
                Rate,
                Shown,
            ),
            want(
                "2 nodes, 1400 B, both encrypted: flood",
                "compare --nodes 2 --size 1400 --flood-only --encryption on",
                Rate,
                Shown,
            ),
        ],
    },
    Row {
        number: 11,
        what: "rings alone, 64 B; iceoryx2 between two processes in Corosync's place",
        commands: &[item("ring", 5)],
        lines: &[
            want(
                "one way, two processes, both spin",
                "ring",
                RingTime("one-way hop of 64"),
                AtMost(100.0),
            ),
            want(
                "flood, each message shown at once",
                "ring",
                RingRate("each shown at once"),
                AtLeast(30.0),
            ),
            want(
                "flood, shown in batches of 64",
                "ring",
                RingRate("ours shown by 64"),
                AtLeast(30.0),
            ),
            want("deliveries to 8 readers", "ring", RingRate("to 8 readers"), AtLeast(150.0)),
            want("blocking hop, bare eventfd", "ring", RingTime(EVENTFD), Shown),
            want(
                "blocking hop, descriptor bell, of a bare eventfd's time",
                "ring",
                RingShare("descriptor bell", EVENTFD),
                AtMost(115.0),
            ),
            want(
                "blocking hop, futex bell, of a bare eventfd's time",
                "ring",
                RingShare("futex bell", EVENTFD),
                AtMost(115.0),
            ),
        ],
    },
    Row {
        number: 12,
        what: "32 idle engines on one machine, adaptive, all together",
        commands: &[item("local --nodes 32 --loads silent --mode adaptive", 3)],
        lines: &[want(
            "32 nodes",
            "local --nodes 32 --loads silent --mode adaptive",
            Cores,
            AtMost(1.0),
        )],
    },
    Row {
        number: 13,
        what: "ring formed after the last start, and what it carries then",
        commands: &[
            item("local --nodes 64 --loads flood", 3),
            item("local --nodes 128 --loads flood --formation-max 40", 3),
        ],
        lines: &[
            want("2 nodes: formed", TWO, Formed, Shown),
            want("32 nodes: formed", MANY, Formed, AtMost(1.0))
                .summary("ring of 32 formed after the last start"),
            want("64 nodes: formed", "local --nodes 64 --loads flood", Formed, AtMost(3.0)),
            want("64 nodes: flood", "local --nodes 64 --loads flood", Rate, AtLeast(150e3)),
            want(
                "128 nodes: formed",
                "local --nodes 128 --loads flood --formation-max 40",
                Formed,
                AtMost(3.0),
            ),
            want(
                "128 nodes: flood",
                "local --nodes 128 --loads flood --formation-max 40",
                Rate,
                AtLeast(70e3),
            ),
        ],
    },
    Row {
        number: 14,
        what: "fail-over, from the fault to the new view at every surviving program",
        commands: &[
            item(KILL, 5),
            item("failover --nodes 32 --fault kill", 5),
            item(UNPLUG, 5),
            item("failover --nodes 32 --fault unplug", 5),
            item(KILL_THEIRS, 3),
            item(UNPLUG_THEIRS, 3),
            item(HOGS_MANY, 3),
        ],
        lines: &[
            want("3 nodes, an engine killed", KILL, Failover, AtMost(5.0))
                .beside(KILL_THEIRS)
                .summary("SIGKILL of an engine to the new view at every program, 3 nodes"),
            want(
                "32 nodes, an engine killed",
                "failover --nodes 32 --fault kill",
                Failover,
                AtMost(50.0),
            )
            .summary("... 32 nodes"),
            want("3 nodes, a host's cable pulled", UNPLUG, Failover, AtMost(50.0))
                .beside(UNPLUG_THEIRS)
                .summary("a host's cable pulled, under load, 3 nodes"),
            want(
                "32 nodes, a host's cable pulled",
                "failover --nodes 32 --fault unplug",
                Failover,
                AtMost(250.0),
            )
            .summary("... 32 nodes"),
            want("32 nodes, two CPU hogs, 20 k/s: false suspicion", HOGS_MANY, Held, Target::Held),
        ],
    },
    Row {
        number: 15,
        what: "1 % lost on the way in, 3 nodes (packets of the kernel, or single data datagrams), against none",
        commands: &[
            item(FAIR, 3),
            item(LOSS, 3),
            item(SINGLE_LOSS, 3),
            item(FAIR_ALL, 3),
            item(LOSS_ALL, 3),
        ],
        lines: &[
            want("packets: flood left", LOSS, Left, AtLeast(80.0)).beside(FAIR),
            want("datagrams: flood left", SINGLE_LOSS, Left, AtLeast(80.0)).beside(FAIR).summary(
                "flood of a lone sender left while 1 % of single datagrams are lost, 3 nodes",
            ),
            want("datagrams, all send: flood left", LOSS_ALL, Left, AtLeast(80.0)).beside(FAIR_ALL),
            want(
                "datagrams, all send, half: p99",
                LOSS_ALL,
                Latency("half", Rotations),
                AtMost(5.0),
            ),
        ],
    },
    Row {
        number: 16,
        what: "two CPU hogs beside 3 nodes, against none: half of the machine is theirs",
        commands: &[item(NO_HOGS, 3), item(HOGS, 3)],
        lines: &[
            want("flood left", HOGS, Left, AtLeast(50.0)).beside(NO_HOGS),
            want("view changes", HOGS, Held, Target::Held),
        ],
    },
];

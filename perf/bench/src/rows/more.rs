//! Rows without targets, which the plots are made of.

use super::Metric::{Formed, Rate};
use super::Target::Shown;
use super::{Item, Row, item, want};

const UDP_TWO: &str = "compare --nodes 2 --size 64 --flood-only --transport udp";
const UDPU_TWO: &str = "compare --nodes 2 --size 64 --flood-only --transport udpu";
const UDP_EIGHT: &str = "compare --nodes 8 --size 64 --flood-only --transport udp";
const UDPU_EIGHT: &str = "compare --nodes 8 --size 64 --flood-only --transport udpu";

/// The row that needs a kernel with `sch_netem`, which `cargo xtask rdma-lab --weather --beside-corosync` boots:
/// measured only if it is asked for by its number.
pub(crate) const WEATHER: u8 = 22;

pub(super) const ROWS: [Row; 7] = [
    row(
        17,
        "throughput against size of message, 2 nodes (64, 1400 and 65536 B: rows 1, 4 and 5)",
        &[
            item("compare --nodes 2 --size 16 --flood-only", 1),
            item("compare --nodes 2 --size 320 --flood-only", 1),
            item("compare --nodes 2 --size 8192 --flood-only", 1),
            item("compare --nodes 2 --size 1048576 --flood-only", 1),
        ],
    ),
    row(
        18,
        "throughput against nodes, 64 B (2, 8 and 32 nodes: rows 1, 2 and 3)",
        &[
            item("compare --nodes 4 --size 64 --flood-only", 1),
            item("compare --nodes 16 --size 64 --flood-only", 1),
        ],
    ),
    row(
        19,
        "throughput against loss, 3 nodes",
        &[
            item("compare --nodes 3 --flood-only", 1),
            item("compare --nodes 3 --flood-only --loss 1", 1),
            item("local --nodes 3 --loads flood --loss 2", 1),
            item("local --nodes 3 --loads flood --loss 5", 1),
            item("local --nodes 3 --loads flood --loss 10", 1),
        ],
    ),
    row(
        20,
        "more loads: bursts, mixed sizes, every node sending, larger MTU, system calls",
        &[
            item("local --nodes 3 --senders all --loads flood,half,burst:64:2000", 1),
            item("local --nodes 3 --size 16,64,320,1400,8192 --loads flood,half", 1),
            item("local --nodes 2 --size 8192 --mtu 9000 --loads flood", 1),
            item("local --nodes 2 --size 65536 --mtu 65535 --loads flood", 1),
            item("local --nodes 2 --loads flood,half --syscalls", 1),
            item("local --nodes 8 --loads flood,half --syscalls", 1),
        ],
    ),
    row(
        21,
        "the model: predictions for this machine and for links of 10, 25 and 100 Gb/s",
        &[item("model --nodes 2,8,32,128 --milliseconds 20", 1)],
    ),
    row(
        WEATHER,
        "through sch_netem, every node sending: loss, delay, duplication, reordering; 3 nodes",
        &[
            item("compare --nodes 3 --senders all --flood-only --netem fair", 2),
            item("compare --nodes 3 --senders all --flood-only --netem loss,0.1%", 2),
            item("compare --nodes 3 --senders all --flood-only --netem loss,1%", 2),
            item("compare --nodes 3 --senders all --flood-only --netem loss,5%", 2),
            item("compare --nodes 3 --senders all --flood-only --netem loss,10%", 2),
            item("compare --nodes 3 --senders all --flood-only --netem delay,1ms,300us", 2),
            item("compare --nodes 3 --senders all --flood-only --netem duplicate,5%", 2),
            item("compare --nodes 3 --senders all --flood-only --netem delay,1ms,reorder,25%", 2),
        ],
    ),
    Row {
        number: 23,
        what: "Corosync's other transports, 64 B, flood (knet, its best: rows 1, 2, 3 and 13)",
        commands: &[item(UDP_TWO, 1), item(UDPU_TWO, 1), item(UDP_EIGHT, 1), item(UDPU_EIGHT, 1)],
        lines: &[
            want("2 nodes, udp", UDP_TWO, Rate, Shown),
            want("2 nodes, udpu", UDPU_TWO, Rate, Shown),
            want("8 nodes, udp", UDP_EIGHT, Rate, Shown),
            want("8 nodes, udpu", UDPU_EIGHT, Rate, Shown),
            want("8 nodes, udp: formed", UDP_EIGHT, Formed, Shown),
            want("8 nodes, udpu: formed", UDPU_EIGHT, Formed, Shown),
        ],
    },
];

const fn row(number: u8, what: &'static str, commands: &'static [Item]) -> Row {
    Row { number, what, commands, lines: &[] }
}

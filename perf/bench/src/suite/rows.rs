//! The table: what is measured, what is to be reached, by which commands.

/// A row's commands.
pub(super) struct Row {
    pub(super) number: u8,
    pub(super) what: &'static str,
    /// What is to be reached on a machine with two cores that all nodes share; empty where there is no target.
    pub(super) reach: &'static str,
    pub(super) commands: &'static [Item],
}

/// A command without its times.
pub(super) struct Item {
    /// What follows `synchrotron bench`.
    pub(super) line: &'static str,
    /// How often: pairs of a comparison, rounds of fail-overs, runs of rings; anything else is run again, taking turns
    /// with the other commands of its row.
    pub(super) times: u8,
}

const fn item(line: &'static str, times: u8) -> Item {
    Item { line, times }
}

/// The row that needs a kernel with `sch_netem`, which `cargo xtask rdma-lab --weather --beside-corosync` boots:
/// measured only if it is asked for by its number.
pub(super) const WEATHER: u8 = 22;

/// Everything. Rows above 16 have no targets; the plots are made of them.
pub(super) const ROWS: [Row; 22] = [
    Row {
        number: 1,
        what: "2 nodes, 64 B, flood from one sender, a subscriber on every node",
        reach: "8 M messages/s, 29 x",
        commands: &[item("compare --nodes 2 --size 64", 3)],
    },
    Row {
        number: 2,
        what: "8 nodes, same",
        reach: "3.5 M messages/s, 50 x",
        commands: &[item("compare --nodes 8 --size 64", 3)],
    },
    Row {
        number: 3,
        what: "32 nodes, same, and with every node sending",
        reach: "1.2 M messages/s, 60 x",
        commands: &[
            item("compare --nodes 32 --size 64", 2),
            item("local --nodes 32 --size 64 --senders all --loads flood", 2),
        ],
    },
    Row {
        number: 4,
        what: "1400 B: 2, 8 and 32 nodes",
        reach: "400 k, 200 k, 60 k messages/s",
        commands: &[
            item("compare --nodes 2 --size 1400 --flood-only", 3),
            item("compare --nodes 8 --size 1400 --flood-only", 2),
            item("compare --nodes 32 --size 1400 --flood-only", 1),
        ],
    },
    Row {
        number: 5,
        what: "64 KiB: 2 and 8 nodes",
        reach: "1.2 GB/s, 400 MB/s",
        commands: &[
            item("compare --nodes 2 --size 65536 --flood-only", 3),
            item("compare --nodes 8 --size 65536 --flood-only", 2),
        ],
    },
    Row {
        number: 6,
        what: "CPU of the whole machine per ordered 64 B message: from rows 1, 2 and 3",
        reach: "0.3, 0.8, 2.5 us with 2, 8, 32 nodes",
        commands: &[],
    },
    Row {
        number: 7,
        what: "latency of an idle ring, 64 B, publish to own agreed delivery",
        reach: "spinning p50 under 10 us, parked under 60 us; p99 under 3 x p50",
        commands: &[
            item("local --nodes 2 --loads idle --mode busy --waiting yield", 2),
            item("local --nodes 2 --loads idle --mode park", 2),
            item("local --nodes 2 --loads idle --mode adaptive", 2),
            item("local --nodes 32 --loads idle --mode adaptive", 1),
        ],
    },
    Row {
        number: 8,
        what: "latency at half of Corosync's peak rate: from rows 1, 2 and 3",
        reach: "p50 60, 120, 600 us; p99 250, 500, 1800 us with 2, 8, 32 nodes",
        commands: &[],
    },
    Row {
        number: 9,
        what: "latency at half of our own flood, and at 300 k messages/s to 32 nodes",
        reach: "p99 under 4 x p50; p50 under 3 ms, p99 under 10 ms",
        commands: &[
            item("local --nodes 2 --loads flood,half", 2),
            item("local --nodes 8 --loads flood,half", 2),
            item("local --nodes 32 --loads flood,half,rate:300000", 2),
        ],
    },
    Row {
        number: 10,
        what: "encryption (AES-256-GCM) on against off",
        reach: "loses under 15 % (64 B, 2 nodes), 25 % (1400 B, 2), 35 % (64 B, 32)",
        commands: &[
            item("local --nodes 2 --size 64 --loads flood --encryption off", 3),
            item("local --nodes 2 --size 64 --loads flood --encryption on", 3),
            item("local --nodes 2 --size 1400 --loads flood --encryption off", 3),
            item("local --nodes 2 --size 1400 --loads flood --encryption on", 3),
            item("local --nodes 32 --size 64 --loads flood --encryption off", 2),
            item("local --nodes 32 --size 64 --loads flood --encryption on", 2),
            item("compare --nodes 2 --size 64 --flood-only --encryption on", 1),
            item("compare --nodes 2 --size 1400 --flood-only --encryption on", 1),
        ],
    },
    Row {
        number: 11,
        what: "rings alone, between threads and between processes, beside iceoryx2",
        reach: "one way p50 under 100 ns, 30 M messages/s, 150 M deliveries/s to 8 readers; blocking hop within 15 % \
                of a bare eventfd",
        commands: &[item("ring", 9)],
    },
    Row {
        number: 12,
        what: "32 idle engines on one machine, adaptive",
        reach: "under 1 % of one core, all together",
        commands: &[item("local --nodes 32 --loads silent --mode adaptive", 2)],
    },
    Row {
        number: 13,
        what: "formation of 64 and 128 nodes after the last start, and what they carry then (32: row 3)",
        reach: "32 nodes 1 s; 64 and 128 nodes 3 s, 150 k and 70 k messages/s",
        commands: &[
            item("local --nodes 64 --loads flood", 1),
            item("local --nodes 128 --loads flood --formation-max 60", 1),
        ],
    },
    Row {
        number: 14,
        what: "fail-over, from the fault to the new view at every surviving program, 3 and 32 nodes",
        reach: "killed engine 5 and 50 ms, dead host 50 and 250 ms",
        commands: &[
            item("failover --nodes 3 --fault kill", 5),
            item("failover --nodes 32 --fault kill", 5),
            item("failover --nodes 3 --fault unplug", 5),
            item("failover --nodes 32 --fault unplug", 4),
            item("failover --nodes 3 --fault kill --engine corosync", 3),
            item("failover --nodes 3 --fault unplug --engine corosync", 3),
        ],
    },
    Row {
        number: 15,
        what: "1 % lost on the way in (packets of the kernel, or single data datagrams) against none, 3 nodes",
        reach: "over 80 % of lossless throughput, p99 within 5 rotations",
        commands: &[
            item("local --nodes 3 --loads flood,half", 2),
            item("local --nodes 3 --loads flood,half --loss 1", 2),
            item("local --nodes 3 --loads flood,half --datagram-loss 1", 2),
        ],
    },
    Row {
        number: 16,
        what: "two CPU hogs beside the cluster, against none, 3 nodes",
        reach: "throughput falls no more than the share of CPU lost; no view change",
        commands: &[
            item("local --nodes 3 --loads flood", 2),
            item("local --nodes 3 --loads flood --hogs 2", 2),
        ],
    },
    Row {
        number: 17,
        what: "throughput against size of message, 2 nodes (64, 1400 and 65536 B: rows 1, 4 and 5)",
        reach: "",
        commands: &[
            item("compare --nodes 2 --size 16 --flood-only", 1),
            item("compare --nodes 2 --size 320 --flood-only", 1),
            item("compare --nodes 2 --size 8192 --flood-only", 1),
            item("compare --nodes 2 --size 1048576 --flood-only", 1),
        ],
    },
    Row {
        number: 18,
        what: "throughput against nodes, 64 B (2, 8 and 32 nodes: rows 1, 2 and 3)",
        reach: "",
        commands: &[
            item("compare --nodes 4 --size 64 --flood-only", 1),
            item("compare --nodes 16 --size 64 --flood-only", 1),
        ],
    },
    Row {
        number: 19,
        what: "throughput against loss, 3 nodes",
        reach: "",
        commands: &[
            item("compare --nodes 3 --flood-only", 1),
            item("compare --nodes 3 --flood-only --loss 1", 1),
            item("local --nodes 3 --loads flood --loss 2", 1),
            item("local --nodes 3 --loads flood --loss 5", 1),
            item("local --nodes 3 --loads flood --loss 10", 1),
        ],
    },
    Row {
        number: 20,
        what: "more loads: bursts, mixed sizes, every node sending, larger MTU, system calls",
        reach: "",
        commands: &[
            item("local --nodes 3 --senders all --loads flood,half,burst:64:2000", 1),
            item("local --nodes 3 --size 16,64,320,1400,8192 --loads flood,half", 1),
            item("local --nodes 2 --size 8192 --mtu 9000 --loads flood", 1),
            item("local --nodes 2 --size 65536 --mtu 65535 --loads flood", 1),
            item("local --nodes 2 --loads flood,half --syscalls", 1),
            item("local --nodes 8 --loads flood,half --syscalls", 1),
        ],
    },
    Row {
        number: 21,
        what: "the model: predictions for this machine and for links of 10, 25 and 100 Gb/s",
        reach: "",
        commands: &[item("model --nodes 2,8,32,128 --milliseconds 20", 1)],
    },
    Row {
        number: WEATHER,
        what: "through sch_netem, every node sending: loss, delay, duplication, reordering; 3 nodes",
        reach: "",
        commands: &[
            item("compare --nodes 3 --senders all --flood-only --netem fair", 2),
            item("compare --nodes 3 --senders all --flood-only --netem loss,0.1%", 2),
            item("compare --nodes 3 --senders all --flood-only --netem loss,1%", 2),
            item("compare --nodes 3 --senders all --flood-only --netem loss,5%", 2),
            item("compare --nodes 3 --senders all --flood-only --netem loss,10%", 2),
            item("compare --nodes 3 --senders all --flood-only --netem delay,1ms,300us", 2),
            item("compare --nodes 3 --senders all --flood-only --netem duplicate,5%", 2),
            item("compare --nodes 3 --senders all --flood-only --netem delay,1ms,reorder,25%", 2),
        ],
    },
];

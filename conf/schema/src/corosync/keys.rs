//! The table of Corosync's keys: the type each has in its map, and what becomes of it here.

use crate::keys::nearest;

/// The type of a key's value, as Corosync's own reader stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 0 to 255.
    U8,
    /// 0 to 65535.
    U16,
    /// 0 to 2^32 - 1.
    U32,
    /// 0 to 2^64 - 1.
    U64,
    /// -2^31 to 2^31 - 1.
    I32,
    /// 0 or 1.
    Flag,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Any text.
    Text,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It sets this key of `synchrotron.toml` (a list: separated by commas), in this way.
    To(&'static str, &'static str),
    /// The engine does not need it; programs for which it is meant read it in the map.
    Kept(&'static str),
    /// It has no effect, and a warning says what happens instead.
    Instead(&'static str),
}

/// A key of Corosync.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name in the map. `N` stands for a number, `NAME` for a name, `*` for everything that follows.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// What becomes of it.
    pub fate: Fate,
}

/// Values that are never shown, neither in messages nor in the map.
pub(crate) const SECRET: [&str; 2] = ["totem.key", "security.key"];

use Fate::{Instead, Kept, To};
use Type::{Flag, I32, Text, U8, U16, U32, U64, Words};

const YES_NO: Type = Words(&["yes", "no"]);
const ON_OFF: Type = Words(&["on", "off"]);

const PRIORITIES: Type =
    Words(&["emerg", "alert", "crit", "error", "err", "warning", "notice", "info", "debug"]);

const MEASURED: &str = "the engine derives this interval from the rotation it measures";
const FLOW: &str = "the engine's windows are counted in bytes and adapt to the slowest member";
const COMPRESSION: &str = "datagrams are not compressed";
const PROBES: &str = "the engine compares what links bring and needs no timers of its own for that";
const RRP: &str =
    "a timer of Corosync 1's redundant rings; the engine derives its probes from the token timeout";
const MONITOR: &str =
    "the engine does not watch the host's memory and load; use the service manager's limits";
const WATCHDOG: &str =
    "the engine does not feed a watchdog; sbd or the service manager's WatchdogSec= can";
const ONE_LEVEL: &str = "the engine has one level for all its parts (`log.level`)";
const NOT_THIS_LINE: &str = "log lines carry the event's name and its fields instead";
const SYSTEMD: &str =
    "set CPUSchedulingPolicy= and CPUSchedulingPriority= in the engine's unit instead";

/// A key of this name, type and fate.
const fn key(name: &'static str, kind: Type, fate: Fate) -> Key {
    Key { name, kind, fate }
}

/// Every key of Corosync 3, in the order of its manual.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("totem.version", U32, To("", "must be 2")),
    key("totem.cluster_name", Text, To("cluster.name", "`corosync` if it is missing")),
    key("totem.config_version", U64, To("cluster.config_version", "")),
    key("totem.transport", Words(&["knet", "udpu", "udp", "iba"]), To("transport.multicast, transport.kind",
        "`knet` and `udpu`: each node is sent to by itself; `udp`: multicast; `iba` (of Corosync 2): `verbs`, with \
         multicast")),
    key("totem.ip_version", Words(&["ipv4", "ipv6", "ipv4-6", "ipv6-4"]), To("nodes.address",
        "which family host names are resolved to")),
    key("totem.ip_dscp", Text, Instead("datagrams carry no DSCP mark; mark them with nftables by their ports")),
    key("totem.clear_node_high_bit", YES_NO, To("nodes.id", "of node ids made from IPv4 addresses")),
    key("totem.nodeid", U32, Instead("the node's id is that of its entry in the node list")),
    key("totem.crypto_model", Words(&["nss", "openssl", "gcrypt"]),
        Instead("AES-256-GCM comes from AWS-LC, or from Rust where `security.provider` says so")),
    key("totem.crypto_cipher", Words(&["none", "aes128", "aes192", "aes256"]), To("security.encryption",
        "any cipher or hash but `none` becomes `aes-256-gcm`, which authenticates, too")),
    key("totem.crypto_hash", Words(&["none", "md5", "sha1", "sha256", "sha384", "sha512"]),
        To("security.encryption", "as `crypto_cipher`")),
    key("totem.secauth", Words(&["on", "off", "yes", "no"]), To("security.encryption",
        "`on` is `aes-256-gcm`, unless `crypto_cipher` and `crypto_hash` say otherwise")),
    key("totem.keyfile", Text, To("security.key_file, security.key_format",
        "`/etc/corosync/authkey` if it is missing and encryption is on; the cluster key is derived from the file")),
    key("totem.key", Text, To("security.key", "not shown in the configuration map")),
    key("totem.link_mode", Words(&["passive", "active", "rr"]), To("transport.link_mode", "")),
    key("totem.netmtu", U32, To("transport.mtu", "with transport `udp`, `udpu` or `iba` only")),
    key("totem.threads", U32, Instead("the engine has one thread for messages and one for control")),
    key("totem.vsftype", Text, Instead("a setting of Corosync 1; every ring follows the same rules")),
    key("totem.rrp_mode", Text, Instead("a setting of Corosync 2; `link_mode` took its place")),
    key("totem.token", U32, To("totem.token_timeout",
        "fixed at `token` + (nodes - 2) * `token_coefficient`, as Corosync computes it. Where neither is set, \
         the timeout adapts to the measured rotation")),
    key("totem.token_coefficient", U32, To("totem.token_timeout", "see `totem.token`")),
    key("totem.token_warning", U32, Instead("the flight recorder keeps how late tokens were")),
    key("totem.token_retransmits_before_loss_const", U32, Instead(MEASURED)),
    key("totem.token_retransmit", U32, Instead(MEASURED)),
    key("totem.hold", U32, Instead("an idle token rests at a member and returns with the first message")),
    key("totem.join", U32, Instead(MEASURED)),
    key("totem.send_join", U32, Instead("joins are spread by random delays that grow with the cluster")),
    key("totem.consensus", U32, To("totem.consensus_timeout", "")),
    key("totem.merge", U32, Instead("a ring looks for others five times a second")),
    key("totem.downcheck", U32, Instead("the kernel tells the engine when an interface goes down or comes back")),
    key("totem.fail_recv_const", U32, Instead("a member that does not receive is found by time, not by rotations")),
    key("totem.seqno_unchanged_const", U32, Instead("an idle token rests at a member; no rotations are counted")),
    key("totem.heartbeat_failures_allowed", U32, Instead("failures are detected by the token and by probes")),
    key("totem.max_network_delay", U32, Instead(MEASURED)),
    key("totem.window_size", U32, Instead(FLOW)),
    key("totem.max_messages", U32, Instead(FLOW)),
    key("totem.miss_count_const", U32, Instead("a gap is asked for as soon as it outlasts reordering")),
    key("totem.cancel_token_hold_on_retransmit", YES_NO, Instead("an idle token rests only when nothing is missing")),
    key("totem.rrp_token_expired_timeout", U32, Instead(RRP)),
    key("totem.rrp_problem_count_timeout", U32, Instead(RRP)),
    key("totem.rrp_problem_count_threshold", U32, Instead(RRP)),
    key("totem.rrp_problem_count_mcast_threshold", U32, Instead(RRP)),
    key("totem.rrp_autorecovery_check_timeout", U32, Instead(RRP)),
    key("totem.knet_pmtud_interval", U32, Instead("the path's MTU is learned from the kernel; see `transport.mtu`")),
    key("totem.knet_mtu", U32, To("transport.mtu", "0: `auto`")),
    key("totem.knet_compression_model", Text, Instead(COMPRESSION)),
    key("totem.knet_compression_threshold", U32, Instead(COMPRESSION)),
    key("totem.knet_compression_level", I32, Instead(COMPRESSION)),
    key("totem.block_unlisted_ips", YES_NO,
        Instead("datagrams count by the node they are proven to be from; those of unlisted nodes are dropped")),

    key("totem.interface.N.linknumber", U8, To("", "which link the section is about")),
    key("totem.interface.N.bindnetaddr", Text,
        Instead("the engine binds to the addresses its entry in the node list has")),
    key("totem.interface.N.mcastaddr", Text, To("transport.multicast", "with transport `udp` or `iba`; link 0 only")),
    key("totem.interface.N.broadcast", YES_NO, Instead("data is multicast instead of broadcast")),
    key("totem.interface.N.ttl", U8, To("transport.multicast_ttl", "with transport `udp` or `iba`")),
    key("totem.interface.N.mcastport", U16, To("nodes.address, nodes.links",
        "5405 plus the link's number if it is missing. Data goes to this port, the token to the next, \
         multicast to the one before")),
    key("totem.interface.N.knet_link_priority", U8, To("transport.link_priorities", "")),
    key("totem.interface.N.knet_ping_interval", U32, Instead(PROBES)),
    key("totem.interface.N.knet_ping_timeout", U32, Instead(PROBES)),
    key("totem.interface.N.knet_ping_precision", U32, Instead(PROBES)),
    key("totem.interface.N.knet_pong_count", U32, Instead(PROBES)),
    key("totem.interface.N.knet_transport", Words(&["udp", "sctp", "verbs"]), To("transport.link_kinds",
        "`sctp`: UDP, too; `verbs` is not of Corosync")),
    key("totem.interface.N.member.memberaddr", Text, Instead("members are those of the node list")),

    key("nodelist.node.N.ringN_addr", Text, To("nodes.address, nodes.links",
        "host names are resolved when the file is read")),
    key("nodelist.node.N.nodeid", U32, To("nodes.id", "without it, with `udp` and `udpu`: the IPv4 address as a \
         number")),
    key("nodelist.node.N.name", Text, To("nodes.name", "`ring0_addr` if it is missing and a name")),
    key("nodelist.node.N.quorum_votes", U32, To("nodes.votes", "")),
    key("nodelist.node.N.address", Text, To("nodes.address", "not of Corosync: `IP:PORT` where nodes differ in ports")),
    key("nodelist.node.N.token_address", Text, To("nodes.token_address", "not of Corosync")),
    key("nodelist.node.N.links", Text, To("nodes.links", "not of Corosync")),

    key("logging.to_stderr", Words(&["yes", "no", "on", "off"]), To("log.file", "where lines go unless to a file")),
    key("logging.to_logfile", Words(&["yes", "no", "on", "off"]), To("log.file", "")),
    key("logging.to_file", Words(&["yes", "no", "on", "off"]), To("log.file", "an old name of `to_logfile`")),
    key("logging.logfile", Text, To("log.file", "with `to_logfile: yes`")),
    key("logging.to_syslog", Words(&["yes", "no", "on", "off"]),
        Kept("the service manager passes standard error on to its journal, and that to syslog")),
    key("logging.syslog_facility", Text,
        Kept("lines reach syslog through the service manager: SyslogFacility= in the engine's unit")),
    key("logging.logfile_priority", PRIORITIES, To("log.level", "with `to_logfile: yes`")),
    key("logging.syslog_priority", PRIORITIES, To("log.level", "without `to_logfile: yes`")),
    key("logging.syslog_level", PRIORITIES, To("log.level", "an old name of `syslog_priority`")),
    key("logging.debug", Words(&["on", "off", "trace"]), To("log.level", "`on` and `trace` are `debug`")),
    key("logging.timestamp", Words(&["on", "off", "hires"]), Kept("every line has its time to the microsecond")),
    key("logging.fileline", ON_OFF, Instead(NOT_THIS_LINE)),
    key("logging.function_name", ON_OFF, Instead(NOT_THIS_LINE)),
    key("logging.blackbox", ON_OFF, To("recorder.file", "`off`: no flight recorder")),
    key("logging.logger_subsys.NAME.subsys", Text, Kept("which part the section is about")),
    key("logging.logger_subsys.NAME.*", Text, Instead(ONE_LEVEL)),
    key("logging.logging_daemon.*", Text, Kept("for the daemon it names")),

    key("quorum.provider", Words(&["corosync_votequorum"]), To("quorum.provider", "`votequorum`; without it, votes are \
        not counted")),
    key("quorum.expected_votes", U32, To("quorum.expected_votes", "")),
    key("quorum.votes", U32, Instead("the votes of each node are in the node list (quorum_votes)")),
    key("quorum.two_node", Flag, To("quorum.two_node", "")),
    key("quorum.wait_for_all", Flag, To("quorum.wait_for_all", "")),
    key("quorum.last_man_standing", Flag, To("quorum.last_man_standing", "")),
    key("quorum.last_man_standing_window", U32, To("quorum.last_man_standing_window", "")),
    key("quorum.auto_tie_breaker", Flag, To("quorum.auto_tie_breaker", "`lowest`, unless \
         `auto_tie_breaker_node` says otherwise")),
    key("quorum.auto_tie_breaker_node", Text, To("quorum.auto_tie_breaker", "`lowest`, `highest`, or node ids \
         separated by \
        spaces")),
    key("quorum.allow_downscale", Flag, To("quorum.allow_downscale", "")),
    key("quorum.expected_votes_tracking", Flag, To("quorum.expected_votes_tracking", "")),
    key("quorum.leaving_timeout", U32, Instead("nothing: Corosync reads it and does not use it either")),
    key("quorum.device.model", Text, To("quorum.device", "")),
    key("quorum.device.votes", U32, To("quorum.device_votes", "")),
    key("quorum.device.timeout", U32, To("quorum.device_timeout", "")),
    key("quorum.device.sync_timeout", U32, To("quorum.device_sync_timeout", "")),
    key("quorum.device.master_wins", Flag, To("quorum.device_master_wins", "")),
    key("quorum.device.net.*", Text, Kept("for corosync-qdevice")),
    key("quorum.device.heuristics.*", Text, Kept("for corosync-qdevice")),

    key("system.qb_ipc_type", Words(&["native", "shm", "socket"]),
        Instead("programs talk to the engine through shared memory, or get copies where `ipc.private_uids` says so")),
    key("system.sched_rr", YES_NO, Instead(SYSTEMD)),
    key("system.priority", Text, Instead(SYSTEMD)),
    key("system.move_to_root_cgroup", Words(&["yes", "no", "auto"]),
        Instead("the engine stays in the control group it is started in")),
    key("system.allow_knet_handle_fallback", YES_NO,
        Instead("the engine takes the socket buffers the kernel gives, and warns")),
    key("system.state_dir", Text, To("engine.state_dir", "")),

    key("resources.watchdog_device", Text, Instead(WATCHDOG)),
    key("resources.watchdog_timeout", U32, Instead(WATCHDOG)),
    key("resources.system.memory_used.poll_period", U64, Instead(MONITOR)),
    key("resources.system.load_15min.poll_period", U64, Instead(MONITOR)),
    key("resources.process.memory_used.poll_period", U64, Instead(MONITOR)),
    key("resources.*", Text, Instead(MONITOR)),

    key("uidgid.config.uid.N", U8, To("ipc.allow_uids", "also from the files in `uidgid.d` beside the file")),
    key("uidgid.config.gid.N", U8, To("ipc.allow_gids", "also from the files in `uidgid.d` beside the file")),

    key("nozzle.*", Text, Instead("there is no tap device on top of the cluster's links")),
    key("pload.count", U32, Instead("`synchrotron-steady` loads a cluster and measures it")),
    key("pload.size", U32, Instead("`synchrotron-steady` loads a cluster and measures it")),

    key("synchrotron.*", Text, To("", "not of Corosync: any key of `synchrotron.toml`, as `SECTION { KEY: VALUE }`; \
        overrides what the rest of the file says")),
];

/// The key of this name in the map.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| matches(key.name, name))
}

/// Whether a name of the table stands for `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut names, mut patterns) = (name.split('.'), pattern.split('.'));
    loop {
        match (patterns.next(), names.next()) {
            (Some("*"), Some(_)) | (None, None) => return true,
            (Some("N"), Some(part)) if is_number(part) => {}
            (Some("NAME"), Some(_)) => {}
            (Some("ringN_addr"), Some(part)) if link_of(part).is_some() => {}
            (Some(pattern), Some(part)) if pattern == part => {}
            _ => return false,
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The link of `ringN_addr`.
pub(crate) fn link_of(key: &str) -> Option<usize> {
    let number = key.strip_prefix("ring")?.strip_suffix("_addr")?;
    number.parse().ok().filter(|&link| link < crate::LINKS_MAX && number.len() == 1)
}

/// Why a key may not stand in `[map]`, and what would be right; `None`: it may.
pub(crate) fn not_free(name: &str) -> Option<(String, String)> {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    if let Some(c) = name.chars().find(|&c| !known(c)) {
        let wrong = format!("has the character {c:?}");
        return Some((wrong, "letters, digits and \"._-/:\"".to_owned()));
    }
    if !(NAME_BYTES_MIN..=super::syntax::NAME_BYTES_MAX).contains(&name.len()) {
        let accepted = format!("{NAME_BYTES_MIN} to {} bytes", super::syntax::NAME_BYTES_MAX);
        return Some((format!("has {} bytes", name.len()), accepted));
    }
    match find(name).map(|key| key.fate) {
        Some(To(to, _)) if !to.is_empty() => {
            Some(("the engine has a key of its own for this".to_owned(), to.to_owned()))
        }
        Some(To(..)) => {
            Some(("means nothing here".to_owned(), "keys that programs read".to_owned()))
        }
        Some(Kept(_) | Instead(_)) | None => None,
    }
}

/// Bytes of a key's whole name at least (`CMAP_KEYNAME_MINLEN`).
const NAME_BYTES_MIN: usize = 3;

/// What a person must know about a key that is in a file; `None`: nothing.
pub(crate) fn warning(name: &str, known: Option<&Key>) -> Option<String> {
    match known.map(|key| key.fate) {
        Some(To(..) | Kept(_)) => None,
        Some(Instead(text)) => Some(format!("has no effect here: {text}")),
        None => {
            let near = nearest(name, KEYS.iter().map(|key| key.name));
            let meant = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            Some(format!("unknown key: programs can read it, the engine ignores it{meant}"))
        }
    }
}

impl Type {
    /// What it accepts, in words.
    pub fn accepted(self) -> String {
        let whole = |max: &dyn std::fmt::Display| format!("a whole number from 0 to {max}");
        match self {
            U8 => whole(&u8::MAX),
            U16 => whole(&u16::MAX),
            U32 => whole(&u32::MAX),
            U64 => whole(&u64::MAX),
            I32 => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
            Flag => "0 or 1".to_owned(),
            Words(words) => words.join(", "),
            Text => "a text".to_owned(),
        }
    }
}

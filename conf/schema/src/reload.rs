//! What of a new configuration can be taken over while the engine runs.

use std::fmt::Debug;

use crate::config::Config;
use crate::keys::{Change, KEYS, Key};
use crate::model::{Driver, Node};

/// How a key's value is compared: as the model shows it, after defaults and derivations.
type Shown = fn(&Config) -> String;

fn shown(value: &dyn Debug) -> String {
    format!("{value:?}")
}

/// Where each key is in the model. Keys that the model has together are compared together.
#[rustfmt::skip]
const VALUES: &[(&str, &str, Shown)] = &[
    ("cluster", "name", |c| shown(&c.cluster_name)),
    ("cluster", "config_version", |c| shown(&c.config_version)),
    ("node", "id", |c| shown(&c.me)),
    ("nodes", "id", |c| shown(&c.nodes.iter().map(|n| n.id).collect::<Vec<_>>())),
    ("nodes", "name", |c| shown(&c.nodes.iter().map(|n| &n.name).collect::<Vec<_>>())),
    ("nodes", "address", |c| shown(&c.nodes.iter().map(|n| n.address).collect::<Vec<_>>())),
    ("nodes", "token_address", |c| shown(&c.nodes.iter().map(|n| n.token_address).collect::<Vec<_>>())),
    ("nodes", "votes", |c| shown(&c.nodes.iter().map(|n| (n.id, n.votes)).filter(|n| n.1 != 1).collect::<Vec<_>>())),
    ("nodes", "links", |c| shown(&c.nodes.iter().map(|n| &n.links).filter(|l| !l.is_empty()).collect::<Vec<_>>())),
    ("transport", "kind", |c| shown(&c.transport.drivers.iter().map(Driver::name).collect::<Vec<_>>())),
    ("transport", "link_kinds", |c| shown(&c.transport.drivers.iter().map(Driver::name).collect::<Vec<_>>())),
    ("transport", "multicast", |c| shown(&c.transport.multicast)),
    ("transport", "multicast_ttl", |c| shown(&c.transport.multicast_ttl)),
    ("transport", "mtu", |c| shown(&c.transport.mtu_bytes)),
    ("transport", "rdma_device", |c| shown(&c.transport.drivers)),
    ("transport", "rdma_port", |c| shown(&c.transport.drivers)),
    ("transport", "rdma_gid_index", |c| shown(&c.transport.drivers)),
    ("transport", "rdma_pkey", |c| shown(&c.transport.drivers)),
    ("transport", "receive_buffer", |c| shown(&c.transport.receive_buffer_bytes)),
    ("transport", "send_buffer", |c| shown(&c.transport.send_buffer_bytes)),
    ("transport", "link_mode", |c| shown(&c.transport.link_mode)),
    ("transport", "link_priorities", |c| shown(&c.transport.link_priorities)),
    ("security", "encryption", |c| shown(&std::mem::discriminant(&c.security.encryption))),
    ("security", "key_file", |c| shown(&c.security.encryption)),
    ("security", "key_format", |c| shown(&c.security.encryption)),
    ("security", "key", |c| shown(&c.security.encryption)),
    ("security", "provider", |c| shown(&c.security.provider)),
    ("totem", "token_timeout", |c| shown(&c.totem.token_timeout)),
    ("totem", "token_timeout_min", |c| shown(&c.totem.token_timeout)),
    ("totem", "token_timeout_max", |c| shown(&c.totem.token_timeout)),
    ("totem", "consensus_timeout", |c| shown(&c.totem.consensus_timeout_us)),
    ("quorum", "provider", |c| shown(&c.quorum.votequorum)),
    ("quorum", "expected_votes", |c| shown(&c.quorum.expected_votes)),
    ("quorum", "two_node", |c| shown(&c.quorum.two_node)),
    ("quorum", "wait_for_all", |c| shown(&c.quorum.wait_for_all)),
    ("quorum", "last_man_standing", |c| shown(&c.quorum.last_man_standing)),
    ("quorum", "last_man_standing_window", |c| shown(&c.quorum.last_man_standing_window_ms)),
    ("quorum", "auto_tie_breaker", |c| shown(&c.quorum.auto_tie_breaker)),
    ("quorum", "allow_downscale", |c| shown(&c.quorum.allow_downscale)),
    ("quorum", "expected_votes_tracking", |c| shown(&c.quorum.expected_votes_tracking)),
    ("quorum", "device", |c| shown(&c.quorum.device)),
    ("quorum", "device_votes", |c| shown(&c.quorum.device)),
    ("quorum", "device_timeout", |c| shown(&c.quorum.device)),
    ("quorum", "device_sync_timeout", |c| shown(&c.quorum.device)),
    ("quorum", "device_master_wins", |c| shown(&c.quorum.device)),
    ("engine", "idle", |c| shown(&c.engine.idle)),
    ("engine", "spin", |c| shown(&c.engine.spin_ns)),
    ("engine", "priority", |c| shown(&c.engine.priority)),
    ("engine", "wake_latency", |c| shown(&c.engine.wake_latency_ns)),
    ("engine", "cpu", |c| shown(&c.engine.cpu)),
    ("engine", "lock_memory", |c| shown(&c.engine.lock_memory)),
    ("engine", "state_dir", |c| shown(&c.engine.state_dir)),
    ("memory", "small_slots", |c| shown(&c.memory.small_slots)),
    ("memory", "large_slots", |c| shown(&c.memory.large_slots)),
    ("ipc", "socket", |c| shown(&c.ipc.socket)),
    ("ipc", "max_clients", |c| shown(&c.ipc.max_clients)),
    ("ipc", "submit_bytes", |c| shown(&c.ipc.submit_bytes)),
    ("ipc", "private_bytes", |c| shown(&c.ipc.private_bytes)),
    ("ipc", "delivery_slots", |c| shown(&c.ipc.delivery_slots)),
    ("ipc", "lag_slots", |c| shown(&c.ipc.lag_slots)),
    ("ipc", "lease", |c| shown(&c.ipc.lease_ns)),
    ("ipc", "spill_bytes", |c| shown(&c.ipc.spill_bytes)),
    ("ipc", "spill_bytes_total", |c| shown(&c.ipc.spill_bytes_total)),
    ("ipc", "allow_uids", |c| shown(&c.ipc.allow_uids)),
    ("ipc", "allow_gids", |c| shown(&c.ipc.allow_gids)),
    ("ipc", "private_uids", |c| shown(&c.ipc.private_uids)),
    ("ipc", "private_gids", |c| shown(&c.ipc.private_gids)),
    ("limits", "message_bytes_max", |c| shown(&c.limits.message_bytes_max)),
    ("limits", "memberships_max", |c| shown(&c.limits.memberships_max)),
    ("log", "level", |c| shown(&c.log.level)),
    ("log", "format", |c| shown(&c.log.format)),
    ("log", "file", |c| shown(&c.log.file)),
    ("recorder", "file", |c| shown(&c.recorder.file)),
    ("recorder", "bytes", |c| shown(&c.recorder.bytes)),
];

/// What a reload would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Keys (`section.name`) that a reload takes over.
    pub at_run_time: Vec<String>,
    /// Keys whose new value counts at the next start.
    pub at_restart: Vec<String>,
}

impl Config {
    /// What differs between this configuration, which is in use, and a new one.
    ///
    /// # Errors
    /// Why the new one cannot be taken over while nodes run: the key, what was found, what is right.
    pub fn differences(&self, new: &Self) -> Result<Differences, String> {
        let differs = |key: &&Key| {
            let entry = VALUES.iter().find(|(s, n, _)| *s == key.section && *n == key.name);
            entry.is_none_or(|(_, _, value)| value(self) != value(new))
        };
        let mut differences = Differences::default();
        for key in KEYS.iter().filter(differs) {
            let name = format!("{}.{}", key.section, key.name);
            match key.change {
                Change::AtRunTime => differences.at_run_time.push(name),
                Change::AtRestart => differences.at_restart.push(name),
                Change::WithAllStopped => {
                    let old = "only a value equal to the one in use while nodes run";
                    return Err(format!("{name}: differs from the one in use; accepted: {old}"));
                }
            }
        }
        self.nodes_may_become(new)?;
        Ok(differences)
    }

    /// Nodes may come and go, but not move; and who sees another list must have another version.
    fn nodes_may_become(&self, new: &Self) -> Result<(), String> {
        for node in &self.nodes {
            let Some(there) = new.nodes.iter().find(|other| other.id == node.id) else { continue };
            if node.links != there.links {
                let addresses = |node: &Node| {
                    node.links.iter().map(|link| link.address.to_string()).collect::<Vec<_>>()
                };
                return Err(format!(
                    "nodes.links: node {} has {:?} in use, {:?} in the file; accepted: the links in use; others need \
                     all nodes stopped",
                    node.id,
                    addresses(node),
                    addresses(there)
                ));
            }
            let moved = (node.address, node.token_address) != (there.address, there.token_address);
            if moved {
                return Err(format!(
                    "nodes.address: node {} has {} and {} in use, {} and {} in the file; accepted: the addresses in \
                     use, or take the node out, reload, and add it again",
                    node.id, node.address, node.token_address, there.address, there.token_address
                ));
            }
        }
        let ids = |config: &Self| config.nodes.iter().map(|node| node.id).collect::<Vec<_>>();
        if self.verbs_links() > 0 && ids(self) != ids(new) {
            // Over verbs nodes call each other by their positions in the list.
            let (old, new) = (ids(self), ids(new));
            return Err(format!("nodes: {new:?}; with a link over verbs accepted: {old:?}"));
        }
        let (old, version) = (self.config_version, new.config_version);
        if version < old {
            return Err(format!(
                "cluster.config_version = {version}: {old} is in use; accepted: {old} or more"
            ));
        }
        if version == old && self.shared_hash() != new.shared_hash() {
            return Err(format!(
                "cluster.config_version = {version}: the node list, or another key that nodes must agree on, differs \
                 from what is in use under that version; accepted: {} or more",
                old + 1
            ));
        }
        Ok(())
    }

    /// Takes over from a new configuration what a reload takes over, and nothing else.
    pub fn adopt(&mut self, new: &Self) {
        self.config_version = new.config_version;
        self.nodes.clone_from(&new.nodes);
        self.security.encryption = new.security.encryption.clone();
        self.transport.link_mode = new.transport.link_mode;
        self.transport.link_priorities.clone_from(&new.transport.link_priorities);
        self.totem = new.totem;
        self.quorum.expected_votes = new.quorum.expected_votes;
        self.quorum.two_node = new.quorum.two_node;
        self.quorum.device.clone_from(&new.quorum.device);
        self.engine.idle = new.engine.idle;
        self.engine.spin_ns = new.engine.spin_ns;
        self.ipc.lag_slots = new.ipc.lag_slots;
        self.ipc.lease_ns = new.ipc.lease_ns;
        self.ipc.spill_bytes = new.ipc.spill_bytes;
        self.ipc.spill_bytes_total = new.ipc.spill_bytes_total;
        self.ipc.allow_uids.clone_from(&new.ipc.allow_uids);
        self.ipc.allow_gids.clone_from(&new.ipc.allow_gids);
        self.ipc.private_uids.clone_from(&new.ipc.private_uids);
        self.ipc.private_gids.clone_from(&new.ipc.private_gids);
        self.limits.memberships_max = new.limits.memberships_max;
        self.log.clone_from(&new.log);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            "[cluster]\nname = \"x\"\n{more}\n[node]\nid = 1\n\
             [[nodes]]\nid = 1\naddress = \"127.0.0.1:7011\"\n[[nodes]]\nid = 2\naddress = \"127.0.0.1:7013\"\n"
        );
        Config::parse(&text, Path::new("/c")).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn every_key_is_compared_and_no_other() {
        let named =
            |section: &str, name: &str| VALUES.iter().any(|(s, n, _)| (*s, *n) == (section, name));
        for key in KEYS {
            assert!(named(key.section, key.name), "{}.{} is not compared", key.section, key.name);
        }
        assert_eq!(VALUES.len(), KEYS.len());
    }

    /// Every key that may change has another value; so has one that counts at restart.
    const OTHERS: &str = "config_version = 9\n[transport]\nlink_mode = \"active\"\nlink_priorities = [3]\n\
         [totem]\ntoken_timeout_min = \"40ms\"\nconsensus_timeout = \"70ms\"\n\
         [quorum]\nexpected_votes = 9\ntwo_node = true\ndevice = \"net\"\n\
         [engine]\nidle = \"park\"\nspin = \"9us\"\ncpu = 0\n\
         [ipc]\nlag_slots = 100\nlease = \"5ms\"\nspill_bytes = \"1MiB\"\nspill_bytes_total = \"2MiB\"\n\
         allow_uids = [5]\nallow_gids = [6]\nprivate_uids = [7]\nprivate_gids = [8]\n\
         [limits]\nmemberships_max = 5\n[log]\nlevel = \"debug\"\nformat = \"json\"\nfile = \"/l\"";

    #[test]
    fn what_is_taken_over_is_what_the_table_says() {
        let (old, new) = (config(""), config(OTHERS));
        let differences = old.differences(&new).unwrap();
        assert_eq!(differences.at_restart, ["engine.cpu"]);
        let mut running = old.clone();
        running.adopt(&new);
        let left = running.differences(&new).unwrap();
        assert_eq!((left.at_run_time, left.at_restart), (vec![], vec!["engine.cpu".to_owned()]));
        let all = KEYS.iter().filter(|key| key.change == Change::AtRunTime);
        let mut expected: Vec<String> =
            all.map(|key| format!("{}.{}", key.section, key.name)).collect();
        // The node list and the key file are the same here.
        expected.retain(|name| !name.starts_with("nodes.") && !name.starts_with("security.key"));
        assert_eq!(differences.at_run_time, expected);
    }

    #[test]
    fn what_nodes_must_agree_on_is_refused_with_the_key() {
        let verbs = config("[transport]\nkind = \"verbs\"");
        let wrong = verbs.differences(&config("")).unwrap_err();
        assert!(wrong.contains("transport.kind"), "{wrong}");
        let mut fewer = verbs.clone();
        fewer.nodes.truncate(1);
        let wrong = verbs.differences(&fewer).unwrap_err();
        assert!(wrong.contains("accepted: [1, 2]"), "{wrong}");
        let old = config("");
        let mut moved = config("config_version = 2");
        moved.nodes[1].address = "127.0.0.1:7999".parse().unwrap();
        let wrong = old.differences(&moved).unwrap_err();
        assert!(wrong.contains("node 2 has 127.0.0.1:7013"), "{wrong}");
        let mut other = config("config_version = 2");
        let (address, token_address) = (other.nodes[1].address, other.nodes[1].token_address);
        other.nodes[1].links.push(crate::Link { address, token_address });
        let wrong = old.differences(&other).unwrap_err();
        assert!(wrong.contains("nodes.links: node 2 has [] in use"), "{wrong}");
        let mut gone = config("");
        gone.nodes.truncate(1);
        let wrong = old.differences(&gone).unwrap_err();
        assert!(
            wrong.starts_with("cluster.config_version = 0: ") && wrong.ends_with("1 or more"),
            "{wrong}"
        );
        gone.config_version = 2;
        assert_eq!(old.differences(&gone).unwrap().at_run_time[0], "cluster.config_version");
        let wrong = config("config_version = 5").differences(&old).unwrap_err();
        assert!(wrong.ends_with("5 is in use; accepted: 5 or more"), "{wrong}");
        let mut larger = old.clone();
        larger.limits.message_bytes_max += 1;
        let wrong = old.differences(&larger).unwrap_err();
        assert!(wrong.starts_with("limits.message_bytes_max: "), "{wrong}");
    }
}

//! What the machines are given to read: `corosync.conf`, and Pacemaker's first configuration.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use clap::ValueEnum;
use serde::Serialize;

use crate::{fence, host};

/// Whose engine and libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Ours.
    Synchrotron,
    /// Debian's.
    Corosync,
}

/// How soon a silent node is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Timers {
    /// As the engine chooses where the file says nothing.
    Default,
    /// The shortest that this engine takes (Corosync: of its own retransmissions) or that make sense on shared cores.
    Fast,
    /// The same in both: a token timeout of one second for any number of nodes.
    Second,
}

/// What a `corosync.conf` says beside the nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    pub(crate) timers: Timers,
    /// This token timeout for any number of nodes instead, in milliseconds.
    pub(crate) token_ms: Option<u32>,
    /// Whether our engine may use multicast, as it does where no `corosync.conf` says otherwise.
    pub(crate) multicast: bool,
}

/// The least token timeout that Corosync 3.1.7 takes without fewer retransmissions than its default (4), in
/// milliseconds: retransmissions at least 30 ms apart, 4.2 of them.
const COROSYNC_TOKEN_MS_MIN: u32 = 126;

/// Where the resource keeps that it runs.
pub(crate) const RESOURCE_STATE: &str = "/run/work.state";

/// `corosync.conf` for machines at these addresses.
pub(crate) fn corosync(settings: Settings, device: Option<Ipv4Addr>, at: &[Ipv4Addr]) -> String {
    let token = |ms: u32| format!("  token: {ms}\n  token_coefficient: 0\n");
    let timers = match (settings.token_ms, settings.kind, settings.timers) {
        (Some(ms), _, _) => token(ms),
        (None, _, Timers::Default) => String::new(),
        // What Corosync derives from such a token, written out.
        (None, _, Timers::Second) => token(1000) + "  consensus: 1200\n  join: 50\n",
        (None, Kind::Corosync, Timers::Fast) => token(COROSYNC_TOKEN_MS_MIN),
        (None, Kind::Synchrotron, Timers::Fast) => token(50),
    };
    let multicast = if settings.multicast {
        "synchrotron {\n  transport {\n    multicast: auto\n  }\n}\n"
    } else {
        ""
    };
    let device = device.map(|address| {
        format!(
            "  device {{\n    model: net\n    votes: 1\n    net {{\n      host: {address}\n      \
             algorithm: ffsplit\n      tls: off\n    }}\n  }}\n"
        )
    });
    let mut text = format!(
        "totem {{\n  version: 2\n  cluster_name: site\n  transport: knet\n  crypto_cipher: none\n  crypto_hash: none\n\
         {timers}}}\n{multicast}\
         system {{\n  sched_rr: no\n  priority: -10\n  move_to_root_cgroup: no\n  allow_knet_handle_fallback: yes\n}}\n\
         resources {{\n  watchdog_device: off\n}}\n\
         logging {{\n  to_stderr: no\n  to_syslog: no\n  to_logfile: yes\n  \
         logfile: /var/log/corosync/corosync.log\n}}\n\
         quorum {{\n  provider: corosync_votequorum\n{}}}\nnodelist {{\n",
        device.unwrap_or_default()
    );
    for (index, address) in at.iter().enumerate() {
        let (id, name) = (index + 1, host::name(index));
        _ = writeln!(
            text,
            "  node {{\n    nodeid: {id}\n    name: {name}\n    ring0_addr: {address}\n  }}"
        );
    }
    text.push_str("}\n");
    text
}

/// Pacemaker's configuration: one resource that keeps away from the node that coordinates, so that whoever runs it can
/// fail without an election on top; a power switch, if wanted.
pub(crate) fn cib(nodes: usize, fencing: bool) -> String {
    let hosts: Vec<String> = (0..nodes).map(host::name).collect();
    let switch = if fencing {
        format!(
            r#"<primitive id="switch" class="stonith" type="{}"><instance_attributes id="switch-a">
<nvpair id="switch-hosts" name="pcmk_host_list" value="{}"/>
<nvpair id="switch-check" name="pcmk_host_check" value="static-list"/></instance_attributes></primitive>"#,
            fence::AGENT,
            hosts.join(" ")
        )
    } else {
        String::new()
    };
    // `dc-deadtime`: how long the first node waits for somebody who coordinates already; its default of 20 s is most
    // of a start. `load-threshold`: these machines share their processors with whatever else runs here.
    format!(
        r##"<cib crm_feature_set="3.1.0" validate-with="pacemaker-3.0" epoch="1" num_updates="0" admin_epoch="0">
<configuration>
<crm_config><cluster_property_set id="options">
<nvpair id="o-stonith" name="stonith-enabled" value="{fencing}"/>
<nvpair id="o-quorum" name="no-quorum-policy" value="stop"/>
<nvpair id="o-deadtime" name="dc-deadtime" value="2s"/>
<nvpair id="o-load" name="load-threshold" value="2000%"/>
</cluster_property_set></crm_config>
<nodes/>
<resources>
<primitive id="work" class="ocf" provider="pacemaker" type="Dummy"><instance_attributes id="work-a">
<nvpair id="work-state" name="state" value="{RESOURCE_STATE}"/></instance_attributes>
<operations><op id="work-monitor" name="monitor" interval="10s" timeout="60s"/>
<op id="work-start" name="start" interval="0" timeout="60s"/>
<op id="work-stop" name="stop" interval="0" timeout="60s"/></operations></primitive>
{switch}
</resources>
<constraints><rsc_location id="away" rsc="work"><rule id="away-rule" score="-1000">
<expression id="away-dc" attribute="#is_dc" operation="eq" value="true"/></rule></rsc_location></constraints>
<rsc_defaults><meta_attributes id="sticky"><nvpair id="sticky-n" name="resource-stickiness" value="10"/>
</meta_attributes></rsc_defaults>
</configuration><status/></cib>
"##
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_listed_in_order_and_without_gaps() {
        let at = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
        let (kind, timers) = (Kind::Corosync, Timers::Default);
        let settings = Settings { kind, timers, token_ms: None, multicast: false };
        let text = corosync(settings, None, &at);
        let (first, second) = (text.find("10.0.0.1").unwrap(), text.find("10.0.0.2").unwrap());
        assert!(first < second);
        assert!(!text.contains("token:") && !text.contains("multicast"));
        let fast = Settings { timers: Timers::Fast, multicast: true, ..settings };
        let text = corosync(fast, None, &at);
        assert!(text.contains("token: 126\n") && text.contains("multicast: auto"));
        let given = Settings { token_ms: Some(300), ..fast };
        assert!(corosync(given, None, &at).contains("token: 300\n"));
    }

    #[test]
    fn the_power_switch_is_there_when_it_is_wanted() {
        assert!(cib(3, true).contains("value=\"n1 n2 n3\""));
        assert!(!cib(3, false).contains(fence::AGENT));
    }
}

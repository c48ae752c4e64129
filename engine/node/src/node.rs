//! The machine.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use frame::{Class, Pool};
use groups::votequorum::Votequorum;
use groups::{Clients, Groups, QuorumConfig};
use link::Link;
use link::paths::Paths;
use totem::{Lane, Totem, Tuning};
use wire::NodeId;
use wire::run::{RECORD_HEADER_BYTES, RUN_HEADER_BYTES};

use crate::burst::{Packer, slot};
use crate::config::checked_nodes;
use crate::links;
use crate::owing::Owing;
use crate::receive::{COPY_OUT_SHARE, LARGE_SCARCE_SHARE};
use crate::{
    Config, ConfigError, Counters, Input, NodeCounters, Output, Reason, Reconfiguration, Status,
};

/// Room made for outputs at the start. A visit gives at most a personal window of bursts.
const OUTPUTS_CAPACITY: usize = 256;

/// A node of the cluster. See the crate's documentation.
pub struct Node {
    me: NodeId,
    nodes: Vec<NodeId>,
    pub(crate) pool: Pool,
    /// Where large slots start in the region.
    pub(crate) large_start: usize,
    pub(crate) copy_out_bytes_max: usize,
    /// Below this many free large slots they are scarce.
    pub(crate) large_scarce: u32,
    payload_bytes: usize,
    pub(crate) link: Link,
    /// `None`: there is one link, and nothing to choose.
    pub(crate) paths: Option<Paths>,
    pub(crate) totem: Totem,
    pub(crate) tuning: Tuning,
    pub(crate) owing: Owing,
    pub(crate) groups: Groups,
    pub(crate) packer: Packer,
    pub(crate) out: VecDeque<Output>,
    pub(crate) counters: NodeCounters,
    /// See [`Node::take_stirred`].
    pub(crate) stirred: bool,
}

impl Node {
    /// A node that starts to look for others at once.
    ///
    /// # Errors
    /// When the configuration cannot work, see [`ConfigError`].
    pub fn new(config: Config<'_>, pool: Pool, now_ns: u64) -> Result<Self, ConfigError> {
        let nodes = checked_nodes(config.nodes.clone(), config.me)?;
        let mut link = Link::new(link::Config {
            me: config.me,
            peers: nodes.clone(),
            cluster_name: config.cluster_name,
            security: config.security.clone(),
            boot: config.boot,
            seed: config.seed,
        });
        let paths = links::made(&config, &nodes, now_ns);
        if paths.is_some() {
            link.expect_copies();
        }
        let overhead = link.overhead_bytes();
        let payload_bytes = config.payload_bytes(&pool, overhead)?;
        let owing = Owing::of(&config, now_ns);
        let forgotten_until_ns = config.forgotten_until_ns(now_ns);
        let totem = totem::Config {
            me: config.me,
            nodes: nodes.clone(),
            payload_bytes_max: payload_bytes,
            token_timeout: config.token_timeout,
            config_version: config.config_version,
            config_hash: config.config_hash,
            ring_seq_stored: config.stored.ring_seq,
            seed: config.seed,
            tuning: config.tuning.clone(),
        };
        let mut boot = [0; 8];
        boot.copy_from_slice(&config.boot.0[..8]);
        let boot = u64::from_le_bytes(boot);
        let totem = Totem::new(totem, pool.clone(), now_ns);
        let groups = groups::Config { me: config.me, boot, limits: config.limits };
        let groups = Groups::new(groups, pool.clone());
        let groups = match config.quorum {
            Some(options) => groups.with_quorum(QuorumConfig {
                votes: Some(
                    Votequorum::new(options, config.me, config.expected_votes_tracked)
                        .map_err(ConfigError::Quorum)?
                        .0,
                ),
                nodes: nodes.clone(),
                forgotten_until_ns,
            }),
            None => groups,
        };
        let stats = pool.stats();
        let mut node = Self {
            me: config.me,
            nodes,
            large_start: stats.small_total as usize * pool.slot_bytes(Class::Small),
            copy_out_bytes_max: pool.slot_bytes(Class::Large) / COPY_OUT_SHARE,
            large_scarce: stats.large_total.div_ceil(LARGE_SCARCE_SHARE),
            payload_bytes,
            link,
            paths,
            totem,
            tuning: config.tuning,
            owing,
            groups,
            packer: Packer::new(pool.clone(), config.burst_segments, config.burst_bytes, overhead),
            out: VecDeque::with_capacity(OUTPUTS_CAPACITY),
            counters: NodeCounters::default(),
            stirred: true,
            pool,
        };
        node.totem.set_free_bytes(node.credit_bytes());
        node.collect(now_ns);
        node.flush();
        Ok(node)
    }

    /// Takes what happened. Then drain [`Node::poll_output`].
    pub fn handle(&mut self, now_ns: u64, input: Input, clients: &mut dyn Clients) {
        self.counters.inputs += 1;
        let numbered = self.totem.counters().frames_sent;
        self.stirred |= match &input {
            // What is in it will tell.
            Input::Received { .. } => false,
            Input::Timeout => self.next_timeout().is_some_and(|(_, reason)| !reason.is_chore()),
            _ => true,
        };
        self.totem.set_free_bytes(self.credit_bytes().min(clients.room_bytes()));
        match input {
            Input::Received { link, queue, bytes, segment_bytes } => {
                self.received(now_ns, (link, queue), bytes, segment_bytes, clients);
            }
            Input::Unreachable { link, peer } => {
                let paths = self.paths.as_mut();
                if paths.is_none_or(|paths| paths.unreachable(now_ns, peer, link)) {
                    self.totem.unreachable(now_ns, peer);
                }
            }
            Input::Open { session, pid } => self.groups.open(session, pid),
            Input::Close { session } => self.groups.close(session),
            Input::Join { session, request, name } => self.groups.join(session, request, &name),
            Input::Leave { session, request, group } => self.groups.leave(session, request, group),
            Input::Persisted(stored) => self.persisted(now_ns, stored),
            Input::Expect { token_timeout, consensus_us, nodes } => {
                let owed_ns = self.owed_ns_max(token_timeout, consensus_us, nodes);
                self.expect(now_ns, owed_ns);
            }
            Input::Submitted => self.totem.wake(now_ns, &mut self.groups.source(clients)),
            Input::Change(request) => self.ask_for_change(request),
            Input::Timeout => {
                self.link.timeout(now_ns);
                self.lower_owed(now_ns);
                self.groups.timeout(now_ns);
                let again = self.sent_again();
                self.totem.timeout(now_ns, &mut self.groups.source(clients));
                let again = again != self.sent_again();
                if let Some(paths) = &mut self.paths {
                    if again {
                        paths.suspect(now_ns);
                    }
                    paths.timeout(now_ns);
                }
            }
            Input::Shutdown => {
                self.groups.close_all();
                self.groups.retire(now_ns);
                self.totem.leave(now_ns, &mut self.groups.source(clients));
            }
        }
        self.settle(now_ns, clients);
        self.flush();
        self.stirred |= numbered != self.totem.counters().frames_sent;
        if let Some(paths) = &mut self.paths {
            paths.end_call();
        }
    }

    /// How often totem sent the token or a wish for it again, or asked again for a sign of life: then one was lost,
    /// or the node it went to.
    fn sent_again(&self) -> u64 {
        let counters = self.totem.counters();
        let asked = counters.beacons_again + counters.signs_wanted;
        counters.token_retransmits + counters.wants_sent + asked
    }

    /// The next thing to do; sends come before what local programs are told.
    #[inline]
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.out.pop_front() {
            return Some(output);
        }
        if let Some(event) = self.groups.poll_event() {
            return Some(Output::Event(event));
        }
        if let Some(event) = self.groups.poll_change() {
            return Some(Output::Change(event));
        }
        self.groups.poll_trace().map(Output::Trace)
    }

    /// Whether anything happened since the last call that more may follow from soon. Signs of life, which is all that
    /// an idle ring has, are no such thing.
    pub fn take_stirred(&mut self) -> bool {
        core::mem::take(&mut self.stirred)
    }

    /// When `Input::Timeout` is due, and why.
    pub fn next_timeout(&self) -> Option<(u64, Reason)> {
        let totem = self.totem.next_timeout().map(|(at, timer)| (at, Reason::Totem(timer)));
        let link = self.link.next_timeout().map(|(at, timer)| (at, Reason::Link(timer)));
        let quorum = self.groups.next_timeout().map(|(at, timer)| (at, Reason::Quorum(timer)));
        let hello = self.paths.as_ref().map(|paths| (paths.next_timeout(), Reason::Hello));
        let owing = self.owing.next_timeout().map(|at| (at, Reason::Owing));
        [totem, link, quorum, hello, owing].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The state of all layers, for people and tests.
    pub fn status(&self) -> Status {
        Status {
            me: self.me,
            nodes: self.nodes.clone(),
            totem: self.totem.status(),
            groups: self.groups.status(),
            peers: self.link.peers().collect(),
            links: self.paths.iter().flat_map(Paths::states).collect(),
            links_in_use: self.paths.as_ref().map_or(1, Paths::in_use),
            security: self.link.security(),
            pool: self.pool.stats(),
        }
    }

    /// The counters of all layers.
    pub fn counters(&self) -> Counters<'_> {
        Counters {
            node: &self.counters,
            link: self.link.counters(),
            totem: self.totem.counters(),
            groups: self.groups.counters(),
            paths: self.paths.as_ref().map(|paths| *paths.counters()).unwrap_or_default(),
        }
    }

    /// Which receive queue to read first, see [`Totem::token_first`].
    #[inline]
    pub fn token_first(&self) -> bool {
        self.totem.token_first()
    }

    /// Makes one deliberate bug in the ring or the groups (for tests of the simulator's checkers).
    #[cfg(feature = "mutations")]
    pub fn set_mutation(&mut self, mutation: Option<totem::Mutation>) {
        self.totem.set_mutation(mutation);
        self.groups.set_mutation(mutation);
    }

    /// Asks the machine that counts votes for something; `None` when votes are not counted. Then drain
    /// outputs.
    pub fn with_votes<R>(
        &mut self,
        now_ns: u64,
        clients: &mut dyn Clients,
        request: impl FnOnce(&mut Votequorum) -> R,
    ) -> Option<R> {
        let answer = self.groups.with_votes(now_ns, request);
        self.settle(now_ns, clients);
        self.flush();
        answer
    }

    /// The group layer, for queries.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Longest message that fits one frame; longer ones must come as fragments.
    pub fn message_bytes_max(&self) -> usize {
        self.payload_bytes - RUN_HEADER_BYTES - RECORD_HEADER_BYTES
    }

    /// Most bytes of a run's body: the longest buffer `Clients::pull` is given.
    pub fn run_bytes_max(&self) -> usize {
        self.payload_bytes - RUN_HEADER_BYTES
    }

    /// Takes a new cluster key beside the one in use, see [`Link::rotate_key`]. Then drain outputs.
    ///
    /// # Errors
    /// When encryption is off or the epoch is in use.
    pub fn rotate_key(
        &mut self,
        now_ns: u64,
        key: &[u8; link::KEY_BYTES],
        epoch: u8,
    ) -> Result<(), link::RollError> {
        self.link.rotate_key(now_ns, key, epoch)?;
        self.collect(now_ns);
        Ok(())
    }

    /// Takes over a new configuration, as [`groups::cfg::Event::Committed`] asks for. Then drain outputs.
    ///
    /// # Errors
    /// See [`ConfigError`]; nothing has changed then.
    pub fn reconfigure(
        &mut self,
        now_ns: u64,
        reconfiguration: Reconfiguration,
    ) -> Result<(), ConfigError> {
        let Reconfiguration {
            ring,
            nodes,
            token_timeout,
            consensus_us,
            config_version,
            config_hash,
            limits,
            links,
            quorum,
        } = reconfiguration;
        let nodes = checked_nodes(nodes, self.me)?;
        let change = totem::Change {
            ring,
            nodes: nodes.clone(),
            token_timeout,
            consensus_us,
            config_version,
            config_hash,
        };
        self.totem.change(now_ns, change).map_err(ConfigError::NotInNodeList)?;
        if nodes != self.nodes {
            self.link.set_peers(&nodes);
            if let Some(paths) = &mut self.paths {
                paths.set_nodes(self.me, &nodes);
            }
            self.nodes = nodes;
        }
        if let Some(paths) = &mut self.paths {
            paths.set_links(links.mode, links.priorities);
        }
        if let Some(owed_ns) = self.owed_ns_max(token_timeout, consensus_us, self.nodes.len()) {
            self.owing.settle(now_ns, owed_ns);
        }
        self.groups.set_limits(limits);
        self.groups.set_quorum(now_ns, self.nodes.clone(), quorum.as_ref());
        self.collect(now_ns);
        self.flush();
        Ok(())
    }

    /// Carries what the layers say to each other until none has anything to say.
    pub(crate) fn settle(&mut self, now_ns: u64, clients: &mut dyn Clients) {
        self.collect(now_ns);
        self.groups.lease(now_ns, self.totem.lease(now_ns));
        // Each round either numbers what waited or finds that the ring cannot yet: the wake flag is
        // set again only by a configuration, the end of a barrier or a request, none of which a
        // wake makes more than once.
        while self.groups.take_wake() {
            self.totem.wake(now_ns, &mut self.groups.source(clients));
            self.collect(now_ns);
        }
    }

    /// Passes on what the ring and the link layer put out.
    fn collect(&mut self, now_ns: u64) {
        if self.paths.is_some() {
            self.send_hellos();
        }
        while let Some(output) = self.totem.poll_output() {
            match output {
                totem::Output::Send { to, lane, frame } => {
                    let links = self.links_for(now_ns, to, &frame);
                    let Self { packer, link, out, counters, .. } = self;
                    packer.push((to, links), lane, frame, link, out, counters);
                }
                totem::Output::Deliver(delivered) => self.groups.deliver(now_ns, delivered),
                totem::Output::Configuration(configuration) => {
                    self.groups.owe(self.totem.owed());
                    self.groups.configuration(now_ns, &configuration);
                }
                totem::Output::Persist { ring_seq } => {
                    let stored = self.owing.ask_for_ring(ring_seq);
                    self.out.push_back(Output::Persist(stored));
                }
                totem::Output::Trace(trace) => self.out.push_back(Output::Trace(trace)),
                totem::Output::Gone { node } => self.groups.gone(node),
                totem::Output::Newer { node, config_version, config_hash } => {
                    self.groups.newer(node, config_version, config_hash);
                }
                totem::Output::Left => {
                    self.flush();
                    self.out.push_back(Output::Left);
                }
            }
        }
        while let Some(output) = self.link.poll_output() {
            match output {
                link::Output::Send { to, datagram } => self.send_handshake(to, &datagram),
                link::Output::Trace(trace) => self.out.push_back(Output::Trace(trace)),
            }
        }
    }

    fn flush(&mut self) {
        let Self { packer, link, out, counters, .. } = self;
        packer.flush(link, out, counters);
    }

    /// A datagram of the link layer itself; if no slot is free it is lost and will be sent again.
    fn send_handshake(&mut self, to: NodeId, datagram: &[u8]) {
        let Some(mut bytes) = slot(&self.pool, datagram.len()) else {
            self.counters.frames_unsent += 1;
            return;
        };
        bytes.truncate(datagram.len());
        bytes.copy_from_slice(datagram);
        self.counters.bursts_sent += 1;
        self.counters.datagrams_sent += 1;
        self.counters.bytes_sent += datagram.len() as u64;
        let (to, lane, segment_bytes) = (totem::Dest::Node(to), Lane::Data, datagram.len());
        let links = self.all_links();
        self.out.push_back(Output::Send { to, links, lane, bytes, segment_bytes });
    }
}

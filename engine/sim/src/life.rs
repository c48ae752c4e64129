//! The lives of nodes: how one starts and how it ends.

use frame::Pool;
use groups::Limits;
use link::Security;
use node::{Config, Node, Stored};
use wire::BootId;

use crate::event::Event;
use crate::history::{End, Life, LifeId, What};
use crate::host::{Host, Running};
use crate::reload::{File, Standing};
use crate::rng::Rng;
use crate::tamper::{Tamper, Tamperer};
use crate::world::World;

impl World {
    /// Starts the node of a host.
    pub(crate) fn start(&mut self, index: usize) {
        let file = self.hosts[index].file;
        let configured = self.files.get(file).clone();
        // Who is not in its own list does not start.
        if self.hosts[index].running.is_some() || !configured.names(self.hosts[index].id) {
            return;
        }
        let life = LifeId(self.history.lives.len() as u32);
        let pool = Pool::heap(self.scenario.pool);
        let (seed, boot) = (self.rng.next(), boot_id(&mut self.rng));
        let mut config = self.config(&self.hosts[index], &configured, seed, boot);
        config.stored = self.found_on_disk(index, config.owed_ns_max());
        let host = &self.hosts[index];
        let local_ns = host.clock.local(self.now_ns);
        let node =
            Node::new(config, pool.clone(), local_ns).expect("scenarios are valid configurations");
        #[cfg(feature = "mutations")]
        let node = {
            let mut node = node;
            node.set_mutation(self.spoil.mutation);
            node
        };
        let id = host.id;
        self.history.lives.push(Life {
            node: id,
            started_ns: self.now_ns,
            end: None,
            entries: Vec::new(),
        });
        self.tracer.line(self.now_ns, || format!("n{id} l{} start", life.0));
        let next_session = self.rng.next() as u32 >> 1;
        let mut running = Running::new(id, (life, node), pool, Standing::new(file), next_session);
        running.recorder.is_forgetful = self.spoil.tamper == Some(Tamper::ForgetBeginnings);
        running.tamperer = Tamperer::new(self.spoil.tamper);
        self.hosts[index].running = Some(running);
        let File { version, hash, .. } = configured;
        self.record(life, What::Configured { version, hash });
        self.drain(index);
        self.want_turn(index, self.now_ns);
        if self.healed {
            self.begin_fresh(index);
        } else {
            let step = self.client_rng.around(self.scenario.load.step_ns);
            self.schedule(self.now_ns + step, Event::Clients { host: index, life });
        }
    }

    fn config(&self, host: &Host, file: &File, seed: u64, boot: BootId) -> Config<'static> {
        let s = &self.scenario;
        let security = if s.encrypted {
            let (epoch, provider) = (file.key, link::Provider::AesGcm);
            Security::Aes256Gcm { key: key(epoch), epoch, provider }
        } else {
            Security::Off
        };
        Config {
            me: host.id,
            nodes: file.nodes.clone(),
            cluster_name: "sim",
            security,
            boot,
            seed,
            datagram_bytes: s.datagram_bytes,
            burst_segments: crate::network::SEGMENTS_MAX,
            burst_bytes: s.burst_bytes,
            links: s.links,
            token_timeout: file.token_timeout(),
            config_version: file.version,
            config_hash: file.hash,
            stored: Stored::default(),
            tuning: s.tuning.clone(),
            limits: Limits::default(),
            quorum: s.ballot.as_ref().map(|ballot| ballot.options(&file.nodes)),
            expected_votes_tracked: 0,
        }
    }

    /// Ends the life of a host's node at once. What the disk was about to write may or may not be there.
    pub(crate) fn kill(&mut self, index: usize, end: End) {
        let Some(gone) = self.hosts[index].running.take() else { return };
        self.history.lives[gone.life.0 as usize].end = Some((self.now_ns, end));
        let id = self.hosts[index].id;
        self.tracer.line(self.now_ns, || format!("n{id} l{} {end:?}", gone.life.0));
        self.close_life(gone);
        let host = &mut self.hosts[index];
        host.sockets.clear();
        host.turn_ns = None;
        host.busy_until = 0;
        host.paused_until = 0;
        host.doom = None;
        host.dying = false;
        host.claim = None;
        host.told = None;
    }

    /// Adds a node's counters to the run's.
    fn count(&mut self, node: &Node) {
        let c = node.counters();
        let all = [
            ("node", c.node.fields().collect::<Vec<_>>()),
            ("link", c.link.fields().collect()),
            ("totem", c.totem.fields().collect()),
            ("groups", c.groups.fields().collect()),
            ("links", c.paths.fields().collect()),
        ];
        for (layer, fields) in all {
            for (name, value) in fields {
                *self.counters.entry((layer, name)).or_default() += value;
            }
        }
    }

    /// Drops a node and everything around it and counts what is left in its pool.
    pub(crate) fn close_life(&mut self, gone: Running) -> u64 {
        self.count(&gone.node);
        let Running {
            pool, life, node, recorder, readers, hog, processes, controls, tamperer, ..
        } = gone;
        drop((node, recorder, readers, hog, processes, controls));
        let left = Running::slots_in_use(&pool);
        // What was leaked on purpose is still there when the account is taken.
        drop(tamperer);
        if self.history.life(life).end.is_some() {
            let account = crate::history::SlotAccount { life, idle: 0, dropped: left };
            self.history.slots.push(account);
        }
        left
    }
}

pub(crate) fn key(epoch: u8) -> [u8; link::KEY_BYTES] {
    [0x42 ^ epoch; link::KEY_BYTES]
}

fn boot_id(rng: &mut Rng) -> BootId {
    let mut boot = [0; 16];
    boot[..8].copy_from_slice(&rng.next().to_le_bytes());
    boot[8..].copy_from_slice(&rng.next().to_le_bytes());
    BootId(boot)
}

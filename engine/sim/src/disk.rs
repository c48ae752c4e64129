//! The disk of a host: what outlives its nodes. Writes take their time and are done in their order; a crash may come
//! before one, or between it and the word that it was done.

use node::{Input, Stored};

use crate::event::Event;
use crate::history::LifeId;
use crate::tamper::Tamper;
use crate::world::World;

/// A host's disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// What is on it.
    pub(crate) stored: Stored,
    /// When the last write is done, and when its node hears of that.
    done_ns: u64,
    confirmed_ns: u64,
}

impl World {
    /// A node wants something stored.
    pub(crate) fn persist(&mut self, host: usize, life: LifeId, stored: Stored) {
        let done_ns = self.now_ns + self.rng.below(self.scenario.disk_ns);
        let confirmed_ns = done_ns + self.rng.below(self.scenario.disk_ns);
        let disk = &mut self.hosts[host].disk;
        disk.done_ns = disk.done_ns.max(done_ns);
        disk.confirmed_ns = disk.confirmed_ns.max(confirmed_ns);
        let (done_ns, confirmed_ns) = (disk.done_ns, disk.confirmed_ns);
        self.schedule(done_ns, Event::Durable { host, life, stored });
        self.schedule(confirmed_ns, Event::Persisted { host, life, stored });
    }

    /// A write is done.
    pub(crate) fn write_disk(&mut self, host: usize, stored: Stored) {
        if self.spoil.tamper != Some(Tamper::ForgetDisk) {
            self.hosts[host].disk.stored = stored;
        }
    }

    /// A node learns that a write was done.
    pub(crate) fn persisted(&mut self, host: usize, life: LifeId, stored: Stored) {
        self.control(host, life, Input::Persisted(stored));
    }

    /// What a node starts with that may owe as much. Before it starts that is stored, as its owner does.
    pub(crate) fn found_on_disk(&mut self, host: usize, owed_ns: u64) -> Stored {
        let found = self.hosts[host].disk.stored;
        self.hosts[host].disk = Disk { stored: found, ..Disk::default() };
        self.write_disk(host, Stored { owed_ns: found.owed_ns.max(owed_ns), ..found });
        found
    }
}

//! The quorum device: a program beside the engine that votes.

use alloc::boxed::Box;

use wire::quorum::{DEVICE_NAME_BYTES_MAX, Quorum};
use wire::{NodeId, RingId};

use super::api::{News, Refusal};
use super::machine::Votequorum;
use super::options::DeviceOptions;
use super::table::{DEVICE, NodeFlags, NodeState};

/// What is known of the device here.
#[derive(Debug)]
pub(super) struct Device {
    /// The one name that any node's device may have.
    pub(super) name: Option<Box<[u8]>>,
    pub(super) votes: u32,
    pub(super) may_operate: bool,
    pub(super) master_wins: bool,
    timeout_ns: u64,
    sync_timeout_ns: u64,
    /// When it must have polled.
    pub(super) poll_ns: Option<u64>,
    /// The new ring waits for it.
    pub(super) sync_waits: bool,
    /// A registration is on its way through the total order.
    registering: bool,
}

/// The device as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Its name, if any node has one.
    pub name: Option<Box<[u8]>>,
    /// Its votes.
    pub votes: u32,
    /// Whether the configuration lets one register.
    pub may_operate: bool,
    /// Whether the partition with its votes wins.
    pub master_wins: bool,
}

const FLAGS: NodeFlags = NodeFlags::DEVICE_REGISTERED
    .union(NodeFlags::DEVICE_ALIVE)
    .union(NodeFlags::DEVICE_VOTES)
    .union(NodeFlags::DEVICE_MASTER_WINS)
    .union(NodeFlags::DEVICE_EXTRA);

impl Device {
    pub(super) fn new(options: Option<&DeviceOptions>) -> Self {
        let mut device = Self {
            name: None,
            votes: 0,
            may_operate: true,
            master_wins: false,
            timeout_ns: 0,
            sync_timeout_ns: 0,
            poll_ns: None,
            sync_waits: false,
            registering: false,
        };
        device.configure(Some(options.unwrap_or(&DeviceOptions::default())));
        device
    }

    pub(super) fn configure(&mut self, options: Option<&DeviceOptions>) {
        if let Some(options) = options {
            self.timeout_ns = u64::from(options.timeout_ms) * 1_000_000;
            self.sync_timeout_ns = u64::from(options.sync_timeout_ms) * 1_000_000;
        }
    }

    fn is_called(&self, name: &[u8]) -> bool {
        self.name.as_deref() == Some(name)
    }
}

impl Votequorum {
    /// The device as it is known here.
    pub fn device(&self) -> DeviceStatus {
        let Device { name, votes, may_operate, master_wins, .. } = &self.device;
        DeviceStatus {
            name: name.clone(),
            votes: *votes,
            may_operate: *may_operate,
            master_wins: *master_wins,
        }
    }

    fn has_device(&self) -> bool {
        self.us().flags.contains(NodeFlags::DEVICE_REGISTERED)
    }

    /// A program wants to be this node's quorum device. `Ok(true)`: it is (already); `Ok(false)`:
    /// [`News::Registered`] will tell.
    ///
    /// # Errors
    /// [`Refusal::NotAllowed`], [`Refusal::OtherDevice`], [`Refusal::TryAgain`] while another
    /// registration is under way, [`Refusal::WrongName`] for a name of no or too many bytes.
    pub fn device_register(&mut self, name: &[u8]) -> Result<bool, Refusal> {
        if !self.device.may_operate {
            return Err(Refusal::NotAllowed);
        }
        if name.is_empty() || name.len() > DEVICE_NAME_BYTES_MAX {
            return Err(Refusal::WrongName);
        }
        if self.has_device() {
            return if self.device.is_called(name) { Ok(true) } else { Err(Refusal::OtherDevice) };
        }
        if self.device.registering {
            return Err(Refusal::TryAgain);
        }
        self.request(&Quorum::Register { name })?;
        self.device.registering = true;
        Ok(false)
    }

    /// Who asked for the registration under way is gone.
    pub fn device_register_cancelled(&mut self) {
        self.device.registering = false;
    }

    pub(super) fn registered(&mut self, origin: NodeId, name: &[u8]) {
        if origin != self.me {
            self.device.name.get_or_insert_with(|| name.into());
            return;
        }
        if self.has_device() || !self.device.registering {
            return;
        }
        self.device.registering = false;
        let accepted = **self.device.name.get_or_insert_with(|| name.into()) == *name;
        if accepted {
            self.us_mut().flags |= NodeFlags::DEVICE_REGISTERED;
            self.send_info(DEVICE);
            self.send_info(self.me);
        }
        self.news(News::Registered { accepted });
    }

    /// The device does not vote any more.
    ///
    /// # Errors
    /// [`Refusal::NotRegistered`], [`Refusal::WrongName`].
    pub fn device_unregister(&mut self, name: &[u8]) -> Result<(), Refusal> {
        self.check_name(name)?;
        self.request(&Quorum::Unregister { name })?;
        self.device.poll_ns = None;
        self.device.sync_waits = false;
        self.us_mut().flags.remove(FLAGS);
        self.drop_extra();
        self.send_info(self.me);
        Ok(())
    }

    pub(super) fn unregistered(&mut self) {
        let used = self.table.iter().any(|(_, entry)| {
            entry.state == NodeState::Member && entry.flags.contains(NodeFlags::DEVICE_REGISTERED)
        });
        if !used {
            self.device.name = None;
        }
    }

    /// The device is to have another name.
    ///
    /// # Errors
    /// As [`Votequorum::device_unregister`].
    pub fn device_update(&mut self, old: &[u8], new: &[u8]) -> Result<(), Refusal> {
        self.check_name(old)?;
        if new.is_empty() || new.len() > DEVICE_NAME_BYTES_MAX {
            return Err(Refusal::WrongName);
        }
        self.request(&Quorum::Rename { old, new })
    }

    pub(super) fn renamed(&mut self, old: &[u8], new: &[u8]) {
        if self.device.is_called(old) {
            self.device.name = Some(new.into());
        }
    }

    /// The device lives, knows the ring, and votes or not.
    ///
    /// # Errors
    /// [`Refusal::NotAllowed`], [`Refusal::NotRegistered`], [`Refusal::OtherRing`],
    /// [`Refusal::WrongName`].
    pub fn device_poll(
        &mut self,
        now_ns: u64,
        name: &[u8],
        votes: bool,
        ring: RingId,
    ) -> Result<(), Refusal> {
        if !self.device.may_operate {
            return Err(Refusal::NotAllowed);
        }
        if !self.has_device() {
            return Err(Refusal::NotRegistered);
        }
        if ring != self.ring {
            return Err(Refusal::OtherRing);
        }
        self.check_name(name)?;
        let before = self.us().flags;
        let flags = &mut self.us_mut().flags;
        flags.insert(NodeFlags::DEVICE_ALIVE);
        flags.set(NodeFlags::DEVICE_VOTES, votes);
        if *flags != before {
            self.send_info(self.me);
        }
        self.device.poll_ns = Some(now_ns.saturating_add(self.device.timeout_ns));
        self.device.sync_waits = false;
        Ok(())
    }

    /// Whether the partition with the device's votes wins.
    ///
    /// # Errors
    /// As [`Votequorum::device_poll`], but for the ring.
    pub fn device_master_wins(&mut self, name: &[u8], wins: bool) -> Result<(), Refusal> {
        if !self.device.may_operate {
            return Err(Refusal::NotAllowed);
        }
        self.check_name(name)?;
        let before = self.us().flags;
        self.us_mut().flags.set(NodeFlags::DEVICE_MASTER_WINS, wins);
        if self.us().flags != before {
            self.send_info(self.me);
        }
        self.device.master_wins = wins;
        Ok(())
    }

    fn check_name(&self, name: &[u8]) -> Result<(), Refusal> {
        if !self.has_device() {
            return Err(Refusal::NotRegistered);
        }
        if self.device.is_called(name) { Ok(()) } else { Err(Refusal::WrongName) }
    }

    /// A new ring waits for an alive device.
    pub(super) fn await_device(&mut self, now_ns: u64) {
        let alive = NodeFlags::DEVICE_REGISTERED | NodeFlags::DEVICE_ALIVE;
        if self.us().flags.contains(alive) {
            self.device.poll_ns = Some(now_ns.saturating_add(self.device.sync_timeout_ns));
            self.device.sync_waits = true;
        }
    }

    /// It has not polled in time.
    pub(super) fn device_is_lost(&mut self) {
        self.device.poll_ns = None;
        self.device.sync_waits = false;
        if self.us().flags.contains(NodeFlags::DEVICE_ALIVE) {
            self.us_mut().flags.remove(NodeFlags::DEVICE_ALIVE | NodeFlags::DEVICE_VOTES);
            self.send_info(self.me);
        }
    }
}

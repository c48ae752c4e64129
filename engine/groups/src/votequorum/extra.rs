//! What the quorum devices of nodes have to say for themselves, in bytes that mean nothing here.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use wire::NodeId;
use wire::quorum::{EXTRA_BYTES_MAX, EXTRA_PART_BYTES_MAX, ExtraPart, Quorum};

use super::api::{News, Refusal};
use super::machine::Votequorum;
use super::table::{DEVICE, NodeFlags};

/// By node; nobody is in both for long.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// What was said, never empty.
    said: BTreeMap<NodeId, Box<[u8]>>,
    /// Beginnings, never longer than [`EXTRA_BYTES_MAX`].
    begun: BTreeMap<NodeId, Vec<u8>>,
}

impl Extras {
    /// Adds a part. Gives the whole once it is there: empty if the node has nothing to say any more.
    fn add(&mut self, node: NodeId, part: &ExtraPart<'_>) -> Option<&[u8]> {
        let begun = self.begun.entry(node).or_default();
        if part.offset == 0 {
            begun.clear();
        }
        if begun.len() != usize::from(part.offset) {
            // Its beginning was sent in a ring that this node was not in; all of it comes again.
            self.begun.remove(&node);
            return None;
        }
        begun.extend_from_slice(part.bytes);
        if begun.len() < usize::from(part.total) {
            return None;
        }
        let whole = self.begun.remove(&node).unwrap_or_default();
        self.said.remove(&node);
        match whole.is_empty() {
            true => Some(&[]),
            false => Some(self.said.entry(node).or_insert_with(|| whole.into())),
        }
    }
}

impl Votequorum {
    /// This node's device has this to say for itself, or nothing any more.
    ///
    /// # Errors
    /// [`Refusal::NotAllowed`], [`Refusal::NotRegistered`], [`Refusal::Impossible`] for more than
    /// [`EXTRA_BYTES_MAX`] bytes, [`Refusal::TryAgain`].
    pub fn device_set_extra(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if !self.device.may_operate {
            return Err(Refusal::NotAllowed);
        }
        if bytes.len() > EXTRA_BYTES_MAX {
            return Err(Refusal::Impossible);
        }
        if !self.us().flags.contains(NodeFlags::DEVICE_REGISTERED) {
            return Err(Refusal::NotRegistered);
        }
        if !self.has_room() {
            return Err(Refusal::TryAgain);
        }
        self.extra = bytes.into();
        self.say_extra();
        Ok(())
    }

    /// What a node's device has to say; empty if that is nothing. [`DEVICE`] itself says nothing.
    ///
    /// # Errors
    /// [`Refusal::NotAllowed`], [`Refusal::NoSuchNode`].
    pub fn device_extra(&self, node: NodeId) -> Result<&[u8], Refusal> {
        if !self.device.may_operate {
            return Err(Refusal::NotAllowed);
        }
        if node != DEVICE && self.table.get(node).is_none() {
            return Err(Refusal::NoSuchNode);
        }
        Ok(self.extras.said.get(&node).map_or(&[], |said| said))
    }

    /// Tells the others what this node's device has to say.
    pub(super) fn say_extra(&mut self) {
        let bytes = core::mem::take(&mut self.extra);
        self.us_mut().flags.set(NodeFlags::DEVICE_EXTRA, !bytes.is_empty());
        let total = bytes.len() as u16;
        let mut offset = 0;
        loop {
            let end = bytes.len().min(offset + EXTRA_PART_BYTES_MAX);
            let part = ExtraPart { total, offset: offset as u16, bytes: &bytes[offset..end] };
            self.send(&Quorum::Extra(part));
            offset = end;
            if offset == bytes.len() {
                break;
            }
        }
        self.extra = bytes;
    }

    /// The device is gone, and what it had to say.
    pub(super) fn drop_extra(&mut self) {
        self.extra = Box::default();
        self.say_extra();
    }

    /// A part of what a member's device has to say, in its place of the order.
    pub(super) fn extra_part(&mut self, origin: NodeId, part: &ExtraPart<'_>) {
        let Some(entry) = self.table.get_mut(origin) else { return };
        let Some(whole) = self.extras.add(origin, part) else { return };
        entry.flags.set(NodeFlags::DEVICE_EXTRA, !whole.is_empty());
        let bytes = whole.into();
        self.news(News::Extra { node: origin, bytes });
    }

    /// A node says that its device has nothing to say: a new life of it, if there was something.
    pub(super) fn forget_extra(&mut self, node: NodeId) {
        self.extras.begun.remove(&node);
        if self.extras.said.remove(&node).is_some() {
            self.news(News::Extra { node, bytes: Box::default() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_a_whole_and_strays_make_nothing() {
        let mut extras = Extras::default();
        let (node, other) = (NodeId(1), NodeId(2));
        let part = |total, offset, bytes| ExtraPart { total, offset, bytes };
        assert_eq!(extras.add(node, &part(5, 3, b"de")), None, "its beginning was not heard");
        assert_eq!(extras.add(node, &part(5, 0, b"abc")), None);
        assert_eq!(extras.add(other, &part(1, 0, b"x")), Some(&b"x"[..]));
        assert_eq!(extras.add(node, &part(5, 3, b"de")), Some(&b"abcde"[..]));
        assert_eq!(extras.add(node, &part(4, 0, b"ab")), None);
        assert_eq!(extras.add(node, &part(2, 0, b"cd")), Some(&b"cd"[..]), "begun anew");
        assert_eq!(extras.add(node, &part(0, 0, b"")), Some(&b""[..]));
        assert!(!extras.said.contains_key(&node) && extras.begun.is_empty());
    }
}

//! Messages that have begun and not ended: some of their fragments are in the order, the last is not.
//!
//! Every node follows those of every group, whether it has members there or not, because joins wait
//! for them.

use alloc::vec::Vec;

use wire::NodeId;
use wire::run::FragmentHeader;

/// One message that has begun.
#[derive(Clone, Copy, Debug)]
struct Open {
    node: NodeId,
    session: u32,
    group: u32,
    total: u64,
    /// Where in the message the next fragment has to start.
    next: u64,
    /// When it began, on the scale of [`OpenMessages::stamp`].
    begun: u64,
}

/// What a run of a session meant for the message that the session has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Followed {
    /// Whether the fragment begins a message or continues the one that is open.
    pub(crate) fits: bool,
    /// The group of a message that was open and is not any more.
    pub(crate) ended: Option<u32>,
}

/// The messages that are open, at most one for each session: the pieces of one follow each other
/// without anything else of that session between them.
#[derive(Debug, Default)]
pub(crate) struct OpenMessages {
    /// Sorted by node and session.
    list: Vec<Open>,
    /// Counts beginnings and joins. Nodes compare only their own counts, and all see the same order.
    steps: u64,
}

impl OpenMessages {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A mark between what began before and what begins later.
    pub(crate) fn stamp(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }

    /// When the oldest open message of a group began.
    pub(crate) fn oldest_in(&self, group: u32) -> Option<u64> {
        self.list.iter().filter(|open| open.group == group).map(|open| open.begun).min()
    }

    /// A fragment, its header checked. One that starts at 0 starts a message, whatever was open; one
    /// that starts elsewhere than the last one ended belongs to nothing, and nor does what follows it.
    pub(crate) fn fragment(
        &mut self,
        node: NodeId,
        session: u32,
        group: u32,
        header: &FragmentHeader,
    ) -> Followed {
        let (total, offset) = (header.total.get(), header.offset.get());
        let end = offset + u64::from(header.len.get());
        let at = self.position(node, session);
        if offset == 0 {
            let ended = at.ok().map(|at| self.list.remove(at).group);
            if end < total {
                let begun = self.stamp();
                let open = Open { node, session, group, total, next: end, begun };
                let at = at.unwrap_or_else(|at| at);
                self.list.insert(at, open);
            }
            return Followed { fits: true, ended };
        }
        let Ok(at) = at else { return Followed { fits: false, ended: None } };
        let open = &mut self.list[at];
        let fits = (open.group, open.total, open.next) == (group, total, offset);
        if fits && end < total {
            open.next = end;
            return Followed { fits, ended: None };
        }
        Followed { fits, ended: Some(self.list.remove(at).group) }
    }

    /// The session sends something else, or is gone: what it had open will not be continued. The group of that.
    pub(crate) fn abandon(&mut self, node: NodeId, session: u32) -> Option<u32> {
        let at = self.position(node, session).ok()?;
        Some(self.list.remove(at).group)
    }

    /// The session left a group: what it had open there will not be continued.
    pub(crate) fn leave(&mut self, node: NodeId, session: u32, group: u32) {
        if let Ok(at) = self.position(node, session)
            && self.list[at].group == group
        {
            self.list.remove(at);
        }
    }

    /// A new ring: whatever is half sent starts again there.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    fn position(&self, node: NodeId, session: u32) -> Result<usize, usize> {
        self.list.binary_search_by_key(&(node, session), |open| (open.node, open.session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);

    fn header(total: u64, offset: u64, len: u32) -> FragmentHeader {
        let (total, offset) = (total.into(), offset.into());
        FragmentHeader { total, offset, len: len.into(), reserved: 0.into() }
    }

    fn followed(fits: bool, ended: Option<u32>) -> Followed {
        Followed { fits, ended }
    }

    #[test]
    fn a_message_is_open_from_its_first_fragment_to_its_last() {
        let mut open = OpenMessages::default();
        assert_eq!(open.fragment(ME, 1, 7, &header(8, 0, 8)), followed(true, None));
        assert!(open.is_empty(), "it came whole");
        assert_eq!(open.fragment(ME, 1, 7, &header(20, 0, 8)), followed(true, None));
        assert_eq!(open.fragment(ME, 1, 7, &header(20, 8, 8)), followed(true, None));
        assert!(open.oldest_in(7).is_some() && open.oldest_in(8).is_none());
        assert_eq!(open.fragment(ME, 1, 7, &header(20, 16, 4)), followed(true, Some(7)));
        assert!(open.is_empty());
    }

    #[test]
    fn what_does_not_continue_ends_it() {
        for stray in [header(20, 16, 4), header(24, 8, 8), header(20, 4, 8)] {
            let mut open = OpenMessages::default();
            open.fragment(ME, 1, 7, &header(20, 0, 8));
            assert_eq!(open.fragment(ME, 1, 7, &stray), followed(false, Some(7)));
            assert_eq!(open.fragment(ME, 1, 7, &header(20, 16, 4)), followed(false, None));
        }
        let mut open = OpenMessages::default();
        open.fragment(ME, 1, 7, &header(20, 0, 8));
        assert_eq!(open.fragment(ME, 1, 8, &header(20, 8, 8)), followed(false, Some(7)));
        open.fragment(ME, 1, 7, &header(20, 0, 8));
        open.leave(ME, 1, 8);
        assert_eq!(open.abandon(ME, 2), None);
        assert_eq!(open.abandon(ME, 1), Some(7));
        open.fragment(ME, 1, 7, &header(20, 0, 8));
        open.leave(ME, 1, 7);
        assert!(open.is_empty());
    }

    #[test]
    fn one_that_starts_again_is_younger() {
        let mut open = OpenMessages::default();
        open.fragment(ME, 2, 7, &header(20, 0, 8));
        open.fragment(ME, 1, 7, &header(20, 0, 8));
        let join = open.stamp();
        assert!(open.oldest_in(7) < Some(join));
        assert_eq!(open.fragment(ME, 2, 7, &header(20, 0, 8)), followed(true, Some(7)));
        assert!(open.oldest_in(7) < Some(join), "the other one is older");
        assert_eq!(open.fragment(ME, 1, 7, &header(20, 8, 12)), followed(true, Some(7)));
        assert!(open.oldest_in(7) > Some(join));
    }
}

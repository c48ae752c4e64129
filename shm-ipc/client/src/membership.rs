//! Which groups this program is in, and how it gets in and out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use session::SubmitError;
use session::layout::RecordKind;

use crate::event::{Event, Group};
use crate::receive::Ready;
use crate::{Client, JoinError, LeaveError, RefusedReason};

/// Where a membership is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The join was ordered; the view that shows it comes when messages that had begun have ended.
    Joined,
    /// Member.
    Member,
    /// Asked to leave; the last view is to come.
    Leaving,
}

#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) group: Group,
    pub(crate) stage: Stage,
    /// Parts of a view too large for one item.
    pub(crate) view: Vec<u8>,
}

/// All groups of a session.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    by_handle: BTreeMap<u32, Membership>,
    /// Joins under way, by request number.
    asked: BTreeMap<u32, Arc<[u8]>>,
    next_request: u32,
}

impl Memberships {
    /// A number for a request to join `name`.
    fn ask(&mut self, name: &[u8]) -> u32 {
        let request = self.number();
        self.asked.insert(request, name.into());
        request
    }

    fn number(&mut self) -> u32 {
        self.next_request = self.next_request.wrapping_add(1);
        self.next_request
    }

    /// A join was ordered.
    pub(crate) fn joined(&mut self, request: u32, handle: u32) {
        let Some(name) = self.asked.remove(&request) else { return };
        let group = Group { handle, name };
        self.by_handle.insert(handle, Membership { group, stage: Stage::Joined, view: Vec::new() });
    }

    /// A request was refused.
    pub(crate) fn refused(&mut self, request: u32) {
        self.asked.remove(&request);
    }

    pub(crate) fn get(&self, handle: u32) -> Option<&Membership> {
        self.by_handle.get(&handle)
    }

    pub(crate) fn get_mut(&mut self, handle: u32) -> Option<&mut Membership> {
        self.by_handle.get_mut(&handle)
    }

    pub(crate) fn left(&mut self, handle: u32) {
        self.by_handle.remove(&handle);
    }

    fn is_asked(&self, request: u32) -> bool {
        self.asked.contains_key(&request)
    }

    /// The session is over. Names of the groups it was in or on the way into.
    pub(crate) fn forget_session(&mut self) -> Vec<Arc<[u8]>> {
        let members = std::mem::take(&mut self.by_handle);
        let stay = members.into_values().filter(|m| m.stage != Stage::Leaving);
        let asked = std::mem::take(&mut self.asked);
        stay.map(|m| m.group.name).chain(asked.into_values()).collect()
    }
}

impl Client {
    /// Joins a group and waits for the first view that shows us in it, which is also the next event
    /// of the group. A name is any 1 to 128 bytes. What arrives for other groups meanwhile is kept.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn join(&mut self, name: &[u8]) -> Result<Group, JoinError> {
        let request = self.start_join(name)?;
        let deadline = Instant::now() + self.options.join_timeout;
        loop {
            while let Some(ready) = self.advance() {
                let group = match &ready {
                    // Only one membership of a name is possible, and ours is not under way any more.
                    Ready::Whole(Event::View(view))
                        if view.is_first && *view.group.name == *name =>
                    {
                        (!self.groups.is_asked(request)).then(|| view.group.clone())
                    }
                    Ready::Whole(Event::Refused { request: its, reason }) if *its == request => {
                        return Err(JoinError::Refused(*reason));
                    }
                    Ready::Ended(cause) => return Err(JoinError::Ended(*cause)),
                    _ => None,
                };
                if !self.keep(ready) {
                    return Err(JoinError::TooMuchArrived);
                }
                if let Some(group) = group {
                    return Ok(group);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(JoinError::Timeout);
            }
            self.wait(Some(left), None);
        }
    }

    /// Asks to join a group and returns at once. The join shows as a [`crate::View`] with `is_first` set, or as
    /// [`crate::Event::Refused`] with the number returned.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn start_join(&mut self, name: &[u8]) -> Result<u32, JoinError> {
        if name.is_empty() || name.len() > session::layout::GROUP_NAME_BYTES_MAX {
            return Err(JoinError::Refused(RefusedReason::BadName));
        }
        let request = self.groups.ask(name);
        let sent = self.control(RecordKind::Join, 0, request, name);
        sent.map_err(JoinError::Ended).inspect_err(|_| self.groups.refused(request))?;
        Ok(request)
    }

    /// Asks to leave a group. Everything published to it before is sent; the last event of the
    /// group is a view with `is_last` set.
    ///
    /// # Errors
    /// See [`LeaveError`].
    pub fn leave(&mut self, group: &Group) -> Result<(), LeaveError> {
        match self.groups.get_mut(group.handle) {
            Some(membership)
                if membership.group == *group && membership.stage != Stage::Leaving =>
            {
                membership.stage = Stage::Leaving;
            }
            _ => return Err(LeaveError::NotMember),
        }
        let request = self.groups.number();
        self.control(RecordKind::Leave, group.handle, request, &[]).map_err(LeaveError::Ended)
    }

    /// Groups this program is a member of.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        let members = self.groups.by_handle.values();
        members.filter(|m| m.stage == Stage::Member).map(|m| &m.group)
    }

    /// Sends a control record, waiting for room if need be.
    fn control(
        &mut self,
        kind: RecordKind,
        group: u32,
        request: u32,
        name: &[u8],
    ) -> Result<(), session::Cause> {
        let len = size_of::<u32>() + name.len();
        loop {
            match self.attachment.loan(kind, group, len) {
                Ok(mut loan) => {
                    let (number, rest) = loan.bytes_mut().split_at_mut(size_of::<u32>());
                    number.copy_from_slice(&request.to_le_bytes());
                    rest.copy_from_slice(name);
                    loan.send();
                    return Ok(());
                }
                Err(SubmitError::Ended(cause)) => return Err(cause),
                // Names fit the smallest ring there is.
                Err(SubmitError::Full | SubmitError::TooLong { .. }) => {
                    self.wait(None, Some(session::layout::record_bytes(len)));
                }
            }
        }
    }
}

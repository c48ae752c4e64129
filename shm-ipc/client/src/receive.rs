//! Receiving: from the items of the session to the events of the program.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use session::layout::{self, record_at};
use session::view::OwnedView;
use session::{Cause, Descriptor, Item, Kind, Member, Order};

use crate::assembly::Step;
use crate::event::{Change, Configuration, Event, Group, Message, View, ViewCause};
use crate::membership::Stage;
use crate::{Client, RefusedReason};

/// Bytes of events kept while waiting for a join, at most.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// What all messages of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    group: Group,
    sender: Member,
    order: Order,
    safe: bool,
}

/// An event that is ready, without its borrowed parts.
#[derive(Debug)]
pub(crate) enum Ready {
    /// A message in the body of the present item.
    InPlace(Range<usize>),
    /// A message in memory of ours.
    Owned(Run, Vec<u8>),
    /// Anything that borrows nothing: neither a message nor the end.
    Whole(Event<'static>),
    /// The session is over.
    Ended(Cause),
}

/// What was received and not given to the program yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// The run in the present item; kept after its last message, which may be in use.
    run: Option<Run>,
    /// Where its next message starts; `None` when there is none left.
    next_at: Option<usize>,
    /// Where the next fragment starts in the present item; `None` when there is none left.
    next_fragment_at: Option<usize>,
    /// Events set aside while waiting for a join.
    kept: VecDeque<Ready>,
    kept_bytes: usize,
    /// The message given out last, if it is in memory of ours.
    owned: Option<(Run, Vec<u8>)>,
}

impl Inbox {
    /// Whether the next event has to come from the session.
    pub(crate) fn is_empty(&self) -> bool {
        self.next_at.is_none() && self.next_fragment_at.is_none() && self.kept.is_empty()
    }
}

impl Client {
    /// The next event, without waiting.
    #[inline]
    pub fn try_recv(&mut self) -> Option<Event<'_>> {
        // Most events are the next message of a run: nothing has to be looked at but its length.
        if self.inbox.kept.is_empty()
            && let Some(range) = self.next_of_run()
        {
            return Some(self.in_place(range));
        }
        self.try_recv_next()
    }

    /// Gives the messages that are left of the run from which the last event came: those that were sent one after
    /// the other by the same program to the same group and lie together. So what is the same for all of them is
    /// looked at once, which is what most of the time of a short message goes to. Returns how many there were;
    /// often none. Whatever comes after them comes from [`Client::try_recv`].
    #[inline]
    pub fn rest_of_run(&mut self, mut take: impl FnMut(&Message<'_>)) -> usize {
        let Some(mut at) = self.inbox.next_at.filter(|_| self.inbox.kept.is_empty()) else {
            return 0;
        };
        self.inbox.next_at = None;
        let Some(run) = &self.inbox.run else { return 0 };
        let body = self.attachment.item_body();
        let mut message = run.message(&[]);
        let mut count = 0;
        while at < body.len()
            && let Some((range, next)) = record_at(body, at)
        {
            message.bytes = &body[range];
            take(&message);
            count += 1;
            at = next;
        }
        count
    }

    /// Gives messages that have arrived, without waiting, until there are `most` of them or a few more, or something
    /// comes that is no message of the kind that is read where it lies; how many there were. None: see what
    /// [`Client::try_recv`] has. The quickest way to receive: what all messages of a run have in common is looked at
    /// once, and nothing is looked at twice.
    pub fn take_messages(&mut self, most: usize, mut take: impl FnMut(&Message<'_>)) -> usize {
        let mut count = self.rest_of_run(&mut take);
        // The group of the run before, which this program is known to be in: nothing that changes that is read here.
        let mut known = None;
        while count < most && self.inbox.is_empty() {
            let Some(item) = self.attachment.next_run() else { break };
            let group = item.group.get();
            if known != Some(group) {
                let member = self.groups.get(group);
                let Some(m) = member.filter(|m| m.stage != Stage::Joined) else { continue };
                self.inbox.begin(&m.group, &item);
                known = Some(group);
            } else if let Some(run) = &mut self.inbox.run {
                run.go_on(&item);
                self.inbox.next_at = Some(0);
            }
            count += self.rest_of_run(&mut take);
        }
        if count > 0 {
            self.patience.found();
        }
        count
    }

    fn try_recv_next(&mut self) -> Option<Event<'_>> {
        let ready = match self.inbox.kept.pop_front() {
            Some(ready) => {
                self.inbox.kept_bytes -= ready.bytes();
                ready
            }
            None => self.advance()?,
        };
        self.patience.found();
        Some(self.event(ready))
    }

    /// The next event; waits for one, at most this long (`None`: for ever). `None`: the time is over.
    pub fn recv(&mut self, timeout: Option<Duration>) -> Option<Event<'_>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let ready = loop {
            if let Some(ready) = self.inbox.kept.pop_front() {
                self.inbox.kept_bytes -= ready.bytes();
                break ready;
            }
            if let Some(ready) = self.advance() {
                break ready;
            }
            let now = Instant::now();
            let left = deadline.map(|at| at.saturating_duration_since(now));
            let is_over = left.is_some_and(|left| left.is_zero());
            if !is_over && self.patience.look_again(now, self.options.look_for) {
                continue;
            }
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            self.wait(left, None);
        };
        self.patience.found();
        Some(self.event(ready))
    }

    /// A message in the body of the present item.
    #[inline]
    fn in_place(&self, range: Range<usize>) -> Event<'_> {
        let bytes = self.attachment.item_body().get(range).unwrap_or_default();
        // The run of the present item was set when the range was made.
        self.inbox
            .run
            .as_ref()
            .map_or(Event::Disconnected, |run| Event::Message(run.message(bytes)))
    }

    /// Puts the borrowed parts back.
    fn event(&mut self, ready: Ready) -> Event<'_> {
        match ready {
            Ready::InPlace(range) => self.in_place(range),
            Ready::Owned(run, bytes) => {
                let (run, bytes) = &*self.inbox.owned.insert((run, bytes));
                Event::Message(run.message(bytes))
            }
            Ready::Whole(event) => event,
            Ready::Ended(Cause::Gone | Cause::Stopping | Cause::Closed) => Event::Disconnected,
            Ready::Ended(cause) => Event::Evicted(cause),
        }
    }

    /// Sets the next event aside, if there is one and not too much is set aside already; whether it did.
    pub(crate) fn set_aside(&mut self) -> bool {
        if self.inbox.kept_bytes > KEPT_BYTES_MAX / 2 {
            return false;
        }
        match self.advance() {
            // The end comes again at every look.
            None | Some(Ready::Ended(_)) => false,
            Some(ready) => {
                if let Some(ready) = self.owned(ready) {
                    self.inbox.kept_bytes += ready.bytes();
                    self.inbox.kept.push_back(ready);
                }
                true
            }
        }
    }

    /// Sets an event aside. False: there is no room for it, and it is gone.
    pub(crate) fn keep(&mut self, ready: Ready) -> bool {
        let Some(ready) = self.owned(ready) else { return true };
        let bytes = ready.bytes();
        if self.inbox.kept_bytes + bytes > KEPT_BYTES_MAX {
            return false;
        }
        self.inbox.kept_bytes += bytes;
        self.inbox.kept.push_back(ready);
        true
    }

    /// The event with its bytes in memory of ours. `None`: it was of no run, which cannot be.
    fn owned(&mut self, ready: Ready) -> Option<Ready> {
        let Ready::InPlace(range) = ready else { return Some(ready) };
        let bytes = self.attachment.item_body().get(range).unwrap_or_default().to_vec();
        self.inbox.run.as_ref().map(|run| Ready::Owned(run.clone(), bytes))
    }

    /// The next event from the session.
    pub(crate) fn advance(&mut self) -> Option<Ready> {
        if let Some((_, bytes)) = self.inbox.owned.take() {
            self.assembly.recycle(bytes);
        }
        loop {
            if let Some(range) = self.next_of_run() {
                return Some(Ready::InPlace(range));
            }
            if let Some(at) = self.inbox.next_fragment_at.take() {
                match self.fragment_at(at) {
                    Some(ready) => return Some(ready),
                    None => continue,
                }
            }
            let item = match self.attachment.next_item() {
                Ok(None) => return None,
                Ok(Some(item)) => item,
                Err(cause) => return Some(Ready::Ended(cause)),
            };
            let Item { descriptor, .. } = item;
            let ready = match descriptor.kind() {
                Some(Kind::Messages) => {
                    let member = self.groups.get(descriptor.group.get());
                    if let Some(m) = member.filter(|m| m.stage != Stage::Joined) {
                        self.inbox.begin(&m.group, &descriptor);
                    }
                    None
                }
                Some(Kind::Fragment) => self.fragment_at(0),
                Some(Kind::View) => {
                    let me = (self.attachment.node(), self.attachment.session());
                    let Some(item) = self.attachment.item() else { continue };
                    let Some(m) = self.groups.get_mut(descriptor.group.get()) else { continue };
                    m.view.extend_from_slice(item.body);
                    if descriptor.flags & Descriptor::MORE != 0 {
                        continue;
                    }
                    let bytes = std::mem::take(&mut m.view);
                    OwnedView::decode(&bytes).and_then(|view| self.view(&descriptor, view, me))
                }
                _ => self.notice(&descriptor),
            };
            if ready.is_some() {
                return ready;
            }
        }
    }

    /// The next message of the run in the present item.
    #[inline]
    fn next_of_run(&mut self) -> Option<Range<usize>> {
        let at = self.inbox.next_at?;
        let body = self.attachment.item_body();
        let record = record_at(body, at);
        self.inbox.next_at =
            record.as_ref().map(|(_, next)| *next).filter(|next| *next < body.len());
        record.map(|(range, _)| range)
    }

    /// Takes the fragment that begins at `at` in the present item, which may have more of them.
    fn fragment_at(&mut self, at: usize) -> Option<Ready> {
        let Item { descriptor, body } = self.attachment.item()?;
        let m = self.groups.get(descriptor.group.get())?;
        let (total, offset, bytes) = layout::fragment(body.get(at..)?)?;
        self.inbox.next_fragment_at = layout::next_fragment(body, at, bytes.len());
        let sender = descriptor.member();
        let step = self.assembly.add(m.group.handle, sender, (total, offset, bytes));
        if step == Step::Partial {
            return None;
        }
        // What ends before our first view was for the members before us; what began
        // before it and ends after it is ours, too.
        if m.stage == Stage::Joined {
            if let Step::Assembled(bytes) = step {
                self.assembly.recycle(bytes);
            }
            return None;
        }
        let mut run = Run::new(&m.group, &descriptor);
        run.order.offset = run.order.offset.wrapping_add(at as u32);
        match step {
            Step::Partial => None,
            Step::Assembled(bytes) => Some(Ready::Owned(run, bytes)),
            Step::TooMuch(total_bytes) => {
                let Run { group, sender, .. } = run;
                Some(Ready::Whole(Event::Dropped { group, sender, total_bytes }))
            }
            Step::Whole => {
                self.inbox.run = Some(run);
                let start = at + layout::FRAGMENT_HEADER_BYTES;
                Some(Ready::InPlace(start..start + total as usize))
            }
        }
    }

    fn view(&mut self, item: &Descriptor, view: OwnedView, me: (u32, u32)) -> Option<Ready> {
        let handle = item.group.get();
        let changes = |list: &[(Member, u8)]| {
            let change = |&(member, cause)| Change { member, cause: ViewCause::from_code(cause) };
            list.iter().map(change).collect::<Vec<_>>()
        };
        let is_me = |member: &Member| (member.node, member.session) == me;
        let is_last = view.left.iter().any(|(member, _)| is_me(member));
        for (member, _) in &view.left {
            self.assembly.member_left(handle, *member);
        }
        let membership = self.groups.get_mut(handle)?;
        let is_first = membership.stage == Stage::Joined;
        if is_first {
            // Of an earlier stay, or of others before us: ours is the one that shows us.
            if !view.members.iter().any(is_me) {
                return None;
            }
            membership.stage = Stage::Member;
        }
        let group = membership.group.clone();
        if is_last {
            self.assembly.group_left(handle);
            self.groups.left(handle);
        }
        Some(Ready::Whole(Event::View(View {
            group,
            order: item.order(),
            members: view.members,
            joined: changes(&view.joined),
            // Who went with the very change that let us in was never there for us.
            left: if is_first { Vec::new() } else { changes(&view.left) },
            is_first,
            is_last,
        })))
    }

    /// Everything without messages or members in it.
    fn notice(&mut self, item: &Descriptor) -> Option<Ready> {
        let reason = RefusedReason::from_code(item.count.get());
        match item.kind()? {
            Kind::Joined => {
                self.groups.joined(item.position.get(), item.group.get());
                None
            }
            Kind::Refused => {
                let request = item.position.get();
                self.groups.refused(request);
                Some(Ready::Whole(Event::Refused { request, reason }))
            }
            Kind::NotSent => {
                let (group, count) = (item.group.get(), item.seq.get());
                Some(Ready::Whole(Event::NotSent { group, count, reason }))
            }
            Kind::Configuration => {
                let synced = item.count.get() == 2;
                if synced && !self.options.bell_socket {
                    return None;
                }
                let body = self.attachment.item_body();
                let nodes = body.as_chunks().0.iter().map(|n| u32::from_le_bytes(*n));
                Some(Ready::Whole(Event::Configuration(Configuration {
                    ring_seq: item.ring_seq.get(),
                    ring_rep: item.ring_rep.get(),
                    transitional: item.count.get() == 1,
                    synced,
                    nodes: nodes.collect(),
                })))
            }
            _ => None,
        }
    }
}

impl Inbox {
    /// The present item is a run of messages to `group`.
    fn begin(&mut self, group: &Group, item: &Descriptor) {
        self.next_at = Some(0);
        match &mut self.run {
            // A handle stands for one name as long as the engine runs.
            Some(run) if run.group.is(group) => run.go_on(item),
            run => *run = Some(Run::new(group, item)),
        }
    }
}

impl Run {
    fn new(group: &Group, item: &Descriptor) -> Self {
        Self {
            group: group.clone(),
            sender: item.member(),
            order: item.order(),
            safe: item.flags & Descriptor::SAFE != 0,
        }
    }

    /// The next one, to the same group.
    #[inline]
    fn go_on(&mut self, item: &Descriptor) {
        self.sender = item.member();
        self.order = item.order();
        self.safe = item.flags & Descriptor::SAFE != 0;
    }

    #[inline]
    fn message<'a>(&'a self, bytes: &'a [u8]) -> Message<'a> {
        let Self { group, sender, order, safe } = self;
        Message { group, sender: *sender, bytes, order: *order, safe: *safe }
    }
}

impl Ready {
    /// Bytes it takes while it is kept, roughly.
    fn bytes(&self) -> usize {
        let more = match self {
            Self::Owned(_, bytes) => bytes.len(),
            Self::Whole(Event::View(view)) => view.members.len() * size_of::<Member>(),
            _ => 0,
        };
        size_of::<Self>() + more
    }
}

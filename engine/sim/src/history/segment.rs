//! A history cut at its regular configurations: what one life saw from one to the next.

use std::rc::Rc;

use wire::{NodeId, RingId};

use super::{Delivery, GroupId, History, Life, LifeId, Position, Readers, What};

/// Frames of one ring between which a node had a local member of a group. A view carries the number of
/// its frame but not its place in it, so what lies in the very frame of a view may belong to either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The frame whose view brought the first local member; `None`: there was one when the ring began.
    pub after: Option<u64>,
    /// The frame whose view took the last local member; `None`: not in this ring.
    pub until: Option<u64>,
}

/// The way out of a regular configuration.
#[derive(Clone, Debug)]
pub struct Transition {
    /// Members of the transitional configuration.
    pub members: Rc<[NodeId]>,
    /// The ring it leads to.
    pub to: RingId,
    /// Index of the entry in the life.
    pub entry: usize,
}

/// What one life saw from one regular configuration to the next.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Whose.
    pub life: LifeId,
    /// The configuration it begins with.
    pub ring: RingId,
    /// That configuration's members.
    pub members: Rc<[NodeId]>,
    /// The regular configuration before this one in the same life.
    pub previous: Option<RingId>,
    /// When it was installed.
    pub from_ns: u64,
    /// When the next regular configuration was installed, if one was.
    pub until_ns: Option<u64>,
    /// The life's entries: the configuration itself first.
    pub entries: std::ops::Range<usize>,
    /// The transitional configuration that ended the regular one.
    pub transition: Option<Transition>,
    /// The regular configuration that ended the segment; `None` if the life or the run ended first.
    pub next: Option<RingId>,
    /// Deliveries in their order, those in the transitional configuration included.
    pub deliveries: Vec<Delivery>,
    /// How many of them came before the transitional configuration.
    pub regular: usize,
    /// Everything before this place had been delivered when the regular configuration ended.
    pub cut: Position,
    /// Per group: when the node had local members.
    spans: Vec<Vec<Span>>,
}

impl Segment {
    /// Whether the life must have delivered what lies at this place if it came that far.
    pub fn must_see(&self, d: &Delivery) -> bool {
        self.spans_of(d.group).iter().any(|span| {
            span.after.is_none_or(|a| d.at.seq > a) && span.until.is_none_or(|u| d.at.seq < u)
        })
    }

    /// Whether the life may have delivered what lies at this place.
    pub fn may_see(&self, d: &Delivery) -> bool {
        self.spans_of(d.group).iter().any(|span| {
            span.after.is_none_or(|a| d.at.seq >= a) && span.until.is_none_or(|u| d.at.seq <= u)
        })
    }

    /// When the node had local members of a group.
    pub fn spans_of(&self, group: GroupId) -> &[Span] {
        self.spans.get(group.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether the delivery with this index was made in the transitional configuration.
    pub fn is_transitional(&self, delivery: usize) -> bool {
        delivery >= self.regular
    }
}

/// All segments of a history, by life and time.
pub fn segments(history: &History) -> Vec<Segment> {
    let mut all = Vec::new();
    for id in history.life_ids() {
        cut(history, id, history.life(id), &mut all);
    }
    all
}

/// Cuts one life.
fn cut(history: &History, id: LifeId, life: &Life, all: &mut Vec<Segment>) {
    let mut local = vec![false; history.groups.len()];
    let mut readers = Readers::default();
    let mut open: Option<Segment> = None;
    for (index, entry) in life.entries.iter().enumerate() {
        readers.see(life.node, &entry.what);
        match (&entry.what, &mut open) {
            (What::Regular { ring, members, .. }, _) => {
                let previous = open.as_ref().map(|s| s.ring);
                if let Some(mut done) = open.take() {
                    done.next = Some(*ring);
                    done.until_ns = Some(entry.at_ns);
                    close(done, index, all);
                }
                let mut segment = begin(id, *ring, members.clone(), index, &local);
                segment.previous = previous;
                segment.from_ns = entry.at_ns;
                open = Some(segment);
            }
            (What::Transitional { ring, members }, Some(segment))
                if segment.transition.is_none() =>
            {
                let members = members.clone();
                segment.transition = Some(Transition { members, to: *ring, entry: index });
                segment.regular = segment.deliveries.len();
            }
            (What::Delivered(d), Some(segment)) => {
                segment.deliveries.push(*d);
                if segment.transition.is_none() && d.at.ring == segment.ring {
                    segment.cut = segment.cut.max(d.at);
                }
            }
            (What::View(view), Some(segment)) => {
                let has = readers.any(life.node, view);
                let at = (view.ring == segment.ring).then_some(view.seq);
                note_view(segment, &mut local, view.group, has, at);
            }
            _ => {}
        }
    }
    if let Some(segment) = open {
        close(segment, life.entries.len(), all);
    }
}

fn begin(
    life: LifeId,
    ring: RingId,
    members: Rc<[NodeId]>,
    entry: usize,
    local: &[bool],
) -> Segment {
    let whole = Span { after: None, until: None };
    let spans = local.iter().map(|has| if *has { vec![whole] } else { Vec::new() }).collect();
    Segment {
        life,
        ring,
        members,
        previous: None,
        from_ns: 0,
        until_ns: None,
        entries: entry..entry,
        transition: None,
        next: None,
        deliveries: Vec::new(),
        regular: usize::MAX,
        cut: Position { ring, seq: 0, offset: 0, index: 0 },
        spans,
    }
}

fn close(mut segment: Segment, end: usize, all: &mut Vec<Segment>) {
    segment.entries.end = end;
    segment.regular = segment.regular.min(segment.deliveries.len());
    all.push(segment);
}

/// Opens or ends the span of a group at a view. A view of another ring cannot be placed; checker 7
/// finds it, here it counts from the ring's start.
fn note_view(
    segment: &mut Segment,
    local: &mut [bool],
    group: GroupId,
    has: bool,
    at: Option<u64>,
) {
    let (Some(known), Some(spans)) =
        (local.get_mut(group.0 as usize), segment.spans.get_mut(group.0 as usize))
    else {
        return;
    };
    if has && !*known {
        spans.push(Span { after: at, until: None });
    } else if !has
        && *known
        && let Some(last) = spans.last_mut()
    {
        last.until = Some(at.unwrap_or(0));
    }
    *known = has;
    if let (Some(seq), None) = (at, &segment.transition) {
        let here = Position { ring: segment.ring, seq, offset: 0, index: 0 };
        segment.cut = segment.cut.max(here);
    }
}

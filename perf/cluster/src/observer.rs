//! What one subscriber saw, in a form small enough to compare after millions of messages.
//!
//! Per view of the group it keeps a count and a rolling hash over the messages in their order; per
//! sender it follows the message numbers. Two subscribers that went from one view to the next
//! together must have equal counts and hashes for that view (virtual synchrony, Moser et al. 1994);
//! a sender's numbers may jump only across a view in which sender and subscriber were apart.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A group view's place in the total order: ring sequence, ring representative, frame number, place
/// in the frame. Equal everywhere.
pub type ViewId = (u64, u32, u64, u32);

/// A group member: node, session.
pub type Member = (u32, u32);

/// What was seen in one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewLog {
    /// The view.
    pub id: ViewId,
    /// Its members.
    pub members: BTreeSet<Member>,
    /// Messages delivered in it.
    pub messages: u64,
    /// Rolling hash over them.
    pub hash: u64,
}

/// One subscriber's account.
#[derive(Debug)]
pub struct Observer {
    /// Name for reports.
    pub name: String,
    views: Vec<ViewLog>,
    /// Per sender: the next number expected, and how many views there were when it was last seen.
    senders: HashMap<Member, Sender>,
    findings: Vec<String>,
    /// Set while views may be missing (this subscriber was disconnected).
    breaks: BTreeSet<usize>,
    /// How many views there were when the load had settled.
    settled: Option<usize>,
}

/// What follows the last view of a settled load.
const SETTLED: ViewId = (u64::MAX, u32::MAX, u64::MAX, u32::MAX);

#[derive(Debug)]
struct Sender {
    next: u64,
    view: usize,
    /// It went and came back since its last message.
    apart: bool,
}

/// Findings kept per observer; one is enough to fail, more only help to understand.
const FINDINGS_MAX: usize = 20;

impl Observer {
    /// An account with nothing in it.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            views: Vec::new(),
            senders: HashMap::new(),
            findings: Vec::new(),
            breaks: BTreeSet::new(),
            settled: None,
        }
    }

    /// A new view was delivered. Whoever is in `joined` starts anew, even if it was a member
    /// before: it missed something.
    pub fn view(
        &mut self,
        id: ViewId,
        members: impl IntoIterator<Item = Member>,
        joined: impl IntoIterator<Item = Member>,
    ) {
        let members: BTreeSet<Member> = members.into_iter().collect();
        let same = |view: &&ViewLog| view.id == id && view.members == members;
        if self.views.iter().rev().take(1000).any(|view| same(&view)) {
            self.find(format!("view {id:?} delivered twice"));
        }
        self.views.push(ViewLog { id, members, messages: 0, hash: 0 });
        for member in joined {
            if let Some(sender) = self.senders.get_mut(&member) {
                sender.apart = true;
            }
        }
    }

    /// This subscriber lost its engine: what follows is a new life.
    pub fn disconnected(&mut self) {
        self.breaks.insert(self.views.len());
    }

    /// A message was delivered: the sender's own numbering starts at zero and has no holes.
    pub fn message(&mut self, from: Member, number: u64) {
        let Some(view) = self.views.last_mut() else {
            self.find(format!("message {number} of {from:?} before any view"));
            return;
        };
        view.messages += 1;
        view.hash = mix(view.hash, from, number);
        let is_member = view.members.contains(&from);
        let now = self.views.len() - 1;
        let first = Sender { next: number, view: now, apart: false };
        let sender = self.senders.entry(from).or_insert(first);
        let (expected, last_view, apart) = (sender.next, sender.view, sender.apart);
        *sender = Sender { next: number + 1, view: now, apart: false };
        if !is_member {
            self.find(format!("message {number} of {from:?}, which is not in the view"));
        }
        if number < expected {
            self.find(format!(
                "message {number} of {from:?} again or out of order, expected {expected}"
            ));
        } else if number > expected && !apart && self.together(from, last_view) {
            self.find(format!("messages {expected}..{number} of {from:?} lost"));
        }
    }

    /// A message arrived whose content is not what was sent.
    pub fn damaged(&mut self, from: Member, bytes: usize) {
        self.find(format!("a message of {bytes} bytes of {from:?} is damaged"));
    }

    /// Something happened that must not happen in a well-behaved load.
    pub fn unexpected(&mut self, what: String) {
        self.find(what);
    }

    /// Whether `from` was a member, and we were connected, in every view since `since`.
    fn together(&self, from: Member, since: usize) -> bool {
        let unbroken = self.breaks.range(since + 1..).next().is_none();
        unbroken && self.views[since..].iter().all(|view| view.members.contains(&from))
    }

    fn find(&mut self, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(format!("{}: {what}", self.name));
        }
    }

    /// Messages delivered in all.
    pub fn messages(&self) -> u64 {
        self.views.iter().map(|view| view.messages).sum()
    }

    /// The views seen so far.
    pub fn views(&self) -> &[ViewLog] {
        &self.views
    }

    /// One number for everything delivered, in order.
    pub fn hash(&self) -> u64 {
        self.views.iter().fold(0, |hash, view| hash.rotate_left(9) ^ view.hash)
    }

    /// The next number expected of a sender; its count of messages if none was missed.
    pub fn next_of(&self, from: Member) -> u64 {
        self.senders.get(&from).map_or(0, |sender| sender.next)
    }

    /// The load has ended and everything published has been delivered: the present view counts as
    /// gone through. Whatever views follow are the participants' own farewells, which are not
    /// looked at.
    pub fn settled(&mut self) {
        self.settled = Some(self.views.len());
    }

    /// Views with the one that followed, leaving out those that ended in a disconnection.
    fn passages(&self) -> impl Iterator<Item = (ViewId, ViewId, &ViewLog)> {
        let end = self.settled.unwrap_or(self.views.len());
        let views = &self.views[..end];
        let pairs = views.windows(2).enumerate();
        let whole = pairs.filter(|(index, _)| !self.breaks.contains(&(index + 1)));
        let last =
            views.last().filter(|_| self.settled.is_some()).map(|last| (last.id, SETTLED, last));
        whole.map(|(_, pair)| (pair[0].id, pair[1].id, &pair[0])).chain(last)
    }
}

/// One step of the rolling hash (FNV-1a over the sender and the number, order-sensitive).
fn mix(hash: u64, from: Member, number: u64) -> u64 {
    [u64::from(from.0), u64::from(from.1), number]
        .iter()
        .fold(hash ^ 0xcbf2_9ce4_8422_2325, |hash, word| {
            (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(17)
        })
}

/// Everything wrong with these accounts, alone and against each other; empty is good. `together` says how
/// many passages from view to view were compared, so that a test can insist that there were some.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong.
    pub findings: Vec<String>,
    /// Passages from one view to the next that two subscribers made together.
    pub together: usize,
    /// Messages in those passages.
    pub messages: u64,
}

/// From one view, with these members, to the next.
type Passage<'a> = (ViewId, ViewId, &'a BTreeSet<Member>);

/// Compares accounts.
pub fn compare(observers: &[Observer]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut seen: BTreeMap<Passage<'_>, (&str, &ViewLog)> = BTreeMap::new();
    for observer in observers {
        verdict.findings.extend(observer.findings.iter().cloned());
        for (from, to, log) in observer.passages() {
            // When a ring breaks in the middle of a change, its parts may end with different
            // members of one view.
            let passage = (from, to, &log.members);
            let Some((who, first)) = seen.get(&passage) else {
                seen.insert(passage, (&observer.name, log));
                continue;
            };
            verdict.together += 1;
            verdict.messages += log.messages;
            if (first.messages, first.hash) != (log.messages, log.hash) {
                verdict.findings.push(format!(
                    "{who} and {}: {} and {} messages (hashes {:x}, {:x}) between views {from:?} and {to:?}",
                    observer.name, first.messages, log.messages, first.hash, log.hash
                ));
            }
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Member = (1, 10);
    const B: Member = (2, 20);

    fn observer(name: &str, order: &[(Member, u64)]) -> Observer {
        let mut observer = Observer::new(name);
        observer.view((1, 1, 0, 0), [A, B], []);
        order.iter().for_each(|&(from, number)| observer.message(from, number));
        observer.view((2, 1, 0, 0), [A], []);
        observer
    }

    #[test]
    fn equal_accounts_are_good() {
        let order = [(A, 0), (B, 0), (A, 1)];
        let verdict = compare(&[observer("x", &order), observer("y", &order)]);
        assert!(verdict.findings.is_empty(), "{verdict:?}");
        assert_eq!((verdict.together, verdict.messages), (1, 3));
    }

    #[test]
    fn another_order_is_found() {
        let x = observer("x", &[(A, 0), (B, 0)]);
        let y = observer("y", &[(B, 0), (A, 0)]);
        assert_eq!(compare(&[x, y]).findings.len(), 1);
    }

    #[test]
    fn loss_repetition_and_strangers_are_found() {
        let lost = observer("x", &[(A, 0), (A, 2)]);
        let again = observer("x", &[(A, 0), (A, 0)]);
        let stranger = observer("x", &[((9, 9), 0)]);
        for account in [lost, again, stranger] {
            assert_eq!(compare(&[account]).findings.len(), 1);
        }
    }

    #[test]
    fn a_gap_across_a_separation_is_allowed() {
        let mut observer = observer("x", &[(B, 0)]);
        observer.view((3, 1, 0, 0), [A, B], []);
        observer.message(B, 7);
        assert!(compare(&[observer]).findings.is_empty());
    }

    #[test]
    fn the_last_view_of_a_settled_load_is_compared() {
        let account = |numbers: &[u64]| {
            let mut account = Observer::new("x");
            account.view((1, 1, 0, 0), [A, B], []);
            numbers.iter().for_each(|&number| account.message(A, number));
            account.settled();
            account.view((1, 1, 9, 0), [A], []);
            account
        };
        assert_eq!(compare(&[account(&[0, 1]), account(&[0, 1])]).together, 1);
        assert_eq!(compare(&[account(&[0, 1]), account(&[0])]).findings.len(), 1);
    }

    #[test]
    fn a_member_that_went_and_came_back_within_one_change_starts_anew() {
        let account = |joined: &[Member]| {
            let mut account = Observer::new("x");
            account.view((1, 1, 0, 0), [A, B], [A, B]);
            account.message(B, 0);
            account.view((2, 1, 0, 0), [A, B], joined.iter().copied());
            account.message(B, 5);
            account
        };
        assert!(compare(&[account(&[B])]).findings.is_empty());
        assert_eq!(compare(&[account(&[])]).findings.len(), 1);
    }
}

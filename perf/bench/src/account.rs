//! What one subscriber received, small enough to compare after hundreds of millions of messages.

use serde::{Deserialize, Serialize};

/// Findings kept; one is enough to fail, more only help to understand.
const FINDINGS_MAX: usize = 10;

/// One subscriber's account. Everybody is there before the first message, so at the end all of them must
/// be equal: same messages, same order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Messages delivered.
    pub(crate) messages: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Rolling hash over sender and number of each, in their order.
    pub(crate) hash: u64,
    /// What was wrong: numbers lost, twice or out of order, damaged contents.
    pub(crate) findings: Vec<String>,
    senders: Vec<Sender>,
    /// Index of the sender of the last message: the next one is likely from it, too.
    last: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sender {
    node: u32,
    /// The number that comes next.
    next: u64,
}

impl Account {
    /// Enters a message: each sender numbers its own from zero without holes.
    #[inline]
    pub(crate) fn message(&mut self, node: u32, number: u64, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
        self.hash = mix(self.hash, node, number);
        let sender = self.sender(node);
        let expected = std::mem::replace(&mut sender.next, number + 1);
        if number != expected {
            self.stray(node, number, expected);
        }
    }

    #[cold]
    fn stray(&mut self, node: u32, number: u64, expected: u64) {
        self.find(format!("message {number} of node {node} where {expected} was to come"));
    }

    /// Enters something that must not happen.
    pub(crate) fn find(&mut self, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what);
        }
    }

    #[inline]
    fn sender(&mut self, node: u32) -> &mut Sender {
        if self.senders.get(self.last).is_none_or(|sender| sender.node != node) {
            self.turn_to(node);
        }
        &mut self.senders[self.last]
    }

    #[cold]
    fn turn_to(&mut self, node: u32) {
        let known = self.senders.iter().position(|sender| sender.node == node);
        self.last = known.unwrap_or_else(|| {
            self.senders.push(Sender { node, next: 0 });
            self.senders.len() - 1
        });
    }
}

fn mix(hash: u64, node: u32, number: u64) -> u64 {
    let word = number ^ (u64::from(node) << 48);
    (hash.rotate_left(5) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// What is wrong between accounts, and in each; nothing if all saw the same.
pub(crate) fn compare(accounts: &[Account]) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, account) in accounts.iter().enumerate() {
        findings.extend(account.findings.iter().map(|what| format!("subscriber {index}: {what}")));
        let (first, this) = (&accounts[0], account);
        if (first.messages, first.bytes, first.hash) != (this.messages, this.bytes, this.hash) {
            findings.push(format!(
                "subscribers 0 and {index} differ: {} and {} messages, hash {:x} and {:x}",
                first.messages, this.messages, first.hash, this.hash
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(messages: &[(u32, u64)]) -> Account {
        let mut account = Account::default();
        messages.iter().for_each(|&(node, number)| account.message(node, number, 64));
        account
    }

    #[test]
    fn the_same_in_another_order_is_found() {
        let (one, other) = (account(&[(1, 0), (2, 0), (1, 1)]), account(&[(1, 0), (1, 1), (2, 0)]));
        assert!(compare(&[one.clone(), one.clone()]).is_empty());
        assert_eq!(compare(&[one, other]).len(), 1);
    }

    #[test]
    fn what_is_lost_or_comes_twice_is_found() {
        assert_eq!(account(&[(1, 0), (1, 2)]).findings.len(), 1);
        assert_eq!(account(&[(1, 0), (2, 0), (1, 0)]).findings.len(), 1);
        assert_eq!(account(&[(1, 1)]).findings.len(), 1);
    }
}

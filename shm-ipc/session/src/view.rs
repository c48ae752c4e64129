//! The bytes of a view: `[name_bytes u16][causes u16][members u32][joined u32][left u32]`, the name padded
//! to 4, then each member as three `u32` (node, session, pid), then who joined and who left, each with a fourth
//! `u32`, the cause. Views larger than a slot travel in parts; their concatenation is this format.

use crate::descriptor::Member;
use crate::layout::GROUP_NAME_BYTES_MAX;

/// Bytes before the name.
const HEAD_BYTES: usize = 16;

/// A group's membership after a change, to be delivered.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The group's name.
    pub name: &'a [u8],
    /// All members, in the order agreed everywhere.
    pub members: &'a [Member],
    /// Who came, and the cause's number.
    pub joined: &'a [(Member, u8)],
    /// Who went, and the cause's number.
    pub left: &'a [(Member, u8)],
}

/// Appends a view's bytes to `out`.
pub(crate) fn encode(view: &View<'_>, out: &mut Vec<u8>) {
    let name = &view.name[..view.name.len().min(GROUP_NAME_BYTES_MAX)];
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    for count in [view.members.len(), view.joined.len(), view.left.len()] {
        out.extend_from_slice(&(count as u32).to_le_bytes());
    }
    out.extend_from_slice(name);
    out.extend(std::iter::repeat_n(0, name.len().next_multiple_of(4) - name.len()));
    view.members.iter().for_each(|&member| put(out, member));
    for &(member, cause) in view.joined.iter().chain(view.left) {
        put(out, member);
        out.extend_from_slice(&u32::from(cause).to_le_bytes());
    }
}

fn put(out: &mut Vec<u8>, member: Member) {
    for number in [member.node, member.session, member.pid] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// A view as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedView {
    /// The group's name.
    pub name: Vec<u8>,
    /// All members.
    pub members: Vec<Member>,
    /// Who came, and the cause's number.
    pub joined: Vec<(Member, u8)>,
    /// Who went, and the cause's number.
    pub left: Vec<(Member, u8)>,
}

impl OwnedView {
    /// Reads a view; `None` if the bytes are not exactly one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..HEAD_BYTES)?;
        let name_bytes = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let count = |at: usize| word(head, at).map(|n| n as usize);
        let (members, joined, left) = (count(4)?, count(8)?, count(12)?);
        let name = bytes.get(HEAD_BYTES..HEAD_BYTES + name_bytes)?;
        let mut rest = bytes.get(HEAD_BYTES + name_bytes.next_multiple_of(4)..)?;
        let expected =
            members.checked_mul(12)?.checked_add(joined.checked_add(left)?.checked_mul(16)?)?;
        if rest.len() != expected {
            return None;
        }
        let mut take = |bytes: usize| {
            let (head, tail) = rest.split_at(bytes);
            rest = tail;
            head
        };
        let members = take(members * 12).chunks_exact(12).filter_map(member).collect();
        let changed = |bytes: &[u8]| {
            bytes.chunks_exact(16).filter_map(|b| Some((member(b)?, b[12]))).collect::<Vec<_>>()
        };
        let joined = changed(take(joined * 16));
        let left = changed(take(left * 16));
        Some(Self { name: name.to_vec(), members, joined, left })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn member(bytes: &[u8]) -> Option<Member> {
    Some(Member { node: word(bytes, 0)?, session: word(bytes, 4)?, pid: word(bytes, 8)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn someone(number: u32) -> Member {
        Member { node: number, session: number * 10, pid: number * 100 }
    }

    #[test]
    fn a_view_comes_back_as_it_was() {
        let members = [someone(1), someone(2)];
        let view = View {
            name: b"group",
            members: &members,
            joined: &[(someone(2), 1)],
            left: &[(someone(3), 5)],
        };
        let mut bytes = Vec::new();
        encode(&view, &mut bytes);
        let back = OwnedView::decode(&bytes).unwrap();
        assert_eq!(back.name, b"group");
        assert_eq!(back.members, members);
        assert_eq!(back.joined, [(someone(2), 1)]);
        assert_eq!(back.left, [(someone(3), 5)]);
        for cut in 0..bytes.len() {
            assert_eq!(OwnedView::decode(&bytes[..cut]), None, "cut to {cut}");
        }
    }

    #[test]
    fn counts_that_lie_are_refused() {
        let mut bytes = Vec::new();
        encode(&View { name: b"", members: &[], joined: &[], left: &[] }, &mut bytes);
        for at in [0, 4, 8, 12] {
            let mut lie = bytes.clone();
            lie[at..at + 2].copy_from_slice(&[0xff, 0xff]);
            assert_eq!(OwnedView::decode(&lie), None, "at {at}");
        }
    }
}

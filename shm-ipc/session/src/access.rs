//! Who may connect, and whom we trust with the shared map.

/// How much of the engine's memory a client may map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It maps the message region and the delivery ring, read-only. It can read every message that
    /// passes this node.
    Shared,
    /// It gets copies of the messages of its own groups in a ring of its own and maps nothing else.
    Private,
}

/// Which users may connect. Root and the engine's own user always may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Users that may connect.
    pub uids: Vec<u32>,
    /// Groups whose members may connect.
    pub gids: Vec<u32>,
    /// Users that may connect and get private copies only. Wins over everything else.
    pub private_uids: Vec<u32>,
    /// Groups whose members may connect and get private copies only. Wins likewise.
    pub private_gids: Vec<u32>,
}

impl Access {
    /// What a peer of this user and these groups (primary and supplementary) gets; `None`: it may not connect.
    /// `own_uid` is the engine's.
    pub fn admit(&self, uid: u32, gids: &[u32], own_uid: u32) -> Option<Trust> {
        let in_one_of = |groups: &[u32]| gids.iter().any(|gid| groups.contains(gid));
        if self.private_uids.contains(&uid) || in_one_of(&self.private_gids) {
            return Some(Trust::Private);
        }
        let known = uid == 0 || uid == own_uid;
        (known || self.uids.contains(&uid) || in_one_of(&self.gids)).then_some(Trust::Shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_refused_and_the_private_list_wins() {
        let access = Access {
            uids: vec![1000, 1001],
            gids: vec![50],
            private_uids: vec![1001],
            private_gids: vec![60],
        };
        assert_eq!(access.admit(0, &[0], 7), Some(Trust::Shared));
        assert_eq!(access.admit(7, &[1], 7), Some(Trust::Shared));
        assert_eq!(access.admit(1000, &[1], 7), Some(Trust::Shared));
        assert_eq!(access.admit(1001, &[1], 7), Some(Trust::Private));
        assert_eq!(access.admit(4, &[50], 7), Some(Trust::Shared));
        assert_eq!(access.admit(4, &[4, 9, 50], 7), Some(Trust::Shared));
        assert_eq!(access.admit(1000, &[60], 7), Some(Trust::Private));
        assert_eq!(access.admit(4, &[50, 60], 7), Some(Trust::Private));
        assert_eq!(access.admit(4, &[4, 9], 7), None);
    }
}

//! Sets of nodes, as bits over positions in the configured node list.

use core::fmt;

/// Most nodes of one cluster: three sets of this many bits and the rows of a `hears` matrix fit one
/// Join of [`crate::CONTROL_BYTES_MAX`] bytes with room to spare.
pub const NODES_MAX: usize = 1024;

/// A set of positions in the node list. Which node a position names is the same everywhere because
/// the hash of the list is compared before any set is used.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeSet {
    words: [u64; Self::WORDS],
}

impl NodeSet {
    /// Words of 64 positions.
    pub const WORDS: usize = NODES_MAX / 64;

    /// The empty set.
    pub const EMPTY: Self = Self { words: [0; Self::WORDS] };

    /// The set of one position.
    pub fn single(position: usize) -> Self {
        let mut set = Self::EMPTY;
        set.insert(position);
        set
    }

    /// The set of the positions below `count` (at most [`NODES_MAX`]).
    pub fn first_n(count: usize) -> Self {
        (0..count.min(NODES_MAX)).collect()
    }

    /// Words needed on the wire for a node list of `count` nodes.
    pub fn words_for(count: usize) -> usize {
        count.div_ceil(64).clamp(1, Self::WORDS)
    }

    /// Adds a position; positions past [`NODES_MAX`] are ignored.
    pub fn insert(&mut self, position: usize) {
        if let Some(word) = self.words.get_mut(position / 64) {
            *word |= 1 << (position % 64);
        }
    }

    /// Removes a position.
    pub fn remove(&mut self, position: usize) {
        if let Some(word) = self.words.get_mut(position / 64) {
            *word &= !(1 << (position % 64));
        }
    }

    /// Whether a position is in the set.
    pub fn contains(&self, position: usize) -> bool {
        self.words.get(position / 64).is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    /// Positions of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    /// Positions of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    /// Positions of this set that are not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    /// Whether all positions of this set are in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).all(|(a, b)| a & !b == 0)
    }

    /// Whether there is no position in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many positions are in the set.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The lowest position.
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// The positions in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            core::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(index * 64 + bit)
            })
        })
    }

    /// 64 positions as one number.
    pub fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    /// Replaces 64 positions.
    pub fn set_word(&mut self, index: usize, word: u64) {
        if let Some(to) = self.words.get_mut(index) {
            *to = word;
        }
    }

    fn zip(&self, other: &Self, op: impl Fn(u64, u64) -> u64) -> Self {
        let mut result = Self::EMPTY;
        for (index, to) in result.words.iter_mut().enumerate() {
            *to = op(self.words[index], other.words[index]);
        }
        result
    }
}

impl FromIterator<usize> for NodeSet {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Self {
        let mut set = Self::EMPTY;
        for position in positions {
            set.insert(position);
        }
        set
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

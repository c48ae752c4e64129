//! A small mutator for the everyday suite: what libFuzzer does, without coverage.

/// Longest input made.
const BYTES_MAX: usize = 4096;

/// Values at which lengths and counters break.
const EDGES: [u64; 10] =
    [0, 1, 7, 8, 0x7f, 0xff, 0xffff, u32::MAX as u64, i64::MAX as u64, u64::MAX];

/// Makes inputs from seeds; the same seed number makes the same inputs.
pub struct Mutator {
    state: u64,
    pool: Vec<Vec<u8>>,
}

impl Mutator {
    /// A mutator that starts from these inputs.
    pub fn new(seed: u64, pool: Vec<Vec<u8>>) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, pool }
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A number below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.random() % end as u64) as usize }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let at = self.below(self.pool.len());
        let mut input = self.pool.get(at).cloned().unwrap_or_default();
        for _ in 0..=self.below(6) {
            self.change(&mut input);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len());
        match self.below(8) {
            0 if !input.is_empty() => input[at] ^= 1 << self.below(8),
            1 if !input.is_empty() => input[at] = self.random() as u8,
            2 => {
                // An edge value as a number of 1, 2, 4 or 8 bytes.
                let edge = EDGES[self.below(EDGES.len())].wrapping_sub(self.below(2) as u64);
                let bytes = &edge.to_le_bytes()[..1 << self.below(4)];
                let end = input.len().min(at + bytes.len());
                input[at..end].copy_from_slice(&bytes[..end - at]);
            }
            3 => input.truncate(at),
            4 => {
                let count = self.below(16);
                let new: Vec<u8> = (0..count).map(|_| self.random() as u8).collect();
                input.splice(at..at, new);
            }
            5 => {
                let end = at + self.below(input.len() - at);
                input.drain(at..end);
            }
            6 => {
                // A piece of this input again, somewhere else.
                let end = at + self.below(input.len() - at).min(256);
                let piece = input[at..end].to_vec();
                let to = self.below(input.len());
                input.splice(to..to, piece);
            }
            _ => {
                // The end of another input.
                let other = self.below(self.pool.len());
                let other = self.pool.get(other).cloned().unwrap_or_default();
                let from = self.below(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
}

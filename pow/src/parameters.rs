//! How much work a proof stands for, and of what shape it is.

use crate::{
    error::Error,
    hash::{LANES, NODE_BYTES},
    logarithm::{FRACTION_BITS, log2_up},
};

/// Most hashes of a leaf.
pub const MAX_LEAF_HASHES: u32 = 1 << 20;
/// Logarithm of the greatest number of leaves.
pub const MAX_LEAVES_LOG2: u8 = 26;
/// Most openings of a proof.
pub const MAX_OPENINGS: u16 = 8192;
/// Most hashes of a proof: some twenty hours of one core.
pub const MAX_TOTAL_HASHES: u64 = 1 << 40;
/// Most hashes of a verification: some ten seconds of one core. A session's rules may allow less.
pub const MAX_VERIFIER_HASHES: u64 = 1 << 28;
/// What each thread of the solver after the first adds to [`Parameters::memory_bytes`] at most.
pub const THREAD_BYTES: u64 = 256 * 1024;

/// Most leaves below one kept node.
const MAX_SUBTREE_LOG2: u32 = 10;
/// Logarithm of the hashes below one kept node, at most, unless a single leaf has more.
const MAX_SUBTREE_HASHES_LOG2: u32 = 20;
/// The solver hands in results, and looks whether it should go on, after about so many hashes.
const UNIT_HASHES: u32 = 1 << 16;
/// Logarithm of the most leaves that are handed in at once.
const MAX_UNIT_LOG2: u32 = 12;

/// Parameters of the proof of work, within their bounds: w hashes for each of L leaves, of which m are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    leaf_hashes: u32,
    leaves_log2: u8,
    openings: u16,
}

impl Parameters {
    /// `leaf_hashes`: w, `1..=MAX_LEAF_HASHES`. `leaves_log2`: the logarithm of L, `1..=MAX_LEAVES_LOG2`. `openings`: m,
    /// `1..=MAX_OPENINGS`.
    ///
    /// # Errors
    /// [`Error`] names what is out of its bounds; [`Error::TooMuchWork`] above [`MAX_TOTAL_HASHES`],
    /// [`Error::TooMuchVerifying`] above [`MAX_VERIFIER_HASHES`].
    pub fn new(leaf_hashes: u32, leaves_log2: u8, openings: u16) -> Result<Self, Error> {
        if !(1..=MAX_LEAF_HASHES).contains(&leaf_hashes) {
            return Err(Error::LeafHashes { hashes: leaf_hashes, most: MAX_LEAF_HASHES });
        }
        if !(1..=MAX_LEAVES_LOG2).contains(&leaves_log2) {
            return Err(Error::Leaves { log2: leaves_log2, most: MAX_LEAVES_LOG2 });
        }
        if !(1..=MAX_OPENINGS).contains(&openings) {
            return Err(Error::Openings { openings, most: MAX_OPENINGS });
        }
        let parameters = Self { leaf_hashes, leaves_log2, openings };
        let hashes = parameters.total_hashes();
        if hashes > MAX_TOTAL_HASHES {
            return Err(Error::TooMuchWork { hashes, most: MAX_TOTAL_HASHES });
        }
        let hashes = parameters.verifier_hashes();
        if hashes > MAX_VERIFIER_HASHES {
            return Err(Error::TooMuchVerifying { hashes, most: MAX_VERIFIER_HASHES });
        }
        Ok(parameters)
    }

    /// The paper's w: hashes of a leaf.
    pub fn leaf_hashes(&self) -> u32 {
        self.leaf_hashes
    }

    /// The logarithm of the number of leaves.
    pub fn leaves_log2(&self) -> u8 {
        self.leaves_log2
    }

    /// The paper's L: how many leaves there are.
    pub fn leaves(&self) -> u32 {
        1 << self.leaves_log2
    }

    /// How many leaves are drawn and opened, the same one perhaps more than once.
    pub fn openings(&self) -> u16 {
        self.openings
    }

    /// The paper's time_proof: hashes of an honest proof, all leaves and inner nodes.
    pub fn total_hashes(&self) -> u64 {
        let leaves = u64::from(self.leaves());
        leaves * u64::from(self.leaf_hashes) + leaves - 1
    }

    /// The paper's time_vrfy: the most hashes of a verification, compressions of the draw included.
    pub fn verifier_hashes(&self) -> u64 {
        let openings = u64::from(self.openings);
        let inner: u64 = (0..u32::from(self.leaves_log2)).map(|level| openings.min(1 << level)).sum();
        openings * u64::from(self.leaf_hashes) + inner + 2 * openings.div_ceil(8) + 2
    }

    /// The most bytes of a proof: root, and below it all nodes next to the opened paths.
    ///
    /// A multiproof's leaves and siblings are two more than the inner nodes below the root that lie on a path, and of those a
    /// layer has no more than there are openings, or nodes.
    pub fn max_proof_bytes(&self) -> usize {
        let openings = usize::from(self.openings);
        let inner: usize = (1..u32::from(self.leaves_log2)).map(|level| openings.min(1 << level)).sum();
        (1 + 2 + inner) * NODE_BYTES
    }

    /// The fewest bytes of a proof: all openings have hit one leaf.
    pub fn min_proof_bytes(&self) -> usize {
        (1 + 2 + usize::from(self.leaves_log2) - 1) * NODE_BYTES
    }

    /// What the solver keeps in memory with one thread, in bytes, at most.
    pub fn memory_bytes(&self) -> u64 {
        let node = NODE_BYTES as u64;
        // The kept layer, and for the openings that layer once more with what is above it.
        let kept = 3 * (u64::from(self.leaves()) >> self.subtree_log2()) * node;
        let rebuilt = 2 * u64::from(self.openings) * (1_u64 << self.subtree_log2()) * node;
        // A draw, an index, and its part of the lists that hold the rebuilt subtrees.
        let lists = u64::from(self.openings) * 256;
        let proof = 4 * self.max_proof_bytes() as u64;
        kept + kept / 8 + rebuilt + lists + proof + THREAD_BYTES
    }

    /// The most queries q to the hash with which the probability that any proof passes, `q (floor(q/w)/L)^m`, is at most
    /// 2^-`soundness_bits`: the bound of the lemma in `docs/proof-of-work.md`, the paper's Lemma 3.2 for leaves of w hashes.
    /// Zero if there are none. Rounded so that it is never too great.
    pub fn tolerated_hashes(&self, soundness_bits: u16) -> u64 {
        let (mut sound, mut unsound) = (0, self.total_hashes());
        while unsound - sound > 1 {
            let middle = sound + (unsound - sound) / 2;
            if self.error_bits(middle) >= i128::from(soundness_bits) << FRACTION_BITS {
                sound = middle;
            } else {
                unsound = middle;
            }
        }
        sound
    }

    /// `-log2(q (floor(q/w)/L)^m)`, times 2^[`FRACTION_BITS`], rounded down; the greatest number if the error is zero.
    pub fn error_bits(&self, queries: u64) -> i128 {
        let leaves = (queries / u64::from(self.leaf_hashes)).min(u64::from(self.leaves()));
        if leaves == 0 {
            return i128::MAX;
        }
        let openings = i128::from(self.openings);
        let missing = (i128::from(self.leaves_log2) << FRACTION_BITS) - i128::from(log2_up(leaves));
        openings * missing - i128::from(log2_up(queries))
    }

    /// Logarithm of the leaves below each node that the solver keeps: so many that working out the opened ones anew costs about
    /// a hundredth of the whole.
    pub(crate) fn subtree_log2(&self) -> u8 {
        let spare = self.leaves() / (100 * u32::from(self.openings));
        let hashes = MAX_SUBTREE_HASHES_LOG2.saturating_sub(self.leaf_hashes.ilog2());
        let log2 = spare.checked_ilog2().unwrap_or(0).min(MAX_SUBTREE_LOG2).min(hashes);
        u8::try_from(log2).unwrap_or(0)
    }

    /// Logarithm of the leaves that the solver works out before it hands in their subtrees' roots.
    pub(crate) fn unit_log2(&self) -> u8 {
        let wanted = (UNIT_HASHES / self.leaf_hashes).checked_ilog2().unwrap_or(0).min(MAX_UNIT_LOG2);
        let log2 = wanted.max(LANES.ilog2()).max(u32::from(self.subtree_log2()));
        u8::try_from(log2).unwrap_or(0).min(self.leaves_log2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept() {
        assert!(
            Parameters::new(MAX_LEAF_HASHES, 2, 8).is_ok() && Parameters::new(1, MAX_LEAVES_LOG2, MAX_OPENINGS).is_ok()
        );
        for leaf_hashes in [0, MAX_LEAF_HASHES + 1] {
            let error = Error::LeafHashes { hashes: leaf_hashes, most: MAX_LEAF_HASHES };
            assert_eq!(Parameters::new(leaf_hashes, 2, 8), Err(error));
        }
        for log2 in [0, MAX_LEAVES_LOG2 + 1, u8::MAX] {
            assert_eq!(Parameters::new(1, log2, 8), Err(Error::Leaves { log2, most: MAX_LEAVES_LOG2 }));
        }
        for openings in [0, MAX_OPENINGS + 1] {
            assert_eq!(Parameters::new(1, 2, openings), Err(Error::Openings { openings, most: MAX_OPENINGS }));
        }
        assert!(matches!(Parameters::new(MAX_LEAF_HASHES, 20, 1), Err(Error::TooMuchWork { .. })));
        assert!(matches!(Parameters::new(MAX_LEAF_HASHES, 10, 256), Err(Error::TooMuchVerifying { .. })));
    }

    #[test]
    fn the_part_that_is_worked_out_twice_is_small() {
        for (leaf_hashes, leaves_log2, openings) in
            [(4096, 18, 93), (1, 26, 1), (35_399, 16, 1006), (1 << 20, 19, 200), (7, 20, 8192)]
        {
            let parameters = Parameters::new(leaf_hashes, leaves_log2, openings).expect("within bounds");
            let twice = u64::from(openings) << parameters.subtree_log2();
            let nothing = parameters.subtree_log2() == 0;
            assert!(nothing || twice * 100 <= u64::from(parameters.leaves()), "{parameters:?}");
        }
    }
}

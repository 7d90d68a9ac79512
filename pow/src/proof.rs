//! Proofs of work, and how they are verified.

use crate::{
    error::BadProof,
    hash::{LANES, NODE_BYTES, Node, leaves, parent, seed},
    parameters::Parameters,
    tree::{opened, siblings},
};
use rs_merkle::{Hasher, MerkleProof};

/// What is to be solved: everything depends on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Puzzle {
    /// The session's challenge c, known to nobody before (P4.5 step 4).
    pub challenge: [u8; 32],
    /// The public key that the work is for.
    pub key: [u8; 32],
}

impl Puzzle {
    pub(crate) fn seed(&self) -> [u8; 32] {
        seed(&self.challenge, &self.key)
    }
}

/// A proof of work: the root, the leaves that it opens, and what stands beside their paths.
///
/// Its bytes are its nodes, one after the other; how many there are of each follows from the root, so that there is one
/// encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    root: Node,
    opened: Vec<u32>,
    leaves: Vec<Node>,
    siblings: Vec<Node>,
}

impl Proof {
    pub(crate) fn new(root: Node, opened: Vec<u32>, leaves: Vec<Node>, siblings: Vec<Node>) -> Self {
        Self { root, opened, leaves, siblings }
    }

    /// Reads a proof. Allocates no more than a few times [`Parameters::max_proof_bytes`], and nothing before the length is one
    /// that is possible.
    ///
    /// # Errors
    /// [`BadProof::Length`] unless it has exactly the nodes that its root calls for.
    pub fn from_bytes(parameters: &Parameters, puzzle: &Puzzle, bytes: &[u8]) -> Result<Self, BadProof> {
        let wrong = BadProof::Length { bytes: bytes.len() };
        if !(parameters.min_proof_bytes()..=parameters.max_proof_bytes()).contains(&bytes.len()) {
            return Err(wrong);
        }
        let (nodes, []) = bytes.as_chunks::<NODE_BYTES>() else { return Err(wrong) };
        let (root, rest) = nodes.split_first().ok_or(wrong)?;
        let opened = opened(parameters, &puzzle.seed(), root);
        let (leaves, beside) = rest.split_at_checked(opened.len()).ok_or(wrong)?;
        if beside.len() != siblings(&opened, parameters.leaves_log2()).len() {
            return Err(wrong);
        }
        Ok(Self { root: *root, leaves: leaves.to_vec(), siblings: beside.to_vec(), opened })
    }

    /// The proof as it travels.
    pub fn to_bytes(&self) -> Vec<u8> {
        let nodes = [&self.root].into_iter().chain(&self.leaves).chain(&self.siblings);
        nodes.flatten().copied().collect()
    }

    /// The leaves that the root opens, in ascending order.
    pub fn opened(&self) -> &[u32] {
        &self.opened
    }

    fn check(&self, parameters: &Parameters, seed: &[u8; 32]) -> Result<(), BadProof> {
        if !self.is_in_tree(parameters) {
            return Err(BadProof::NotInTree);
        }
        self.bad_leaf(parameters, seed).map_or(Ok(()), |leaf| Err(BadProof::Leaf { leaf }))
    }

    /// A wrong one among the leaves that `sample` decides.
    fn bad_sample(&self, parameters: &Parameters, seed: &[u8; 32], sample: [u32; SAMPLED]) -> Option<u32> {
        let pairs: Vec<(u32, &Node)> = self.opened.iter().copied().zip(&self.leaves).collect();
        let place = |number: u32| usize::try_from(number).ok()?.checked_rem(pairs.len());
        let chosen = sample.map(|number| place(number).and_then(|place| pairs.get(place)));
        // A proof opens one leaf at least, so that each number decides one.
        let right = leaves(seed, chosen.map(|pair| pair.map_or(0, |(number, _)| *number)), parameters.leaf_hashes());
        let mut checked = chosen.iter().flatten().zip(&right);
        checked.find(|((_, shown), right)| shown != right).map(|((number, _), _)| *number)
    }

    fn is_in_tree(&self, parameters: &Parameters) -> bool {
        let numbers: Option<Vec<usize>> = self.opened.iter().map(|number| usize::try_from(*number).ok()).collect();
        let (Some(numbers), Ok(count)) = (numbers, usize::try_from(parameters.leaves())) else { return false };
        // It takes more siblings than it needs for granted, which is why they were counted.
        MerkleProof::<Nodes>::new(self.siblings.clone()).verify(self.root, &numbers, &self.leaves, count)
    }

    /// A leaf that is wrong: a few are worked out one by one, the others in groups, until there is one.
    fn bad_leaf(&self, parameters: &Parameters, seed: &[u8; 32]) -> Option<u32> {
        let hashes = parameters.leaf_hashes();
        let (alone, groups) = self.opened.as_rchunks::<LANES>();
        let (shown_alone, shown_groups) = self.leaves.as_rchunks::<LANES>();
        let mut pairs = alone.iter().zip(shown_alone);
        if let Some((number, _)) = pairs.find(|(number, shown)| leaves(seed, [**number], hashes) != [**shown]) {
            return Some(*number);
        }
        for (numbers, shown) in groups.iter().zip(shown_groups) {
            let right = leaves(seed, *numbers, hashes);
            let mut checked = numbers.iter().zip(shown.iter().zip(&right));
            if let Some((number, _)) = checked.find(|(_, (shown, right))| shown != right) {
                return Some(*number);
            }
        }
        None
    }
}

/// Verifies a proof of work (the paper's VerifyPoW). The work is bounded by [`Parameters::verifier_hashes`], whatever the bytes:
/// first lengths, then the tree, then leaves until one is wrong.
///
/// # Errors
/// [`BadProof`] says what is wrong first.
pub fn verify(parameters: &Parameters, puzzle: &Puzzle, proof: &[u8]) -> Result<(), BadProof> {
    Proof::from_bytes(parameters, puzzle, proof)?.check(parameters, &puzzle.seed())
}

/// How many leaves [`verify_sampled`] works out first.
pub const SAMPLED: usize = LANES;

/// As [`verify`], for who verifies what anybody brings: before the tree, which takes long with many openings, it works out some of the
/// opened leaves, all at once. So a proof of mostly invented leaves costs its verifier hardly more than one leaf.
///
/// `sample`: random numbers that nobody could foresee, each of which decides a leaf.
///
/// # Errors
/// [`BadProof`] says what is wrong first.
pub fn verify_sampled(
    parameters: &Parameters,
    puzzle: &Puzzle,
    proof: &[u8],
    sample: [u32; SAMPLED],
) -> Result<(), BadProof> {
    let proof = Proof::from_bytes(parameters, puzzle, proof)?;
    let seed = puzzle.seed();
    if let Some(leaf) = proof.bad_sample(parameters, &seed, sample) {
        return Err(BadProof::Leaf { leaf });
    }
    proof.check(parameters, &seed)
}

/// Our tree, for `rs_merkle`.
#[derive(Clone)]
struct Nodes;

impl Hasher for Nodes {
    type Hash = Node;

    /// Not called: nodes are made by [`Self::concat_and_hash`], and leaves by [`leaves`].
    fn hash(_: &[u8]) -> Node {
        [0; NODE_BYTES]
    }

    /// A node without a right one is the root, which it takes for one layer more.
    fn concat_and_hash(left: &Node, right: Option<&Node>) -> Node {
        right.map_or(*left, |right| parent(left, right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solver::Solver;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_sampled_leaf_is_worked_out_before_the_tree_is_looked_at() {
        let parameters = Parameters::new(3, 8, 12).unwrap();
        let puzzle = Puzzle { challenge: [7; 32], key: [8; 32] };
        let bytes = Solver::new(parameters, puzzle).run(1, &|_| (), &AtomicBool::new(false)).unwrap();
        let verify_sampled = |bytes: &[u8], sample| verify_sampled(&parameters, &puzzle, bytes, sample);
        for sample in [[0, 1, 2, 3], [5; SAMPLED], [u32::MAX, 0, u32::MAX - 1, 77]] {
            assert_eq!(verify_sampled(&bytes, sample), Ok(()));
        }
        let mut wrong = Proof::from_bytes(&parameters, &puzzle, &bytes).unwrap();
        wrong.leaves[4][0] ^= 1;
        let (leaf, count, bytes) = (wrong.opened[4], u32::try_from(wrong.opened.len()).unwrap(), wrong.to_bytes());
        assert_eq!(verify(&parameters, &puzzle, &bytes), Err(BadProof::NotInTree));
        for place in 0..SAMPLED {
            let mut sample = [count; SAMPLED];
            sample[place] = 3 * count + 4;
            assert_eq!(verify_sampled(&bytes, sample), Err(BadProof::Leaf { leaf }));
        }
        assert_eq!(verify_sampled(&bytes, [0, 1, 2, 3]), Err(BadProof::NotInTree), "the others are right");
        assert_eq!(verify_sampled(&bytes[1..], [0; SAMPLED]), Err(BadProof::Length { bytes: bytes.len() - 1 }));
    }
}

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
    let proof = Proof::from_bytes(parameters, puzzle, proof)?;
    if !proof.is_in_tree(parameters) {
        return Err(BadProof::NotInTree);
    }
    proof.bad_leaf(parameters, &puzzle.seed()).map_or(Ok(()), |leaf| Err(BadProof::Leaf { leaf }))
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

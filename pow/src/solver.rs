//! Solving: all leaves are worked out once, of the tree one layer is kept, and what the openings need below it is worked out again.

use crate::{
    checkpoint,
    error::{Cancelled, Error},
    hash::{LANES, Node, leaves},
    parameters::Parameters,
    proof::{Proof, Puzzle},
    tree::{Place, layers, opened, root, siblings},
    workers,
};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// A puzzle that is being solved. What is done stays in it when the work is given up, and in its [`checkpoint`](Self::checkpoint).
///
/// ```
/// use pow::{Parameters, Puzzle, Solver, verify};
/// use std::sync::atomic::AtomicBool;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let parameters = Parameters::new(8, 10, 20)?;
/// let puzzle = Puzzle { challenge: [1; 32], key: [2; 32] };
/// let solver = Solver::new(parameters, puzzle);
/// let proof = solver.run(1, &|done| println!("{done} of {}", parameters.total_hashes()), &AtomicBool::new(false))?;
/// verify(&parameters, &puzzle, &proof)?;
/// # Ok(())
/// # }
/// ```
pub struct Solver {
    parameters: Parameters,
    seed: [u8; 32],
    kept: Mutex<Kept>,
}

/// The nodes of the kept layer, in units: the subtrees whose roots are handed in together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// For each unit, whether its nodes are there.
    pub done: Vec<bool>,
    /// All nodes of the layer, zeros where they are missing.
    pub nodes: Vec<Node>,
}

impl Kept {
    pub(crate) fn empty(parameters: &Parameters) -> Self {
        let leaves = parameters.leaves() as usize;
        Self {
            done: vec![false; leaves >> parameters.unit_log2()],
            nodes: vec![Node::default(); leaves >> parameters.subtree_log2()],
        }
    }
}

/// Logarithm of the kept nodes of a unit.
pub(crate) fn unit_nodes_log2(parameters: &Parameters) -> u8 {
    parameters.unit_log2() - parameters.subtree_log2()
}

/// Solves a puzzle from its beginning; see [`Solver`] for one that can be interrupted.
///
/// # Errors
/// [`Cancelled`] if `cancel` became true.
pub fn solve(
    parameters: &Parameters,
    puzzle: &Puzzle,
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
    cancel: &AtomicBool,
) -> Result<Vec<u8>, Cancelled> {
    Solver::new(*parameters, *puzzle).run(threads, progress, cancel)
}

impl Solver {
    /// A puzzle of which nothing is done.
    pub fn new(parameters: Parameters, puzzle: Puzzle) -> Self {
        Self { parameters, seed: puzzle.seed(), kept: Mutex::new(Kept::empty(&parameters)) }
    }

    /// A puzzle of which is done what `checkpoint` holds.
    ///
    /// # Errors
    /// [`Error::DamagedCheckpoint`], or [`Error::OtherCheckpoint`] if it is one of another puzzle or other parameters.
    pub fn resume(parameters: Parameters, puzzle: Puzzle, checkpoint: &[u8]) -> Result<Self, Error> {
        let seed = puzzle.seed();
        let kept = checkpoint::read(&parameters, &seed, checkpoint)?;
        Ok(Self { parameters, seed, kept: Mutex::new(kept) })
    }

    /// What is done so far, to go on from after a restart. May be taken while [`run`](Self::run) works, also by its `progress`.
    pub fn checkpoint(&self) -> Vec<u8> {
        checkpoint::write(&self.parameters, &self.seed, &self.kept())
    }

    /// Hashes that are done, of [`Parameters::total_hashes`].
    pub fn done_hashes(&self) -> u64 {
        self.hashes_of(self.kept().done.iter().filter(|done| **done).count())
    }

    /// Works until the proof is made, on so many threads (one if the feature `threads` is off), the caller's among them.
    /// `progress` is told after every few milliseconds how many hashes are done in all, on any of the threads.
    ///
    /// # Errors
    /// [`Cancelled`] soon after `cancel` has become true.
    pub fn run(
        &self,
        threads: usize,
        progress: &(dyn Fn(u64) + Sync),
        cancel: &AtomicBool,
    ) -> Result<Vec<u8>, Cancelled> {
        let missing: Vec<u32> =
            (0..).zip(&self.kept().done).filter(|(_, done)| !**done).map(|(unit, _)| unit).collect();
        let finished = Mutex::new(self.kept().done.len() - missing.len());
        workers::share(threads, &missing, cancel, &|unit| {
            let Some(roots) = self.work_unit(unit, cancel) else { return };
            self.keep(unit, &roots);
            let mut finished = finished.lock().unwrap_or_else(PoisonError::into_inner);
            *finished += 1;
            // Under the lock, so that nobody hears of less after more.
            progress(self.hashes_of(*finished));
        });
        let top = layers(self.complete().ok_or(Cancelled)?);
        let proof = self.open(threads, &top, cancel)?;
        progress(self.parameters.total_hashes());
        Ok(proof.to_bytes())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hashes_of(&self, units: usize) -> u64 {
        let leaves = (units as u64) << self.parameters.unit_log2();
        leaves * u64::from(self.parameters.leaf_hashes()) + leaves.saturating_sub(1)
    }

    /// The kept layer, once it is whole.
    fn complete(&self) -> Option<Vec<Node>> {
        let kept = self.kept();
        kept.done.iter().all(|done| *done).then(|| kept.nodes.clone())
    }

    /// The roots of a unit's subtrees; `None` if the work was given up.
    fn work_unit(&self, unit: u32, cancel: &AtomicBool) -> Option<Vec<Node>> {
        let unit_log2 = self.parameters.unit_log2();
        let leaves = self.work(unit << unit_log2, 1 << unit_log2, cancel)?;
        let subtrees = leaves.chunks(1 << self.parameters.subtree_log2());
        Some(subtrees.map(|subtree| root(subtree.to_vec())).collect())
    }

    /// `count` leaves from `first` on; a power of two of them.
    fn work(&self, first: u32, count: u32, cancel: &AtomicBool) -> Option<Vec<Node>> {
        let numbers: Vec<u32> = (first..).take(count as usize).collect();
        let mut nodes = Vec::with_capacity(numbers.len());
        let (groups, rest) = numbers.as_chunks::<LANES>();
        for group in groups {
            if cancel.load(Ordering::Relaxed) {
                return None;
            }
            nodes.extend(leaves(&self.seed, *group, self.parameters.leaf_hashes()));
        }
        nodes.extend(rest.iter().flat_map(|number| leaves(&self.seed, [*number], self.parameters.leaf_hashes())));
        Some(nodes)
    }

    fn keep(&self, unit: u32, roots: &[Node]) {
        let mut kept = self.kept();
        let unit = unit as usize;
        let first = unit << unit_nodes_log2(&self.parameters);
        for (node, root) in kept.nodes.iter_mut().skip(first).zip(roots) {
            *node = *root;
        }
        if let Some(done) = kept.done.get_mut(unit) {
            *done = true;
        }
    }

    /// Opens what the root calls for. `top`: the layers from the kept one up.
    fn open(&self, threads: usize, top: &[Vec<Node>], cancel: &AtomicBool) -> Result<Proof, Cancelled> {
        let root = top.last().and_then(|layer| layer.first()).copied().unwrap_or_default();
        let opened = opened(&self.parameters, &self.seed, &root);
        let subtree_log2 = self.parameters.subtree_log2();
        let mut subtrees: Vec<u32> = opened.iter().map(|number| number >> subtree_log2).collect();
        subtrees.dedup();
        let rebuilt = Mutex::new(BTreeMap::new());
        if subtree_log2 == 0 {
            subtrees.clear();
        }
        workers::share(threads, &subtrees, cancel, &|subtree| {
            if let Some(leaves) = self.work(subtree << subtree_log2, 1 << subtree_log2, cancel) {
                rebuilt.lock().unwrap_or_else(PoisonError::into_inner).insert(subtree, layers(leaves));
            }
        });
        let rebuilt = rebuilt.into_inner().unwrap_or_else(PoisonError::into_inner);
        let node = |place: Place| -> Option<Node> {
            let Place { level, number } = place;
            match level.checked_sub(subtree_log2) {
                Some(above) => top.get(usize::from(above))?.get(number as usize).copied(),
                None => {
                    let below = subtree_log2 - level;
                    let layer = rebuilt.get(&(number >> below))?.get(usize::from(level))?;
                    layer.get((number & ((1 << below) - 1)) as usize).copied()
                }
            }
        };
        let leaves: Option<Vec<Node>> = opened.iter().map(|number| node(Place { level: 0, number: *number })).collect();
        let beside = siblings(&opened, self.parameters.leaves_log2());
        let siblings: Option<Vec<Node>> = beside.into_iter().map(node).collect();
        // A node is missing only where the work was given up.
        Ok(Proof::new(root, opened, leaves.ok_or(Cancelled)?, siblings.ok_or(Cancelled)?))
    }
}

//! Provers of work who do less than they should, and count every hash. Written from `docs/proof-of-work.md` alone, with nothing of crate
//! `pow` in it, so that it is also a second opinion on what is written there.

use sha2::{Digest, Sha256};
use wire::Work;

type Node = [u8; 20];

/// How many hashes may still be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// So many.
    pub hashes: u64,
}

impl Budget {
    /// Takes so many, or all that is left and says that they were too few.
    fn take(&mut self, hashes: u64) -> bool {
        let enough = self.hashes >= hashes;
        self.hashes = self.hashes.saturating_sub(hashes);
        enough
    }
}

/// The part of the leaves that is worth working out: with fewer, more roots must be tried until one opens only those.
pub fn best_part(work: &Work) -> f64 {
    let parts = (500..=1000).map(|part| f64::from(part) / 1000.0);
    parts.min_by(|a, b| expected_hashes(work, *a).total_cmp(&expected_hashes(work, *b))).unwrap_or(1.0)
}

/// Hashes until a proof passes for which this part of the leaves was worked out.
pub fn expected_hashes(work: &Work, part: f64) -> f64 {
    let leaves = f64::from(1_u32 << work.leaves_log2);
    let roots = part.powi(-i32::from(work.openings));
    leaves * (part * f64::from(work.leaf_hashes) + 1.0) + roots * f64::from(work.leaves_log2 + 1)
}

/// Works out the first `part` of the leaves, invents the others, and tries roots until one opens only leaves that are right. `None` if
/// the budget is used up first.
pub fn solve(work: &Work, challenge: &[u8; 32], key: &[u8; 32], part: f64, budget: &mut Budget) -> Option<Vec<u8>> {
    let leaves = 1_usize << work.leaves_log2;
    let right = ((leaves as f64) * part).ceil() as usize;
    let seed = tagged(b"wc-pow1S", &[challenge, key]);
    if !budget.take(right as u64 * u64::from(work.leaf_hashes) + leaves as u64) {
        return None;
    }
    let known = (0..right).map(|number| leaf(&seed, number as u32, work.leaf_hashes));
    let bottom: Vec<Node> = known.chain((right..leaves).map(|_| [0; 20])).collect();
    let mut layers = vec![bottom];
    while layers[layers.len() - 1].len() > 1 {
        let above = layers[layers.len() - 1].chunks(2).map(|pair| parent(&pair[0], &pair[1])).collect();
        layers.push(above);
    }
    for attempt in 0_u64.. {
        let root = layers[layers.len() - 1][0];
        if let Some(opened) = opened(work, &seed, &root, right, budget)? {
            return Some(proof(&layers, root, &opened));
        }
        if right == leaves {
            return None;
        }
        if !budget.take(u64::from(work.leaves_log2)) {
            return None;
        }
        layers[0][leaves - 1][..8].copy_from_slice(&attempt.to_le_bytes());
        for level in 1..layers.len() {
            let last = layers[level - 1].len() - 1;
            let made = parent(&layers[level - 1][last - 1], &layers[level - 1][last]);
            let place = layers[level].len() - 1;
            layers[level][place] = made;
        }
    }
    None
}

/// The leaves that the root opens, if all of them are right; stops at the first that is not. The outer `None`: no budget is left.
fn opened(work: &Work, seed: &[u8; 32], root: &Node, right: usize, budget: &mut Budget) -> Option<Option<Vec<usize>>> {
    let mut found = Vec::new();
    for counter in 0_u32.. {
        if !budget.take(1) {
            return None;
        }
        for four in tagged(b"wc-pow1O", &[seed, root, &counter.to_le_bytes()]).chunks(4) {
            if found.len() == usize::from(work.openings) {
                found.sort_unstable();
                found.dedup();
                return Some(Some(found));
            }
            let number = u32::from_le_bytes(four.try_into().expect("chunks of four")) % (1 << work.leaves_log2);
            if number as usize >= right {
                return Some(None);
            }
            found.push(number as usize);
        }
    }
    None
}

fn proof(layers: &[Vec<Node>], root: Node, opened: &[usize]) -> Vec<u8> {
    let mut bytes = root.to_vec();
    bytes.extend(opened.iter().flat_map(|number| layers[0][*number]));
    let mut on_path = opened.to_vec();
    for layer in &layers[..layers.len() - 1] {
        let beside = on_path.iter().map(|number| number ^ 1).filter(|number| !on_path.contains(number));
        bytes.extend(beside.flat_map(|number| layer[number]));
        on_path.iter_mut().for_each(|number| *number /= 2);
        on_path.dedup();
    }
    bytes
}

fn leaf(seed: &[u8; 32], number: u32, hashes: u32) -> Node {
    let mut value = *seed;
    for step in 0..hashes {
        value = tagged(b"wc-pow1L", &[&number.to_le_bytes(), &step.to_le_bytes(), &value]);
    }
    first(&value)
}

fn parent(left: &Node, right: &Node) -> Node {
    first(&tagged(b"wc-pow1N", &[left, right]))
}

fn first(hash: &[u8; 32]) -> Node {
    hash[..20].try_into().expect("a hash has 32 bytes")
}

fn tagged(tag: &[u8; 8], parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new().chain_update(tag), |hash, part| hash.chain_update(part)).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pow::{BadProof, Parameters, Puzzle, verify};

    const WORK: Work = Work { version: 1, leaf_hashes: 4, leaves_log2: 8, openings: 24 };
    const PUZZLE: Puzzle = Puzzle { challenge: [1; 32], key: [2; 32] };

    fn parameters() -> Parameters {
        Parameters::new(WORK.leaf_hashes, WORK.leaves_log2, WORK.openings).unwrap()
    }

    #[test]
    fn who_does_all_makes_the_proof_of_the_honest_solver() {
        let mut budget = Budget { hashes: 1 << 20 };
        let proof = solve(&WORK, &PUZZLE.challenge, &PUZZLE.key, 1.0, &mut budget).unwrap();
        let honest =
            pow::solve(&parameters(), &PUZZLE, 1, &|_| {}, &std::sync::atomic::AtomicBool::new(false)).unwrap();
        assert_eq!(proof, honest);
        let used = (1 << 20) - budget.hashes;
        assert!(used.abs_diff(parameters().total_hashes()) <= 5, "{used}");
    }

    #[test]
    fn who_does_a_part_passes_after_many_roots_and_not_with_the_first() {
        let mut budget = Budget { hashes: 1 << 24 };
        let proof = solve(&WORK, &PUZZLE.challenge, &PUZZLE.key, 0.8, &mut budget).unwrap();
        assert_eq!(verify(&parameters(), &PUZZLE, &proof), Ok(()));
        let roots = ((1 << 24) - budget.hashes - (205 * 4 + 256)) / u64::from(WORK.leaves_log2 + 1);
        assert!(roots > 10, "0.8^24 is a two hundredth: {roots} roots");
        let other = Puzzle { key: [3; 32], ..PUZZLE };
        assert!(matches!(
            verify(&parameters(), &other, &proof),
            Err(BadProof::Length { .. } | BadProof::NotInTree | BadProof::Leaf { .. })
        ));
    }

    #[test]
    fn no_budget_no_proof() {
        let mut budget = Budget { hashes: 300 };
        assert_eq!(solve(&WORK, &PUZZLE.challenge, &PUZZLE.key, 1.0, &mut budget), None);
        assert_eq!(budget.hashes, 0);
        let part = best_part(&WORK);
        assert!((0.5..1.0).contains(&part) && expected_hashes(&WORK, part) < expected_hashes(&WORK, 1.0));
    }
}

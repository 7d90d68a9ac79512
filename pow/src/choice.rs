//! The calculator: which parameters bound an adversary best within what a session can afford.

use crate::{
    error::Error,
    parameters::{MAX_LEAF_HASHES, MAX_LEAVES_LOG2, MAX_OPENINGS, MAX_TOTAL_HASHES, Parameters},
    terms::Terms,
};

/// What is known of the devices and the adversary, and what a proof may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// The paper's t: the adversary's hash rate in honest devices.
    pub adversary: u32,
    /// The paper's pi: hashes in a second of an honest device.
    pub hash_rate: u64,
    /// How long an honest device works, in ms; see [`Wishes::paper_work_ms`].
    pub work_ms: u64,
    /// The paper's T_sol, in ms, as in [`Terms::slack_ms`].
    pub slack_ms: u64,
    /// As in [`Terms::head_start_ms`].
    pub head_start_ms: u64,
    /// As in [`Terms::soundness_bits`].
    pub soundness_bits: u16,
    /// The most bytes of a proof.
    pub max_proof_bytes: usize,
    /// The most hashes of a verification.
    pub max_verifier_hashes: u64,
}

/// What was chosen, and what it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The terms, with their parameters.
    pub terms: Terms,
    /// The most identities that the adversary gets: [`Terms::identities`].
    pub identities: u64,
    /// The queries that are not enough for an identity: [`Parameters::tolerated_hashes`].
    pub tolerated_hashes: u64,
}

impl Wishes {
    /// The work with which the adversary gets t identities and no more, if proofs may be as long as they must: with
    /// time_proof > (2t + 1) T_sol pi, xi = 2t/(2t + 1) is enough (Theorem 4.6, whose own time_proof is kappa squared greater).
    /// The adversary's head start counts as T_sol does.
    pub fn paper_work_ms(adversary: u32, slack_ms: u64, head_start_ms: u64) -> u64 {
        slack_ms.saturating_add(head_start_ms).saturating_mul(2 * u64::from(adversary) + 1)
    }

    fn terms(&self, parameters: Parameters) -> Terms {
        let Self { hash_rate, slack_ms, head_start_ms, adversary, soundness_bits, .. } = *self;
        Terms { parameters, hash_rate, slack_ms, head_start_ms, adversary, soundness_bits }
    }

    fn fits(&self, parameters: &Parameters) -> bool {
        parameters.max_proof_bytes() <= self.max_proof_bytes && parameters.verifier_hashes() <= self.max_verifier_hashes
    }

    /// The choices with so many leaves: the one with most openings and, with the same identities, the one with fewest.
    fn with_leaves(&self, leaves_log2: u8, hashes: u64) -> Option<Choice> {
        let leaves = 1_u64 << leaves_log2;
        let leaf_hashes = u32::try_from(((hashes + 1) / leaves).saturating_sub(1)).ok()?;
        if !(1..=MAX_LEAF_HASHES).contains(&leaf_hashes) {
            return None;
        }
        let parameters = |openings| Parameters::new(leaf_hashes, leaves_log2, openings).ok();
        let most = greatest(|openings| parameters(openings).is_some_and(|parameters| self.fits(&parameters)))?;
        let identities = |openings| self.terms(parameters(openings)?).identities().ok();
        let best = identities(most)?;
        let too_few = greatest(|openings| openings < most && identities(openings).is_none_or(|found| found > best));
        let terms = self.terms(parameters(too_few.map_or(1, |openings| openings + 1))?);
        let tolerated_hashes = terms.parameters.tolerated_hashes(self.soundness_bits);
        Some(Choice { terms, identities: best, tolerated_hashes })
    }
}

/// Chooses the leaf work, the number of leaves and that of openings with which the adversary gets fewest identities; of those the
/// one with the shortest proof.
///
/// # Errors
/// [`Error::NoHashRate`], [`Error::TooMuchWork`] if the work is beyond [`MAX_TOTAL_HASHES`], and [`Error::NoChoice`] if nothing fits
/// into the other bounds.
pub fn choose(wishes: &Wishes) -> Result<Choice, Error> {
    if wishes.hash_rate == 0 {
        return Err(Error::NoHashRate);
    }
    let hashes = u128::from(wishes.hash_rate) * u128::from(wishes.work_ms) / 1000;
    let hashes = u64::try_from(hashes).unwrap_or(u64::MAX);
    if hashes > MAX_TOTAL_HASHES {
        return Err(Error::TooMuchWork { hashes, most: MAX_TOTAL_HASHES });
    }
    let choices = (1..=MAX_LEAVES_LOG2).filter_map(|leaves_log2| wishes.with_leaves(leaves_log2, hashes));
    let cost = |choice: &Choice| {
        let parameters = &choice.terms.parameters;
        (choice.identities, parameters.max_proof_bytes(), parameters.verifier_hashes())
    };
    choices.min_by_key(cost).ok_or(Error::NoChoice { limit: "proof size, verifying time and soundness" })
}

/// The greatest number of openings that is `good`, if all smaller ones are, too.
fn greatest(good: impl Fn(u16) -> bool) -> Option<u16> {
    if !good(1) {
        return None;
    }
    let (mut low, mut high) = (1, MAX_OPENINGS + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if good(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As much proof as is needed, at ten million hashes a second and ten seconds for messages.
    fn generous(adversary: u32) -> Wishes {
        Wishes {
            adversary,
            hash_rate: 10_700_000,
            work_ms: Wishes::paper_work_ms(adversary, 10_000, 0),
            slack_ms: 10_000,
            head_start_ms: 0,
            soundness_bits: 40,
            max_proof_bytes: 1 << 22,
            max_verifier_hashes: 1 << 26,
        }
    }

    #[test]
    fn the_theorem_costs_what_it_hides() {
        // (2t/(2t+1))^m xi time_proof = 2^-40 has these solutions. At that work one identity more is just within reach, which is
        // why there is some more of it here.
        for (adversary, openings) in [(10, 1009), (50, 5108)] {
            let wishes = Wishes { work_ms: generous(adversary).work_ms + 1000, ..generous(adversary) };
            let choice = choose(&wishes).expect("there is one");
            assert_eq!(choice.identities, u64::from(adversary));
            let found = choice.terms.parameters.openings();
            assert!(found.abs_diff(openings) <= openings / 100, "{adversary}: {found} openings");
        }
    }

    #[test]
    fn a_small_proof_lets_twice_as_many_in() {
        let choice = choose(&Wishes {
            work_ms: 60_000,
            soundness_bits: 64,
            hash_rate: 17_900_000,
            max_proof_bytes: 24_000,
            max_verifier_hashes: 400_000,
            ..generous(10)
        });
        let choice = choice.expect("there is one");
        assert!((20..=24).contains(&choice.identities), "{choice:?}");
        assert!(choice.terms.parameters.openings().abs_diff(93) <= 10, "{choice:?}");
    }

    #[test]
    fn all_bounds_are_kept_and_none_is_given_away() {
        for adversary in [1, 4, 10, 50] {
            for (max_proof_bytes, max_verifier_hashes) in [(2000, 1 << 16), (20_000, 1 << 19), (1 << 20, 1 << 24)] {
                let wishes = Wishes { max_proof_bytes, max_verifier_hashes, work_ms: 30_000, ..generous(adversary) };
                let choice = choose(&wishes).expect("there is one");
                let parameters = choice.terms.parameters;
                assert!(wishes.fits(&parameters));
                assert_eq!(choice.terms.identities(), Ok(choice.identities));
                assert!(choice.terms.solving_ms() <= 40_000);
                assert!(choice.terms.solving_ms() > 39_000, "the time is used: {choice:?}");
                if let Ok(fewer) =
                    Parameters::new(parameters.leaf_hashes(), parameters.leaves_log2(), parameters.openings() - 1)
                {
                    assert!(wishes.terms(fewer).identities().is_ok_and(|found| found > choice.identities));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let wishes = generous(10);
        assert_eq!(choose(&Wishes { hash_rate: 0, ..wishes }), Err(Error::NoHashRate));
        assert!(matches!(choose(&Wishes { work_ms: u64::MAX, ..wishes }), Err(Error::TooMuchWork { .. })));
        assert!(matches!(choose(&Wishes { max_proof_bytes: 10, ..wishes }), Err(Error::NoChoice { .. })));
        assert!(matches!(choose(&Wishes { work_ms: 0, ..wishes }), Err(Error::NoChoice { .. })));
    }
}

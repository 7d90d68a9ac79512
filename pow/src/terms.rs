//! What a proof of work bounds: how long solving takes, and how many identities an adversary gets.

use crate::{error::Error, parameters::Parameters};

/// Under which terms a session lets strangers register, and against whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Of the proof of work.
    pub parameters: Parameters,
    /// The paper's pi: hashes in a second of an honest device.
    pub hash_rate: u64,
    /// The paper's T_sol: what honest devices have beyond the time of their work, for messages to arrive, in ms.
    pub slack_ms: u64,
    /// How long before the solving time begins the adversary may know the challenge: from the moment at which the first honest
    /// node shows its share of it, in ms.
    pub head_start_ms: u64,
    /// The paper's t: the adversary's hash rate in honest devices.
    pub adversary: u32,
    /// A proof for which fewer queries were made than [`Parameters::tolerated_hashes`] passes with a probability of at most two to
    /// minus this.
    pub soundness_bits: u16,
}

impl Terms {
    /// The paper's T = time_proof/pi + T_sol, in ms, rounded up; the greatest number if nobody calculates anything.
    pub fn solving_ms(&self) -> u64 {
        let work = u128::from(self.parameters.total_hashes()) * 1000;
        let rate = u128::from(self.hash_rate);
        let ms = work.checked_add(rate.saturating_sub(1)).and_then(|work| work.checked_div(rate));
        ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(u64::MAX).saturating_add(self.slack_ms)
    }

    /// The most identities that the adversary gets (Theorem 4.6, for any xi): each takes more queries than
    /// [`Parameters::tolerated_hashes`], of all that the adversary can make while it knows the challenge.
    ///
    /// With xi the tolerated part of time_proof and no head start that is the paper's floor((t/xi)(1 + T_sol pi/time_proof)).
    ///
    /// # Errors
    /// [`Error::NoHashRate`], and [`Error::NotSound`] if one query is too many.
    pub fn identities(&self) -> Result<u64, Error> {
        if self.hash_rate == 0 {
            return Err(Error::NoHashRate);
        }
        let tolerated = self.parameters.tolerated_hashes(self.soundness_bits);
        if tolerated == 0 {
            return Err(Error::NotSound { bits: self.soundness_bits });
        }
        let needed = u128::from(tolerated) + 1;
        Ok(u64::try_from(self.adversary_hashes() / needed).unwrap_or(u64::MAX))
    }

    /// All queries that the adversary can make while it knows the challenge; no less than the true number.
    fn adversary_hashes(&self) -> u128 {
        let ms = u128::from(self.solving_ms()) + u128::from(self.head_start_ms);
        let rate = u128::from(self.adversary) * u128::from(self.hash_rate);
        rate.checked_mul(ms).map_or(u128::MAX, |hashes| hashes / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute of work at 17.9 million hashes a second, opened so that half of it does not do.
    fn minute() -> Terms {
        let parameters = Parameters::new(4096, 18, 93).expect("within bounds");
        let (hash_rate, adversary) = (17_900_000, 1);
        Terms { parameters, hash_rate, slack_ms: 10_000, head_start_ms: 0, adversary, soundness_bits: 64 }
    }

    #[test]
    fn half_the_work_gives_twice_the_identities() {
        let terms = minute();
        let half = terms.parameters.tolerated_hashes(64) as f64 / terms.parameters.total_hashes() as f64;
        assert!((0.498..0.502).contains(&half), "{half}");
        assert!((20_000..24_000).contains(&terms.parameters.max_proof_bytes()), "{terms:?}");
        // 2t (1 + T_sol pi / time_proof), a sixth of the time being slack.
        for (adversary, identities) in [(1, 2), (4, 9), (10, 23), (50, 116)] {
            assert_eq!(Terms { adversary, ..terms }.identities(), Ok(identities));
        }
    }

    #[test]
    fn more_time_gives_more_identities() {
        let terms = Terms { adversary: 1000, ..minute() };
        let identities = |terms: Terms| terms.identities().expect("sound");
        assert!(identities(Terms { head_start_ms: 5000, ..terms }) > identities(terms));
        assert!(identities(Terms { slack_ms: 20_000, ..terms }) > identities(terms));
        assert!(identities(Terms { soundness_bits: 80, ..terms }) > identities(terms));
    }

    #[test]
    fn solving_time_is_rounded_up() {
        let parameters = Parameters::new(1, 1, 1).expect("within bounds");
        let terms = Terms { parameters, hash_rate: 3000, slack_ms: 5, ..minute() };
        assert_eq!(parameters.total_hashes(), 3);
        assert_eq!(terms.solving_ms(), 6);
        assert_eq!(Terms { hash_rate: 2999, ..terms }.solving_ms(), 7);
    }

    #[test]
    fn the_greatest_numbers_are_no_trouble_and_nothing_is_refused() {
        let terms =
            Terms { hash_rate: u64::MAX, slack_ms: u64::MAX, head_start_ms: u64::MAX, adversary: u32::MAX, ..minute() };
        assert_eq!(terms.identities(), Ok(u64::MAX));
        assert_eq!(Terms { hash_rate: 0, ..minute() }.identities(), Err(Error::NoHashRate));
        assert_eq!(Terms { hash_rate: 0, ..minute() }.solving_ms(), u64::MAX);
        let parameters = Parameters::new(1, 4, 3).expect("within bounds");
        let weak = Terms { parameters, soundness_bits: 13, ..minute() };
        assert_eq!(weak.identities(), Err(Error::NotSound { bits: 13 }));
        assert!(Terms { soundness_bits: 12, ..weak }.identities().is_ok());
    }
}

//! Which rounds of a session belong to which execution.

use crate::ProtocolError;
use borsh::BorshSerialize;
use wire::limits::MAX_ROUNDS;

/// One run of key generation or signing in a session. It is part of ctx, and it says which rounds of the session the
/// run uses, so that runs follow each other in one session and never share a slot.
///
/// | execution | its paper rounds | rounds of the session |
/// |---|---|---|
/// | key generation | 1 | 0 |
/// | signing e, from 0 | 1 to 4 | 1 + 4e to 4 + 4e |
///
/// A session in which a key from an earlier one signs leaves round 0 empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize)]
pub enum Execution {
    /// The key generation: at most one a session.
    KeyGeneration,
    /// The signing with this number. A number is used once, also when that attempt failed.
    Signing(u32),
}

impl Execution {
    /// The session's round in which the execution starts.
    ///
    /// # Errors
    /// [`ProtocolError::Execution`] if the last round would be beyond [`MAX_ROUNDS`].
    pub fn first_round(self) -> Result<u32, ProtocolError> {
        match self {
            Self::KeyGeneration => Ok(0),
            Self::Signing(execution) => execution
                .checked_mul(4)
                .and_then(|round| round.checked_add(1))
                .filter(|round| *round <= MAX_ROUNDS - 4)
                .ok_or(ProtocolError::Execution { execution }),
        }
    }

    /// The first round after the execution: what `max_rounds` of the session's specification must at least be.
    ///
    /// # Errors
    /// As [`Execution::first_round`].
    pub fn end_round(self) -> Result<u32, ProtocolError> {
        let rounds = match self {
            Self::KeyGeneration => 1,
            Self::Signing(_) => 4,
        };
        Ok(self.first_round()?.saturating_add(rounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_tile_the_rounds() {
        let mut next = Execution::KeyGeneration.end_round().unwrap();
        for number in 0..16_383 {
            assert_eq!(Execution::Signing(number).first_round(), Ok(next));
            next = Execution::Signing(number).end_round().unwrap();
        }
        assert!(next <= MAX_ROUNDS);
        assert_eq!(Execution::Signing(16_383).first_round(), Err(ProtocolError::Execution { execution: 16_383 }));
        assert_eq!(Execution::Signing(u32::MAX).end_round(), Err(ProtocolError::Execution { execution: u32::MAX }));
    }
}

//! What every hash of a program binds.

use crate::ProtocolError;
use borsh::BorshSerialize;
use client_sdk::protocol::Seat;
use wire::{Hash, Program, hash::TaggedHash, limits::MAX_PARTIES};

/// ctx = H(tag, chain, session, H(list), program, execution): no value of one execution means anything in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context(Hash);

impl Context {
    pub(crate) fn new<E: BorshSerialize>(
        tag: &str,
        seat: &Seat,
        program: &Program,
        execution: &E,
    ) -> Result<Self, ProtocolError> {
        if seat.index >= seat.parties || seat.parties > MAX_PARTIES {
            return Err(ProtocolError::Seat { index: seat.index, parties: seat.parties });
        }
        let hash = TaggedHash::new(tag).value(&seat.chain).value(&seat.session).value(&seat.list);
        Ok(Self(hash.value(program).value(execution).finish()))
    }

    /// Starts a hash in the domain `tag` of this execution.
    pub(crate) fn hash(&self, tag: &str) -> TaggedHash {
        TaggedHash::new(tag).value(&self.0)
    }
}

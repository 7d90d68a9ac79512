//! Signs receipts, for which the node gives its word.

use rand_core::OsRng;
use schnorrkel::Keypair;
use wire::{Answer, BoardAt, ChainId, PublicKey, Receipt, Report, Signed};

/// The node's identity, as far as answers need it.
pub struct Reporter {
    keypair: Keypair,
    chain: ChainId,
}

impl Reporter {
    /// Reports of `keypair`, which genesis should name, for `chain`.
    pub fn new(keypair: Keypair, chain: ChainId) -> Self {
        Self { keypair, chain }
    }

    /// The key under which the reports are.
    pub fn identity(&self) -> PublicKey {
        PublicKey(self.keypair.public.to_bytes())
    }

    /// States a receipt as of block `at`.
    pub fn report(&self, at: BoardAt, fact: Receipt) -> Report<Receipt> {
        Signed::sign(&self.keypair, self.chain.clone(), Answer { at, fact }, OsRng)
    }
}

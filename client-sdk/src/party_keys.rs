//! The keys of a session's parties, decoded once for all signatures that are checked under them.

use std::{ops::Deref, sync::OnceLock};
use wire::{PublicKey, signed::VerifyingKey};

/// The keys of the session's list, in index order.
#[derive(Debug, Default)]
pub struct PartyKeys {
    keys: Box<[PublicKey]>,
    /// The same, decoded when the first signature is checked; `None` for one that is no key, under which nothing is signed.
    decoded: OnceLock<Box<[Option<VerifyingKey>]>>,
}

impl PartyKeys {
    /// The key of party `index`; `None` if there is no such party, or its key is none.
    pub(crate) fn decoded(&self, index: u16) -> Option<&VerifyingKey> {
        let decode = || self.keys.iter().map(VerifyingKey::decode).collect();
        self.decoded.get_or_init(decode).get(usize::from(index))?.as_ref()
    }
}

impl Deref for PartyKeys {
    type Target = [PublicKey];

    fn deref(&self) -> &[PublicKey] {
        &self.keys
    }
}

impl From<Vec<PublicKey>> for PartyKeys {
    fn from(keys: Vec<PublicKey>) -> Self {
        Self { keys: keys.into(), decoded: OnceLock::new() }
    }
}

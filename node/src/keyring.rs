//! The threshold keys of all epochs, with this node's shares of them, as they follow from the board.

use crate::participant::{Participant, ShareError, public_keys};
use bls::{PublicKeySet, SecretShare};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, RwLock},
};
use tokio::sync::watch;
use wire::{Generation, GenerationPhase};

/// One epoch's key, endorsed, and what this node has of it.
pub struct EpochKeys {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The first height that is certified under this key.
    pub first_height: u64,
    /// The group's key and those of all shares.
    pub public: PublicKeySet,
    /// This node's share; none if it cannot know it, in which case the log says why, of a key so old that nobody needs shares of it, and at a replica.
    pub share: Option<SecretShare>,
}

/// The keys of all epochs.
pub struct Keyring {
    /// None at a replica, which has no shares.
    participant: Option<Arc<Participant>>,
    epochs: RwLock<BTreeMap<u64, Arc<EpochKeys>>>,
    newest: watch::Sender<Option<Arc<EpochKeys>>>,
}

impl Keyring {
    /// A keyring for the node that `participant` is; without one for a replica.
    pub fn new(participant: Option<Arc<Participant>>) -> Self {
        Self { participant, epochs: RwLock::default(), newest: watch::Sender::new(None) }
    }

    /// The newest endorsed epoch; `None` before the first.
    pub fn newest(&self) -> watch::Receiver<Option<Arc<EpochKeys>>> {
        self.newest.subscribe()
    }

    /// The keys of an epoch that is endorsed.
    pub fn epoch(&self, epoch: u64) -> Option<Arc<EpochKeys>> {
        self.epochs.read().ok()?.get(&epoch).cloned()
    }

    /// Takes in the key of a generation that is done. Costs some milliseconds for each dealer; another one, or one that is known, changes
    /// nothing. Of an old key whose dealings the board has forgotten there is no share any more, which is no error, for nobody needs one.
    ///
    /// # Errors
    /// [`ShareError`] if the node has no share of this key. The key itself is known then, unless it is [`ShareError::Outcome`].
    pub fn adopt(&self, run: &Generation) -> Result<(), ShareError> {
        if run.phase != GenerationPhase::Done || self.epoch(run.epoch).is_some() {
            return Ok(());
        }
        let record = run.record.as_ref().ok_or(ShareError::Outcome)?;
        let public = public_keys(run)?;
        let participant = self.participant.as_ref().filter(|_| run.has_dealings());
        let share = participant.map(|participant| participant.share(run)).transpose();
        let lost = share.as_ref().err().cloned();
        let share = share.ok().flatten();
        let keys = EpochKeys { epoch: run.epoch, first_height: record.first_height, public, share };
        let keys = Arc::new(keys);
        if let Ok(mut epochs) = self.epochs.write() {
            epochs.insert(run.epoch, Arc::clone(&keys));
        }
        self.newest.send_if_modified(|newest| {
            let newer = newest.as_ref().is_none_or(|newest| newest.epoch < keys.epoch);
            if newer {
                *newest = Some(keys);
            }
            newer
        });
        lost.map_or(Ok(()), Err)
    }
}

impl fmt::Debug for EpochKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = if self.share.is_some() { "present" } else { "none" };
        let Self { epoch, first_height, .. } = self;
        write!(f, "EpochKeys(epoch {epoch} from height {first_height}, share {share})")
    }
}

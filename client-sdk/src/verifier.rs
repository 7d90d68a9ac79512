//! What makes one node's answer believable: the cluster's threshold key, epoch by epoch, and certificates under it (§V-E b).
//!
//! ```
//! # use client_sdk::{BadAnswer, Verifier};
//! # use wire::{Certified, NetworkFile, SessionFact, SessionId, SessionRecord};
//! /// A session's record, if `answer` proves it, asked for when `since` was the greatest certified height that was known.
//! fn believe(
//!     verifier: &mut Verifier,
//!     since: u64,
//!     session: &SessionId,
//!     answer: Certified<SessionFact>,
//! ) -> Result<SessionRecord, BadAnswer> {
//!     let board = verifier.check_certificate(&answer.certificate, since)?;
//!     board.session(session, &answer)?;
//!     Ok(answer.fact.record)
//! }
//! ```

use crate::{BadAnswer, board::Board};
use bls::{Domain, GroupKey, Signature};
use std::collections::{BTreeSet, VecDeque};
use wire::{
    BoardAt, Certificate, ChainId, EndorsedKeyRecord, G1Bytes, Hash, KeyRecord, NetworkFile, PublicKey, SessionId,
    certificate_message, challenge, challenge_message, limits::MAX_NODES,
};

/// So many verified certificates are remembered.
const REMEMBERED: usize = 32;

/// What a client has learnt of a cluster's keys and of its board's height. It does no I/O: who has it asks the nodes.
#[derive(Clone, Debug)]
pub struct Verifier {
    chain: ChainId,
    genesis: Hash,
    /// Of genesis.
    identities: Vec<PublicKey>,
    /// Of epochs 1, 2, ....
    keys: Vec<Key>,
    /// The one of the greatest height so far, and those that were verified last.
    newest: Option<Certificate>,
    last: VecDeque<Certificate>,
    /// How many were found good.
    pairings: u64,
    /// What the chain had reached when this client ran last.
    reached: u64,
}

#[derive(Clone, Debug)]
struct Key {
    endorsed: EndorsedKeyRecord,
    group: GroupKey,
}

impl Verifier {
    /// Believes the identity keys of a network file, and what follows from them.
    ///
    /// # Errors
    /// [`BadAnswer::BadKeyRecord`] if the file's own key records do not.
    pub fn new(network: &NetworkFile) -> Result<Self, BadAnswer> {
        let mut verifier = Self {
            chain: network.chain.clone(),
            genesis: network.genesis,
            identities: network.nodes.iter().map(|node| node.identity).collect(),
            keys: Vec::new(),
            newest: None,
            last: VecDeque::new(),
            pairings: 0,
            reached: 0,
        };
        network.keys.iter().try_for_each(|endorsed| verifier.learn(endorsed))?;
        Ok(verifier)
    }

    /// The epoch of the newest key that is known; 0 if none is.
    pub fn epoch(&self) -> u64 {
        self.newest_key().map_or(0, |key| key.endorsed.record.epoch)
    }

    /// The key records that are known, of epochs 1, 2, ..., for a network file.
    pub fn keys(&self) -> Vec<EndorsedKeyRecord> {
        self.keys.iter().map(|key| key.endorsed.clone()).collect()
    }

    /// The greatest height that the chain is known to have reached: the greatest that was found certified, or the first one of the newest
    /// key, which is there only because the chain got so far; 0 before either. Whoever asks a node takes it down before. So a client
    /// that has just started with a network file of today believes no certificate under a key of yesterday, whose shares may have leaked.
    pub fn height(&self) -> u64 {
        let begun = self.newest_key().map_or(0, |key| key.endorsed.record.first_height);
        self.newest.map_or(0, |newest| newest.at.height).max(begun).max(self.reached)
    }

    /// Takes in that the chain had reached `height` before this client started, so that no older board is believed.
    pub fn has_reached(&mut self, height: u64) {
        self.reached = self.reached.max(height);
    }

    /// How many certificates were found good so far, at a pairing each.
    pub fn pairings(&self) -> u64 {
        self.pairings
    }

    /// The newest board that was found certified.
    pub fn newest(&self) -> Option<BoardAt> {
        self.newest.map(|newest| newest.at)
    }

    /// Takes in the key of the next epoch: f + 1 identity keys of the epoch before (of the network file, for the first) have signed its
    /// record, and from the second on the group key before has, too. What is known already is checked to be the same.
    ///
    /// # Errors
    /// [`BadAnswer::BadKeyRecord`].
    pub fn learn(&mut self, endorsed: &EndorsedKeyRecord) -> Result<(), BadAnswer> {
        let record = &endorsed.record;
        let bad = |why| BadAnswer::BadKeyRecord { epoch: record.epoch, why };
        let known = self.keys.iter().find(|key| key.endorsed.record.epoch == record.epoch);
        match known {
            Some(known) if known.endorsed.record == *record => return Ok(()),
            Some(_) => return Err(bad("another key of this epoch is known")),
            None if record.epoch != self.epoch().saturating_add(1) => {
                return Err(bad("it does not follow the newest key that is known"));
            }
            None => {}
        }
        if !is_sound(record) {
            return Err(bad("it has no nodes, too many, or one of them twice"));
        }
        let group = GroupKey::from_bytes(&record.group_key.0).map_err(|_| bad("its group key is no point of G2"))?;
        self.check_succession(endorsed).map_err(bad)?;
        self.keys.push(Key { endorsed: endorsed.clone(), group });
        Ok(())
    }

    /// Checks a certificate: one pairing, unless it is among the 32 that were verified last, so that the many parties of one process, whose
    /// answers come under a few certificates in any order, pay once for each. `since` is
    /// [`Verifier::height`] as it was when the node was asked: an answer below that is stale. A node that is a block behind costs one more
    /// question to another so, and one that replays an old answer gains nothing.
    ///
    /// # Errors
    /// [`BadAnswer::UnknownEpoch`] if the key has to be [learnt](Verifier::learn) first, [`BadAnswer::WrongEpoch`],
    /// [`BadAnswer::BadCertificate`], [`BadAnswer::TwoBoards`], [`BadAnswer::Stale`].
    pub fn check_certificate(&mut self, certificate: &Certificate, since: u64) -> Result<Board, BadAnswer> {
        let Certificate { epoch, at, .. } = *certificate;
        let key = self.key_in_force(epoch, at.height)?;
        if self.newest != Some(*certificate) && !self.last.contains(certificate) {
            let message = certificate_message(&self.chain, epoch, &at);
            let signed = Signature::from_bytes(&certificate.signature.0)
                .and_then(|signature| key.group.verify(Domain::Certificate, &message.0, &signature));
            signed.map_err(|_| BadAnswer::BadCertificate { height: at.height })?;
            let mut known = self.newest.iter().chain(&self.last);
            if known.any(|known| known.at.height == at.height && known.at != at) {
                return Err(BadAnswer::TwoBoards { height: at.height });
            }
            if self.last.len() == REMEMBERED {
                self.last.pop_front();
            }
            self.last.push_back(*certificate);
            self.pairings = self.pairings.saturating_add(1);
        }
        if self.newest.is_none_or(|newest| at.height > newest.at.height) {
            self.newest = Some(*certificate);
        }
        if at.height < since {
            return Err(BadAnswer::Stale { height: at.height, known: since });
        }
        Ok(Board::new(self.chain.clone(), self.genesis, at))
    }

    /// Checks the nodes' challenge of an open session, which is their joint signature under the key of the epoch that the session's record
    /// names, whichever key is in force by now. Returns c, on which all work.
    ///
    /// # Errors
    /// [`BadAnswer::UnknownEpoch`] if the key has to be [learnt](Verifier::learn) first, [`BadAnswer::BadChallenge`].
    pub fn check_challenge(&self, session: &SessionId, epoch: u64, signature: &G1Bytes) -> Result<Hash, BadAnswer> {
        let key = self.keys.iter().find(|key| key.endorsed.record.epoch == epoch);
        let key = key.ok_or(BadAnswer::UnknownEpoch { epoch })?;
        let message = challenge_message(&self.chain, session);
        Signature::from_bytes(&signature.0)
            .and_then(|signed| key.group.verify(Domain::Challenge, &message.0, &signed))
            .map_err(|_| BadAnswer::BadChallenge { epoch })?;
        Ok(challenge(signature))
    }

    fn newest_key(&self) -> Option<&Key> {
        self.keys.last()
    }

    /// The key of `epoch`, if that is the one for `height`: from its first height on, until the next one's.
    fn key_in_force(&self, epoch: u64, height: u64) -> Result<&Key, BadAnswer> {
        let mut known = self.keys.iter().skip_while(|key| key.endorsed.record.epoch != epoch);
        let key = known.next().ok_or(BadAnswer::UnknownEpoch { epoch })?;
        let begun = key.endorsed.record.first_height <= height;
        let over = known.next().is_some_and(|next| next.endorsed.record.first_height <= height);
        if begun && !over { Ok(key) } else { Err(BadAnswer::WrongEpoch { epoch, height }) }
    }

    fn check_succession(&self, endorsed: &EndorsedKeyRecord) -> Result<(), &'static str> {
        let before = self.newest_key();
        let identities = before.map_or(&self.identities, |key| &key.endorsed.record.identities);
        let few = "it is not signed by f + 1 nodes of the epoch before";
        endorsed.check_endorsements(&self.chain, identities).map_err(|_| few)?;
        match (before, &endorsed.previous) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err("it names a key before the first"),
            (Some(_), None) => Err("the key before has not signed it"),
            (Some(before), Some(signature)) => {
                if before.endorsed.record.first_height >= endorsed.record.first_height {
                    return Err("it begins no later than the key before");
                }
                let message = endorsed.record.succession_message(&self.chain);
                Signature::from_bytes(&signature.0)
                    .and_then(|signature| before.group.verify(Domain::KeyRecord, &message.0, &signature))
                    .map_err(|_| "the key before has not signed it")
            }
        }
    }
}

fn is_sound(record: &KeyRecord) -> bool {
    let distinct: BTreeSet<&PublicKey> = record.identities.iter().collect();
    (1..=MAX_NODES).contains(&record.identities.len()) && distinct.len() == record.identities.len()
}

//! New keys for old: of the cluster, and of a node that has lost the secret to which its shares are sealed.

use crate::{State, apply::Change, changes::Changes, session::Session};
use std::collections::BTreeSet;
use wire::{Code, ExchangeKey, Generation, GenerationPhase, PublicKey};

impl State {
    /// The next key can be made when the newest is in force. Operators may ask for it at any time; a node only when the newest has been
    /// in force for a while, so that a faulty one cannot keep all others busy.
    pub(crate) fn decide_renew(&self, epoch: u64, author: &PublicKey) -> Result<Change, Code> {
        let is_operator = self.parameters.operators.contains(author);
        if !is_operator && !self.parameters.is_node(author) {
            return Err(Code::NotPermitted);
        }
        let newest = self.generation();
        if newest.phase != GenerationPhase::Done || newest.epoch.checked_add(1) != Some(epoch) {
            Err(Code::WrongGeneration)
        } else if !is_operator && !newest.overdue {
            Err(Code::TooEarly)
        } else {
            Ok(Change::Renew)
        }
    }

    pub(crate) fn renew(&mut self, changes: &mut Changes) {
        let newest = self.generation();
        let next = Generation::new(newest.epoch.saturating_add(1), 0, newest.next_exchange_keys.clone());
        self.begin_generation(next, changes);
    }

    /// With a new key in force, shares of older ones are needed for one thing only: the challenges of open sessions that were created under them and
    /// have none yet. Where there is no such session, what makes the shares is forgotten; where there is, when the next key is in force.
    pub(crate) fn forget_old_dealings(&mut self, changes: &mut Changes) {
        let in_force = self.generation().epoch;
        let awaiting = self.sessions.values().filter_map(Session::awaited_epoch);
        let needed: BTreeSet<u64> = awaiting.chain([in_force]).collect();
        for (epoch, generation) in &mut self.generations {
            if generation.has_dealings() && !needed.contains(epoch) {
                generation.forget_dealings();
                changes.generation(*epoch);
            }
        }
    }

    /// The run that goes on keeps its keys: what was dealt in it is sealed to those. That a node names another's key is its own loss,
    /// for it cannot open what is sealed to it.
    pub(crate) fn decide_replace(&self, key: ExchangeKey, author: &PublicKey) -> Result<Change, Code> {
        let node = self.node(author)?;
        let same = self.generation().next_exchange_keys.get(usize::from(node)) == Some(&key);
        if same { Err(Code::DuplicateSame) } else { Ok(Change::ReplaceExchangeKey { node, key }) }
    }

    pub(crate) fn replace_exchange_key(&mut self, node: u16, key: ExchangeKey, changes: &mut Changes) {
        let newest = self.generation_mut();
        if let Some(own) = newest.next_exchange_keys.get_mut(usize::from(node)) {
            *own = key;
        }
        changes.generation(newest.epoch);
    }
}

//! Makes certificates out of the nodes' shares (§V-E b): what to sign, what to keep, what to combine, and whom to blame.
//!
//! Nothing here has a clock, randomness or I/O; [`crate::certification`] brings what happens and does what follows from it. A share is
//! given only for a block that this node has executed, and shares are combined only if they are for that same block, so that f nodes
//! and whatever they can sign never make a certificate for a root that no honest node has.

use crate::keyring::EpochKeys;
use bls::{Domain, Index, PartialSignature};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use wire::{BoardAt, Certificate, CertificateShare, ChainId, Code, G1Bytes, PublicKey, Signed, certificate_message};

/// So many of the newest heights are kept: of executed blocks that are not certified, and of each node's shares.
pub const WINDOW: usize = 64;

/// What follows from something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This node's share is to be sent to all others, until its height or a later one is certified.
    Send(CertificateShare),
    /// A block that this node has executed is certified.
    Certified(Certificate),
    /// A node has sent what no honest node sends.
    Blame {
        /// Its place in genesis.
        node: usize,
        /// What it did.
        fault: Fault,
        /// What it signed, if it did sign it.
        evidence: Option<Box<Signed<CertificateShare>>>,
    },
    /// The cluster has certified another board than this node has executed at that height.
    Diverged(Certificate),
}

/// What a node did that no honest node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A share that it did not sign, or that another one should have signed.
    Envelope,
    /// A partial signature that is not one of its share of the key on what it says.
    Partial,
    /// Two different shares for one height.
    TwoShares,
    /// A share for another board than this node has executed at that height.
    OtherBoard,
    /// A certificate that is none.
    Certificate,
}

impl Fault {
    /// For counters and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Partial => "partial",
            Self::TwoShares => "two_shares",
            Self::OtherBoard => "other_board",
            Self::Certificate => "certificate",
        }
    }
}

/// One node's knowledge of shares and certificates.
pub struct Certifier {
    chain: ChainId,
    own: usize,
    /// Identity keys in the order of genesis; share i + 1 of the key is node i's.
    nodes: Vec<PublicKey>,
    keys: Option<Arc<EpochKeys>>,
    /// Executed blocks after the newest certified one.
    executed: BTreeMap<u64, Executed>,
    /// The newest height that this node has executed.
    height: u64,
    /// By node, then by height: shares for blocks after the newest certified one.
    shares: Vec<BTreeMap<u64, Held>>,
    /// Nodes that have given a bad share. Theirs are checked one by one, and only if there are too few others.
    suspects: BTreeSet<usize>,
    /// By node: heights at which it was at fault. One judgement for each is enough, and no more of its shares for them are looked at.
    spent: Vec<BTreeSet<u64>>,
    /// Signatures that were checked, at a pairing each.
    pairings: u64,
    /// The newest certificate of a block that this node has executed.
    newest: Option<Certificate>,
    /// Later ones, of blocks that it has still to execute: the first [`WINDOW`] less one, so that a node that stays behind serves what it has
    /// executed, and the newest.
    ahead: BTreeMap<u64, Certificate>,
    /// By node: the newest height of which it has spoken.
    heard: Vec<u64>,
    /// The newest height that was certified here, by shares that were being sent.
    made: u64,
    /// Of those heights: which one [`Self::missing`] has judged, and which one it judges next.
    judged: u64,
    to_judge: Option<u64>,
}

struct Executed {
    at: BoardAt,
    /// The newest endorsed epoch on the board after this block.
    endorsed: Option<u64>,
}

struct Held {
    signed: Signed<CertificateShare>,
    partial: PartialSignature,
    /// It was checked by itself.
    is_sound: bool,
}

impl Certifier {
    /// The certifier of node `own` of `nodes`, given by their identity keys.
    pub fn new(chain: ChainId, own: usize, nodes: Vec<PublicKey>) -> Self {
        Self {
            chain,
            own,
            keys: None,
            executed: BTreeMap::new(),
            height: 0,
            shares: nodes.iter().map(|_| BTreeMap::new()).collect(),
            suspects: BTreeSet::new(),
            spent: vec![BTreeSet::new(); nodes.len()],
            pairings: 0,
            newest: None,
            ahead: BTreeMap::new(),
            heard: vec![0; nodes.len()],
            made: 0,
            judged: 0,
            to_judge: None,
            nodes,
        }
    }

    /// The newest certificate that is known, also of a block that this node has still to execute.
    pub fn latest(&self) -> Option<&Certificate> {
        self.ahead.last_key_value().map(|(_, ahead)| ahead).or(self.newest.as_ref())
    }

    /// How many signatures were checked so far, at a pairing each. For a height that is executed here these are at most one of each node's
    /// shares, one of all together, and one more of those for each that turns out bad, however many a faulty node sends.
    pub fn pairings(&self) -> u64 {
        self.pairings
    }

    /// True if the newest executed block is not covered by a certificate.
    pub fn is_open(&self) -> bool {
        self.height > self.certified_height()
    }

    /// A new epoch's key is endorsed. One that is no newer changes nothing.
    pub fn adopt(&mut self, keys: Arc<EpochKeys>) -> Vec<Effect> {
        if self.keys.as_ref().is_some_and(|known| known.epoch >= keys.epoch) {
            return Vec::new();
        }
        for shares in &mut self.shares {
            shares.retain(|_, held| held.signed.body.epoch >= keys.epoch);
        }
        self.suspects.clear();
        self.keys = Some(keys);
        let mut effects = Vec::new();
        self.sign(self.height, &mut effects);
        let heights: Vec<u64> = self.executed.keys().copied().collect();
        for height in heights {
            self.combine(height, &mut effects);
        }
        effects
    }

    /// This node has executed a block; `endorsed` is the newest endorsed epoch on the board after it. Blocks come in order, the first
    /// one may be any.
    pub fn execute(&mut self, at: BoardAt, endorsed: Option<u64>) -> Vec<Effect> {
        let mut effects = Vec::new();
        if at.height <= self.height {
            return effects;
        }
        self.height = at.height;
        self.executed.insert(at.height, Executed { at, endorsed });
        trim(&mut self.executed);
        let oldest = self.executed.first_key_value().map_or(0, |(height, _)| *height);
        for spent in &mut self.spent {
            *spent = spent.split_off(&oldest);
        }
        for node in 0..self.nodes.len() {
            self.refute(node, at.height, &mut effects);
        }
        let later = self.ahead.split_off(&at.height.saturating_add(1));
        let ahead = std::mem::replace(&mut self.ahead, later).remove(&at.height);
        if let Some(certificate) = ahead {
            self.settle(certificate, &mut effects);
        } else if self.ahead.is_empty() {
            self.sign(at.height, &mut effects);
            self.combine(at.height, &mut effects);
        }
        effects
    }

    /// A share came on the channel of node `node`. It is checked only if it may still be of use, only once, and not at all if the node was at
    /// fault at that height before.
    pub fn receive(&mut self, node: usize, signed: Signed<CertificateShare>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let (Some(identity), Some(heard)) = (self.nodes.get(node), self.heard.get_mut(node)) else { return effects };
        let CertificateShare { epoch, at, partial } = signed.body;
        *heard = at.height.max(*heard);
        let is_late = at.height <= self.latest().map_or(0, |latest| latest.at.height);
        // No share makes a certificate of a block that this node has left behind.
        let is_gone = at.height <= self.height && !self.executed.contains_key(&at.height);
        let is_spent = self.spent.get(node).is_some_and(|spent| spent.contains(&at.height));
        let is_old = self.keys.as_ref().is_some_and(|keys| epoch < keys.epoch);
        let known = self.shares.get(node).and_then(|shares| shares.get(&at.height));
        if is_late || is_gone || is_spent || is_old || known.is_some_and(|known| known.signed.body == signed.body) {
            return effects;
        }
        let is_second = known.is_some();
        if signed.author != *identity || signed.clone().verify(&self.chain).is_err() {
            self.spend(node, at.height);
            effects.push(Effect::Blame { node, fault: Fault::Envelope, evidence: None });
            return effects;
        }
        if is_second {
            self.blame(node, Fault::TwoShares, signed, &mut effects);
            return effects;
        }
        let Ok(partial) = PartialSignature::from_bytes(&partial.0) else {
            self.blame(node, Fault::Partial, signed, &mut effects);
            return effects;
        };
        if let Some(shares) = self.shares.get_mut(node) {
            shares.insert(at.height, Held { signed, partial, is_sound: false });
            trim(shares);
        }
        self.refute(node, at.height, &mut effects);
        self.combine(at.height, &mut effects);
        effects
    }

    /// Node `node` has given a certificate. It is checked if it is newer than what is known, and of the epoch that is known.
    pub fn accept(&mut self, node: usize, certificate: Certificate) -> Vec<Effect> {
        let mut effects = Vec::new();
        let known = self.latest().map_or(0, |latest| latest.at.height);
        let Some(keys) = self.keys.as_ref().filter(|keys| keys.epoch == certificate.epoch) else { return effects };
        if certificate.at.height <= known || certificate.at.height < keys.first_height {
            return effects;
        }
        self.pairings = self.pairings.saturating_add(1);
        if verify(&self.chain, keys, &certificate).is_err() {
            effects.push(Effect::Blame { node, fault: Fault::Certificate, evidence: None });
        } else if certificate.at.height > self.height {
            self.ahead.insert(certificate.at.height, certificate);
            if self.ahead.len() > WINDOW
                && let Some(last_but_one) = self.ahead.keys().rev().nth(1).copied()
            {
                self.ahead.remove(&last_but_one);
            }
        } else {
            self.settle(certificate, &mut effects);
        }
        effects
    }

    /// The nodes that have not spoken of the height that was the newest one certified by shares at the last call, nor of a later one.
    /// To be called now and then, so that nodes have had that time; each height is judged once.
    pub fn missing(&mut self) -> Vec<usize> {
        let judged = self.to_judge.take();
        self.judged = judged.unwrap_or(self.judged);
        self.to_judge = Some(self.made).filter(|height| *height > self.judged);
        let Some(height) = judged else { return Vec::new() };
        let silent = self.heard.iter().enumerate().filter(|(node, heard)| **heard < height && *node != self.own);
        silent.map(|(node, _)| node).collect()
    }

    fn certified_height(&self) -> u64 {
        self.newest.map_or(0, |newest| newest.at.height)
    }

    /// Gives this node's share for an executed block, if the block's epoch is the one whose key it has.
    fn sign(&mut self, height: u64, effects: &mut Vec<Effect>) {
        let (Some(keys), Some(executed)) = (&self.keys, self.executed.get(&height)) else { return };
        let Some(secret) = &keys.share else { return };
        if executed.endorsed != Some(keys.epoch) || height < keys.first_height {
            return;
        }
        let message = certificate_message(&self.chain, keys.epoch, &executed.at);
        let partial = secret.partial_sign(Domain::Certificate, &message.0);
        let share = CertificateShare { epoch: keys.epoch, at: executed.at, partial: G1Bytes(partial.to_bytes()) };
        let (Some(shares), Some(author)) = (self.shares.get_mut(self.own), self.nodes.get(self.own)) else { return };
        // It is not sent from here, so that it needs no signature of the identity.
        let signed =
            Signed { chain: self.chain.clone(), author: *author, body: share, signature: wire::Signature([0; 64]) };
        shares.insert(height, Held { signed, partial, is_sound: false });
        trim(shares);
        effects.push(Effect::Send(share));
    }

    /// Makes the certificate of an executed block, if there are enough shares for it. What fails is checked one by one.
    fn combine(&mut self, height: u64, effects: &mut Vec<Effect>) {
        let (Some(keys), Some(executed)) = (self.keys.clone(), self.executed.get(&height)) else { return };
        let at = executed.at;
        let message = certificate_message(&self.chain, keys.epoch, &at);
        let needed = keys.public.threshold();
        loop {
            let candidates = self.candidates(keys.epoch, height, needed);
            if candidates.len() < needed {
                return;
            }
            let is_trusted = candidates.iter().all(|(node, held)| held.is_sound || !self.suspects.contains(node));
            let partials = candidates.iter().filter_map(|(node, held)| Some((index(*node)?, held.partial))).collect();
            let unknown: Vec<usize> =
                candidates.iter().filter(|(_, held)| !held.is_sound).map(|(node, _)| *node).collect();
            if is_trusted {
                self.pairings = self.pairings.saturating_add(1);
                if let Ok(signature) = keys.public.combine(Domain::Certificate, &message.0, &partials) {
                    let signature = G1Bytes(signature.to_bytes());
                    self.made = height;
                    self.settle(Certificate { epoch: keys.epoch, at, signature }, effects);
                    return;
                }
            }
            if unknown.is_empty() {
                // Shares that are right by themselves make a signature, if the keys are of one generation; and they are.
                return;
            }
            for node in unknown {
                self.examine(&keys, &message.0, node, height, effects);
            }
        }
    }

    /// As many shares for an executed block as are needed, if there are: those first that were found right, those last that come from
    /// suspects.
    fn candidates(&self, epoch: u64, height: u64, needed: usize) -> Vec<(usize, &Held)> {
        let held = self.shares.iter().enumerate().filter_map(|(node, shares)| Some((node, shares.get(&height)?)));
        let mut usable: Vec<_> = held.filter(|(_, held)| held.signed.body.epoch == epoch).collect();
        usable.sort_by_key(|(node, held)| (!held.is_sound, self.suspects.contains(node)));
        usable.truncate(needed);
        usable
    }

    /// Checks one share by itself; if it is wrong, leaves it out and blames its sender.
    fn examine(&mut self, keys: &EpochKeys, message: &[u8], node: usize, height: u64, effects: &mut Vec<Effect>) {
        let Some(shares) = self.shares.get_mut(node) else { return };
        let Some(held) = shares.get_mut(&height) else { return };
        self.pairings = self.pairings.saturating_add(1);
        let sound = index(node).is_some_and(|index| {
            keys.public.verify_partial(Domain::Certificate, message, index, &held.partial).is_ok()
        });
        held.is_sound = sound;
        if !sound && let Some(held) = shares.remove(&height) {
            self.blame(node, Fault::Partial, held.signed, effects);
        }
    }

    /// Leaves out a share for another board than this node has executed at that height.
    fn refute(&mut self, node: usize, height: u64, effects: &mut Vec<Effect>) {
        let (Some(executed), Some(shares)) = (self.executed.get(&height), self.shares.get_mut(node)) else { return };
        if shares.get(&height).is_some_and(|held| held.signed.body.at != executed.at)
            && let Some(held) = shares.remove(&height)
        {
            self.blame(node, Fault::OtherBoard, held.signed, effects);
        }
    }

    fn blame(&mut self, node: usize, fault: Fault, signed: Signed<CertificateShare>, effects: &mut Vec<Effect>) {
        self.suspects.insert(node);
        self.spend(node, signed.body.at.height);
        // This node's own share is signed only when it is sent.
        let evidence = (node != self.own).then(|| Box::new(signed));
        effects.push(Effect::Blame { node, fault, evidence });
    }

    /// Notes that a node was at fault at a height. Of heights to come so many are noted as shares are kept; those nearest, for a node that
    /// names ever later ones must not make room for more at this one.
    fn spend(&mut self, node: usize, height: u64) {
        let Some(spent) = self.spent.get_mut(node) else { return };
        spent.insert(height);
        while spent.len() > 2 * WINDOW {
            spent.pop_last();
        }
    }

    /// Takes a certificate that was checked, of a height that was executed here.
    fn settle(&mut self, certificate: Certificate, effects: &mut Vec<Effect>) {
        let height = certificate.at.height;
        match self.executed.get(&height) {
            Some(executed) if executed.at == certificate.at => {}
            Some(_) => return effects.push(Effect::Diverged(certificate)),
            // So long ago that it is not known any more: a newer one will come.
            None => return,
        }
        self.newest = Some(certificate);
        self.executed = self.executed.split_off(&height.saturating_add(1));
        for shares in &mut self.shares {
            *shares = shares.split_off(&height.saturating_add(1));
        }
        for spent in &mut self.spent {
            *spent = spent.split_off(&height.saturating_add(1));
        }
        effects.push(Effect::Certified(certificate));
    }
}

/// Checks a certificate under its epoch's key.
///
/// # Errors
/// [`Code::BadSignature`].
pub fn verify(chain: &ChainId, keys: &EpochKeys, certificate: &Certificate) -> Result<(), Code> {
    let signature = bls::Signature::from_bytes(&certificate.signature.0).map_err(|_| Code::BadSignature)?;
    let message = certificate_message(chain, certificate.epoch, &certificate.at);
    let verified = keys.public.group_key().verify(Domain::Certificate, &message.0, &signature);
    verified.map_err(|_| Code::BadSignature)
}

fn index(node: usize) -> Option<Index> {
    Index::new(u16::try_from(node).ok()?.checked_add(1)?).ok()
}

fn trim<T>(kept: &mut BTreeMap<u64, T>) {
    while kept.len() > WINDOW {
        kept.pop_first();
    }
}

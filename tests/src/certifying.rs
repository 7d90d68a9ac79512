//! What k nodes make together, in one hand: threshold keys, certificates, proofs. Slow and plain, and without the product's tree.

use bls::{Commitments, Domain, Index, Polynomial, PublicKeySet, SecretShare, Seed};
use rand_core::{CryptoRng, RngCore};
use schnorrkel::Keypair;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use wire::{
    BoardAt, Certificate, Certified, ChainId, EndorsedKeyRecord, Endorsement, FactKey, FactLeaf, FactProof, G1Bytes,
    G2Bytes, Hash, KeyRecord, Provable, PublicKey, SessionId, Signed, certificate_message, challenge_message,
    fault_tolerance,
    proof::{empty, inner},
};

/// The nodes' keys, epoch by epoch.
pub struct Signers {
    chain: ChainId,
    identities: Vec<Keypair>,
    epochs: Vec<Epoch>,
}

struct Epoch {
    public: PublicKeySet,
    shares: Vec<SecretShare>,
    endorsed: EndorsedKeyRecord,
}

impl Signers {
    /// Nodes without a threshold key.
    pub fn new(chain: ChainId, identities: Vec<Keypair>) -> Self {
        Self { chain, identities, epochs: Vec::new() }
    }

    /// Makes the key of the next epoch from `seed`, in force from `first_height` on.
    ///
    /// # Panics
    /// Never for 1 to 64 nodes.
    pub fn renew<R: RngCore + CryptoRng>(&mut self, seed: [u8; 32], first_height: u64, mut rng: R) {
        let count = u16::try_from(self.identities.len()).expect("at most 64 nodes");
        let faults = fault_tolerance(self.identities.len());
        let degree = u16::try_from(faults).expect("fewer than nodes");
        let polynomial = Polynomial::from_seed(&Seed::new(seed), b"test", degree).expect("a small degree");
        let all = Index::all(count).expect("1 to 64 nodes");
        let share = |index| {
            SecretShare::from_dealt(index, &[polynomial.share_for(index).expect("a share")])
                .expect("a share of one dealer")
        };
        let sum = Commitments::sum(&[polynomial.commitments()]).expect("one dealer");
        let public = PublicKeySet::from_commitments(&sum, count).expect("a key");
        let record = KeyRecord {
            epoch: self.epochs.len() as u64 + 1,
            first_height,
            group_key: G2Bytes(public.group_key().to_bytes()),
            identities: self.identities.iter().map(|keypair| PublicKey(keypair.public.to_bytes())).collect(),
        };
        let endorse = |(node, keypair): (u16, &Keypair)| Endorsement {
            node,
            signature: Signed::sign(keypair, self.chain.clone(), record.clone(), &mut rng).signature,
        };
        let endorsements = (0..).zip(&self.identities).take(faults + 1).map(endorse).collect();
        let message = record.succession_message(&self.chain);
        let previous = self.epochs.last().map(|epoch| epoch.sign(Domain::KeyRecord, &message));
        let shares = all.map(share).collect();
        self.epochs.push(Epoch { public, shares, endorsed: EndorsedKeyRecord { record, endorsements, previous } });
    }

    /// The key records of epochs 1, 2, ....
    pub fn keys(&self) -> Vec<EndorsedKeyRecord> {
        self.epochs.iter().map(|epoch| epoch.endorsed.clone()).collect()
    }

    /// A certificate under the key of `epoch`, whether or not that is in force at the block's height.
    ///
    /// # Panics
    /// If there is no such epoch.
    pub fn certify(&self, epoch: u64, at: BoardAt) -> Certificate {
        let place = usize::try_from(epoch).expect("a small number").checked_sub(1).expect("epochs begin at 1");
        let message = certificate_message(&self.chain, epoch, &at);
        Certificate { epoch, at, signature: self.epochs[place].sign(Domain::Certificate, &message) }
    }
}

impl Signers {
    /// The challenge of a session under the key of `epoch`.
    ///
    /// # Panics
    /// If there is no such epoch.
    pub fn draw(&self, epoch: u64, session: &SessionId) -> G1Bytes {
        let place = usize::try_from(epoch).expect("a small number").checked_sub(1).expect("epochs begin at 1");
        self.epochs[place].sign(Domain::Challenge, &challenge_message(&self.chain, session))
    }
}

impl Epoch {
    fn sign(&self, domain: Domain, message: &Hash) -> G1Bytes {
        let partial = |share: &SecretShare| (share.index(), share.partial_sign(domain, &message.0));
        let partials = self.shares.iter().rev().take(self.public.threshold()).map(partial).collect();
        G1Bytes(self.public.combine(domain, &message.0, &partials).expect("right shares").to_bytes())
    }
}

/// The facts of a board, by the hashes of their keys.
#[derive(Clone, Debug, Default)]
pub struct Facts(BTreeMap<Hash, Vec<u8>>);

impl Facts {
    /// Puts the values of a fact on the board.
    pub fn put(&mut self, fact: &impl Provable) {
        let there = fact.values().into_iter().filter_map(|(key, value)| Some((key.hash(), value?.0)));
        self.0.extend(there);
    }

    /// Root over all.
    pub fn root(&self) -> Hash {
        subtree(&self.leaves(), 0)
    }

    /// The way of a key.
    pub fn prove(&self, key: &FactKey) -> FactProof {
        let (key, mut leaves, mut siblings) = (key.hash(), self.leaves(), Vec::new());
        while leaves.len() > 1 {
            let depth = siblings.len();
            let (there, beside): (Vec<_>, Vec<_>) =
                leaves.into_iter().partition(|leaf| bit(&leaf.key, depth) == bit(&key, depth));
            siblings.push(subtree(&beside, depth + 1));
            leaves = there;
        }
        siblings.reverse();
        FactProof { other: leaves.into_iter().find(|leaf| leaf.key != key), siblings }
    }

    /// A fact with its proofs, under the certificate of a block that has this board's root.
    pub fn certified<F: Provable>(&self, certificate: Certificate, fact: F) -> Certified<F> {
        let proofs = fact.values().iter().map(|(key, _)| self.prove(key)).collect();
        Certified { certificate, fact, proofs }
    }

    fn leaves(&self) -> Vec<FactLeaf> {
        let leaf = |(key, value): (&Hash, &Vec<u8>)| FactLeaf { key: *key, value: Hash(Sha256::digest(value).into()) };
        self.0.iter().map(leaf).collect()
    }
}

fn bit(key: &Hash, depth: usize) -> bool {
    key.0[depth / 8] >> (7 - depth % 8) & 1 == 1
}

fn subtree(leaves: &[FactLeaf], depth: usize) -> Hash {
    match leaves {
        [] => empty(),
        [leaf] => leaf.hash(),
        _ => {
            let (right, left): (Vec<FactLeaf>, Vec<FactLeaf>) = leaves.iter().partition(|leaf| bit(&leaf.key, depth));
            inner(&subtree(&left, depth + 1), &subtree(&right, depth + 1))
        }
    }
}

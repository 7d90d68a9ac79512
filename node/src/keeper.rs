//! A node's part in backups (§V-E d): it says that it has its share, and evaluates with it what whoever restores asks, blindly.

use crate::secrets::NodeSecrets;
use bls::{Commitments, DealtShare, Index, oblivious::Blinded};
use std::sync::Arc;
use wire::{Backup, Code, ExchangeKey, G1Bytes, NetworkParameters, PublicKey, SessionId, fault_tolerance, sealing};

/// What a node opens its shares with.
#[derive(Clone)]
pub struct Keeper {
    parameters: Arc<NetworkParameters>,
    /// The node's place in genesis.
    own: u16,
    secrets: Arc<NodeSecrets>,
}

impl Keeper {
    /// The keeper of the node at `own` in genesis.
    pub fn new(parameters: NetworkParameters, own: u16, secrets: Arc<NodeSecrets>) -> Self {
        Self { parameters: Arc::new(parameters), own, secrets }
    }

    /// Parses a backup's payload.
    ///
    /// # Errors
    /// [`Code::BadBackup`].
    pub fn decode(&self, payload: &[u8], session: &SessionId, owner: &PublicKey) -> Result<Backup, Code> {
        let Self { parameters, .. } = self;
        Backup::decode(payload, &parameters.chain, session, owner, parameters.nodes.len())
    }

    /// Whether this node could do its part in restoring: its share opens, and is what the owner has committed to.
    ///
    /// # Errors
    /// [`Code::NoShare`] if it was not sealed to this node's key, [`Code::BadBackup`] if it is wrong.
    pub fn check(&self, backup: &Backup) -> Result<(), Code> {
        self.share(backup).map(drop)
    }

    /// This node's part of the function at a blinded input, after all that [`Keeper::check`] checks. It takes milliseconds.
    ///
    /// # Errors
    /// As [`Keeper::check`]; [`Code::Malformed`] if the input is no point of G1.
    pub fn evaluate(&self, backup: &Backup, point: &G1Bytes) -> Result<G1Bytes, Code> {
        let input = Blinded::from_bytes(&point.0).map_err(|_| Code::Malformed)?;
        Ok(G1Bytes(self.share(backup)?.evaluate(&input).to_bytes()))
    }

    /// This node's identity.
    pub fn identity(&self) -> Option<PublicKey> {
        self.parameters.nodes.get(usize::from(self.own)).map(|node| node.identity)
    }

    fn share(&self, backup: &Backup) -> Result<DealtShare, Code> {
        let exchange: ExchangeKey = self.secrets.public().exchange;
        let sealed = backup.shares.get(usize::from(self.own)).ok_or(Code::BadBackup)?;
        let place = backup.place(self.own, &exchange);
        let opened = sealing::open(sealed, &place, &backup.ephemeral, self.secrets.exchange());
        let opened = opened.map_err(|_| Code::NoShare)?;
        let degree = u16::try_from(fault_tolerance(self.parameters.nodes.len())).map_err(|_| Code::Internal)?;
        let points: Vec<[u8; 96]> = backup.commitments.iter().map(|point| point.0).collect();
        let checked = || {
            let commitments = Commitments::from_bytes(&points, degree)?;
            let share = DealtShare::from_bytes(Index::new(self.own.saturating_add(1))?, &opened)?;
            commitments.verify_share(&share)?;
            Ok::<_, bls::Error>(share)
        };
        checked().map_err(|_| Code::BadBackup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bls::{Polynomial, Seed, oblivious::Blind};
    use rand_core::OsRng;
    use schnorrkel::Keypair;
    use wire::{Bytes, ChainId, Creators, G2Bytes, Lock, Quotas};
    use x25519_dalek::StaticSecret;

    struct Cluster {
        secrets: Vec<Arc<NodeSecrets>>,
        parameters: NetworkParameters,
    }

    impl Cluster {
        fn new() -> Self {
            let chain: ChainId = "here".parse().unwrap();
            let secrets: Vec<_> = (0..4).map(|_| Arc::new(NodeSecrets::generate())).collect();
            let record =
                |secrets: &Arc<NodeSecrets>| secrets.record("node".to_owned(), &Keypair::generate_with(OsRng), &chain);
            let nodes = secrets.iter().map(record).collect();
            let quotas = Quotas { live_sessions: 1, live_sessions_per_creator: 1, live_bytes: 1 };
            let (operators, creators) = (vec![PublicKey([1; 32])], Creators::Operators);
            let parameters = NetworkParameters { chain, nodes, operators, creators, quotas };
            Self { secrets, parameters }
        }

        fn keeper(&self, own: u16) -> Keeper {
            Keeper::new(self.parameters.clone(), own, Arc::clone(&self.secrets[usize::from(own)]))
        }

        /// The backup of a polynomial; share i + 1 for node i, unless `wrong`.
        fn backup(&self, polynomial: &Polynomial, wrong: Option<u16>) -> Backup {
            let ephemeral = StaticSecret::random_from_rng(OsRng);
            let mut backup = Backup {
                chain: self.parameters.chain.clone(),
                session: SessionId([1; 32]),
                owner: PublicKey([2; 32]),
                lock: Lock::Identity,
                commitments: polynomial.commitments().to_bytes().into_iter().map(G2Bytes).collect(),
                ephemeral: sealing::exchange_key(&ephemeral),
                shares: Vec::new(),
                ciphertext: Bytes(vec![3; 20]),
            };
            let share = |(node, secrets): (u16, &Arc<NodeSecrets>)| {
                let index = Index::new(if wrong == Some(node) { 9 } else { node + 1 }).unwrap();
                let (share, exchange) = (polynomial.share_for(index).unwrap(), secrets.public().exchange);
                sealing::seal(&share.to_bytes(), &backup.place(node, &exchange), &ephemeral, &exchange).unwrap()
            };
            backup.shares = (0..).zip(&self.secrets).map(share).collect();
            backup
        }
    }

    #[test]
    fn a_node_vouches_for_its_own_share_and_evaluates_with_it() {
        let (cluster, polynomial) = (Cluster::new(), Polynomial::from_seed(&Seed::new([1; 32]), b"", 1).unwrap());
        let backup = cluster.backup(&polynomial, None);
        let (blind, asked) = Blind::new(b"input", &[5; 64]);
        let mut answers = std::collections::BTreeMap::new();
        for node in [1, 3] {
            let keeper = cluster.keeper(node);
            let parsed = keeper.decode(&backup.encode().0, &backup.session, &backup.owner).unwrap();
            keeper.check(&parsed).unwrap();
            let partial = keeper.evaluate(&parsed, &G1Bytes(asked.to_bytes())).unwrap();
            let partial = bls::oblivious::PartialEvaluation::from_bytes(&partial.0).unwrap();
            answers.insert(Index::new(node + 1).unwrap(), partial);
            assert_eq!(keeper.evaluate(&parsed, &G1Bytes([0xff; 48])), Err(Code::Malformed));
        }
        let value = bls::oblivious::combine(&polynomial.commitments(), &blind, &answers).unwrap();
        assert_eq!(value.as_bytes(), polynomial.evaluate(b"input").as_bytes());
    }

    #[test]
    fn a_wrong_share_is_refused_by_whom_it_is_for_and_by_nobody_else() {
        let (cluster, polynomial) = (Cluster::new(), Polynomial::from_seed(&Seed::new([1; 32]), b"", 1).unwrap());
        let backup = cluster.backup(&polynomial, Some(2));
        let checked = |backup: &Backup| [0, 1, 2, 3].map(|node| cluster.keeper(node).check(backup));
        assert_eq!(checked(&backup), [Ok(()), Ok(()), Err(Code::BadBackup), Ok(())]);
        let moved = Backup { shares: backup.shares.iter().rev().cloned().collect(), ..backup.clone() };
        assert_eq!(checked(&moved), [Err(Code::NoShare); 4]);
        let mut other = backup.clone();
        other.owner.0[0] ^= 1;
        assert_eq!(checked(&other), [Err(Code::NoShare); 4], "it is sealed for this owner's");
        // Who has another exchange key now.
        let renewed = Keeper::new(cluster.parameters.clone(), 0, Arc::new(NodeSecrets::generate()));
        assert_eq!(renewed.check(&backup), Err(Code::NoShare));
    }
}

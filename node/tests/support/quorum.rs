//! Nodes with real threshold keys, for tests of certificates.

#![allow(dead_code, reason = "each test uses a part")]

use bls::{Commitments, Domain, Index, PartialSignature, Polynomial, PublicKeySet, SecretShare, Seed};
use node::{
    certifier::{Certifier, Effect},
    keyring::EpochKeys,
};
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{collections::BTreeMap, sync::Arc};
use wire::{
    BoardAt, Certificate, CertificateShare, ChainId, G1Bytes, Hash, PublicKey, Signed, certificate_message,
    fault_tolerance,
};

/// The first height that is certified.
pub(crate) const FIRST: u64 = 3;

/// Identities and threshold keys of all nodes.
pub(crate) struct Quorum {
    pub(crate) chain: ChainId,
    pub(crate) identities: Vec<Keypair>,
}

impl Quorum {
    pub(crate) fn new(nodes: usize) -> Self {
        let identities = (0..nodes).map(|_| Keypair::generate_with(OsRng)).collect();
        Self { chain: "quorum".parse().unwrap(), identities }
    }

    pub(crate) fn size(&self) -> usize {
        self.identities.len()
    }

    pub(crate) fn faults(&self) -> usize {
        fault_tolerance(self.size())
    }

    fn polynomial(&self, epoch: u64) -> Polynomial {
        let degree = u16::try_from(self.faults()).unwrap();
        Polynomial::from_seed(&Seed::new([7; 32]), &epoch.to_le_bytes(), degree).unwrap()
    }

    pub(crate) fn public(&self, epoch: u64) -> PublicKeySet {
        let sum = Commitments::sum(&[self.polynomial(epoch).commitments()]).unwrap();
        PublicKeySet::from_commitments(&sum, u16::try_from(self.size()).unwrap()).unwrap()
    }

    pub(crate) fn secret(&self, epoch: u64, node: usize) -> SecretShare {
        let index = Index::new(u16::try_from(node).unwrap() + 1).unwrap();
        SecretShare::from_dealt(index, &[self.polynomial(epoch).share_for(index).unwrap()]).unwrap()
    }

    pub(crate) fn keys(&self, epoch: u64, node: usize) -> Arc<EpochKeys> {
        let share = Some(self.secret(epoch, node));
        Arc::new(EpochKeys { epoch, first_height: FIRST, public: self.public(epoch), share })
    }

    pub(crate) fn identity(&self, node: usize) -> PublicKey {
        PublicKey(self.identities[node].public.to_bytes())
    }

    /// Node `node` without a key.
    pub(crate) fn bare(&self, node: usize) -> Certifier {
        Certifier::new(self.chain.clone(), node, (0..self.size()).map(|node| self.identity(node)).collect())
    }

    /// Node `node` with the key of epoch 1.
    pub(crate) fn certifier(&self, node: usize) -> Certifier {
        let mut certifier = self.bare(node);
        assert_eq!(certifier.adopt(self.keys(1, node)), []);
        certifier
    }

    /// `body` as node `node` sends it.
    pub(crate) fn envelope(&self, node: usize, body: CertificateShare) -> Signed<CertificateShare> {
        Signed::sign(&self.identities[node], self.chain.clone(), body, OsRng)
    }

    pub(crate) fn partial(&self, node: usize, domain: Domain, epoch: u64, at: BoardAt) -> G1Bytes {
        let message = certificate_message(&self.chain, epoch, &at);
        G1Bytes(self.secret(epoch, node).partial_sign(domain, &message.0).to_bytes())
    }

    /// What node `node` honestly sends when it has executed `at`.
    pub(crate) fn share(&self, node: usize, epoch: u64, at: BoardAt) -> Signed<CertificateShare> {
        let partial = self.partial(node, Domain::Certificate, epoch, at);
        self.envelope(node, CertificateShare { epoch, at, partial })
    }

    /// The one certificate of `at`.
    pub(crate) fn certificate(&self, epoch: u64, at: BoardAt) -> Certificate {
        let message = certificate_message(&self.chain, epoch, &at).0;
        let given: Vec<_> =
            (0..self.size()).map(|node| (node, self.partial(node, Domain::Certificate, epoch, at))).collect();
        let signature = self.public(epoch).combine(Domain::Certificate, &message, &partials(&given)).unwrap();
        Certificate { epoch, at, signature: G1Bytes(signature.to_bytes()) }
    }

    pub(crate) fn is_certificate(&self, certificate: &Certificate) -> bool {
        node::certifier::verify(&self.chain, &self.keys(certificate.epoch, 0), certificate).is_ok()
    }
}

/// The block that honest nodes execute at a height.
pub(crate) fn at(height: u64) -> BoardAt {
    BoardAt { height, time_ms: 1000 + height, root: Hash([u8::try_from(height % 251).unwrap(); 32]) }
}

/// Another block at that height.
pub(crate) fn other(height: u64) -> BoardAt {
    BoardAt { root: Hash([255; 32]), ..at(height) }
}

pub(crate) fn certified(effects: &[Effect]) -> Vec<Certificate> {
    let certificates = effects.iter().filter_map(|effect| match effect {
        Effect::Certified(certificate) => Some(*certificate),
        _ => None,
    });
    certificates.collect()
}

/// Partial signatures by node, as they are combined.
pub(crate) fn partials(of: &[(usize, G1Bytes)]) -> BTreeMap<Index, PartialSignature> {
    let one = |(node, partial): &(usize, G1Bytes)| {
        let index = Index::new(u16::try_from(*node).unwrap() + 1).unwrap();
        (index, PartialSignature::from_bytes(&partial.0).unwrap())
    };
    of.iter().map(one).collect()
}

//! Backups at the nodes (§V-E d): how an owner seals one, and how it opens again.
//!
//! A backup opens with the function of [`bls::oblivious`], which f + 1 nodes evaluate together with the shares that the owner has dealt
//! them, at an input that only the owner has: made of its identity, or of a passphrase. Values in, values out: who has a connection asks
//! the nodes ([`crate::Client::restore`]).
//!
//! ```
//! # use client_sdk::{Identity, backup::{Opener, Opening, Owner, seal}};
//! # use rand_core::OsRng;
//! # fn main() -> Result<(), client_sdk::Error> {
//! # let nodes: Vec<_> = [1_u8, 2, 3, 4].map(|byte| x25519_dalek::StaticSecret::from([byte; 32])).into();
//! # let exchange: Vec<_> = nodes.iter().map(wire::sealing::exchange_key).collect();
//! # let ask = |node: u16, backup: &wire::Backup, point: wire::G1Bytes| -> wire::G1Bytes {
//! #     let secret = &nodes[usize::from(node)];
//! #     let place = backup.place(node, &wire::sealing::exchange_key(secret));
//! #     let share = wire::sealing::open(&backup.shares[usize::from(node)], &place, &backup.ephemeral, secret).unwrap();
//! #     let share = bls::DealtShare::from_bytes(bls::Index::new(node + 1).unwrap(), &share).unwrap();
//! #     wire::G1Bytes(share.evaluate(&bls::oblivious::Blinded::from_bytes(&point.0).unwrap()).to_bytes())
//! # };
//! let me = Identity::generate(&mut OsRng);
//! let owner = Owner { chain: "white-city-1".parse().unwrap(), session: wire::SessionId([7; 32]), key: me.public() };
//! let backup = seal(b"my share of the group's key", &owner, &exchange, &Opener::Identity(&me), &mut OsRng)?;
//!
//! let mut opening = Opening::new(backup.clone(), &Opener::Identity(&me), &mut OsRng)?;
//! for node in [3, 1] {
//!     let answer = ask(node, &backup, opening.point());
//!     opening.take(node, &answer)?;
//! }
//! assert_eq!(opening.open()?.as_slice(), b"my share of the group's key");
//! # Ok(())
//! # }
//! ```

use crate::{BadAnswer, Error, Identity};
use argon2::{Algorithm, Argon2, Params, Version};
use bls::{
    Commitments, Index, Polynomial, Seed,
    oblivious::{Blind, Blinded, Evaluation, PartialEvaluation, combine},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use rand_core::{CryptoRng, RngCore};
use sha2::Sha256;
use std::{collections::BTreeMap, fmt};
use wire::{
    Backup, Bytes, ChainId, ExchangeKey, G1Bytes, G2Bytes, Lock, PublicKey, SEALED_SHARE_BYTES, SessionId,
    backup::SALT_BYTES, fault_tolerance, hash::TaggedHash, limits::MAX_SECRET_BYTES, sealing,
};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

/// What a passphrase costs, whoever tries it: the second of the parameters that RFC 9106 §4 recommends. m, in KiB,
pub const PASSPHRASE_MEMORY_KIB: u32 = 64 * 1024;
/// t,
pub const PASSPHRASE_PASSES: u32 = 3;
/// and p.
pub const PASSPHRASE_LANES: u32 = 4;

/// What an identity's seed is extracted with to give the input,
const IDENTITY_SALT: &[u8] = b"WHITE_CITY_BACKUP_IDENTITY_V1";
/// and the function's value to give the key.
const KEY_SALT: &[u8] = b"WHITE_CITY_BACKUP_KEY_V1";
/// A key encrypts one backup: it comes of a polynomial that is fresh for each. So no nonce is ever used for two messages under one key, and a
/// fixed one is safe.
const NONCE: [u8; 24] = [0; 24];

/// Whose backup it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The chain.
    pub chain: ChainId,
    /// The session.
    pub session: SessionId,
    /// The party's key.
    pub key: PublicKey,
}

/// What a backup opens with, beside the nodes.
pub enum Opener<'a> {
    /// The owner's identity.
    Identity(&'a Identity),
    /// A passphrase: these bytes, as they are.
    Passphrase(&'a [u8]),
}

/// Encrypts `secret`, at most [`MAX_SECRET_BYTES`], and deals what opens it to nodes with these exchange keys, in the order of genesis. With a
/// passphrase it takes some tenths of a second, and 64 MiB of memory. A node whose key is none gets no share, and keeps nobody from a backup.
///
/// # Errors
/// [`Error::TooLong`]; [`Error::NetworkFile`] for more nodes than there can be.
pub fn seal<R: RngCore + CryptoRng>(
    secret: &[u8],
    owner: &Owner,
    nodes: &[ExchangeKey],
    opener: &Opener<'_>,
    rng: &mut R,
) -> Result<Backup, Error> {
    if secret.len() > MAX_SECRET_BYTES {
        return Err(Error::TooLong { what: "the backup", length: secret.len(), limit: MAX_SECRET_BYTES });
    }
    let polynomial = polynomial(owner, nodes.len(), rng)?;
    let ephemeral = StaticSecret::random_from_rng(&mut *rng);
    let mut backup = Backup {
        chain: owner.chain.clone(),
        session: owner.session,
        owner: owner.key,
        lock: lock(opener, rng),
        commitments: polynomial.commitments().to_bytes().into_iter().map(G2Bytes).collect(),
        ephemeral: sealing::exchange_key(&ephemeral),
        shares: Vec::new(),
        ciphertext: Bytes::default(),
    };
    let share = |(index, exchange): (Index, &ExchangeKey)| {
        let share = polynomial.share_for(index).map_err(|_| too_many(nodes.len()))?;
        let place = backup.place(index.get().saturating_sub(1), exchange);
        let sealed = sealing::seal(&share.to_bytes(), &place, &ephemeral, exchange);
        Ok(sealed.unwrap_or_else(|_| Bytes(vec![0; SEALED_SHARE_BYTES])))
    };
    let count = u16::try_from(nodes.len()).map_err(|_| too_many(nodes.len()))?;
    let indices = Index::all(count).map_err(|_| too_many(nodes.len()))?;
    let shares: Result<Vec<Bytes>, Error> = indices.zip(nodes).map(share).collect();
    backup.shares = shares?;
    let input = input(&backup, opener)?;
    let context = backup.context();
    let payload = Payload { msg: secret, aad: &context.0 };
    let cipher = cipher(&backup, &polynomial.evaluate(input.as_slice()), &input);
    let sealed = cipher.encrypt(&XNonce::from(NONCE), payload);
    backup.ciphertext = Bytes(sealed.expect("what is backed up is far below the cipher's bound"));
    Ok(backup)
}

/// A backup that is being opened: it waits for the nodes' answers. What it holds is wiped when it is dropped.
pub struct Opening {
    backup: Backup,
    commitments: Commitments,
    input: Zeroizing<[u8; 32]>,
    blind: Blind,
    blinded: Blinded,
    answers: BTreeMap<Index, PartialEvaluation>,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("backup", &self.backup)
            .field("answers", &self.answers.len())
            .finish_non_exhaustive()
    }
}

impl Opening {
    /// Begins. With a passphrase it takes as long as sealing.
    ///
    /// # Errors
    /// [`Error::OtherLock`] if the backup opens with something else; [`Error::Answer`] with [`BadAnswer::WrongBackup`] for one that no
    /// honest owner has made.
    pub fn new<R: RngCore + CryptoRng>(backup: Backup, opener: &Opener<'_>, rng: &mut R) -> Result<Self, Error> {
        let points: Vec<[u8; 96]> = backup.commitments.iter().map(|point| point.0).collect();
        let degree = u16::try_from(fault_tolerance(backup.shares.len())).map_err(|_| BadAnswer::WrongBackup)?;
        let commitments = Commitments::from_bytes(&points, degree).map_err(|_| BadAnswer::WrongBackup)?;
        let input = input(&backup, opener)?;
        let mut random = Zeroizing::new([0; 64]);
        rng.fill_bytes(random.as_mut_slice());
        let (blind, blinded) = Blind::new(input.as_slice(), &random);
        Ok(Self { backup, commitments, input, blind, blinded, answers: BTreeMap::new() })
    }

    /// What every node is asked: the blinded input, which says nothing of the input.
    pub fn point(&self) -> G1Bytes {
        G1Bytes(self.blinded.to_bytes())
    }

    /// Takes in the answer of the node at this place, if it is right.
    ///
    /// # Errors
    /// [`BadAnswer::WrongEvaluation`]: the node lies.
    pub fn take(&mut self, node: u16, answer: &G1Bytes) -> Result<(), BadAnswer> {
        let wrong = |_| BadAnswer::WrongEvaluation;
        let index = Index::new(node.saturating_add(1)).map_err(wrong)?;
        let answer = PartialEvaluation::from_bytes(&answer.0).map_err(wrong)?;
        self.commitments.verify_evaluation(index, &self.blinded, &answer).map_err(wrong)?;
        self.answers.insert(index, answer);
        Ok(())
    }

    /// How many right answers there are.
    pub fn taken(&self) -> usize {
        self.answers.len()
    }

    /// How many it takes: f + 1.
    pub fn needed(&self) -> usize {
        self.commitments.threshold()
    }

    /// What was backed up.
    ///
    /// # Errors
    /// [`Error::BackupShares`] if there are too few answers; [`Error::BackupUnopened`] if identity or passphrase are not those that the backup was sealed
    /// under.
    pub fn open(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let Self { backup, commitments, input, blind, answers, .. } = self;
        let too_few = |_| Error::BackupShares { found: self.taken(), needed: self.needed(), tried: Vec::new() };
        let value = combine(commitments, blind, answers).map_err(too_few)?;
        let context = backup.context();
        let payload = Payload { msg: &backup.ciphertext.0, aad: &context.0 };
        let opened = cipher(backup, &value, input).decrypt(&XNonce::from(NONCE), payload);
        let lock = match backup.lock {
            Lock::Identity => "identity",
            Lock::Passphrase { .. } => "passphrase",
        };
        opened.map(Zeroizing::new).map_err(|_| Error::BackupUnopened { session: backup.session, lock })
    }
}

fn polynomial<R: RngCore + CryptoRng>(owner: &Owner, nodes: usize, rng: &mut R) -> Result<Polynomial, Error> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    let context = TaggedHash::new("backup-polynomial").value(&owner.chain).bytes(owner.session.0).bytes(owner.key.0);
    let degree = u16::try_from(fault_tolerance(nodes)).map_err(|_| too_many(nodes))?;
    Polynomial::from_seed(&Seed::new(*seed), &context.finish().0, degree).map_err(|_| too_many(nodes))
}

fn too_many(nodes: usize) -> Error {
    Error::NetworkFile { reason: format!("{nodes} nodes are more than a backup can have shares") }
}

fn lock<R: RngCore + CryptoRng>(opener: &Opener<'_>, rng: &mut R) -> Lock {
    match opener {
        Opener::Identity(_) => Lock::Identity,
        Opener::Passphrase(_) => {
            let mut salt = [0; SALT_BYTES];
            rng.fill_bytes(&mut salt);
            let (memory_kib, passes, lanes) = (PASSPHRASE_MEMORY_KIB, PASSPHRASE_PASSES, PASSPHRASE_LANES);
            Lock::Passphrase { salt, memory_kib, passes, lanes }
        }
    }
}

/// What only the owner has.
fn input(backup: &Backup, opener: &Opener<'_>) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut input = Zeroizing::new([0; 32]);
    match (&backup.lock, opener) {
        (Lock::Identity, Opener::Identity(identity)) => {
            let context = TaggedHash::new("backup-input").value(&backup.chain).bytes(backup.session.0);
            Hkdf::<Sha256>::new(Some(IDENTITY_SALT), identity.seed().as_slice())
                .expand(&context.finish().0, input.as_mut_slice())
                .expect("HKDF-SHA-256 gives up to 8,160 bytes");
        }
        (Lock::Passphrase { salt, memory_kib, passes, lanes }, Opener::Passphrase(passphrase)) => {
            let parameters = Params::new(*memory_kib, *passes, *lanes, Some(input.len()));
            let parameters = parameters.map_err(|_| BadAnswer::WrongBackup)?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
                .hash_password_into(passphrase, salt, input.as_mut_slice())
                .map_err(|_| BadAnswer::WrongBackup)?;
        }
        (Lock::Identity, Opener::Passphrase(_)) => {
            return Err(Error::OtherLock { session: backup.session, lock: "its owner's identity" });
        }
        (Lock::Passphrase { .. }, Opener::Identity(_)) => {
            return Err(Error::OtherLock { session: backup.session, lock: "a passphrase" });
        }
    }
    Ok(input)
}

fn cipher(backup: &Backup, value: &Evaluation, input: &Zeroizing<[u8; 32]>) -> XChaCha20Poly1305 {
    let mut key = Zeroizing::new([0; 32]);
    let material = Zeroizing::new([value.as_bytes().as_slice(), input.as_slice()].concat());
    Hkdf::<Sha256>::new(Some(KEY_SALT), &material)
        .expand(&backup.context().0, key.as_mut())
        .expect("HKDF-SHA-256 gives up to 8,160 bytes");
    XChaCha20Poly1305::new((&*key).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bls::DealtShare;
    use rand_core::OsRng;

    const SECRET: &[u8] = b"a party's share of a key";

    struct Nodes(Vec<StaticSecret>);

    impl Nodes {
        fn new(count: u8) -> Self {
            Self((1..=count).map(|byte| StaticSecret::from([byte; 32])).collect())
        }

        fn keys(&self) -> Vec<ExchangeKey> {
            self.0.iter().map(sealing::exchange_key).collect()
        }

        fn answer(&self, node: u16, backup: &Backup, point: G1Bytes) -> G1Bytes {
            let secret = &self.0[usize::from(node)];
            let place = backup.place(node, &sealing::exchange_key(secret));
            let share = sealing::open(&backup.shares[usize::from(node)], &place, &backup.ephemeral, secret).unwrap();
            let share = DealtShare::from_bytes(Index::new(node + 1).unwrap(), &share).unwrap();
            G1Bytes(share.evaluate(&Blinded::from_bytes(&point.0).unwrap()).to_bytes())
        }

        fn open(&self, backup: &Backup, opener: &Opener<'_>, asked: &[u16]) -> Result<Vec<u8>, Error> {
            let mut opening = Opening::new(backup.clone(), opener, &mut OsRng)?;
            for node in asked {
                opening.take(*node, &self.answer(*node, backup, opening.point()))?;
            }
            opening.open().map(|opened| opened.to_vec())
        }
    }

    fn owner(identity: &Identity) -> Owner {
        Owner { chain: "here".parse().unwrap(), session: SessionId([1; 32]), key: identity.public() }
    }

    #[test]
    fn any_f_and_one_nodes_open_it_with_the_identity() {
        for (count, needed) in [(1_u8, 1_usize), (3, 1), (4, 2), (7, 3)] {
            let (nodes, me) = (Nodes::new(count), Identity::generate(&mut OsRng));
            let backup = seal(SECRET, &owner(&me), &nodes.keys(), &Opener::Identity(&me), &mut OsRng).unwrap();
            let all: Vec<u16> = (0..u16::from(count)).collect();
            for asked in all.windows(needed) {
                assert_eq!(nodes.open(&backup, &Opener::Identity(&me), asked).unwrap(), SECRET, "{asked:?} of {count}");
            }
            let few = nodes.open(&backup, &Opener::Identity(&me), &all[1..needed]).unwrap_err();
            assert!(matches!(few, Error::BackupShares { found, needed: n, .. } if (found, n) == (needed - 1, needed)));
            let another = Identity::generate(&mut OsRng);
            let other = nodes.open(&backup, &Opener::Identity(&another), &all).unwrap_err();
            assert!(matches!(other, Error::BackupUnopened { lock: "identity", .. }));
        }
    }

    #[test]
    fn it_opens_with_the_passphrase_and_no_other() {
        let (nodes, me) = (Nodes::new(4), Identity::generate(&mut OsRng));
        let backup = seal(SECRET, &owner(&me), &nodes.keys(), &Opener::Passphrase(b"correct horse"), &mut OsRng);
        let backup = backup.unwrap();
        assert_eq!(nodes.open(&backup, &Opener::Passphrase(b"correct horse"), &[1, 2]).unwrap(), SECRET);
        let wrong = nodes.open(&backup, &Opener::Passphrase(b"correct horse "), &[1, 2]).unwrap_err();
        assert!(matches!(wrong, Error::BackupUnopened { lock: "passphrase", .. }));
        let other = nodes.open(&backup, &Opener::Identity(&me), &[1, 2]).unwrap_err();
        assert!(matches!(other, Error::OtherLock { lock: "a passphrase", .. }));
        assert!(
            !format!("{:?}", Opening::new(backup, &Opener::Passphrase(b"correct horse"), &mut OsRng))
                .contains("correct")
        );
    }

    #[test]
    fn wrong_answers_are_found_and_do_not_stand_in_the_way() {
        let (nodes, me) = (Nodes::new(4), Identity::generate(&mut OsRng));
        let make = || seal(SECRET, &owner(&me), &nodes.keys(), &Opener::Identity(&me), &mut OsRng).unwrap();
        let (backup, another) = (make(), make());
        assert_ne!((&backup.commitments, &backup.ciphertext), (&another.commitments, &another.ciphertext));
        let mut opening = Opening::new(backup.clone(), &Opener::Identity(&me), &mut OsRng).unwrap();
        let point = opening.point();
        let lies = [
            nodes.answer(0, &another, point),
            nodes.answer(1, &backup, point),
            point,
            G1Bytes([0; 48]),
            G1Bytes([0xff; 48]),
            nodes.answer(0, &backup, Opening::new(backup.clone(), &Opener::Identity(&me), &mut OsRng).unwrap().point()),
        ];
        for lie in lies {
            assert_eq!(opening.take(0, &lie), Err(BadAnswer::WrongEvaluation));
        }
        assert_eq!(opening.take(9, &point), Err(BadAnswer::WrongEvaluation), "there is no such node");
        assert_eq!(opening.taken(), 0);
        for node in [1, 3] {
            opening.take(node, &nodes.answer(node, &backup, point)).unwrap();
        }
        assert_eq!(opening.open().unwrap().as_slice(), SECRET);
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let (nodes, me) = (Nodes::new(1), Identity::generate(&mut OsRng));
        let backup = seal(SECRET, &owner(&me), &nodes.keys(), &Opener::Identity(&me), &mut OsRng).unwrap();
        let mut changed = backup.clone();
        changed.ciphertext.0[0] ^= 1;
        let answer = |opening: &Opening| nodes.answer(0, &backup, opening.point());
        let mut opening = Opening::new(changed, &Opener::Identity(&me), &mut OsRng).unwrap();
        opening.take(0, &answer(&opening)).unwrap();
        assert!(matches!(opening.open(), Err(Error::BackupUnopened { .. })));
        let too_long =
            seal(&vec![0; MAX_SECRET_BYTES + 1], &owner(&me), &nodes.keys(), &Opener::Identity(&me), &mut OsRng);
        assert!(matches!(too_long, Err(Error::TooLong { .. })));
        let crowd = vec![ExchangeKey([1; 32]); 65];
        let refused = seal(SECRET, &owner(&me), &crowd, &Opener::Identity(&me), &mut OsRng);
        assert!(matches!(refused, Err(Error::NetworkFile { .. })));
    }

    #[test]
    fn a_node_whose_key_is_none_keeps_nobody_from_a_backup() {
        let (nodes, me) = (Nodes::new(4), Identity::generate(&mut OsRng));
        let mut keys = nodes.keys();
        keys[2] = ExchangeKey([0; 32]);
        let backup = seal(SECRET, &owner(&me), &keys, &Opener::Identity(&me), &mut OsRng).unwrap();
        assert_eq!(nodes.open(&backup, &Opener::Identity(&me), &[0, 3]).unwrap(), SECRET);
    }
}

//! `frost-ed25519` by the Zcash Foundation: t of n, with cheater detection. It leaves messages to its caller, who writes and reads them here.

use crate::Error;
use client_sdk::Session;
use frost_ed25519::{self as frost, Identifier, SigningPackage, keys, keys::dkg, round1, round2};
use rand_core::OsRng;
use std::collections::BTreeMap;
use wire::MailboxKind::{self, Broadcast, Private};

/// A party's share of a key, and the key.
pub type Keys = (keys::KeyPackage, keys::PublicKeyPackage);

/// A party's identifier in FROST: its index, counted from 1.
pub(crate) fn identifier(index: u16) -> Result<Identifier, frost::Error> {
    Identifier::try_from(index.saturating_add(1))
}

type Decode<T> = fn(&[u8]) -> Result<T, frost::Error>;
type Round = (MailboxKind, u32, u16);

/// The others' messages among the first `count` of a mailbox.
async fn read<T>(session: &Session, round: Round, decode: Decode<T>) -> Result<BTreeMap<Identifier, T>, Error> {
    let reading = session.read(round.0, round.1, round.2).await?;
    let others = reading.round.received.iter().filter(|one| one.sender != session.seat().index);
    others.map(|one| Ok((identifier(one.sender)?, decode(one.data.as_deref().unwrap_or_default())?))).collect()
}

/// All parties generate a key that `threshold` of them sign with, on the rounds `first` and the next.
pub async fn generate_key(session: &Session, first: u32, threshold: u16) -> Result<Keys, Error> {
    let (own, n) = (session.seat().index, session.seat().parties);
    let (secret, package) = dkg::part1(identifier(own)?, n, threshold, OsRng)?;
    session.broadcast(first, package.serialize()?).await?;
    let commitments = read(session, (Broadcast, first, n), dkg::round1::Package::deserialize).await?;
    let (secret, shares) = dkg::part2(secret, &commitments)?;
    let to = |index: u16| Some((index, shares.get(&identifier(index).ok()?)?.serialize().ok()?));
    session.send_private(first + 1, &(0..n).filter_map(to).collect()).await?;
    let received = read(session, (Private, first + 1, n), dkg::round2::Package::deserialize).await?;
    Ok(dkg::part3(&secret, &commitments, &received)?)
}

/// Whoever takes part offers to sign; those whose offers the board has first do. Returns the 64 bytes of RFC 8032.
pub async fn sign(session: &Session, first: u32, keys: &Keys, message: &[u8]) -> Result<Vec<u8>, Error> {
    let (own, threshold) = (identifier(session.seat().index)?, *keys.0.min_signers());
    let (nonces, commitment) = round1::commit(keys.0.signing_share(), &mut OsRng);
    session.broadcast(first, commitment.serialize()?).await?;
    let mut offers = read(session, (Broadcast, first, threshold), round1::SigningCommitments::deserialize).await?;
    let signs = offers.len() < usize::from(threshold);
    signs.then(|| offers.insert(own, commitment));
    let (package, mut shares) = (SigningPackage::new(offers, message), BTreeMap::new());
    if signs {
        let share = round2::sign(&package, &nonces, &keys.0)?;
        session.broadcast(first + 1, share.serialize()).await?;
        shares.insert(own, share);
    }
    shares.extend(read(session, (Broadcast, first + 1, threshold), round2::SignatureShare::deserialize).await?);
    Ok(frost::aggregate(&package, &shares, &keys.1)?.serialize()?)
}

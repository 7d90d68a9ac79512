//! `givre` (FROST over Ed25519): its key generation and its signing, unmodified. They draw from the execution's seed, so that who dies on the way and has
//! kept its state directory calls them again, and goes on.

use crate::Error;
use client_sdk::{Session, delivery::Execution};
use givre::{Ciphersuite, KeyShare, ciphersuite::Ed25519, keygen::ExecutionId};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use round_based::MpcParty;

/// Rounds of the board that a key generation uses: three broadcasts, and one private message among them.
pub const KEY_ROUNDS: u32 = 3;
/// Rounds of the board that a signing uses.
pub const SIGNING_ROUNDS: u32 = 2;

/// A share of a key.
pub type Share = KeyShare<<Ed25519 as Ciphersuite>::Curve>;

/// All parties of the session generate a key that `threshold` of them sign with, on the rounds from `first` on.
///
/// # Errors
/// The board's and the protocol's.
pub async fn generate_key(session: &Session, first: u32, threshold: u16) -> Result<Share, Error> {
    let execution = Execution::new(session, first..first + KEY_ROUNDS, &threshold.to_le_bytes())?;
    let (party, mut rng) = (MpcParty::connected(execution.delivery()), ChaCha20Rng::from_seed(**execution.seed()));
    let id = [session.id().0.as_slice(), &first.to_le_bytes()].concat();
    let share = givre::keygen(ExecutionId::new(&id), execution.index(), execution.parties())
        .set_threshold(threshold)
        // The board's broadcast is reliable: no echo round is needed.
        .enforce_reliable_broadcast(false)
        .start(&mut rng, party)
        .await?;
    execution.finish().await?;
    Ok(share)
}

/// `signers`, of which this party is one, sign a message on the rounds from `first` on. Returns the 64 bytes of RFC 8032.
///
/// # Errors
/// The board's and the protocol's.
pub async fn sign(
    session: &Session,
    first: u32,
    share: &Share,
    signers: &[u16],
    message: &[u8],
) -> Result<Vec<u8>, Error> {
    // The nonces follow from the seed: a run over the same rounds that signs anything else does not begin.
    let input = [share.shared_public_key.to_bytes(true).as_bytes(), message].concat();
    let execution = Execution::among(session, first..first + SIGNING_ROUNDS, signers, &input)?;
    let (party, mut rng) = (MpcParty::connected(execution.delivery()), ChaCha20Rng::from_seed(**execution.seed()));
    let signing = givre::signing::<Ed25519>(execution.index(), share, signers, message);
    let signature = signing.sign(&mut rng, party).await?;
    execution.finish().await?;
    let mut bytes = vec![0; givre::signing::aggregate::Signature::<Ed25519>::serialized_len()];
    signature.write_to_slice(&mut bytes);
    Ok(bytes)
}

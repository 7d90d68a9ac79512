//! Parties in one process that make a key together and sign, each with an identity and a client of its own.

use client_sdk::{Client, Error, Identity, Options, Session, identity_file};
use futures::future::try_join_all;
use protocols::{
    Seed,
    schnorr::{KeyGeneration, KeyShare, Signature, Signing},
};
use rand_core::OsRng;
use std::path::Path;
use wire::{Admission, Hash, NetworkFile, Program, PublicKey, SessionId, SessionSpec};

/// Most signings in one session of [`spec`].
pub const MAX_SIGNINGS: u32 = 1000;

/// The program that the parties run.
pub fn program() -> Program {
    Program { name: "schnorr".into(), version: "1".into(), digest: Hash([0; 32]) }
}

/// A session of these parties, all of whom must take part, with times that no test runs into.
pub fn spec(keys: Vec<PublicKey>) -> SessionSpec {
    let n = u16::try_from(keys.len()).expect("a test has few parties");
    SessionSpec {
        title: "signing".into(),
        program: program(),
        admission: Admission::Invited { keys },
        min_parties: n,
        max_parties: n,
        corruption_threshold: n.saturating_sub(1),
        abort_quorum: 1,
        keying_rounds: 1,
        max_rounds: 1 + 4 * MAX_SIGNINGS,
        max_message_bytes: 64 * 1024,
        max_party_bytes: 16 * 1024 * 1024,
        padded_bytes: None,
        inline_payloads: true,
        keying_ms: 3_600_000,
        running_ms: 3_600_000,
        retention_ms: 3_600_000,
        round_timeout_ms: None,
    }
}

/// One party, seated.
pub struct Party {
    /// Its session.
    pub session: Session,
    share: Option<KeyShare>,
}

/// Opens a session for `n` new parties as the operator, and seats them.
///
/// # Errors
/// Those of the SDK.
pub async fn seat(network: &NetworkFile, operator: &Path, n: usize) -> Result<(SessionId, Vec<Party>), Error> {
    let operator = identity_file::load(operator, None)?;
    let identities: Vec<Identity> = (0..n).map(|_| Identity::generate(&mut OsRng)).collect();
    let keys = identities.iter().map(Identity::public).collect();
    let client = Client::new(network.clone())?;
    let id = client.create(&operator, spec(keys)).await?;
    let join = identities.iter().map(async |identity| {
        let client = Client::new(network.clone())?;
        let session = Session::join(&client, identity, &id, Options::default()).await?;
        Ok::<_, Error>(Party { session, share: None })
    });
    Ok((id, try_join_all(join).await?))
}

/// All parties generate their key.
///
/// # Errors
/// Those of the SDK.
pub async fn generate_key(parties: &mut [Party]) -> Result<(), Error> {
    let run = parties.iter_mut().map(async |party| {
        let seat = party.session.seat().clone();
        let keygen = KeyGeneration::new(seat, &program(), Seed::random(&mut OsRng)).expect("a sound seat");
        party.share = Some(party.session.run(keygen).await?);
        Ok::<_, Error>(())
    });
    try_join_all(run).await.map(|_| ())
}

/// All parties sign `message` as the session's signing with this number. Their signatures are the same, and valid.
///
/// # Errors
/// Those of the SDK.
///
/// # Panics
/// If the signatures differ or are not valid, or no key was generated.
pub async fn sign(parties: &[Party], number: u32, message: &[u8]) -> Result<Signature, Error> {
    let run = parties.iter().map(async |party| {
        let share = party.share.clone().expect("a key was generated");
        let seat = party.session.seat().clone();
        let seed = Seed::random(&mut OsRng);
        let signing = Signing::new(seat, &program(), number, share, message.to_vec(), seed).expect("a sound seat");
        party.session.run(signing).await
    });
    let mut signatures = try_join_all(run).await?;
    let signature = signatures.pop().expect("there are parties");
    assert!(signatures.iter().all(|other| other.as_bytes() == signature.as_bytes()), "all have the same signature");
    let share = parties.first().and_then(|party| party.share.as_ref()).expect("a key was generated");
    share.public_key().verify(message, &signature).expect("the signature is valid");
    Ok(signature)
}

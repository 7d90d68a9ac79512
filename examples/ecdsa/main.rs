//! `ecdsa INVITATION IDENTITY MESSAGE`: threshold ECDSA over secp256k1 by the crate `cggmp21`, unmodified. The parties make a key that nobody
//! holds, and the first of them, more than half, sign with it. They print its public key and the signature, r and s, in hex.

use cggmp21::{DataToSign, ExecutionId, IncompleteKeyShare, KeyShare, PregeneratedPrimes};
use cggmp21::{key_share::AuxInfo, supported_curves::Secp256k1};
use client_sdk::{Client, Options, Session, delivery::Execution, identity_file};
use rand_core::OsRng;
use round_based::MpcParty;
use std::{error::Error, path::Path};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Any `threshold` of the parties will sign. The board's broadcast is reliable, so that no echo round is needed, here or below.
async fn generate_key(session: &Session, threshold: u16) -> Outcome<IncompleteKeyShare<Secp256k1>> {
    let run = Execution::new(session, 0..3, &threshold.to_le_bytes())?;
    let keygen = cggmp21::keygen(ExecutionId::new(&session.seat().session.0), run.index(), run.parties());
    let keygen = keygen.set_threshold(threshold).enforce_reliable_broadcast(false);
    let share = keygen.start(&mut OsRng, MpcParty::connected(run.delivery())).await?;
    run.finish().await?;
    Ok(share)
}

async fn generate_auxiliary(session: &Session, primes: PregeneratedPrimes) -> Outcome<AuxInfo> {
    let run = Execution::new(session, 3..5, &[])?;
    let aux = cggmp21::aux_info_gen(ExecutionId::new(&session.seat().session.0), run.index(), run.parties(), primes);
    let aux = aux.enforce_reliable_broadcast(false);
    let aux = aux.start(&mut OsRng, MpcParty::connected(run.delivery())).await?;
    run.finish().await?;
    Ok(aux)
}

async fn sign(session: &Session, key: &KeyShare<Secp256k1>, signers: &[u16], message: &str) -> Outcome<String> {
    let (run, mut bytes) = (Execution::among(session, 5..8, signers, message.as_bytes())?, [0; 64]);
    let signing = cggmp21::signing(ExecutionId::new(&session.seat().session.0), run.index(), signers, key);
    let digest = DataToSign::digest::<sha2::Sha256>(message.as_bytes());
    let signing = signing.enforce_reliable_broadcast(false);
    let signature = signing.sign(&mut OsRng, MpcParty::connected(run.delivery()), digest).await?;
    run.finish().await?;
    signature.write_to_slice(&mut bytes);
    Ok(hex::encode(bytes))
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let primes = tokio::task::spawn_blocking(|| PregeneratedPrimes::generate(&mut OsRng));
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [invitation, identity, message] = &given[..] else { return Err("INVITATION IDENTITY MESSAGE".into()) };
    let (invitation, identity) = (invitation.parse()?, identity_file::load(Path::new(identity), None)?);
    let client = Client::invited(&invitation).await?;
    let session = Session::join(&client, &identity, &invitation.session, Options::default()).await?;
    let signers: Vec<u16> = (0..=session.seat().parties / 2).collect();
    let share = generate_key(&session, signers.len() as u16).await?;
    let key = KeyShare::from_parts((share, generate_auxiliary(&session, primes.await?).await?))?;
    let signs = signers.contains(&session.seat().index);
    let signature = if signs { sign(&session, &key, &signers, message).await? } else { String::new() };
    println!("{} {signature}", hex::encode(key.core.shared_public_key.to_bytes(true)));
    session.leave().await?;
    Ok(())
}

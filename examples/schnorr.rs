//! `schnorr INVITATION IDENTITY MESSAGE`: the parties make a key that nobody holds and sign with it. The signature is an Ed25519 one (RFC 8032),
//! under a key that is new for each session; `white-city schnorr` keeps its share for more signatures. Whoever is killed runs it again: it goes on.

use client_sdk::{Client, Options, Session, identity_file};
use protocols::{
    Seed,
    schnorr::{KeyGeneration, PublicKey, Signature, Signing},
};
use std::{error::Error, path::Path};
use wire::Invitation;

/// One party's part in it: round 0 makes the key, rounds 1 to 4 the signature.
pub async fn sign(session: &Session, message: &[u8]) -> Result<(PublicKey, Signature), Box<dyn Error + Send + Sync>> {
    let (seat, program) = (session.seat().clone(), &session.spec().program);
    let execution = session.execution("key", b"")?;
    let generation = KeyGeneration::new(seat.clone(), program, Seed::new(**execution.seed()))?;
    let share = execution.run(generation).await?;
    let key = share.public_key();
    let execution = session.execution("signature", message)?;
    let signing = Signing::new(seat, program, 0, share, message.to_vec(), Seed::new(**execution.seed()))?;
    let signature = execution.run(signing).await?;
    key.verify(message, &signature)?;
    Ok((key, signature))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [invitation, identity, message] = arguments.as_slice() else {
        return Err("INVITATION IDENTITY MESSAGE".into());
    };
    let invitation: Invitation = invitation.parse()?;
    let client = Client::invited(&invitation).await?;
    let identity = identity_file::load(Path::new(identity), None)?;
    let options = Options { state: Some("state".into()), ..Options::default() };
    let session = Session::join(&client, &identity, &invitation.session, options).await?;
    let (_, signature) = sign(&session, message.as_bytes()).await?;
    println!("{}", hex::encode(signature.as_bytes()));
    session.leave().await?;
    Ok(())
}

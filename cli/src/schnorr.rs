//! `white-city schnorr`.

use crate::{
    command::Options,
    error::Error,
    file, identity,
    join::{Party, Program, Table},
    output::Output,
    pem, share_file,
};
use clap::{Args, Subcommand};
use protocols::{
    ProtocolError, Seed,
    schnorr::{KeyGeneration, KeyShare, PublicKey, Signature, Signing},
};
use serde_json::json;
use std::path::{Path, PathBuf};
use wire::{MailboxKind, limits::MAX_FILE_BYTES, message_digest};

/// Longest file that is signed: it is read into memory whole, for Ed25519 hashes it twice.
const MAX_MESSAGE_BYTES: u64 = 1024 * 1024 * 1024;

const KEYGEN: &str = "schnorr keygen";
const PROGRAM: Program = Program { name: Some("schnorr"), private: false, rounds };

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key together with all other parties, and keep this party's share of it
    Keygen(Keygen),
    /// Sign a file together with all other parties
    Sign(Sign),
    /// Verify a signature; any other Ed25519 verifier does as well
    Verify(Verify),
}

#[derive(Args, Debug)]
pub(crate) struct Keygen {
    #[command(flatten)]
    party: Party,
    /// Where to write the common public key, in PEM
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Where to write the share, encrypted under the identity's passphrase if it has one; an existing file is never overwritten
    #[arg(long, short, default_value = "share.json", value_name = "FILE")]
    output: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Sign {
    #[command(flatten)]
    party: Party,
    /// Where to write the common public key, in PEM
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// The share of the key; without it the parties make a key first
    #[arg(long, value_name = "FILE", conflicts_with = "save_share")]
    share: Option<PathBuf>,
    /// Where to keep the share of a key that is made; without it the key is lost after this signature
    #[arg(long, value_name = "FILE")]
    save_share: Option<PathBuf>,
    /// The file to sign: all parties must give the same
    #[arg(long, short, value_name = "FILE")]
    message: PathBuf,
    /// Where to write the signature, 64 bytes
    #[arg(long, short, default_value = "signature.bin", value_name = "FILE")]
    output: PathBuf,
    /// Which signing of the session this is, from 0; a number is used once, also when that attempt failed
    #[arg(long, default_value_t = 0, value_name = "E")]
    execution: u32,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The public key, in PEM
    #[arg(long, value_name = "FILE")]
    public_key: PathBuf,
    /// The signed file
    #[arg(long, short, value_name = "FILE")]
    message: PathBuf,
    /// The signature, 64 bytes
    #[arg(long, short, value_name = "FILE")]
    signature: PathBuf,
}

/// `white-city schnorr`.
pub(crate) async fn run(command: Command, options: &Options, output: &Output) -> Result<(), Error> {
    match command {
        Command::Keygen(keygen) => make_key(keygen, options, output).await,
        Command::Sign(command) => sign(command, options, output).await,
        Command::Verify(command) => verify(&command, output),
    }
}

async fn make_key(command: Keygen, options: &Options, output: &Output) -> Result<(), Error> {
    let Keygen { party, public_key, output: path } = command;
    let table = party.sit_down((PROGRAM, KEYGEN), Some(&path), options, output).await?;
    let share = generate(&table, Some(&path), output).await?;
    keep(&share, &path, options, output)?;
    let key = share.public_key();
    publish(&key, public_key.as_deref())?;
    table.tracker.result(&format!("public key {key}"), &json!({ "public_key": key.to_string(), "share": path }))?;
    table.leave(&party).await
}

async fn sign(command: Sign, options: &Options, output: &Output) -> Result<(), Error> {
    let Sign { party, public_key, share, save_share, message, output: path, execution } = command;
    let message = file::read(&message, MAX_MESSAGE_BYTES)?;
    let share = share.map(|path| share_file::load(&path, || identity::passphrase(options))).transpose()?;
    let name = format!("schnorr sign {execution}");
    let table = party.sit_down((PROGRAM, &name), save_share.as_deref(), options, output).await?;
    let share = match share {
        Some(share) => share,
        None => generate(&table, save_share.as_deref(), output).await?,
    };
    if let Some(path) = &save_share {
        keep(&share, path, options, output)?;
    }
    let (seat, program) = (table.session.seat().clone(), &table.session.spec().program);
    let key = share.public_key();
    let input = [key.as_bytes().as_slice(), &message_digest(&message).0].concat();
    let run = table.execution(&name, &input, output)?;
    let signing = Signing::new(seat, program, execution, share, message, Seed::new(**run.seed()))?;
    let signature = table.run(run, signing, output).await?;
    file::write(&path, signature.as_bytes())?;
    publish(&key, public_key.as_deref())?;
    let text = format!("public key {key}\nsignature  {signature}");
    table.tracker.result(&text, &json!({ "public_key": key.to_string(), "signature": signature.to_string() }))?;
    table.leave(&party).await
}

fn verify(command: &Verify, output: &Output) -> Result<(), Error> {
    let text = file::read(&command.public_key, MAX_FILE_BYTES)?;
    let wrong = |path: &Path, expected: &'static str, reason: String| {
        let path = path.to_owned();
        Error::Shape { path, expected, reason }
    };
    let key = pem::decode(&String::from_utf8_lossy(&text))
        .map_err(|reason| wrong(&command.public_key, "an Ed25519 public key in PEM", reason))?;
    let key = PublicKey::from_bytes(&key)?;
    let bytes = file::read(&command.signature, MAX_FILE_BYTES)?;
    let bytes: [u8; 64] = bytes.as_slice().try_into().map_err(|_| {
        wrong(&command.signature, "an Ed25519 signature", format!("it has {} bytes, not 64", bytes.len()))
    })?;
    let message = file::read(&command.message, MAX_MESSAGE_BYTES)?;
    key.verify(&message, &Signature::from_bytes(bytes))?;
    output.result("the signature is valid", &json!({ "valid": true }))
}

/// Generates the key, or goes on with that. Only who goes on may have kept a share at `path` already.
async fn generate(table: &Table, path: Option<&Path>, output: &Output) -> Result<KeyShare, Error> {
    let (seat, program) = (table.session.seat().clone(), &table.session.spec().program);
    let run = table.execution(KEYGEN, &[], output)?;
    if !run.is_resumed() {
        path.map_or(Ok(()), file::check_free)?;
    }
    let program = KeyGeneration::new(seat, program, Seed::new(**run.seed()))?;
    table.run(run, program, output).await
}

/// Keeps a share as safely as the identity that it belongs to, unless it is there already.
fn keep(share: &KeyShare, path: &Path, options: &Options, output: &Output) -> Result<(), Error> {
    if path.exists() && share_file::load(path, || identity::passphrase(options)).is_ok_and(|kept| kept == *share) {
        return Ok(());
    }
    let passphrase = if identity::is_encrypted(options)? { Some(identity::passphrase(options)?) } else { None };
    share_file::save(share, path, passphrase.as_ref())?;
    if passphrase.is_none() {
        output.note(&format!(
            "{} is NOT encrypted, as the identity is not: whoever reads it has the share",
            path.display()
        ));
    }
    Ok(())
}

fn publish(key: &PublicKey, path: Option<&Path>) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    let text = pem::encode(key.as_bytes()).ok_or(ProtocolError::MalformedKey)?;
    file::write(path, text.as_bytes())
}

/// The rounds of [`protocols::schnorr::Execution`] in the paper's order.
fn rounds(kind: MailboxKind, round: u32) -> String {
    const SIGNING: [&str; 4] = ["agree", "commit", "reveal", "sign"];
    match (kind, round.checked_sub(1)) {
        (MailboxKind::Broadcast, None) => "key generation".to_owned(),
        (MailboxKind::Broadcast, Some(after)) => {
            let name = SIGNING.get(usize::try_from(after % 4).unwrap_or(0)).unwrap_or(&"");
            format!("signing round {}, {name}", after % 4 + 1)
        }
        _ => format!("{kind} round {round}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_have_the_papers_names() {
        let name = |round| rounds(MailboxKind::Broadcast, round);
        assert_eq!(name(0), "key generation");
        assert_eq!(name(1), "signing round 1, agree");
        assert_eq!(name(4), "signing round 4, sign");
        assert_eq!(name(7), "signing round 3, reveal");
    }
}

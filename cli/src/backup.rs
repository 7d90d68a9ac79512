//! `white-city backup` and `white-city restore`.

use crate::{
    command::{Options, duration},
    error::Error,
    file, identity, network,
    output::Output,
};
use clap::Args;
use client_sdk::{BackupOptions, Client, file::write_secret};
use secrecy::SecretString;
use serde_json::json;
use std::{path::PathBuf, time::Duration};
use wire::{
    PublicKey, SessionId,
    limits::{MAX_BACKUP_MS, MAX_SECRET_BYTES},
};
use zeroize::Zeroizing;

/// The backup's passphrase, which is not the identity's.
#[derive(Args, Debug)]
pub(crate) struct Passphrase {
    /// Lock the backup with a passphrase of its own instead of your identity, and ask for it
    #[arg(long)]
    passphrase: bool,
    /// The same, and read that passphrase from the first line of a file
    #[arg(long, env = "WHITE_CITY_BACKUP_PASSPHRASE_FILE", value_name = "FILE")]
    backup_passphrase_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Backup {
    /// The session in which you are a party: its id, or the invitation to it
    session: String,
    /// The file to back up, at most 64 KiB; - for the standard input
    #[arg(long, short, value_name = "FILE", required_unless_present_any = ["erase", "show"])]
    input: Option<PathBuf>,
    /// How long the nodes keep it, at most 366days, also when the session is long over [default: 366days]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    keep: Option<Duration>,
    #[command(flatten)]
    passphrase: Passphrase,
    /// Let the nodes erase your backup
    #[arg(long, conflicts_with_all = ["input", "show"])]
    erase: bool,
    /// Show what the board knows of your backup
    #[arg(long, conflicts_with = "input")]
    show: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The session in which you are a party: its id, or the invitation to it
    session: String,
    /// Where to write what was backed up; an existing file is never overwritten
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Whose backup it is, by index or public key, where you have a passphrase and no identity any more [default: your identity's]
    #[arg(long, value_name = "PARTY")]
    party: Option<String>,
    #[command(flatten)]
    passphrase: Passphrase,
}

/// `white-city backup`.
pub(crate) async fn back_up(command: &Backup, options: &Options, output: &Output) -> Result<(), Error> {
    let (network, session) = network::named(&command.session, options, output).await?;
    let client = Client::new(network)?.with_patience(options.patience());
    if command.show {
        let party = index(&client, &session, &identity::public(options)?).await?;
        let record = client.backup(&session, party).await?;
        let text = match record {
            None => "none was ever made".to_owned(),
            Some(record) => match record.kept {
                None => format!("number {} is erased, or its time is over", record.number),
                Some(kept) => format!(
                    "number {}, {} bytes at the nodes, of which 2f + 1 have confirmed it",
                    record.number, kept.length
                ),
            },
        };
        return output.result(&text, &json!({ "session": session, "party": party, "record": record }));
    }
    let owner = identity::load(options)?;
    if command.erase {
        client.erase_backup(&owner, &session).await?;
        return output
            .result("erased on the board: the nodes delete it now", &json!({ "session": session, "erased": true }));
    }
    let Some(input) = &command.input else {
        return Err(Error::Usage { reason: "name the file to back up with --input".to_owned() });
    };
    let secret = Zeroizing::new(file::read(input, MAX_SECRET_BYTES as u64)?);
    let keep = command.keep.unwrap_or(Duration::from_millis(MAX_BACKUP_MS));
    let options = BackupOptions { keep, passphrase: command.passphrase.chosen()? };
    let is_locked = options.passphrase.is_some();
    let number = client.back_up(&owner, &session, &secret, &options).await?;
    let lock = if is_locked { "the passphrase" } else { "your identity" };
    let text = format!("backed up as number {number}: `white-city restore` gets it back with {lock}");
    output.result(&text, &json!({ "session": session, "number": number, "bytes": secret.len() }))
}

/// `white-city restore`.
pub(crate) async fn restore(command: &Restore, options: &Options, output: &Output) -> Result<(), Error> {
    file::check_free(&command.output)?;
    let (network, session) = network::named(&command.session, options, output).await?;
    let client = Client::new(network)?.with_patience(options.patience());
    let secret = match command.passphrase.known()? {
        Some(passphrase) => {
            let party = match &command.party {
                Some(party) => named_party(&client, &session, party).await?,
                None => index(&client, &session, &identity::public(options)?).await?,
            };
            client.restore_with_passphrase(&session, party, &passphrase).await?
        }
        None if command.party.is_some() => {
            return Err(Error::Usage {
                reason: "--party goes with --passphrase or --backup-passphrase-file".to_owned(),
            });
        }
        None => client.restore(&identity::load(options)?, &session).await?,
    };
    write_secret(&command.output, &secret)?;
    let text = format!("restored: {} bytes in {}", secret.len(), command.output.display());
    output.result(&text, &json!({ "session": session, "bytes": secret.len() }))
}

impl Passphrase {
    /// The passphrase that a backup is to have.
    fn chosen(&self) -> Result<Option<SecretString>, Error> {
        match &self.backup_passphrase_file {
            Some(file) => identity::passphrase_from(file).map(Some),
            None if self.passphrase => identity::ask_twice().map(Some),
            None => Ok(None),
        }
    }

    /// The passphrase that a backup has.
    fn known(&self) -> Result<Option<SecretString>, Error> {
        match &self.backup_passphrase_file {
            Some(file) => identity::passphrase_from(file).map(Some),
            None if self.passphrase => identity::ask("passphrase of the backup: ").map(Some),
            None => Ok(None),
        }
    }
}

async fn named_party(client: &Client, session: &SessionId, party: &str) -> Result<u16, Error> {
    if let Ok(index) = party.parse() {
        return Ok(index);
    }
    let key = party.parse().map_err(|_| Error::Usage { reason: "--party is an index or a public key".to_owned() })?;
    index(client, session, &key).await
}

async fn index(client: &Client, session: &SessionId, key: &PublicKey) -> Result<u16, Error> {
    let keys = client.parties(session).await?;
    let index = keys.iter().position(|other| other == key).and_then(|index| u16::try_from(index).ok());
    Ok(index.ok_or(client_sdk::Error::NotAParty { session: *session, key: *key })?)
}

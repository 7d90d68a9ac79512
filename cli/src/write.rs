//! `white-city write`.

use crate::{command::Options, error::Error, identity, network, output::Output};
use clap::Args;
use client_sdk::Client;
use rand_core::OsRng;
use std::path::Path;
use wire::{Bytes, Envelope, MailboxId, MailboxKind, Operation, Submission, limits::MAX_PAYLOAD_BYTES, message_digest};

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// The invitation to the session: its file, or the string that begins with whitecity:
    invitation: String,
    /// The round, from 0
    #[arg(long, short, value_name = "R")]
    round: u32,
    /// The message: a text, or @FILE for a file's bytes (@- for the standard input)
    #[arg(long, short, value_name = "TEXT|@FILE", conflicts_with = "hex", required_unless_present = "hex")]
    broadcast: Option<String>,
    /// The message in hex
    #[arg(long, value_name = "HEX")]
    hex: Option<String>,
    /// Print the signed operation instead of sending it, as `curl -d @-` takes it
    #[arg(long)]
    print: bool,
}

/// `white-city write`.
pub(crate) async fn run(command: Command, options: &Options, output: &Output) -> Result<(), Error> {
    let (network, session) = network::enter(&command.invitation, options, output).await?;
    let payload = command.payload()?;
    let mailbox = MailboxId { session, kind: MailboxKind::Broadcast, round: command.round };
    let operation =
        Operation::Write { mailbox, digest: message_digest(&payload.0), length: payload.length(), recipients: 0 };
    let envelope = identity::load(options)?.envelope(&network.chain, operation, payload, OsRng);
    if command.print {
        return print(envelope, output);
    }
    Client::new(network)?.submit(&envelope, options.patience()).await?;
    output.result("done: it is on the board", &serde_json::json!({ "operation": envelope.id() }))
}

/// Writes a submission of one operation: the body of `POST /v1/operations`.
pub(crate) fn print(envelope: Envelope, output: &Output) -> Result<(), Error> {
    let submission = Submission { operations: vec![envelope] };
    let json = serde_json::to_string(&submission).map_err(|error| Error::Encoding { reason: error.to_string() })?;
    output.raw(format!("{json}\n").as_bytes())
}

impl Command {
    fn payload(&self) -> Result<Bytes, Error> {
        let bytes = match (&self.broadcast, &self.hex) {
            (Some(text), _) => match text.strip_prefix('@') {
                Some(path) => crate::file::read(Path::new(path), u64::from(MAX_PAYLOAD_BYTES))?,
                None => text.clone().into_bytes(),
            },
            (None, Some(digits)) => hex::decode(digits)
                .map_err(|error| Error::Usage { reason: format!("--hex is no bytes in hex: {error}") })?,
            (None, None) => return Err(Error::Usage { reason: "give the message by --broadcast or --hex".to_owned() }),
        };
        Ok(Bytes(bytes))
    }
}

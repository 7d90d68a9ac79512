//! `white-city read`.

use crate::{
    command::Options,
    error::Error,
    identity, network,
    output::{Output, printable},
};
use clap::Args;
use client_sdk::{Client, Session, protocol::Received};
use serde_json::json;
use wire::MailboxKind;

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// The invitation to the session: its file, or the string that begins with whitecity:
    invitation: String,
    /// The round, from 0
    #[arg(long, short, value_name = "R")]
    round: u32,
    /// What to read: broadcast, keying, or private (who has written; the messages open only to the process that agreed on keys)
    #[arg(long, default_value = "broadcast", value_name = "KIND")]
    kind: MailboxKind,
    /// Wait until so many parties have written, and read the first so many [default: read what is there]
    #[arg(long, value_name = "N")]
    count: Option<u16>,
}

/// `white-city read`.
pub(crate) async fn run(command: Command, options: &Options, output: &Output) -> Result<(), Error> {
    let (network, id) = network::enter(&command.invitation, options, output).await?;
    let identity = identity::load(options)?;
    let waiting = client_sdk::Options { wait: options.timeout, ..client_sdk::Options::default() };
    let session = Session::attach(&Client::new(network)?, &identity, &id, waiting).await?;
    let Command { kind, round, .. } = command;
    let reading = match command.count {
        Some(count) => session.read(kind, round, count).await?,
        None => session.read_available(kind, round).await?,
    };
    let received = &reading.round.received;
    let text = match received.as_slice() {
        [] => "nothing yet".to_owned(),
        some => some.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    let messages: Vec<_> = received
        .iter()
        .map(|message| json!({ "sender": message.sender, "data": message.data.as_deref().map(hex::encode) }))
        .collect();
    let head = reading.round.head;
    output.result(&text, &json!({ "kind": kind, "round": round, "head": head, "messages": messages }))
}

/// A message on one line: as text if it is one, else in hex.
fn line(message: &Received) -> String {
    let sender = message.sender;
    match &message.data {
        None => format!("party {sender}: (not for this party)"),
        Some(data) => match std::str::from_utf8(data) {
            Ok(text) if text == printable(text) => format!("party {sender}: {text}"),
            _ => format!("party {sender}: 0x{}", hex::encode(data)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_plain_text_are_shown_in_hex() {
        let line = |data: &[u8]| line(&Received { sender: 3, data: Some(data.to_vec()) });
        assert_eq!(line("gr\u{fc}n".as_bytes()), "party 3: gr\u{fc}n");
        assert_eq!(line(b"\x1b[2J"), "party 3: 0x1b5b324a");
        assert_eq!(line(&[0xff]), "party 3: 0xff");
    }
}

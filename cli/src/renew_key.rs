//! `white-city renew-key`.

use crate::{command::Options, error::Error, identity, network, output::Output, write};
use clap::Args;
use client_sdk::Client;
use rand_core::OsRng;
use wire::{Bytes, Operation};

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// The new key's epoch [default: the one after the newest]
    #[arg(long, value_name = "EPOCH")]
    epoch: Option<u64>,
    /// Print the signed operation instead of sending it, as `curl -d @-` takes it
    #[arg(long)]
    print: bool,
}

/// `white-city renew-key`.
pub(crate) async fn run(command: &Command, options: &Options, output: &Output) -> Result<(), Error> {
    let client = Client::new(network::load(options)?)?;
    let operator = identity::load(options)?;
    let epoch = match command.epoch {
        Some(epoch) => epoch,
        None => client.keys().await?.last().map_or(0, |newest| newest.record.epoch).saturating_add(1),
    };
    let chain = &client.network().chain;
    let envelope = operator.envelope(chain, Operation::RenewKey { epoch }, Bytes::default(), OsRng);
    if command.print {
        return write::print(envelope, output);
    }
    client.submit(&envelope, options.patience()).await?;
    let text = format!("ordered: the nodes make the key of epoch {epoch}; `white-city network` shows how far they are");
    output.result(&text, &serde_json::json!({ "epoch": epoch, "operation": envelope.id() }))
}

//! `white-city forget`.

use crate::{command::Options, error::Error, identity, join::Place, network, output::Output};
use clap::Args;
use client_sdk::{Client, Session};
use serde_json::json;

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// The invitation to the session: its file, or the string that begins with whitecity:
    invitation: String,
    #[command(flatten)]
    place: Place,
}

/// `white-city forget`.
pub(crate) async fn run(command: &Command, options: &Options, output: &Output) -> Result<(), Error> {
    let (network, id) = network::enter(&command.invitation, options, output).await?;
    let identity = identity::load(options)?;
    let how = command.place.options(options)?;
    let forgotten = Session::forget(&Client::new(network)?, &identity, &id, &how)?;
    let text = if forgotten { "done: the secrets are gone" } else { "there was nothing to forget" };
    output.result(text, &json!({ "session": id, "forgotten": forgotten }))
}

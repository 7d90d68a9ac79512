//! `white-city forget`.

use crate::{command::Options, error::Error, identity, join::Place, network, output::Output};
use clap::Args;
use client_sdk::{Client, Session};
use serde_json::json;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// The invitation to the session
    invitation: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// `white-city forget`.
pub(crate) fn run(command: &Command, options: &Options, output: &Output) -> Result<(), Error> {
    let network = network::load(options)?;
    let id = network::invited(&network, &command.invitation)?;
    let identity = identity::load(options)?;
    let how = command.place.options(options)?;
    let forgotten = Session::forget(&Client::new(network)?, &identity, &id, &how)?;
    let text = if forgotten { "done: the secrets are gone" } else { "there was nothing to forget" };
    output.result(text, &json!({ "session": id, "forgotten": forgotten }))
}

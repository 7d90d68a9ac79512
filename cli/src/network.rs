//! Network files and invitations, and `white-city network`.

use crate::{
    command::Options,
    error::Error,
    file,
    output::{Output, printable, table},
};
use clap::Args;
use client_sdk::{Client, Error as Sdk, Tried, file as sdk_file, network};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use wire::{Invitation, NetworkFile, NodeAddress, SessionId, api::NodeStatus};

/// Where a network file is if nobody names one.
const USUAL: &str = "./network.json";

/// The network file that the options name.
pub(crate) fn load(options: &Options) -> Result<NetworkFile, Error> {
    let path = find(options).ok_or(Error::Unnamed {
        what: "network",
        usual: USUAL,
        option: "--network",
        variable: "WHITE_CITY_NETWORK",
    })?;
    Ok(sdk_file::read_network(&path)?)
}

fn find(options: &Options) -> Option<PathBuf> {
    options.network.clone().or_else(|| Path::new(USUAL).exists().then(|| USUAL.into()))
}

/// An invitation as a person gives it: the string itself, or a file.
fn invitation(given: &str) -> Result<Invitation, Error> {
    if Invitation::is_meant(given) {
        return given.parse().map_err(|bad: wire::BadInvitation| Sdk::Invitation { reason: bad.to_string() }.into());
    }
    Ok(sdk_file::read_invitation(Path::new(given))?)
}

/// The network and the session of an invitation. Where there is no network file, the network is asked for at the invitation's addresses, and
/// its words are shown.
pub(crate) async fn enter(given: &str, options: &Options, output: &Output) -> Result<(NetworkFile, SessionId), Error> {
    let invitation = invitation(given)?;
    let file = match find(options) {
        Some(path) => sdk_file::read_network(&path)?,
        None if invitation.urls.is_empty() => load(options)?,
        None => {
            let file = Client::invited(&invitation).await?.network().clone();
            output.note(&format!("network {} of {} nodes: {}", file.chain, file.nodes.len(), network::words(&file)));
            file
        }
    };
    let session = network::accept(&file, &invitation)?;
    Ok((file, session))
}

/// The network and the session that a person names: by its id, or by an invitation to it.
pub(crate) async fn named(given: &str, options: &Options, output: &Output) -> Result<(NetworkFile, SessionId), Error> {
    match given.parse() {
        Ok(session) => Ok((load(options)?, session)),
        Err(_) if Invitation::is_meant(given) || Path::new(given).exists() => enter(given, options, output).await,
        Err(_) => Err(Error::Usage { reason: format!("{given} is neither a session's id nor an invitation to it") }),
    }
}

/// The session of this network that a person names.
pub(crate) fn named_in(file: &NetworkFile, given: &str) -> Result<SessionId, Error> {
    match given.parse() {
        Ok(session) => Ok(session),
        Err(_) => Ok(network::accept(file, &invitation(given)?)?),
    }
}

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// Of the network of this invitation, which is asked for at the invitation's addresses if there is no network file
    #[arg(long, value_name = "INVITATION")]
    invitation: Option<String>,
    /// Write the network file anew, with the nodes' threshold keys: who has it checks answers offline, and follows no old key
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// `white-city network`.
pub(crate) async fn run(command: &Command, options: &Options, output: &Output) -> Result<(), Error> {
    let file = match &command.invitation {
        Some(given) => enter(given, options, output).await?.0,
        None => load(options)?,
    };
    let client = Client::new(file)?.with_patience(options.patience());
    let words = network::words(client.network());
    if let Some(path) = &command.output {
        let keys = client.keys().await?;
        let epoch = keys.len();
        file::write_json(path, &NetworkFile { keys, ..client.network().clone() })?;
        let value = json!({ "output": path, "epoch": epoch, "words": words });
        return output.result(&format!("{}: keys up to epoch {epoch}\nwords {words}", path.display()), &value);
    }
    let nodes = client.status().await;
    let head = ["node", "url", "ready", "height", "root", "sessions", "version"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    rows.extend(nodes.iter().map(row));
    let nodes: Vec<Value> = nodes.iter().map(value).collect();
    let chain = &client.network().chain;
    let value = json!({ "chain": chain, "words": words, "nodes": nodes });
    output.result(&format!("chain {chain}\nwords {words}\n{}", table(&rows)), &value)
}

type Node = (NodeAddress, Result<NodeStatus, Tried>);

fn row((address, status): &Node) -> Vec<String> {
    let mut row = vec![printable(&address.name), address.url.clone()];
    match status {
        Ok(status) => row.extend([
            if status.ready { "yes".to_owned() } else { format!("no: {}", printable(&status.reasons.join(", "))) },
            status.at.height.to_string(),
            status.at.root.to_string().chars().take(16).collect(),
            status.live_sessions.to_string(),
            printable(&status.version),
        ]),
        Err(tried) => row.push(format!("no: {}", printable(&tried.said))),
    }
    row
}

fn value((address, status): &Node) -> Value {
    match status {
        Ok(status) => json!({ "name": address.name, "url": address.url, "status": status }),
        Err(tried) => json!({ "name": address.name, "url": address.url, "error": tried.said }),
    }
}

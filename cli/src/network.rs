//! Network files and invitations, and `white-city network`.

use crate::{
    command::Options,
    error::Error,
    file,
    output::{Output, printable, table},
};
use clap::Args;
use client_sdk::{Client, Tried, file as sdk_file, network};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use wire::{NetworkFile, NodeAddress, SessionId, api::NodeStatus};

/// The network file that the options name.
pub(crate) fn load(options: &Options) -> Result<NetworkFile, Error> {
    let usual = "./network.json";
    let path: PathBuf = match &options.network {
        Some(path) => path.clone(),
        None if Path::new(usual).exists() => usual.into(),
        None => {
            return Err(Error::Unnamed { what: "network", usual, option: "--network", variable: "WHITE_CITY_NETWORK" });
        }
    };
    Ok(sdk_file::read_network(&path)?)
}

/// The session of an invitation, if it is for this network.
pub(crate) fn invited(file: &NetworkFile, invitation: &Path) -> Result<SessionId, Error> {
    Ok(network::accept(file, &sdk_file::read_invitation(invitation)?)?)
}

/// The session that a person names: by its id, or by an invitation to it.
pub(crate) fn named(file: &NetworkFile, session: &str) -> Result<SessionId, Error> {
    match session.parse() {
        Ok(session) => Ok(session),
        Err(_) if Path::new(session).exists() => invited(file, Path::new(session)),
        Err(_) => Err(Error::Usage { reason: format!("{session} is neither a session's id nor an invitation's file") }),
    }
}

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// Write the network file anew, with the nodes' threshold keys: who has it checks answers offline, and follows no old key
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// `white-city network`.
pub(crate) async fn run(command: &Command, options: &Options, output: &Output) -> Result<(), Error> {
    let client = Client::new(load(options)?)?.with_patience(options.patience());
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

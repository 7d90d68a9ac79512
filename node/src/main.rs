//! `white-city-node`: runs a node, makes the keys of clusters, asks nodes how they are.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    node::command::main().await
}

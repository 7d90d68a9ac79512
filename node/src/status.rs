//! Asks nodes how they are doing, and shows it in a line each.

use crate::NodeError;
use futures::future::join_all;
use std::{fmt, time::Duration};
use wire::api::NodeStatus;

const TIMEOUT: Duration = Duration::from_secs(5);

/// What one node says of itself, or why it says nothing.
#[derive(Debug)]
pub struct Line {
    url: String,
    status: Result<NodeStatus, String>,
}

impl Line {
    /// True if the node can take writes now.
    pub fn is_ready(&self) -> bool {
        self.status.as_ref().is_ok_and(|status| status.ready)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, status } = self;
        match status {
            Ok(status) => {
                let NodeStatus { chain, name, consensus, at, live_sessions, ready, reasons, warnings, .. } = status;
                let root: String = at.root.to_string().chars().take(16).collect();
                write!(f, "{name:<10} {url:<28} chain {chain} by {consensus}, block {}, root {root}", at.height)?;
                write!(f, ", {live_sessions} live sessions, ")?;
                if *ready { f.write_str("ready") } else { write!(f, "NOT READY: {}", reasons.join("; ")) }?;
                warnings.iter().try_for_each(|warning| write!(f, "; WARNING: {warning}"))
            }
            Err(reason) => write!(f, "{:<10} {url:<28} DOES NOT ANSWER: {reason}", "?"),
        }
    }
}

/// Asks the nodes at these base URLs, all at once.
///
/// # Errors
/// [`NodeError::Http`] if no client can be made; what a node answers, or that it does not, is in its line.
pub async fn ask_all(urls: Vec<String>) -> Result<Vec<Line>, NodeError> {
    let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(NodeError::Http)?;
    let ask = |url: String| async {
        let status = ask(&client, &url).await.map_err(|error| reason(&error));
        Line { url, status }
    };
    Ok(join_all(urls.into_iter().map(ask)).await)
}

async fn ask(client: &reqwest::Client, url: &str) -> reqwest::Result<NodeStatus> {
    let address = format!("{}/v1/status", url.trim_end_matches('/'));
    client.get(address).send().await?.error_for_status()?.json().await
}

/// The innermost cause, which says most.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

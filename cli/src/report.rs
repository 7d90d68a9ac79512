//! What a computation cost: measured by each party, put together for all.

use crate::{
    error::Error,
    file,
    output::{Output, table},
};
use clap::Args;
use client_sdk::{Client, Traffic};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use wire::limits::MAX_FILE_BYTES;

/// What one party measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// In order of time.
    pub phases: Vec<Phase>,
}

/// One phase of a party's run. Times are milliseconds since 1970 by the party's own clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    /// For people.
    pub name: String,
    /// When it began.
    pub start_ms: u64,
    /// When it was over.
    pub end_ms: u64,
    /// Greatest height that the party had found certified by then; 0 if none.
    pub start_height: u64,
    /// The same at the end.
    pub end_height: u64,
    /// Operations handed to nodes; one that was handed in twice counts twice.
    pub operations: u64,
    /// HTTP requests to nodes.
    pub requests: u64,
    /// Bytes of requests' bodies.
    pub sent_bytes: u64,
    /// Bytes of answers' bodies.
    pub received_bytes: u64,
}

/// Measures a phase that is under way.
pub(crate) struct Stopwatch {
    start_ms: u64,
    start_height: u64,
    traffic: Traffic,
}

impl Stopwatch {
    /// Starts with what the party's client has counted and seen so far.
    pub(crate) fn start(client: &Client) -> Self {
        Self { start_ms: now_ms(), start_height: client.height(), traffic: client.traffic() }
    }

    /// Ends the phase, and starts the next one at the same moment.
    pub(crate) fn lap(&mut self, name: &str, client: &Client) -> Phase {
        let now = Self::start(client);
        let traffic = now.traffic;
        let (end_ms, end_height) = (now.start_ms, now.start_height);
        let Self { start_ms, start_height, traffic: before } = std::mem::replace(self, now);
        Phase {
            name: name.to_owned(),
            start_ms,
            end_ms,
            start_height,
            end_height,
            operations: traffic.operations.saturating_sub(before.operations),
            requests: traffic.requests.saturating_sub(before.requests),
            sent_bytes: traffic.bytes_sent.saturating_sub(before.bytes_sent),
            received_bytes: traffic.bytes_received.saturating_sub(before.bytes_received),
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// Files that parties wrote by --report
    #[arg(required = true, value_name = "FILE")]
    reports: Vec<PathBuf>,
}

/// `white-city report`.
pub(crate) fn run(command: &Command, output: &Output) -> Result<(), Error> {
    let phases = combine(&command.reports.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?);
    output.result(&show(&phases), &phases)
}

fn read(path: &Path) -> Result<Report, Error> {
    let bytes = file::read(path, MAX_FILE_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Shape {
        path: path.to_owned(),
        expected: "a report",
        reason: error.to_string(),
    })
}

/// The phases of all parties together: from the first start to the last end, and the sums.
fn combine(reports: &[Report]) -> Vec<Phase> {
    let mut combined: Vec<Phase> = Vec::new();
    for phase in reports.iter().flat_map(|report| &report.phases) {
        match combined.iter_mut().find(|known| known.name == phase.name) {
            Some(known) => {
                known.start_ms = known.start_ms.min(phase.start_ms);
                known.end_ms = known.end_ms.max(phase.end_ms);
                known.start_height = earlier(known.start_height, phase.start_height);
                known.end_height = known.end_height.max(phase.end_height);
                known.operations = known.operations.saturating_add(phase.operations);
                known.requests = known.requests.saturating_add(phase.requests);
                known.sent_bytes = known.sent_bytes.saturating_add(phase.sent_bytes);
                known.received_bytes = known.received_bytes.saturating_add(phase.received_bytes);
            }
            None => combined.push(phase.clone()),
        }
    }
    combined
}

/// The lower of two heights, where 0 is none.
fn earlier(one: u64, other: u64) -> u64 {
    [one, other].into_iter().filter(|height| *height > 0).min().unwrap_or(0)
}

fn show(phases: &[Phase]) -> String {
    let head = ["phase", "time", "operations", "requests", "sent", "received", "blocks"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(phases.iter().map(row));
    let same = |phase: &Phase| Phase { name: "all".to_owned(), ..phase.clone() };
    let all = Report { phases: phases.iter().map(same).collect() };
    rows.extend(combine(&[all]).iter().map(row));
    table(&rows)
}

fn row(phase: &Phase) -> Vec<String> {
    let blocks = match phase.start_height {
        // Who had seen no block before cannot say how many came.
        0 => "-".to_owned(),
        start => phase.end_height.saturating_sub(start).to_string(),
    };
    vec![
        phase.name.clone(),
        format!("{} ms", phase.end_ms.saturating_sub(phase.start_ms)),
        phase.operations.to_string(),
        phase.requests.to_string(),
        format!("{} B", phase.sent_bytes),
        format!("{} B", phase.received_bytes),
        blocks,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &str, (start_ms, end_ms): (u64, u64), (start_height, end_height): (u64, u64)) -> Phase {
        let name = name.to_owned();
        let (operations, requests, sent_bytes, received_bytes) = (1, 2, 3, 4);
        Phase { name, start_ms, end_ms, start_height, end_height, operations, requests, sent_bytes, received_bytes }
    }

    #[test]
    fn parties_overlap_and_their_work_adds_up() {
        let first = Report { phases: vec![phase("join", (100, 200), (0, 7)), phase("sign", (200, 300), (7, 10))] };
        let second = Report { phases: vec![phase("join", (150, 260), (5, 8)), phase("sign", (260, 310), (8, 12))] };
        let shown = show(&combine(&[first, second]));
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["join", "160", "ms", "2", "4", "6", "B", "8", "B", "3"]);
        assert_eq!(lines[2], ["sign", "110", "ms", "2", "4", "6", "B", "8", "B", "5"]);
        assert_eq!(lines[3], ["all", "210", "ms", "4", "8", "12", "B", "16", "B", "7"]);
        let alone = show(&[phase("session", (0, 1), (0, 9))]);
        assert!(alone.lines().nth(1).unwrap().ends_with('-'), "{alone}");
    }
}

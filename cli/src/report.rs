//! What a computation cost: measured by each party, put together for all.

use crate::{
    command::Options,
    error::Error,
    file, network,
    output::{Output, table},
};
use clap::Args;
use client_sdk::{Client, Traffic};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use wire::limits::MAX_FILE_BYTES;

/// Most blocks that a report looks back.
const MAX_BLOCKS: usize = 1000;

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
    traffic: Traffic,
}

impl Stopwatch {
    /// Starts; `traffic` is what the party's client counts so far.
    pub(crate) fn start(traffic: Traffic) -> Self {
        Self { start_ms: now_ms(), traffic }
    }

    /// Ends the phase, and starts the next one at the same moment.
    pub(crate) fn lap(&mut self, name: &str, traffic: Traffic) -> Phase {
        let end_ms = now_ms();
        let Self { start_ms, traffic: before } = std::mem::replace(self, Self { start_ms: end_ms, traffic });
        Phase {
            name: name.to_owned(),
            start_ms,
            end_ms,
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

/// `white-city report`. With a network file it asks for the blocks, too.
pub(crate) async fn run(command: &Command, options: &Options, output: &Output) -> Result<(), Error> {
    let phases = combine(&command.reports.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?);
    let blocks = match (&options.network, phases.iter().map(|phase| phase.start_ms).min()) {
        (Some(_), Some(start_ms)) => Some(block_times(&Client::new(network::load(options)?)?, start_ms).await?),
        _ => None,
    };
    output.result(&show(&phases, blocks.as_deref()), &phases)
}

fn read(path: &Path) -> Result<Report, Error> {
    let bytes = file::read(path, MAX_FILE_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Shape {
        path: path.to_owned(),
        expected: "a report",
        reason: error.to_string(),
    })
}

/// When the blocks since `start_ms` were decided, newest first. A block's own time is that of the votes for the block before
/// it, so its successor tells; for the newest its own time must do.
async fn block_times(client: &Client, start_ms: u64) -> Result<Vec<u64>, Error> {
    let mut times = Vec::new();
    let newest = client.latest_block().await?;
    let mut decided_ms = newest.time_ms;
    for height in (0..=newest.height).rev().take(MAX_BLOCKS) {
        if decided_ms < start_ms {
            break;
        }
        times.push(decided_ms);
        if height > 0 {
            decided_ms = client.block(height, Duration::ZERO).await?.time_ms;
        }
    }
    Ok(times)
}

/// The phases of all parties together: from the first start to the last end, and the sums.
fn combine(reports: &[Report]) -> Vec<Phase> {
    let mut combined: Vec<Phase> = Vec::new();
    for phase in reports.iter().flat_map(|report| &report.phases) {
        match combined.iter_mut().find(|known| known.name == phase.name) {
            Some(known) => {
                known.start_ms = known.start_ms.min(phase.start_ms);
                known.end_ms = known.end_ms.max(phase.end_ms);
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

fn show(phases: &[Phase], blocks: Option<&[u64]>) -> String {
    let mut head = ["phase", "time", "operations", "requests", "sent", "received"].map(str::to_owned).to_vec();
    head.extend(blocks.map(|_| "blocks".to_owned()));
    let mut rows = vec![head];
    rows.extend(phases.iter().map(|phase| row(phase, blocks)));
    let same = |phase: &Phase| Phase { name: "all".to_owned(), ..phase.clone() };
    let all = Report { phases: phases.iter().map(same).collect() };
    rows.extend(combine(&[all]).iter().map(|phase| row(phase, blocks)));
    table(&rows)
}

fn row(phase: &Phase, blocks: Option<&[u64]>) -> Vec<String> {
    let mut row = vec![
        phase.name.clone(),
        format!("{} ms", phase.end_ms.saturating_sub(phase.start_ms)),
        phase.operations.to_string(),
        phase.requests.to_string(),
        format!("{} B", phase.sent_bytes),
        format!("{} B", phase.received_bytes),
    ];
    let within = |blocks: &[u64]| blocks.iter().filter(|ms| (phase.start_ms..phase.end_ms).contains(ms)).count();
    row.extend(blocks.map(|blocks| within(blocks).to_string()));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &str, start_ms: u64, end_ms: u64) -> Phase {
        let name = name.to_owned();
        Phase { name, start_ms, end_ms, operations: 1, requests: 2, sent_bytes: 3, received_bytes: 4 }
    }

    #[test]
    fn parties_overlap_and_their_work_adds_up() {
        let first = Report { phases: vec![phase("join", 100, 200), phase("sign", 200, 300)] };
        let second = Report { phases: vec![phase("join", 150, 260), phase("sign", 260, 310)] };
        let shown = show(&combine(&[first, second]), Some(&[90, 120, 255, 259, 305, 400]));
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["join", "160", "ms", "2", "4", "6", "B", "8", "B", "3"]);
        assert_eq!(lines[2], ["sign", "110", "ms", "2", "4", "6", "B", "8", "B", "3"]);
        assert_eq!(lines[3], ["all", "210", "ms", "4", "8", "12", "B", "16", "B", "4"]);
    }
}

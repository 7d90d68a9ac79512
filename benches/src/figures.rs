//! All that is measured, as it lies in JSON files.

use crate::{
    floor::Floor,
    meter::Memory,
    phase::{Phase, Work},
};
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

/// Seconds that an exchange took at a peer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// From the first write to the last read.
    pub wall: f64,
    /// Processor time of all servers.
    pub server: f64,
    /// Processor time of the parties.
    pub parties: f64,
}

/// An unsigned, unreplicated board of messages: Redis streams.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Streams {
    /// Each party adds a message to one stream and reads those of all.
    pub broadcast: Times,
    /// Each party adds a message to the stream of each other, and reads its own stream.
    pub private: Times,
}

/// What the parties did at `nodes` nodes, with what it is compared with, measured in the same minutes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// k.
    pub nodes: usize,
    /// n.
    pub parties: usize,
    /// Cores that all of it shared.
    pub cores: usize,
    /// False for a build without optimisation: its figures only show that the bench works.
    pub optimised: bool,
    /// Each kind of work once.
    pub phases: Vec<Phase>,
    /// Peaks during the run.
    pub memory: Memory,
    /// What one party read in the private round.
    pub mail: Mail,
    /// The parties' computation alone.
    pub floor: Floor,
    /// None if Redis is not installed.
    pub streams: Option<Streams>,
    /// CometBFT's own kvstore on four nodes, doing the broadcast exchange with a transaction for each message; none where that was not tried.
    pub kvstore: Option<Times>,
}

/// Bytes of one party's reads in a private round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mail {
    /// Bodies of all answers that it got for reading.
    pub read: u64,
    /// Of that, what was sealed for it: commitments and ciphertexts.
    pub own: u64,
}

/// Work of few parties, at `nodes` nodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Small {
    /// k.
    pub nodes: usize,
    /// Cores that all of it shared.
    pub cores: usize,
    /// As for a [`Run`].
    pub optimised: bool,
    /// Milliseconds from a POST to the receipt, on an idle chain.
    pub receipt: Quantiles,
    /// Milliseconds from the same POST to the answer with a certificate that covers the write.
    pub certificate: Quantiles,
    /// Milliseconds that three parties who have a key take to sign.
    pub three_sign: Quantiles,
    /// Writes that were signed before.
    pub writes: Writes,
}

/// Of many measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many.
    pub count: usize,
    /// Median.
    pub p50: f64,
    /// Nine of ten are at most this.
    pub p90: f64,
    /// 99 of 100 are.
    pub p99: f64,
}

/// A load of small writes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Writes {
    /// How many.
    pub count: usize,
    /// Operations of one request.
    pub per_request: usize,
    /// Writes a second, from the first POST until all have receipts.
    pub committed: f64,
    /// Until a certificate covers the last.
    pub certified: f64,
}

/// All figures of some files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// By n, then k.
    pub runs: Vec<Run>,
    /// By k.
    pub small: Vec<Small>,
}

impl Run {
    /// The phase with this work.
    pub fn phase(&self, work: Work) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.work == work)
    }

    /// The floor of some work in processor seconds: the protocol's computation, and with it all senders' signatures of its rounds.
    pub fn floor_of(&self, work: Work) -> Option<[f64; 2]> {
        let Floor { generation, signing, signatures, .. } = self.floor;
        match work {
            Work::Generation => Some([generation, generation + signatures]),
            Work::Signing => Some([signing, signing + 4.0 * signatures]),
            _ => None,
        }
    }
}

impl Quantiles {
    /// Of these measurements.
    ///
    /// # Panics
    /// If there are none.
    pub fn of(mut measured: Vec<f64>) -> Self {
        measured.sort_by(f64::total_cmp);
        let last = measured.len() - 1;
        let quantile = |q: usize| measured[(last * q).div_ceil(100)];
        Self { count: measured.len(), p50: quantile(50), p90: quantile(90), p99: quantile(99) }
    }
}

impl Figures {
    /// Those of a file; none if it is not there.
    ///
    /// # Errors
    /// If it cannot be read or has something else.
    pub fn read(file: &Path) -> io::Result<Self> {
        match fs::read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            text => serde_json::from_slice(&text?).map_err(io::Error::other),
        }
    }

    /// Writes them so that a file is there whole at all times.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        text.push(b'\n');
        let new = file.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, file)
    }

    /// Takes a run in, in place of an earlier one of as many parties and nodes.
    pub fn put_run(&mut self, run: Run) {
        self.runs.retain(|other| (other.parties, other.nodes) != (run.parties, run.nodes));
        self.runs.push(run);
        self.runs.sort_by_key(|run| (run.parties, run.nodes));
    }

    /// Takes measurements of few parties in, in place of earlier ones at as many nodes.
    pub fn put_small(&mut self, small: Small) {
        self.small.retain(|other| other.nodes != small.nodes);
        self.small.push(small);
        self.small.sort_by_key(|small| small.nodes);
    }

    /// Takes all of `others` in.
    pub fn put_all(&mut self, others: Self) {
        others.runs.into_iter().for_each(|run| self.put_run(run));
        others.small.into_iter().for_each(|small| self.put_small(small));
    }

    /// The run of so many parties at so many nodes.
    pub fn run(&self, nodes: usize, parties: usize) -> Option<&Run> {
        self.runs.iter().find(|run| (run.nodes, run.parties) == (nodes, parties))
    }

    /// Numbers of nodes of which there are runs.
    pub fn nodes(&self) -> Vec<usize> {
        let mut nodes: Vec<usize> = self.runs.iter().map(|run| run.nodes).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

//! What processes have used: processor time and memory, as the kernel counts them (Linux).

use procfs::process::Process;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::{fs, ops::Sub};
use white_city_tests::cluster::Cluster;

/// Processor time by kind of process, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// All `white-city-node` together.
    pub nodes: f64,
    /// All CometBFT together.
    pub comets: f64,
    /// This process: the parties.
    pub parties: f64,
}

impl Cpu {
    /// Of all processes together.
    pub fn all(&self) -> f64 {
        self.nodes + self.comets + self.parties
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            nodes: self.nodes - before.nodes,
            comets: self.comets - before.comets,
            parties: self.parties - before.parties,
        }
    }
}

/// Most memory that a process has had since [`forget_peaks`], in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Of the node that had most.
    pub node: f64,
    /// Of the CometBFT that had most.
    pub comet: f64,
    /// Of this process.
    pub parties: f64,
}

/// Processor time of this process so far, in seconds, to the microsecond; that of others is counted in ticks of 10 ms.
pub fn own_cpu() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// Processor time of all processes of a cluster, and of this one, so far.
///
/// # Panics
/// If a node does not run.
pub fn cluster_cpu(cluster: &Cluster) -> Cpu {
    Cpu { nodes: nodes(cluster).map(cpu).sum(), comets: comets(cluster).map(cpu).sum(), parties: own_cpu() }
}

/// Processor time of a process so far, in seconds.
///
/// # Panics
/// If it does not run.
pub fn cpu(pid: u32) -> f64 {
    let stat = process(pid).stat().expect("the kernel says");
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}

/// Lets the peaks of memory begin anew at what the processes have now.
///
/// # Panics
/// If a node does not run.
pub fn forget_peaks(cluster: &Cluster) {
    for pid in nodes(cluster).chain(comets(cluster)).chain([std::process::id()]) {
        // proc(5): writing 5 resets the peak of the resident set.
        fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the kernel lets us");
    }
}

/// Peaks of memory since [`forget_peaks`].
///
/// # Panics
/// If a node does not run.
pub fn memory(cluster: &Cluster) -> Memory {
    Memory {
        node: nodes(cluster).map(peak).fold(0.0, f64::max),
        comet: comets(cluster).map(peak).fold(0.0, f64::max),
        parties: peak(std::process::id()),
    }
}

/// Memory that this process has now, in MiB.
///
/// # Panics
/// If the kernel does not say.
pub fn resident() -> f64 {
    process(std::process::id()).status().expect("the kernel says").vmrss.unwrap_or_default() as f64 / 1024.0
}

/// What `work` gives, and the processor time that this process used meanwhile, in seconds.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = own_cpu();
    let result = work();
    (result, own_cpu() - before)
}

fn nodes(cluster: &Cluster) -> impl Iterator<Item = u32> {
    cluster.nodes.iter().map(|node| node.pid().expect("the node runs"))
}

fn comets(cluster: &Cluster) -> impl Iterator<Item = u32> {
    cluster.nodes.iter().map(|node| node.comet_pid().expect("its CometBFT runs"))
}

fn process(pid: u32) -> Process {
    Process::new(i32::try_from(pid).expect("a process's number")).expect("a process that runs")
}

fn peak(pid: u32) -> f64 {
    process(pid).status().expect("the kernel says").vmhwm.unwrap_or_default() as f64 / 1024.0
}

/// Bytes that have gone over the loopback interface since the machine started.
///
/// # Panics
/// If there is none.
pub fn loopback_bytes() -> u64 {
    let devices = procfs::net::dev_status().expect("the kernel says");
    devices.get("lo").expect("a loopback interface").recv_bytes
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

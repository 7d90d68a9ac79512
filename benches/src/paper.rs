//! What the paper says of its own speed. Its figures are images, of which no numbers are published: these stand in the text.

use crate::phase::Work;

/// Where the numbers below stand.
pub const SOURCE: &str = "the paper, abstract, §I and §VI-b";

/// One measurement of the paper: its parties on oversubscribed machines of 4 vCPUs, its nodes on a machine each, in one LAN; set-up not counted.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// What was done.
    pub work: Work,
    /// k.
    pub nodes: usize,
    /// n.
    pub parties: usize,
    /// Seconds.
    pub wall: f64,
}

/// "distributed key generation in less than 100 seconds and signing in approximately 450 seconds, with 512 parties"; 16 nodes.
pub const POINTS: [Point; 2] = [
    Point { work: Work::Generation, nodes: 16, parties: 512, wall: 100.0 },
    Point { work: Work::Signing, nodes: 16, parties: 512, wall: 450.0 },
];

/// "the total running time grows quadratically as a function of the number of parties".
pub const EXPONENT: f64 = 2.0;

//! What the project wants to reach on two cores, beside what a run has reached.

use crate::{
    figures::{Figures, Run},
    fit,
    phase::Work,
};

/// One wish.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What is measured.
    pub what: String,
    /// k.
    pub nodes: usize,
    /// What is wanted.
    pub wanted: Wanted,
    /// What is reached, in the same unit; none if it was not measured.
    pub ours: Option<f64>,
    /// Of both.
    pub unit: &'static str,
}

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Target {
    /// None if it was not measured.
    pub fn is_met(&self) -> Option<bool> {
        self.ours.map(|ours| match self.wanted {
            Wanted::AtMost(bound) => ours <= bound,
            Wanted::AtLeast(bound) => ours >= bound,
        })
    }
}

/// All targets, by number of nodes. Times and ratios are of the whole work: the last party is done.
pub fn all(figures: &Figures) -> Vec<Target> {
    let mut targets = Vec::new();
    for (nodes, bounds) in [(4, FOUR), (16, SIXTEEN)] {
        let at = At { figures, nodes };
        let mut add = |what: &str, bound: Option<f64>, unit, ours| {
            let wanted = bound.map(Wanted::AtMost);
            targets.extend(wanted.map(|wanted| Target { what: what.to_owned(), nodes, wanted, ours, unit }));
        };
        add(
            "64 parties, key generation and signing",
            bounds.both,
            "s",
            at.walls(64, &[Work::Generation, Work::Signing]),
        );
        add("512 parties, key generation", bounds.generation, "s", at.walls(512, &[Work::Generation]));
        add("512 parties, signing", bounds.signing, "s", at.walls(512, &[Work::Signing]));
        for work in [Work::Generation, Work::Signing] {
            let what = format!("512 parties, {work}: all CPU against the floor with senders' signatures");
            add(&what, bounds.cpu, "x", at.of(512, |run| Some(cpu_over_floor(run, work)?[1])));
        }
        let redis = |work| move |run: &Run| over_streams(run, work);
        add("512 parties, broadcast exchange against Redis", bounds.broadcast, "x", at.of(512, redis(Work::Broadcast)));
        add("512 parties, private round against Redis", bounds.private, "x", at.of(512, redis(Work::Private)));
        let small = figures.small.iter().find(|small| small.nodes == nodes);
        add("3 parties, signing, median", bounds.three_sign, "ms", small.map(|small| small.three_sign.p50));
        add(
            "idle commit with certificate, p50",
            bounds.idle.map(|idle| idle[0]),
            "ms",
            small.map(|one| one.certificate.p50),
        );
        add(
            "idle commit with certificate, p99",
            bounds.idle.map(|idle| idle[1]),
            "ms",
            small.map(|one| one.certificate.p99),
        );
        add("one party's reads in a private round, of what is allowed", Some(1.0), "x", at.mail());
        add("growth of a party's CPU, 256 to 1024 parties", Some(GROWTH), "exponent", at.growth(party_cpu));
        add(
            "growth of wall time beyond the floor, 256 to 1024 parties",
            Some(GROWTH),
            "exponent",
            at.growth(beyond_floor),
        );
        add("memory of a node, 1024 parties", bounds.memory, "MiB", at.of(1024, |run| Some(run.memory.node)));
        targets.push(Target {
            what: "small signed writes, certified".to_owned(),
            nodes,
            wanted: Wanted::AtLeast(bounds.writes),
            ours: small.map(|small| small.writes.certified),
            unit: "/s",
        });
    }
    targets
}

struct Bounds {
    both: Option<f64>,
    generation: Option<f64>,
    signing: Option<f64>,
    cpu: Option<f64>,
    broadcast: Option<f64>,
    private: Option<f64>,
    three_sign: Option<f64>,
    idle: Option<[f64; 2]>,
    memory: Option<f64>,
    writes: f64,
}

const FOUR: Bounds = Bounds {
    both: Some(2.0),
    generation: Some(8.0),
    signing: Some(20.0),
    cpu: Some(2.0),
    broadcast: Some(5.0),
    private: Some(12.0),
    three_sign: Some(300.0),
    idle: Some([35.0, 70.0]),
    memory: Some(300.0),
    writes: 5_000.0,
};
const SIXTEEN: Bounds = Bounds {
    both: Some(6.0),
    generation: Some(16.0),
    signing: Some(45.0),
    cpu: Some(4.0),
    broadcast: None,
    private: Some(40.0),
    three_sign: None,
    idle: None,
    memory: Some(300.0),
    writes: 1_000.0,
};
const GROWTH: f64 = 1.3;
/// Numbers of parties between which growth is looked at.
const GROWING: std::ops::RangeInclusive<usize> = 256..=1024;

struct At<'a> {
    figures: &'a Figures,
    nodes: usize,
}

impl At<'_> {
    fn of(&self, parties: usize, value: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        value(self.figures.run(self.nodes, parties)?)
    }

    fn walls(&self, parties: usize, works: &[Work]) -> Option<f64> {
        self.of(parties, |run| works.iter().map(|work| Some(run.phase(*work)?.wall)).sum())
    }

    /// The worst over all numbers of parties.
    fn mail(&self) -> Option<f64> {
        let runs = self.figures.runs.iter().filter(|run| run.nodes == self.nodes);
        runs.map(|run| run.mail.read as f64 / allowed_mail(run) as f64).max_by(f64::total_cmp)
    }

    /// Needs the ends of the range at least.
    fn growth(&self, value: fn(&Run) -> Option<f64>) -> Option<f64> {
        let ends = [GROWING.start(), GROWING.end()];
        ends.into_iter().all(|parties| self.figures.run(self.nodes, *parties).is_some()).then_some(())?;
        let runs = self.figures.runs.iter().filter(|run| run.nodes == self.nodes && GROWING.contains(&run.parties));
        let points: Option<Vec<_>> = runs.map(|run| Some((run.parties as f64, value(run)?))).collect();
        fit::exponent(&points?)
    }
}

/// Bytes that one party may read in a private round: its own mail, and for each of the n senders 112 bytes and a path, and 4 KiB.
pub fn allowed_mail(run: &Run) -> u64 {
    let path = u64::from(run.parties.next_power_of_two().ilog2());
    run.mail.own + run.parties as u64 * (112 + 32 * path) + 4096
}

/// All processes' time as a multiple of the floor, without and with the senders' signatures.
pub fn cpu_over_floor(run: &Run, work: Work) -> Option<[f64; 2]> {
    let cpu = run.phase(work)?.cpu.all();
    run.floor_of(work).map(|floor| floor.map(|floor| cpu / floor))
}

/// Wall time as a multiple of what Redis takes for the same exchange.
pub fn over_streams(run: &Run, work: Work) -> Option<f64> {
    let streams = run.streams?;
    let peer = match work {
        Work::Broadcast => streams.broadcast,
        Work::Private => streams.private,
        _ => return None,
    };
    Some(run.phase(work)?.wall / peer.wall)
}

/// Processor time of one party in key generation and signing.
pub fn party_cpu(run: &Run) -> Option<f64> {
    let works = [Work::Generation, Work::Signing];
    let cpu: Option<f64> = works.iter().map(|work| Some(run.phase(*work)?.cpu.parties)).sum();
    Some(cpu? / run.parties as f64)
}

/// Wall time of key generation and signing without what the floor takes on all cores; none if nothing is left.
pub fn beyond_floor(run: &Run) -> Option<f64> {
    let works = [Work::Generation, Work::Signing];
    let beyond = |work: &Work| Some(run.phase(*work)?.wall - run.floor_of(*work)?[1] / run.cores as f64);
    let sum: Option<f64> = works.iter().map(beyond).sum();
    sum.filter(|sum| *sum > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        figures::{Mail, Streams, Times},
        floor::Floor,
        meter::{Cpu, Memory},
        phase::Phase,
    };

    /// Everything takes `scale` seconds for each party, of all processes.
    fn run(parties: usize, scale: f64) -> Run {
        let seconds = parties as f64 * scale;
        let phase = |work| Phase {
            work,
            wall: seconds,
            prescribed: 0.0,
            cpu: Cpu { parties: seconds, ..Cpu::default() },
            requests: 0,
            operations: 0,
            sent: 0,
            received: 0,
            loopback: 0,
            blocks: 0,
        };
        let times = Times { wall: 0.5, server: 0.1, parties: 0.1 };
        Run {
            nodes: 4,
            parties,
            cores: 2,
            optimised: true,
            phases: Work::ALL.map(phase).into(),
            memory: Memory { node: 250.0, ..Memory::default() },
            mail: Mail { read: 1000, own: 500 },
            floor: Floor { parties, generation: 1.0, signing: 1.0, signatures: 1.0 },
            streams: Some(Streams { broadcast: times, private: times }),
            kvstore: None,
        }
    }

    fn found<'t>(targets: &'t [Target], what: &str) -> &'t Target {
        targets.iter().find(|target| target.nodes == 4 && target.what.starts_with(what)).unwrap()
    }

    #[test]
    fn a_target_is_met_or_not_or_not_measured() {
        let mut figures = Figures::default();
        figures.put_run(run(512, 0.01));
        let targets = all(&figures);
        let is_met = |what| found(&targets, what).is_met();
        assert_eq!(is_met("512 parties, key generation"), Some(true), "5.12 of 8 s");
        assert_eq!(is_met("512 parties, key generation: all CPU"), Some(false), "5.12 over 2");
        assert_eq!(found(&targets, "512 parties, broadcast").ours, Some(5.12 / 0.5));
        assert_eq!(is_met("64 parties"), None);
        assert_eq!(is_met("small signed writes"), None);
        assert_eq!(is_met("growth of a party's CPU"), None, "two ends are missing");
        assert!(targets.iter().filter(|target| target.nodes == 16).all(|target| target.is_met().is_none()));
    }

    #[test]
    fn growth_is_that_of_one_party() {
        let mut figures = Figures::default();
        for (parties, scale) in [(256, 0.01), (512, 0.02), (1024, 0.04)] {
            figures.put_run(run(parties, scale));
        }
        let targets = all(&figures);
        let cpu = found(&targets, "growth of a party's CPU");
        assert!((cpu.ours.unwrap() - 1.0).abs() < 1e-9, "{cpu:?}");
        let wall = found(&targets, "growth of wall time");
        assert!(wall.ours.unwrap() > 2.0, "the floor is taken off: {wall:?}");
    }

    #[test]
    fn a_party_may_read_its_mail_and_so_much_a_sender() {
        assert_eq!(allowed_mail(&run(512, 1.0)), 500 + 512 * (112 + 32 * 9) + 4096);
        assert_eq!(allowed_mail(&run(5, 1.0)), 500 + 5 * (112 + 32 * 3) + 4096);
    }
}

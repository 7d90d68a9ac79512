//! Figures as tables for people, in Markdown.

use crate::{
    figures::{Figures, Quantiles, Run, Small, Times},
    phase::Work,
    target::{self, Target, Wanted},
};
use std::fmt::Write;

const TAKES: &str = "a string takes all";

/// Everything that is in the figures.
pub fn of_all(figures: &Figures) -> String {
    let mut text = of_targets(&target::all(figures));
    text.push_str(&of_multiples(&figures.runs));
    figures.small.iter().for_each(|small| text.push_str(&of_small(small)));
    figures.runs.iter().for_each(|run| text.push_str(&of_run(run)));
    text
}

/// What is wanted, and what is reached.
pub fn of_targets(targets: &[Target]) -> String {
    let mut text = "\n## Targets\n\n| nodes | what | wanted | measured | met |\n|---|---|---|---|---|\n".to_owned();
    for target in targets {
        let Target { what, nodes, wanted, ours, unit } = target;
        let (sign, bound) = match wanted {
            Wanted::AtMost(bound) => ("<=", bound),
            Wanted::AtLeast(bound) => (">=", bound),
        };
        let met = match target.is_met() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        let ours = ours.map_or_else(String::new, |ours| format!("{} {unit}", short(ours)));
        writeln!(text, "| {nodes} | {what} | {sign} {bound} {unit} | {ours} | {met} |").expect(TAKES);
    }
    text
}

/// Ours as multiples of the floor and of the peers.
pub fn of_multiples(runs: &[Run]) -> String {
    let mut text = "\n## Beside the floor and the peers\n\n".to_owned();
    text.push_str("Key generation and signing: processor time of all processes over that of the bare computation, without and with the senders' signatures. Exchanges: wall time over the peer's.\n\n");
    text.push_str("| parties | nodes | key generation, floor | with signatures | signing, floor | with signatures | broadcast, Redis | broadcast, kvstore | private, Redis |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for run in runs {
        let cpu = |work: Work, which: usize| Some(target::cpu_over_floor(run, work)?[which]);
        let kvstore = || Some(run.phase(Work::Broadcast)?.wall / run.kvstore?.wall);
        let multiples = [
            cpu(Work::Generation, 0),
            cpu(Work::Generation, 1),
            cpu(Work::Signing, 0),
            cpu(Work::Signing, 1),
            target::over_streams(run, Work::Broadcast),
            kvstore(),
            target::over_streams(run, Work::Private),
        ];
        let cells: Vec<String> = multiples
            .into_iter()
            .map(|one| one.map_or_else(|| "-".to_owned(), |one| format!("{}x", short(one))))
            .collect();
        writeln!(text, "| {} | {} | {} |", run.parties, run.nodes, cells.join(" | ")).expect(TAKES);
    }
    text
}

/// What few parties took.
pub fn of_small(small: &Small) -> String {
    let mut text = format!("\n## Few parties, {} nodes\n\n", small.nodes);
    text.push_str("| what | times | p50 ms | p90 ms | p99 ms |\n|---|---|---|---|---|\n");
    for (what, quantiles) in [
        ("a write on an idle chain, POST to receipt", small.receipt),
        ("the same, POST to the answer with its certificate", small.certificate),
        ("three parties who have a key sign", small.three_sign),
    ] {
        let Quantiles { count, p50, p90, p99 } = quantiles;
        writeln!(text, "| {what} | {count} | {p50:.1} | {p90:.1} | {p99:.1} |").expect(TAKES);
    }
    let writes = &small.writes;
    let (committed, certified) = (writes.committed, writes.certified);
    writeln!(
        text,
        "\n{} small writes, {} to a request: {committed:.0} /s committed, {certified:.0} /s certified.",
        writes.count, writes.per_request
    )
    .expect(TAKES);
    text
}

/// All phases of a run, and what it is compared with.
pub fn of_run(run: &Run) -> String {
    let mut text = format!("\n## {} parties, {} nodes\n\n", run.parties, run.nodes);
    if !run.optimised {
        text.push_str("**Not an optimised build: these figures say nothing.**\n\n");
    }
    text.push_str("| phase | wall s | prescribed s | CPU s | nodes | CometBFT | parties | requests | operations | sent a party | received a party | between nodes, each, MiB | loopback MiB | blocks |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for phase in &run.phases {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let between = mib(phase.between_nodes(run.nodes, run.parties));
        let (cpu, loopback) = (&phase.cpu, mib(phase.loopback));
        writeln!(
            text,
            "| {} | {:.2} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} | {} | {} | {between:.1} | {loopback:.0} | {} |",
            phase.work,
            phase.wall,
            phase.prescribed,
            cpu.all(),
            cpu.nodes,
            cpu.comets,
            cpu.parties,
            phase.requests,
            phase.operations,
            phase.sent,
            phase.received,
            phase.blocks
        )
        .expect(TAKES);
    }
    text.push_str(&of_peers(run));
    text
}

fn of_peers(run: &Run) -> String {
    let (memory, floor, mail) = (&run.memory, &run.floor, &run.mail);
    let mut text = format!(
        "\nPeaks of memory: a node {:.0} MiB, a CometBFT {:.0} MiB, all parties {:.0} MiB. One party's reads in the private round: {} bytes, of which {} are \
         its mail; allowed are {}.\n\nThe bare computation, CPU s: key generation {:.2}, signing {:.2}, senders' signatures of one round {:.2}.\n\n",
        memory.node,
        memory.comet,
        memory.parties,
        mail.read,
        mail.own,
        target::allowed_mail(run),
        floor.generation,
        floor.signing,
        floor.signatures
    );
    let peers = [
        ("broadcast exchange, Redis", run.streams.map(|streams| streams.broadcast)),
        ("private exchange, Redis", run.streams.map(|streams| streams.private)),
        ("broadcast exchange, kvstore on 4 nodes", run.kvstore),
    ];
    text.push_str("| peer | wall s | CPU of servers s | CPU of parties s |\n|---|---|---|---|\n");
    for (what, times) in peers {
        match times {
            Some(Times { wall, server, parties }) => {
                writeln!(text, "| {what} | {wall:.3} | {server:.2} | {parties:.2} |").expect(TAKES);
            }
            None => writeln!(text, "| {what} | not measured | | |").expect(TAKES),
        }
    }
    text
}

/// About three digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

//! Figures as tables for people, in Markdown.

use crate::{floor::Floor, parties::Run};
use std::fmt::Write;

/// What the parties' computation alone takes.
pub fn of_floor(floor: &Floor) -> String {
    let Floor { parties, generation, signing, signatures } = floor;
    format!(
        "\nThe bare computation of {parties} parties, CPU s: key generation {generation:.2}, signing {signing:.2}, \
         senders' signatures of one round {signatures:.2}."
    )
}

/// All phases of a run.
pub fn of_run(run: &Run) -> String {
    let mut text = format!("\n### {} parties, {} nodes\n\n", run.parties, run.nodes);
    text.push_str("| phase | wall s | prescribed s | CPU s | nodes | CometBFT | parties | requests | operations | sent a party | received a party | loopback MiB | blocks |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for phase in &run.phases {
        let (cpu, loopback) = (&phase.cpu, phase.loopback as f64 / f64::from(1 << 20));
        writeln!(
            text,
            "| {} | {:.2} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} | {} | {} | {loopback:.0} | {} |",
            phase.name,
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
        .expect("a string takes all");
    }
    let memory = &run.memory;
    write!(
        text,
        "\nPeaks of memory: a node {:.0} MiB, a CometBFT {:.0} MiB, all parties {:.0} MiB.",
        memory.node, memory.comet, memory.parties
    )
    .expect("a string takes all");
    text
}

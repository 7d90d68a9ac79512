//! `white-city statistics`.

use crate::{
    command::Options,
    error::Error,
    join::{Party, Program},
    output::{Output, table},
};
use clap::Args;
use protocols::{Seed, statistics::Statistics};
use serde_json::json;
use wire::MailboxKind;

/// Digits after the point of mean and variance.
const DIGITS: u8 = 6;

#[derive(Args, Debug)]
pub(crate) struct Command {
    #[command(flatten)]
    party: Party,
    /// This party's number, a whole one from 0; nobody else learns it
    #[arg(long, value_name = "X")]
    value: u64,
    /// Which computation of the session this is, from 0; a number is used once, also when that attempt failed
    #[arg(long, default_value_t = 0, value_name = "E")]
    execution: u32,
}

/// `white-city statistics`.
pub(crate) async fn run(command: Command, options: &Options, output: &Output) -> Result<(), Error> {
    let Command { party, value, execution } = command;
    let program = Program { name: Some("statistics"), private: true, rounds };
    let name = format!("statistics {execution}");
    let at = party.sit_down((program, &name), None, options, output).await?;
    let (seat, program) = (at.session.seat().clone(), &at.session.spec().program);
    let run = at.execution(&name, &value.to_le_bytes(), output)?;
    let computation = Statistics::new(seat, program, execution, value, Seed::new(**run.seed()))?;
    let summary = at.run(run, computation, output).await?;
    let (mean, variance) = (summary.mean().decimal(DIGITS), summary.variance().decimal(DIGITS));
    let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let (parties, sum) = (summary.parties().to_string(), summary.sum().to_string());
    let rows = [row("parties", &parties), row("sum", &sum), row("mean", &mean), row("variance", &variance)];
    // As text, for a sum can be beyond the numbers that JSON readers hold exactly.
    let value = json!({ "parties": summary.parties(), "sum": sum, "mean": mean, "variance": variance });
    at.tracker.result(&table(&rows), &value)?;
    at.leave(&party).await
}

fn rounds(kind: MailboxKind, round: u32) -> String {
    match kind {
        MailboxKind::Private => format!("shares (private round {round})"),
        MailboxKind::Broadcast => format!("sums (round {round})"),
        MailboxKind::Keying => format!("{kind} round {round}"),
    }
}

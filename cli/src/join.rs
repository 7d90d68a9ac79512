//! `white-city join`, and how programs take their seats.

use crate::{
    command::Options,
    error::Error,
    file, identity, network,
    output::{Output, printable},
    tracker::{Rounds, Tracker},
};
use clap::Args;
use client_sdk::{Client, Error as Sdk, Session, protocol::Protocol};
use serde_json::json;
use std::path::{Path, PathBuf};
use wire::MailboxKind;

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// The invitation to the session
    invitation: PathBuf,
}

/// `white-city join`.
pub(crate) async fn run(command: Command, options: &Options, output: &Output) -> Result<(), Error> {
    let program = Program { name: None, private: true, rounds };
    let table = Table::sit_down(&command.invitation, program, options, output).await?;
    let session = &table.session;
    let (seat, phase) = (session.seat(), session.record().await?.phase);
    table.tracker.finish();
    let text = format!(
        "session  {}\nparty    {} of {}\nphase    {}\nabsent   {:?}",
        seat.session,
        seat.index,
        seat.parties,
        crate::record::phase(phase),
        session.absent()
    );
    let value = json!({
        "session": seat.session, "index": seat.index, "parties": seat.parties, "phase": phase, "absent": session.absent(),
    });
    output.result(&text, &value)
}

fn rounds(kind: MailboxKind, round: u32) -> String {
    format!("{kind} round {round}")
}

/// The options of every program.
#[derive(Args, Debug)]
pub(crate) struct Party {
    /// The invitation to the session
    pub(crate) invitation: PathBuf,
    /// Say at the end that you need the session no more, and wait until all parties have
    #[arg(long)]
    end: bool,
    /// Where to write what it cost: times, operations, bytes
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What a command knows of the program that it runs.
pub(crate) struct Program {
    /// The name that the session's specification must give, with version 1; none for whatever it is.
    pub(crate) name: Option<&'static str>,
    /// True if it sends private messages.
    pub(crate) private: bool,
    /// What its rounds are called.
    pub(crate) rounds: Rounds,
}

/// A party at work in a session.
pub(crate) struct Table {
    /// Its seat.
    pub session: Session,
    /// Who watches it.
    pub tracker: Tracker,
}

impl Table {
    /// Takes the seat of the options' identity and makes the handshake, if the session is for this program. One without private
    /// messages can also go on after a handshake that another process has made.
    pub(crate) async fn sit_down(
        invitation: &Path,
        program: Program,
        options: &Options,
        output: &Output,
    ) -> Result<Self, Error> {
        let network = network::load(options)?;
        let id = network::invited(&network, invitation)?;
        let identity = identity::load(options)?;
        let (client, tracker) = Tracker::follow(Client::new(network)?, program.rounds, output);
        if let Some(wanted) = program.name {
            let agreed = client.session(&id).await?.spec.program;
            if (agreed.name.as_str(), agreed.version.as_str()) != (wanted, "1") {
                let agreed = printable(&format!("{} {}", agreed.name, agreed.version));
                return Err(Error::OtherProgram { agreed, wanted });
            }
        }
        let waiting = client_sdk::Options { wait: options.timeout };
        let session = match Session::join(&client, &identity, &id, waiting).await {
            Err(Sdk::KeysLost { .. }) if !program.private => Session::attach(&client, &identity, &id, waiting).await,
            other => other,
        };
        Ok(Self { session: session?, tracker })
    }

    /// Runs a program. If it gives up, tells the other parties why, for they would wait in vain.
    pub(crate) async fn run<P: Protocol>(&self, program: P, output: &Output) -> Result<P::Output, Error> {
        match self.session.run(program).await {
            Err(Sdk::Aborted { source }) => {
                if let Err(error) = self.session.abort(&source.to_string()).await {
                    output.warn(&format!("the other parties could not be told: {error}"));
                }
                Err(Sdk::Aborted { source }.into())
            }
            other => Ok(other?),
        }
    }

    /// Ends the party's part as it wants it: says that it is done, waits for the session's end and acknowledges it; writes the report.
    pub(crate) async fn leave(self, party: &Party) -> Result<(), Error> {
        if party.end {
            self.session.leave().await?;
        }
        self.tracker.finish();
        match &party.report {
            Some(path) => file::write_json(path, &self.tracker.report()),
            None => Ok(()),
        }
    }
}

//! `white-city join`, and how programs take their seats.

use crate::{
    command::Options,
    error::Error,
    file, identity, network,
    output::{Output, printable},
    resume,
    tracker::{Rounds, Tracker},
};
use clap::Args;
use client_sdk::{Client, Error as Sdk, Execution, Identity, Session, protocol::Protocol};
use serde_json::json;
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};
use wire::{ChainId, MailboxKind, SessionId};

/// Where what must survive a restart is kept, if --state does not say it: beside the identity.
const STATE: &str = "white-city-state";

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// The invitation to the session: its file, or the string that begins with whitecity:
    invitation: String,
    #[command(flatten)]
    seat: Seat,
}

/// Where a party's state is.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// Where to keep what is needed after a restart, encrypted under your identity: the channels' secrets, work that is done, and the
    /// journal of your part in each program. Whatever happens, run the same command again with the same directory, or `white-city resume`: it
    /// goes on [default: white-city-state beside the identity]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Place {
    /// For the SDK. Where a command was found that runs again is where its state is, whatever it says.
    pub(crate) fn options(&self, options: &Options) -> Result<client_sdk::Options, Error> {
        let state = match options.state.as_ref().or(self.state.as_ref()) {
            Some(folder) => folder.clone(),
            None => identity::path(options)?.with_file_name(STATE),
        };
        Ok(client_sdk::Options { wait: options.timeout, state: Some(state), ..client_sdk::Options::default() })
    }
}

/// How a seat is taken.
#[derive(Args, Debug)]
struct Seat {
    #[command(flatten)]
    place: Place,
    /// Solve an open session's proof of work on so many threads [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Try also if this device seems too slow to solve in time
    #[arg(long)]
    even_if_slow: bool,
}

impl Seat {
    /// For the SDK. `keep_keys`: also after the session's end.
    fn options(&self, options: &Options, keep_keys: bool) -> Result<client_sdk::Options, Error> {
        let (threads, even_if_slow) = (self.threads, self.even_if_slow);
        Ok(client_sdk::Options { threads, even_if_slow, keep_keys, ..self.place.options(options)? })
    }
}

/// `white-city join`.
pub(crate) async fn run(command: Command, options: &Options, output: &Output) -> Result<(), Error> {
    let program = Program { name: None, private: true, rounds };
    let how = command.seat.options(options, false)?;
    let table = Table::sit_down(&command.invitation, how, (program, "join"), None, options, output).await?;
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
    table.rise()?;
    output.result(&text, &value)
}

fn rounds(kind: MailboxKind, round: u32) -> String {
    format!("{kind} round {round}")
}

/// The options of every program.
#[derive(Args, Debug)]
pub(crate) struct Party {
    /// The invitation to the session: its file, or the string that begins with whitecity:
    pub(crate) invitation: String,
    #[command(flatten)]
    seat: Seat,
    /// Say at the end that you need the session no more, and wait until all parties have
    #[arg(long)]
    end: bool,
    /// Keep the channels' secrets after the end, for sessions of this one's group that are to follow, until `white-city forget`
    #[arg(long)]
    keep_keys: bool,
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
    task: Task,
}

/// The command that is kept for `white-city resume` until it is done.
struct Task {
    chain: ChainId,
    identity: Identity,
    session: SessionId,
    how: client_sdk::Options,
    name: String,
}

impl Task {
    fn begin(&self, options: &Options) -> Result<(), Error> {
        let Some(task) = resume::task(options) else { return Ok(()) };
        let task = (self.name.as_str(), task.as_slice());
        Ok(Session::begin_task(&self.chain, &self.identity, &self.session, &self.how, task)?)
    }

    fn end(&self) -> Result<(), Error> {
        Ok(Session::end_task(&self.chain, &self.identity, &self.session, &self.how, &self.name)?)
    }

    /// After an error with which the party is out of the session for good, there is nothing to go on with.
    fn end_if_lost(&self, error: &Sdk) -> Result<(), Error> {
        match error {
            Sdk::NotAParty { .. } | Sdk::NotAdmitted { .. } | Sdk::Absent { .. } | Sdk::SessionEnded { .. } => {
                self.end()
            }
            _ => Ok(()),
        }
    }
}

impl Party {
    /// Takes the party's seat, as [`Table::sit_down`], for the task of a name. Nothing may be at `result` yet, unless this party has begun before and
    /// may have left it there.
    pub(crate) async fn sit_down(
        &self,
        program: (Program, &str),
        result: Option<&Path>,
        options: &Options,
        output: &Output,
    ) -> Result<Table, Error> {
        let how = self.seat.options(options, self.keep_keys)?;
        Table::sit_down(&self.invitation, how, program, result, options, output).await
    }
}

impl Table {
    /// Takes the seat of the options' identity, after registering if the session is open to strangers, and makes the handshake, if the
    /// session is for this program. One without private messages can also go on after a handshake whose secrets are lost.
    async fn sit_down(
        invitation: &str,
        how: client_sdk::Options,
        (program, name): (Program, &str),
        result: Option<&Path>,
        options: &Options,
        output: &Output,
    ) -> Result<Self, Error> {
        let (network, id) = network::enter(invitation, options, output).await?;
        let identity = identity::load(options)?;
        if !Session::has_begun(&network.chain, &identity, &id, &how)? {
            result.map_or(Ok(()), file::check_free)?;
        }
        let (client, tracker) = Tracker::follow(Client::new(network)?, program.rounds, output);
        how.state.as_deref().map_or(Ok(()), |folder| client.remember(folder))?;
        if let Some(wanted) = program.name {
            let agreed = client.session(&id).await?.spec.program;
            if (agreed.name.as_str(), agreed.version.as_str()) != (wanted, "1") {
                let agreed = printable(&format!("{} {}", agreed.name, agreed.version));
                return Err(Error::OtherProgram { agreed, wanted });
            }
        }
        let (chain, name) = (client.network().chain.clone(), name.to_owned());
        let task = Task { chain, identity: identity.clone(), session: id, how: how.clone(), name };
        task.begin(options)?;
        let session = match Session::join(&client, &identity, &id, how.clone()).await {
            Err(Sdk::KeysLost { .. }) if !program.private => Session::attach(&client, &identity, &id, how).await,
            other => other,
        };
        match session {
            Ok(session) => Ok(Self { session, tracker, task }),
            Err(error) => {
                task.end_if_lost(&error)?;
                Err(error.into())
            }
        }
    }

    /// Begins an execution, or goes on with one that was begun before.
    pub(crate) fn execution(&self, name: &str, input: &[u8], output: &Output) -> Result<Execution<'_>, Error> {
        let execution = self.session.execution(name, input)?;
        if execution.is_resumed() {
            output.note(&format!("going on with what was begun before ({name})"));
        }
        Ok(execution)
    }

    /// Runs an execution's program. If it gives up, tells the other parties why, for they would wait in vain; then there is nothing to go on with.
    pub(crate) async fn run<P: Protocol>(
        &self,
        execution: Execution<'_>,
        program: P,
        output: &Output,
    ) -> Result<P::Output, Error> {
        match execution.run(program).await {
            Err(because @ (Sdk::Aborted { .. } | Sdk::SessionEnded { .. })) => {
                if let Err(error) = self.session.give_up(&because).await {
                    output.warn(&format!("the other parties could not be told, or the end not acknowledged: {error}"));
                }
                self.session.finish_task(&self.task.name)?;
                Err(because.into())
            }
            other => Ok(other?),
        }
    }

    /// Ends the party's part as it wants it: says that it is done, waits for the session's end and acknowledges it; writes the report.
    pub(crate) async fn leave(self, party: &Party) -> Result<(), Error> {
        let Self { session, tracker, task } = self;
        if party.end {
            session.leave().await?;
        } else {
            drop(session);
        }
        task.end()?;
        tracker.finish();
        match &party.report {
            Some(path) => file::write_json(path, &tracker.report()),
            None => Ok(()),
        }
    }

    /// Leaves the session as it is; the task is done.
    fn rise(self) -> Result<(), Error> {
        let Self { session, task, .. } = self;
        drop(session);
        task.end()
    }
}

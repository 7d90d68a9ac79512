//! `white-city session`.

use crate::{
    command::Options,
    error::Error,
    file, identity, invite, network,
    output::{Output, printable, table},
    record::{self, Shown},
    report::{Report, Stopwatch},
    specification::{Parent, Specification},
    write,
};
use clap::{Args, Subcommand};
use client_sdk::Client;
use rand_core::{OsRng, RngCore};
use serde_json::json;
use std::{path::PathBuf, time::Duration};
use wire::{
    Bytes, Envelope, Hash, NetworkFile, Operation, Phase, SessionId, SessionRecord, api::SessionSummary,
    limits::MAX_REASON_BYTES,
};

/// Sessions in one page of the list.
const PAGE: u32 = 100;
/// Pause between two looks at a session that is watched.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a session, write the invitation that its parties need, and show it as one string
    Create(Box<Create>),
    /// Show a session
    Show(Named),
    /// Print the invitation to a session as one string, from which people join without any file: `white-city join STRING`
    Invite(Invite),
    /// List the sessions that a node knows, in order of creation
    List,
    /// Show a session's changes as they come, until it has ended
    Watch(Named),
    /// Say that you have your output and need the session no more
    Terminate(Named),
    /// Give up, and say why
    Abort(Abort),
    /// Say that you have read the ended session, so that its messages can be erased; secrets on this device go by `white-city forget`
    Ack(Named),
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    #[command(flatten)]
    specification: Specification,
    /// Where to write the invitation
    #[arg(long, short, default_value = "invitation.json", value_name = "FILE")]
    output: PathBuf,
    /// Tells sessions of one specification and creator apart [default: random]
    #[arg(long, value_name = "HEX")]
    nonce: Option<Hash>,
    /// Print the signed operation instead of sending it, as `curl -d @-` takes it
    #[arg(long, conflicts_with = "report")]
    print: bool,
    /// Where to write what it cost: time, operations, bytes
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Named {
    /// The session's id, or an invitation to it: a file, or the string that begins with whitecity:
    session: String,
}

#[derive(Args, Debug)]
pub(crate) struct Invite {
    #[command(flatten)]
    named: Named,
    /// Draw it as a QR code, too, for a phone's camera
    #[arg(long)]
    qr: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Abort {
    #[command(flatten)]
    named: Named,
    /// Why, for the other parties: at most 256 bytes
    #[arg(long, default_value = "")]
    reason: String,
}

/// `white-city session`.
pub(crate) async fn run(command: Command, options: &Options, output: &Output) -> Result<(), Error> {
    match command {
        Command::Create(command) => create(*command, options, output).await,
        Command::List => list(options, output).await,
        Command::Show(named) => {
            let (client, session) = named.find(options, output).await?;
            let shown = Shown::load(&client, session).await?;
            output.result(&shown.text(), &shown.value())
        }
        Command::Invite(command) => {
            let (client, session) = command.named.find(options, output).await?;
            invite::show(&client.invite(session), command.qr, output)
        }
        Command::Watch(named) => watch(&named, options, output).await,
        Command::Terminate(named) => {
            let (client, session) = named.find(options, output).await?;
            vote(&client, Operation::Terminate { session }, options, output).await
        }
        Command::Abort(abort) => {
            if abort.reason.len() > MAX_REASON_BYTES {
                return Err(Error::Usage { reason: format!("--reason is longer than {MAX_REASON_BYTES} bytes") });
            }
            let (client, session) = abort.named.find(options, output).await?;
            vote(&client, Operation::Abort { session, reason: abort.reason }, options, output).await
        }
        Command::Ack(named) => {
            let (client, session) = named.find(options, output).await?;
            client.session(&session).await?;
            let read = client.latest_block().await?;
            let ack = Operation::Ack { session, height: read.height, root: read.root };
            vote(&client, ack, options, output).await
        }
    }
}

impl Named {
    async fn find(&self, options: &Options, output: &Output) -> Result<(Client, SessionId), Error> {
        let (network, session) = network::named(&self.session, options, output).await?;
        Ok((Client::new(network)?, session))
    }
}

async fn create(command: Create, options: &Options, output: &Output) -> Result<(), Error> {
    let network = network::load(options)?;
    let identity = identity::load(options)?;
    let parent = match &command.specification.group {
        Some(parent) => Some(parent_of(&network, parent).await?),
        None => None,
    };
    let (spec, bound) = command.specification.build(parent.as_ref())?;
    bound.iter().for_each(|bound| output.note(&bound.describe()));
    let nonce = command.nonce.unwrap_or_else(random);
    let session = spec.session_id(&network.chain, &identity.public(), &nonce);
    let invitation = client_sdk::network::invite(&network, session);
    let operation = Operation::CreateSession { spec: Box::new(spec), nonce };
    let envelope = identity.envelope(&network.chain, operation, Bytes::default(), OsRng);
    if command.print {
        file::write_json(&command.output, &invitation)?;
        output.note(&format!("session {session} once this is sent; invitation in {}", command.output.display()));
        return write::print(envelope, output);
    }
    let client = Client::new(network)?;
    let mut stopwatch = Stopwatch::start(&client);
    submit(&client, &envelope, options).await?;
    file::write_json(&command.output, &invitation)?;
    if let Some(path) = &command.report {
        file::write_json(path, &Report { phases: vec![stopwatch.lap("session", &client)] })?;
    }
    output.note(&format!("invitation in {}; all that a party needs is this string:", command.output.display()));
    output.note(&invitation.to_string());
    let identities = bound.map(|bound| bound.identities);
    output.result(
        &session.to_string(),
        &json!({ "session": session, "invitation": command.output, "invite": invitation.to_string(), "identities": identities }),
    )
}

/// The session that a group's session is created for.
async fn parent_of(network: &NetworkFile, named: &str) -> Result<Parent, Error> {
    let session = network::named_in(network, named)?;
    let record = Client::new(network.clone())?.session(&session).await?;
    Ok(Parent { session, record })
}

async fn list(options: &Options, output: &Output) -> Result<(), Error> {
    let client = Client::new(network::load(options)?)?;
    let mut sessions: Vec<SessionSummary> = Vec::new();
    let mut cursor = None;
    loop {
        let page = client.sessions(cursor.as_deref(), PAGE).await?;
        let grown = !page.sessions.is_empty();
        sessions.extend(page.sessions);
        match page.next {
            // A node that gives cursors without sessions would be asked for ever.
            Some(next) if grown => cursor = Some(next),
            _ => break,
        }
    }
    let mut rows = vec![["session", "phase", "parties", "program", "title"].map(str::to_owned).to_vec()];
    rows.extend(sessions.iter().map(|session| {
        let phase = record::phase(session.phase).to_owned();
        let (program, title) = (printable(&session.program), printable(&session.title));
        vec![session.session.to_string(), phase, session.parties.to_string(), program, title]
    }));
    output.result(&table(&rows), &sessions)
}

async fn watch(named: &Named, options: &Options, output: &Output) -> Result<(), Error> {
    let (client, session) = named.find(options, output).await?;
    let mut known: Option<SessionRecord> = None;
    loop {
        let record = client.session(&session).await?;
        if known.as_ref() != Some(&record) {
            let changes = match &known {
                None => Shown::load(&client, session).await?.text(),
                Some(known) => record::changes(known, &record).join("\n"),
            };
            output.result(&changes, &record::value(&session, &record))?;
        }
        if record.phase >= Phase::Ended {
            return Ok(());
        }
        known = Some(record);
        tokio::time::sleep(LOOK).await;
    }
}

async fn vote(client: &Client, operation: Operation, options: &Options, output: &Output) -> Result<(), Error> {
    let envelope = identity::load(options)?.envelope(&client.network().chain, operation, Bytes::default(), OsRng);
    submit(client, &envelope, options).await?;
    output.result("done: it is on the board", &json!({ "operation": envelope.id() }))
}

async fn submit(client: &Client, envelope: &Envelope, options: &Options) -> Result<(), Error> {
    Ok(client.submit(envelope, options.patience()).await?)
}

fn random() -> Hash {
    let mut nonce = Hash([0; 32]);
    OsRng.fill_bytes(&mut nonce.0);
    nonce
}

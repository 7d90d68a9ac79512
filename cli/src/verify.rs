//! `white-city verify`: what a saved answer proves, checked offline.

use crate::{
    command::Options,
    error::Error,
    file, network,
    output::{Output, printable},
};
use clap::{Args, ValueEnum};
use client_sdk::{
    BadAnswer, Board, PartyKeys, Verifier,
    list::{check_final, check_parties, named},
    mailbox::{Slot, check_entries},
};
use rand_core::OsRng;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};
use wire::{
    Body, Certificate, Certified, EndorsedKeyRecord, Hash, ListFact, ListKind, MailboxFact, MailboxKind,
    NetworkParameters, NoSession, PartiesFact, PublicKey, SessionFact, SessionId, api::Problem, limits::MAX_FILE_BYTES,
};

/// A page of a mailbox may hold 4 MiB of payload, which JSON doubles.
const MAX_ANSWER_BYTES: u64 = 8 * MAX_FILE_BYTES;

/// Milliseconds from 1970 to the year 10000.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

#[derive(Args, Debug)]
pub(crate) struct Command {
    /// The answer, as JSON; - for the standard input
    #[arg(value_name = "ANSWER.json")]
    answer: PathBuf,
    /// The saved answer of /v1/keys, if the network file has not the keys
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The saved answer about the session of a mailbox: then the senders' signatures are checked, too, and private messages' paths; or about
    /// that of a list of parties: then it is checked to be the session's, and in the order that its challenge gives
    #[arg(long, value_name = "FILE")]
    session: Option<PathBuf>,
    /// With --session, the saved answer about its parties, if the session itself does not name them
    #[arg(long, value_name = "FILE", requires = "session")]
    parties: Option<PathBuf>,
    /// Of which kind the answer is, if that is to be checked, too
    #[arg(long)]
    kind: Option<Kind>,
}

/// Kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Certificate,
    Network,
    Session,
    NoSession,
    Parties,
    Registrants,
    Solvers,
    Mailbox,
}

impl Kind {
    /// As --kind has it.
    fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Network => "network",
            Self::Session => "session",
            Self::NoSession => "no-session",
            Self::Parties => "parties",
            Self::Registrants => "registrants",
            Self::Solvers => "solvers",
            Self::Mailbox => "mailbox",
        }
    }
}

/// A saved answer.
enum Answer {
    Certificate(Certificate),
    Network(Box<Certified<NetworkParameters>>),
    Session(Box<Certified<SessionFact>>),
    NoSession(Certified<NoSession>),
    Parties(Certified<PartiesFact>),
    List(Box<Certified<ListFact>>),
    Mailbox(Box<Certified<MailboxFact>>),
}

/// `white-city verify`.
pub(crate) fn run(command: &Command, options: &Options, output: &Output) -> Result<(), Error> {
    let file = network::load(options)?;
    let mut verifier = Verifier::new(&file)?;
    if let Some(path) = &command.keys {
        let keys: Vec<EndorsedKeyRecord> = parse(path, "the answer of /v1/keys", load(path)?)?;
        keys.iter().try_for_each(|key| verifier.learn(key))?;
    }
    let answer = Answer::recognise(&command.answer, load(&command.answer)?)?;
    if command.kind.is_some_and(|kind| kind != answer.kind()) {
        let found = format!("the answer is about {}, not what --kind says", answer.kind().name());
        return Err(Error::Usage { reason: found });
    }
    let session = match &command.session {
        Some(path) => Some(Known::load(path, command.parties.as_deref(), &mut verifier)?),
        None => None,
    };
    let board = verifier.check_certificate(answer.certificate(), 0)?;
    let what = answer.check(&board, &verifier, session.as_ref())?;
    let at = board.at();
    let text = format!("proved: at height {} of chain {}, {}, {what}", at.height, file.chain, time(at.time_ms));
    let value = json!({ "proved": answer.kind().name(), "chain": file.chain, "at": at, "epoch": answer.certificate().epoch, "says": what });
    output.result(&text, &value)
}

/// A block's time. Years of five digits have no common form.
fn time(time_ms: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(time_ms);
    if time_ms < YEAR_10000_MS { humantime::format_rfc3339_millis(time).to_string() } else { format!("{time_ms} ms") }
}

/// The session that is to be believed beside a mailbox or a list, with its parties if they are known.
struct Known {
    fact: SessionFact,
    parties: Option<PartyKeys>,
}

impl Known {
    fn load(path: &Path, parties: Option<&Path>, verifier: &mut Verifier) -> Result<Self, Error> {
        let answer: Certified<SessionFact> = parse(path, "a session's answer", load(path)?)?;
        let fact = &answer.fact;
        verifier.check_certificate(&answer.certificate, 0)?.session(&fact.session, &answer)?;
        let mut known = named(&fact.record).map(<[PublicKey]>::to_vec).map(PartyKeys::from);
        if let Some(path) = parties {
            let list: Certified<PartiesFact> = parse(path, "the answer about a session's parties", load(path)?)?;
            verifier.check_certificate(&list.certificate, 0)?.parties(&fact.session, &list)?;
            check_parties(&fact.record, &list.fact.parties)?;
            known = Some(list.fact.parties.into());
        }
        Ok(Self { fact: answer.fact, parties: known })
    }

    fn about(&self, session: &SessionId) -> Result<&SessionFact, BadAnswer> {
        let about = BadAnswer::AboutSomethingElse { what: "session" };
        if self.fact.session == *session { Ok(&self.fact) } else { Err(about) }
    }
}

/// c, if an open session has it: the nodes' joint signature is checked.
fn challenge(verifier: &Verifier, fact: &SessionFact) -> Result<Option<Hash>, BadAnswer> {
    let drawn = fact.record.registration.and_then(|state| Some((state.epoch, state.challenge?)));
    drawn.map(|(epoch, signature)| verifier.check_challenge(&fact.session, epoch, &signature)).transpose()
}

fn load(path: &Path) -> Result<Value, Error> {
    parse_text(path, &file::read(path, MAX_ANSWER_BYTES)?)
}

fn parse_text(path: &Path, bytes: &[u8]) -> Result<Value, Error> {
    let shape = |error: serde_json::Error| shape(path, "a node's answer in JSON", error.to_string());
    serde_json::from_slice(bytes).map_err(shape)
}

fn parse<T: DeserializeOwned>(path: &Path, expected: &'static str, value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| shape(path, expected, error.to_string()))
}

fn shape(path: &Path, expected: &'static str, reason: String) -> Error {
    Error::Shape { path: path.to_owned(), expected, reason }
}

impl Answer {
    /// By its fields, for every fact has others.
    fn recognise(path: &Path, value: Value) -> Result<Self, Error> {
        if let Ok(Problem { absence: Some(absence), .. }) = Problem::deserialize(&value) {
            return Ok(Self::NoSession(*absence));
        }
        if value.get("certificate").is_none() {
            let expected = "an answer with its proof: ask for it with ?proof=true";
            return Ok(Self::Certificate(parse(path, expected, value)?));
        }
        let has = |field: &str| value.get("fact").is_some_and(|fact| fact.get(field).is_some());
        Ok(match () {
            () if has("list") => Self::List(parse(path, "the answer about a list", value)?),
            () if has("mailbox") => Self::Mailbox(parse(path, "a mailbox's answer", value)?),
            () if has("record") => Self::Session(parse(path, "a session's answer", value)?),
            () if has("parties") => Self::Parties(parse(path, "the answer about a session's parties", value)?),
            () if has("session") => Self::NoSession(parse(path, "the answer about a session", value)?),
            () => Self::Network(parse(path, "the answer of /v1/network", value)?),
        })
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Certificate(_) => Kind::Certificate,
            Self::Network(_) => Kind::Network,
            Self::Session(_) => Kind::Session,
            Self::NoSession(_) => Kind::NoSession,
            Self::Parties(_) => Kind::Parties,
            Self::List(answer) => match answer.fact.list {
                ListKind::Registrants => Kind::Registrants,
                ListKind::Solvers => Kind::Solvers,
            },
            Self::Mailbox(_) => Kind::Mailbox,
        }
    }

    fn certificate(&self) -> &Certificate {
        match self {
            Self::Certificate(certificate) => certificate,
            Self::Network(answer) => &answer.certificate,
            Self::Session(answer) => &answer.certificate,
            Self::NoSession(answer) => &answer.certificate,
            Self::Parties(answer) => &answer.certificate,
            Self::List(answer) => &answer.certificate,
            Self::Mailbox(answer) => &answer.certificate,
        }
    }

    /// What is proved, for people.
    fn check(&self, board: &Board, verifier: &Verifier, known: Option<&Known>) -> Result<String, Error> {
        Ok(match self {
            Self::Certificate(certificate) => format!("the board's root was {}", certificate.at.root),
            Self::Network(answer) => {
                board.parameters(answer)?;
                format!("the network had {} nodes, with the parameters of this genesis", answer.fact.nodes.len())
            }
            Self::Session(answer) => {
                let SessionFact { session, record } = &answer.fact;
                board.session(session, answer)?;
                let (phase, title) = (crate::record::phase(record.phase), printable(&record.spec.title));
                let drawn = match challenge(verifier, &answer.fact)? {
                    Some(challenge) => format!(", under the nodes' challenge {challenge}"),
                    None => String::new(),
                };
                format!("session {session} ({title}) was {phase} with {} parties{drawn}", record.parties)
            }
            Self::NoSession(answer) => {
                board.no_session(&answer.fact.session, answer)?;
                format!("there was no session {}", answer.fact.session)
            }
            Self::Parties(answer) => {
                let PartiesFact { session, parties } = &answer.fact;
                board.parties(session, answer)?;
                let mut order = "";
                if let Some(known) = known {
                    let fact = known.about(session)?;
                    check_parties(&fact.record, parties)?;
                    if let Some(challenge) = challenge(verifier, fact)? {
                        check_final(&challenge, parties, parties)?;
                        order = ", in the order that the nodes' challenge gives";
                    }
                }
                format!("session {session} had these {} parties{order}", parties.len())
            }
            Self::List(answer) => {
                board.whole_list(answer)?;
                let ListFact { session, list, head, from, .. } = &answer.fact;
                match (head.count, from) {
                    (0, _) => format!("session {session} had no {list}"),
                    (count, 0) => format!("session {session} had exactly these {count} {list}"),
                    (count, from) => {
                        format!("session {session} had {count} {list}, of which these are all from {from} on")
                    }
                }
            }
            Self::Mailbox(answer) => check_mailbox(board, answer, known)?,
        })
    }
}

fn check_mailbox(board: &Board, answer: &Certified<MailboxFact>, known: Option<&Known>) -> Result<String, Error> {
    let page = &answer.fact;
    board.page(answer)?;
    let with_bodies = page.entries.iter().any(|entry| entry.body != Body::Omitted);
    let how = match known {
        Some(known) => {
            known.about(&page.mailbox.session)?;
            let unnamed = "the session does not name its parties: --parties must, from /v1/sessions/ID/parties";
            let keys = known.parties.as_ref().ok_or_else(|| Error::Usage { reason: unnamed.to_owned() })?;
            let slot = Slot { chain: board.chain(), mailbox: page.mailbox, keys, recipient: page.recipient };
            if with_bodies {
                check_entries(&slot, &page.entries, OsRng)?;
            }
            if with_bodies { "signed by their senders" } else { "shown without their messages" }
        }
        None if with_bodies => {
            check_payloads(page)?;
            "which the board took as signed by their senders (--session checks that)"
        }
        None => "shown without their messages",
    };
    let wire::MailboxId { session, kind, round } = page.mailbox;
    let (shown, count) = (page.entries.len(), page.head.count);
    let part = match usize::try_from(count) {
        Ok(0) => return Ok(format!("nobody had written to {kind} round {round} of session {session}")),
        Ok(all) if all == shown => format!("exactly these {count} entries"),
        _ => format!(
            "{count} entries, of which these are {} to {}",
            page.from,
            page.from.saturating_add(u32::try_from(shown).unwrap_or(u32::MAX)).saturating_sub(1)
        ),
    };
    Ok(format!("{kind} round {round} of session {session} had {part}, {how}"))
}

/// What can be checked of payloads without the list of parties: that of a private message nothing can.
fn check_payloads(page: &MailboxFact) -> Result<(), Error> {
    if page.mailbox.kind == MailboxKind::Private {
        let reason = "a private mailbox needs --session, the saved answer about its session".to_owned();
        return Err(Error::Usage { reason });
    }
    let wrong = page.entries.iter().find(|entry| match &entry.body {
        Body::Message { payload } => wire::message_digest(&payload.0) != entry.digest,
        Body::Omitted | Body::Private { .. } => true,
    });
    match wrong {
        Some(entry) => Err(BadAnswer::WrongPayload { sender: entry.sender }.into()),
        None => Ok(()),
    }
}

//! What a client believes and what it does not: answers with their proofs, under real keys, and the verdict on each.

mod lies;
mod strangers;

use crate::{
    certifying::{Facts, Signers},
    samples::{chain, keypair, network_file},
};
use client_sdk::{
    BadAnswer, Verifier,
    list::{check_final, check_parties},
    mailbox::{Position, Slot, check_entries},
};
use rand_core::OsRng;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use wire::{
    BoardAt, Certificate, Certified, EndorsedKeyRecord, Hash, ListHead, ListKind, MailboxHead, MailboxId, NetworkFile,
    PartiesFact, PublicKey, SessionId, SessionRecord,
};

/// What was asked of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum Question {
    /// Key records.
    Keys,
    /// The newest certificate.
    Certificate,
    /// The network's parameters.
    Network,
    /// A session's record.
    Session {
        /// Which.
        session: SessionId,
    },
    /// The same of one that the node says not to exist.
    NoSession {
        /// Which.
        session: SessionId,
    },
    /// A session's list.
    Parties {
        /// Which.
        session: SessionId,
    },
    /// A page of a mailbox.
    Mailbox {
        /// Which.
        mailbox: MailboxId,
        /// For whom.
        recipient: Option<u16>,
        /// The parties' keys.
        parties: Vec<PublicKey>,
        /// What the reader has read of it.
        held: MailboxHead,
        /// From whom.
        senders: BTreeSet<u16>,
    },
    /// A list of an open session, from what the reader holds on.
    List {
        /// Which session.
        session: SessionId,
        /// Which list.
        list: ListKind,
        /// What the reader has read of it.
        held: ListHead,
    },
    /// The final list of an open session, by a reader who believes its record and knows who has solved.
    Final {
        /// Which.
        session: SessionId,
        /// Its record.
        record: Box<SessionRecord>,
        /// Who has solved, in consensus order.
        solvers: Vec<PublicKey>,
    },
    /// The entry of an operation.
    Written {
        /// Where.
        mailbox: MailboxId,
        /// By whom.
        sender: u16,
        /// What.
        digest: Hash,
    },
}

/// A question, the answer, and what a client makes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// What is true or false here.
    pub name: String,
    /// So many epochs of the file's keys the client has learnt.
    pub epochs: usize,
    /// The greatest certified height that it knows.
    pub since: u64,
    /// What it has asked.
    pub question: Question,
    /// What it got, as JSON.
    pub answer: Value,
    /// `believed`, or the name of what is wrong.
    pub verdict: String,
}

/// What all answers are checked with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The network file, made before there was a key.
    pub network: NetworkFile,
    /// Its key records.
    pub keys: Vec<EndorsedKeyRecord>,
}

/// The first height of each epoch.
pub(crate) const EPOCHS: [u64; 2] = [5, 40];
/// The height of most answers.
pub(crate) const HEIGHT: u64 = 17;

/// What all answers are checked with.
pub fn setting() -> Setting {
    Setting { network: network_file(), keys: signers().keys() }
}

pub(crate) fn signers() -> Signers {
    let mut signers = Signers::new(chain(), (21..25).map(keypair).collect());
    for (seed, first_height) in (0xb0..).zip(EPOCHS) {
        signers.renew([seed; 32], first_height, crate::samples::rng());
    }
    signers
}

pub(crate) fn at(height: u64, facts: &Facts) -> BoardAt {
    BoardAt { height, time_ms: 1_700_000_000_000 + 1000 * height, root: facts.root() }
}

/// `tests/vectors/certified.json` as it should be.
///
/// # Panics
/// Never, unless a sample is no JSON.
pub fn file() -> Value {
    let about = "Answers of a node that nobody need trust, what was asked, and whether a client believes the answer or \
                 what is wrong with it. It starts from `network`, has learnt the first `epochs` of `keys`, and knows height `since` to be certified.";
    let Setting { network, keys } = setting();
    json!({ "about": about, "network": network, "keys": keys, "vectors": lies::answers() })
}

fn parse<T: DeserializeOwned>(answer: &Value) -> T {
    serde_json::from_value(answer.clone()).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// What a client makes of an answer.
///
/// # Errors
/// What is wrong with it.
///
/// # Panics
/// If the answer is not of the shape that the question asks for.
pub fn believe(setting: &Setting, answered: &Answered) -> Result<(), BadAnswer> {
    let Answered { epochs, since, question, answer, .. } = answered;
    let mut verifier = Verifier::new(&setting.network)?;
    setting.keys.iter().take(*epochs).try_for_each(|endorsed| verifier.learn(endorsed))?;
    if *question == Question::Keys {
        return parse::<Vec<EndorsedKeyRecord>>(answer).iter().try_for_each(|endorsed| verifier.learn(endorsed));
    }
    let certificate: Certificate = parse(answer.get("certificate").unwrap_or(answer));
    let board = verifier.check_certificate(&certificate, *since)?;
    match question {
        Question::Keys | Question::Certificate => Ok(()),
        Question::Network => board.parameters(&parse(answer)),
        Question::Session { session } => board.session(session, &parse(answer)),
        Question::NoSession { session } => board.no_session(session, &parse(answer)),
        Question::Parties { session } => board.parties(session, &parse(answer)),
        Question::Mailbox { mailbox, recipient, parties, held, senders } => {
            let (chain, keys) = (&setting.network.chain, &parties.clone().into());
            let slot = Slot { chain, mailbox: *mailbox, keys, recipient: *recipient };
            let answer = parse(answer);
            board.mailbox(&slot, &Position { head: *held, senders: senders.clone() }, &answer)?;
            check_entries(&slot, &answer.fact.entries, OsRng).map(drop)
        }
        Question::List { session, list, held } => board.list(session, *list, held, &parse(answer)),
        Question::Final { session, record, solvers } => {
            let answer = parse::<Certified<PartiesFact>>(answer);
            board.parties(session, &answer)?;
            check_parties(record, &answer.fact.parties)?;
            let state = record.registration.expect("it is open");
            let drawn = state.challenge.expect("it is drawn");
            let challenge = verifier.check_challenge(session, state.epoch, &drawn)?;
            check_final(&challenge, solvers, &answer.fact.parties)
        }
        Question::Written { mailbox, sender, digest } => board.written(mailbox, *sender, digest, &parse(answer)),
    }
}

//! Everything that can go wrong for a party, with who or what is to blame.

use crate::{
    BadAnswer, Difference, NotAdmitted, Tried,
    sighting::{Sighting, describe},
};
use std::collections::BTreeMap;
use wire::{Code, EndReason, MailboxKind, OperationId, Phase, PublicKey, SessionId};

/// Everything that can go wrong for a party.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file to be written exists.
    #[error("{path} exists and is not overwritten; name another file, or move it away")]
    FileExists {
        /// The file.
        path: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried: read, write, make or remove.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is not {expected}: {reason}")]
    FileFormat {
        /// The file.
        path: String,
        /// What it should be.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The identity file is encrypted and no passphrase was given.
    #[error("{path} is encrypted; give its passphrase")]
    PassphraseNeeded {
        /// The file.
        path: String,
    },
    /// The passphrase is not the file's.
    #[error("the passphrase does not open {path}")]
    PassphraseWrong {
        /// The file.
        path: String,
    },
    /// The identity could not be encrypted.
    #[error("the identity could not be encrypted: {reason}")]
    Encryption {
        /// What the library said.
        reason: String,
    },

    /// The network file contradicts itself.
    #[error("the network file is not usable: {reason}")]
    NetworkFile {
        /// What is wrong.
        reason: String,
    },
    /// An invitation is for another network than the network file's.
    #[error("the invitation is for another network ({what} differs); ask the session's creator for the network file")]
    ForeignInvitation {
        /// What differs.
        what: &'static str,
    },
    /// An invitation by itself does not lead to a network.
    #[error("the invitation is not usable: {reason}")]
    Invitation {
        /// What is wrong.
        reason: String,
    },
    /// No node gave an answer that counts.
    #[error("no node showed {what}; tried: {}", list(tried))]
    NoAnswer {
        /// What was asked for.
        what: String,
        /// All nodes that were asked, with their latest word.
        tried: Vec<Tried>,
    },
    /// So many nodes refuse that at least one honest one does.
    #[error("refused ({code}): {}{}", code.meaning(), witnesses(*code, tried))]
    Refused {
        /// The operation, if one was refused.
        operation: Option<OperationId>,
        /// Why.
        code: Code,
        /// Who said so.
        tried: Vec<Tried>,
    },
    /// An operation was not found on the board in time. It may still get there.
    #[error("operation {operation} was not on the board after {waited_ms} ms; tried: {}", list(tried))]
    NotOnBoard {
        /// The operation.
        operation: OperationId,
        /// How long it was resent, in milliseconds.
        waited_ms: u64,
        /// All nodes that were asked, with their latest word.
        tried: Vec<Tried>,
    },
    /// This party's journal holds a message for the slot, of another execution, which may not be on the board yet: a slot has one.
    #[error(
        "this party's journal has a message for {kind} round {round} already, written by {execution}: go on with that, or use other rounds"
    )]
    SlotJournalled {
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
        /// What wrote it.
        execution: String,
    },
    /// The board holds another message of this party in a slot than the one that it tried to write.
    #[error("this party has already written something else to {kind} round {round}")]
    SlotTaken {
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
    },

    /// A stranger did not become a party of an open session.
    #[error("session {session}: {why}")]
    NotAdmitted {
        /// The session.
        session: SessionId,
        /// Why.
        why: NotAdmitted,
    },
    /// The session's list does not have the identity.
    #[error(
        "{key} is not on the list of session {session}; its creator must be given this key before the session starts, unless strangers can join"
    )]
    NotAParty {
        /// The session.
        session: SessionId,
        /// The identity's public key.
        key: PublicKey,
    },
    /// The party gave no key by the keying deadline.
    #[error("party {index} gave no key in time and does not take part in session {session}")]
    Absent {
        /// The session.
        session: SessionId,
        /// This party.
        index: u16,
    },
    /// The party's ephemeral key is on the board, and its secret neither in this process nor in the state directory.
    #[error(
        "the secrets of this party's channels in session {session} are neither in this process nor in a state directory that it was given: \
         it can still read and broadcast, but for private messages a new session is needed"
    )]
    KeysLost {
        /// The session.
        session: SessionId,
    },
    /// The session needs a key agreement that this SDK does not know.
    #[error("session {session} asks for {rounds} keying rounds; the built-in handshake has 1")]
    UnknownKeyAgreement {
        /// The session.
        session: SessionId,
        /// How many it asks for.
        rounds: u32,
    },
    /// Not everybody has written in time.
    #[error("{kind} round {round}: {} of {wanted} messages after {waited_ms} ms{}{}; tried: {}", wanted.saturating_sub(u16::try_from(missing.len()).unwrap_or(u16::MAX)), closed_note(*closed), describe(missing, seen), list(tried))]
    Missing {
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
        /// How many messages were wanted.
        wanted: u16,
        /// Indices of the parties that have not written, ascending. Those that are absent from the session are here only if it needs
        /// them to get as many as were wanted.
        missing: Vec<u16>,
        /// When each of them was last seen, if ever: the newest of its entries that this seat has read.
        seen: BTreeMap<u16, Sighting>,
        /// True if the certified board has closed the round, so that the missing are missing for everybody. Otherwise they had not written
        /// when this party stopped waiting, as f + 1 nodes have shown.
        closed: bool,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
        /// All nodes that were asked, with their latest word.
        tried: Vec<Tried>,
    },
    /// The session did not reach a phase in time.
    #[error(
        "session {session} was still in phase {phase:?} after {waited_ms} ms{}; tried: {}",
        describe(missing, seen),
        list(tried)
    )]
    StillInPhase {
        /// The session.
        session: SessionId,
        /// The phase in which it was.
        phase: Phase,
        /// Indices of the parties that have not done their part of the phase, ascending.
        missing: Vec<u16>,
        /// When each of them was last seen, if ever: the newest of its entries that this seat has read.
        seen: BTreeMap<u16, Sighting>,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
        /// All nodes that were asked, with their latest word.
        tried: Vec<Tried>,
    },
    /// The session is over.
    #[error("session {session} has ended: {reason:?}{}", said(votes))]
    SessionEnded {
        /// The session.
        session: SessionId,
        /// Why.
        reason: EndReason,
        /// The parties that gave up, with their words.
        votes: Vec<wire::AbortVote>,
    },

    /// The party's journal of the session is open, in another process or by another seat of this one.
    #[error("{path} is in use: this party is at work in the session already; let that end, or end it")]
    JournalInUse {
        /// The file.
        path: String,
    },
    /// This party has begun nothing in the session, as far as the state directory knows.
    #[error(
        "there is nothing of party {party} in session {session} to go on with in this state directory; was it another one, or another identity?"
    )]
    NothingBegun {
        /// The session.
        session: SessionId,
        /// The identity's public key.
        party: PublicKey,
    },
    /// The execution is still running in this process.
    #[error("execution {execution} is running already")]
    ExecutionRuns {
        /// Its name.
        execution: String,
    },
    /// The board holds a message of this party in a place in which its journal knows of none.
    #[error(
        "this party has written {kind} round {round} of session {session}, and there is no journal of that: put the state directory of then back, \
         or start another execution, in rounds that are free; to go on with other secrets could give a key away"
    )]
    JournalMissing {
        /// The session.
        session: SessionId,
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
    },
    /// The journal is older than what the board shows of this party.
    #[error(
        "this party has written {kind} round {round} of session {session}, and its journal ends before: it is an older copy; put the newest back, \
         or start another execution, in rounds that are free; to go on with an older one could give a key away"
    )]
    JournalBehind {
        /// The session.
        session: SessionId,
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
    },
    /// What goes on is not what was begun.
    #[error("execution {execution} does not go on as it began: {difference}; nothing was sent that differs")]
    ReplayDiffers {
        /// Its name.
        execution: String,
        /// In what it differs.
        difference: Difference,
    },

    /// The nodes keep no backup of the party.
    #[error("the nodes keep no backup of party {party} in session {session}{}", gone_note(*number))]
    NoBackup {
        /// The session.
        session: SessionId,
        /// Index of the party.
        party: u16,
        /// The number of the one that there was.
        number: Option<u32>,
    },
    /// A backup opens with something else than was given.
    #[error("the backup in session {session} opens with {lock}")]
    OtherLock {
        /// The session.
        session: SessionId,
        /// With what.
        lock: &'static str,
    },
    /// Too few nodes did their part in opening a backup.
    #[error("{found} nodes did their part in opening the backup, and {needed} must; tried: {}", list(tried))]
    BackupShares {
        /// How many did.
        found: usize,
        /// f + 1.
        needed: usize,
        /// All nodes that were asked, with their latest word.
        tried: Vec<Tried>,
    },
    /// Enough nodes did their part, and identity or passphrase are not those under which the backup was made.
    #[error("the {lock} is not the one under which the backup in session {session} was made")]
    BackupUnopened {
        /// The session.
        session: SessionId,
        /// What it opens with.
        lock: &'static str,
    },

    /// Private messages need a handshake, which this seat has not made.
    #[error("this seat has no private channels; join the session to make them")]
    NoChannels,
    /// A private item is none that the sender's key with this party could have sealed: the sender cheated.
    #[error("party {sender} wrote a private message in round {round} that its key does not open")]
    CannotOpen {
        /// The sender.
        sender: u16,
        /// The round.
        round: u32,
    },
    /// A message is longer than the session allows.
    #[error("{what} is {length} bytes long; the session allows {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// An index that is no other party's.
    #[error("party {party} is no recipient of a private message in a session of {parties}")]
    NoRecipient {
        /// The index.
        party: u16,
        /// n.
        parties: u16,
    },

    /// A protocol cannot be run so.
    #[error("the protocol cannot be run: {reason}")]
    InvalidExecution {
        /// Why not.
        reason: &'static str,
    },
    /// A message of this party's own program cannot be encoded.
    #[error("this party's message cannot be encoded: {reason}")]
    Unencodable {
        /// What the encoder said.
        reason: String,
    },
    /// A message is none of the protocol's: the sender cheated, or runs another program.
    #[error("what party {sender} wrote to {kind} round {round} is no message of this protocol: {reason}")]
    Undecodable {
        /// The sender.
        sender: u16,
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
        /// What the decoder said.
        reason: String,
    },
    /// No message has been received under this id.
    #[error("no message has been received under the id {message}")]
    UnknownMessage {
        /// The id.
        message: u64,
    },
    /// The program writes privately in a round whose private messages have left.
    #[error("the private messages of round {round} left at the read after them; one more cannot follow")]
    RoundSealed {
        /// The round.
        round: u32,
    },
    /// The program writes a second time to a slot.
    #[error("the program writes {kind} round {round} twice")]
    WrittenTwice {
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
    },
    /// The program asks for a read that cannot be, or that would return what it already has.
    #[error("the program cannot read {count} messages of {kind} round {round}: {reason}")]
    InvalidRead {
        /// The kind of mailbox.
        kind: MailboxKind,
        /// The round.
        round: u32,
        /// How many.
        count: u16,
        /// Why not.
        reason: &'static str,
    },
    /// A round that the session does not have.
    #[error("round {round} is not below the session's {rounds} rounds")]
    NoSuchRound {
        /// The round.
        round: u32,
        /// How many there are.
        rounds: u32,
    },
    /// The driver was handed what it did not ask for, or asked after its end.
    #[error("the driver did not wait for this: {reason}")]
    OutOfTurn {
        /// What happened.
        reason: &'static str,
    },
    /// The program gave up.
    #[error("the program stopped")]
    Aborted {
        /// Its reason, with culprits.
        #[from]
        source: crate::protocol::Abort,
    },
    /// A node's answer does not hold, which is seen outside only by those who check pages themselves; or what the nodes have certified does not.
    #[error("the node's answer does not hold")]
    Answer {
        /// Why.
        #[from]
        source: BadAnswer,
    },
}

impl Error {
    /// Indices of the parties that provably caused this, ascending.
    pub fn culprits(&self) -> Vec<u16> {
        match self {
            Self::CannotOpen { sender, .. } | Self::Undecodable { sender, .. } => vec![*sender],
            Self::Aborted { source } => source.culprits.clone(),
            _ => Vec::new(),
        }
    }
}

/// Everybody's words; nodes that said the same are named together.
fn list(tried: &[Tried]) -> String {
    if tried.is_empty() {
        return "none".to_owned();
    }
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for one in tried {
        let words = one.words();
        match groups.iter_mut().find(|(said, _)| *said == words) {
            Some((_, nodes)) => nodes.push(&one.node),
            None => groups.push((words, vec![&one.node])),
        }
    }
    groups.iter().map(|(said, nodes)| format!("{}: {said}", nodes.join(", "))).collect::<Vec<_>>().join("; ")
}

/// Who refused with `code`, what they added to its meaning, and what the other nodes said.
fn witnesses(code: Code, tried: &[Tried]) -> String {
    let (plain, others): (Vec<Tried>, Vec<Tried>) =
        tried.iter().cloned().partition(|one| one.code == Some(code) && one.said == code.meaning());
    let names: Vec<&str> = plain.iter().map(|one| one.node.as_str()).collect();
    let said_by = if names.is_empty() { String::new() } else { format!(" Said by {}.", names.join(", ")) };
    let others = if others.is_empty() { String::new() } else { format!(" {}.", list(&others)) };
    format!("{said_by}{others}")
}

fn said(votes: &[wire::AbortVote]) -> String {
    votes.iter().map(|vote| format!("; party {} said: {}", vote.party, vote.reason)).collect()
}

fn gone_note(number: Option<u32>) -> String {
    number.map_or_else(String::new, |number| format!(" any more: number {number} was erased, or its time is over"))
}

fn closed_note(closed: bool) -> &'static str {
    if closed { " (the round is closed)" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_say_is_said_once() {
        let tried =
            |node: &str, code, said: &str| Tried { node: node.to_owned(), code, said: said.to_owned(), bad: None };
        let code = Code::UnknownSession;
        let refused = |tried| Error::Refused { operation: None, code, tried }.to_string();
        let plain = |node| tried(node, Some(code), code.meaning());
        let meaning = format!("refused (unknown_session): {}", code.meaning());
        assert_eq!(refused(vec![plain("a"), plain("b")]), format!("{meaning} Said by a, b."));
        let mixed = vec![plain("a"), tried("b", None, "no route"), tried("c", Some(code), "where?"), plain("d")];
        assert_eq!(refused(mixed), format!("{meaning} Said by a, d. b: no route; c: where? (unknown_session)."));
        assert_eq!(refused(vec![]), meaning);
        let nodes = vec![tried("a", None, "no route"), tried("b", None, "no route"), tried("c", None, "it answered")];
        assert_eq!(list(&nodes), "a, b: no route; c: it answered");
    }
}

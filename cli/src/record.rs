//! A session's record in words.

use crate::{
    error::Error,
    output::{brief, printable, table},
};
use client_sdk::Client;
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};
use wire::{
    Admission, EndReason, Hash, OpenTerms, Phase, PublicKey, SessionId, SessionRecord, api::PhaseStatus, message_digest,
};

/// The record for machines, with the session's id.
pub(crate) fn value(session: &SessionId, record: &SessionRecord) -> Value {
    json!({ "session": session, "record": record })
}

/// A session with what stands beside its record.
pub(crate) struct Shown {
    session: SessionId,
    record: SessionRecord,
    /// The parties; empty while an open session's list is not final.
    keys: Vec<PublicKey>,
    /// How far an open session has come, as one node says.
    status: Option<PhaseStatus>,
}

impl Shown {
    /// Asks for all of it.
    pub(crate) async fn load(client: &Client, session: SessionId) -> Result<Self, Error> {
        let record = client.session(&session).await?;
        let keys = client.parties(&session).await?;
        let status = match record.spec.admission {
            Admission::Open { .. } if record.phase <= Phase::Keying => Some(client.phase(&session).await?),
            _ => None,
        };
        Ok(Self { session, record, keys, status })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        show(&self.session, &self.record, &self.keys, self.status.as_ref())
    }

    /// For machines.
    pub(crate) fn value(&self) -> Value {
        let mut value = value(&self.session, &self.record);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("parties".to_owned(), json!(self.keys));
            fields.insert("status".to_owned(), json!(self.status));
        }
        value
    }
}

fn show(session: &SessionId, record: &SessionRecord, keys: &[PublicKey], status: Option<&PhaseStatus>) -> String {
    let spec = &record.spec;
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        line("session", session.to_string()),
        line("title", printable(&spec.title)),
        line("program", format!("{} {}", printable(&spec.program.name), printable(&spec.program.version))),
        line("agreement", agreement(&spec.program.digest)),
        line("creator", record.creator.to_string()),
        line("phase", format!("{}{}", phase(record.phase), until(record.deadline_ms))),
    ];
    if let Some(status) = status {
        let left =
            status.left_ms.map(|ms| brief(Duration::from_millis(ms))).unwrap_or_else(|| "not known yet".to_owned());
        rows.push(line("time left", left));
        rows.push(line("registered", status.registrants.to_string()));
        rows.push(line("solved", status.solvers.to_string()));
    }
    match &spec.admission {
        Admission::Invited { .. } => {}
        Admission::Open { terms } => rows.push(line("admission", admission(terms))),
        Admission::Group { parent } => rows.push(line("admission", format!("the parties of session {parent}"))),
    }
    if let Some(end) = &record.end {
        rows.push(line("ended", format!("{} at height {}", reason(end.reason), end.height)));
    }
    rows.extend(record.aborted.iter().map(|vote| line("gave up", gave_up(vote))));
    let quorums = format!(
        "{} at least of {}; {} say that they are done, or {} give up, to end it",
        spec.min_parties,
        if record.parties == 0 { spec.max_parties } else { record.parties },
        u32::from(spec.corruption_threshold) + 1,
        spec.abort_quorum
    );
    rows.push(line("parties", quorums));
    rows.extend((0u16..).zip(keys).map(|(index, key)| line("", party(record, index, key))));
    table(&rows)
}

/// What has changed from one record to a later one, a line each.
pub(crate) fn changes(from: &SessionRecord, to: &SessionRecord) -> Vec<String> {
    let mut lines = Vec::new();
    let mut parties = |what: &str, before: &[u16], after: &[u16]| {
        let new = after.iter().filter(|index| !before.contains(index));
        lines.extend(new.map(|index| format!("party {index} {what}")));
    };
    parties("is absent: it gave no key in time", &from.absent, &to.absent);
    parties("is done", &from.terminated, &to.terminated);
    parties("has read the end", &from.acknowledged, &to.acknowledged);
    let drawn = |record: &SessionRecord| record.registration.is_some_and(|state| state.challenge.is_some());
    if drawn(to) && !drawn(from) {
        lines.push("the nodes have drawn the challenge".to_owned());
    }
    if from.parties != to.parties {
        lines.push(format!("the list is final: {} parties", to.parties));
    }
    lines.extend(to.aborted.iter().skip(from.aborted.len()).map(gave_up));
    if from.phase != to.phase {
        lines.push(format!("phase {}{}", phase(to.phase), until(to.deadline_ms)));
    } else if from.deadline_ms != to.deadline_ms {
        lines.push(format!("still {}{}", phase(to.phase), until(to.deadline_ms)));
    }
    if let (None, Some(end)) = (&from.end, &to.end) {
        lines.push(format!("ended: {} at height {}", reason(end.reason), end.height));
    }
    lines
}

/// A phase as the wire names it.
pub(crate) fn phase(phase: Phase) -> &'static str {
    phase.as_str()
}

/// The hash of what `session create --agreement` was given.
fn agreement(digest: &Hash) -> String {
    if *digest == message_digest(&[]) { "none beside the program".to_owned() } else { digest.to_string() }
}

/// What an open session asks.
fn admission(terms: &OpenTerms) -> String {
    let wire::Work { leaf_hashes, leaves_log2, openings, .. } = terms.work;
    format!(
        "open: {openings} openings of 2^{leaves_log2} leaves of {leaf_hashes} hashes, against {} times the hash rate of a device of {} hashes a second",
        terms.adversary, terms.hash_rate
    )
}

fn reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Terminated => "terminated",
        EndReason::Aborted => "aborted",
        EndReason::Expired => "expired",
    }
}

fn until(deadline_ms: Option<u64>) -> String {
    let at = deadline_ms.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
    at.map(|at| format!(" until {}", humantime::format_rfc3339_seconds(at))).unwrap_or_default()
}

fn gave_up(vote: &wire::AbortVote) -> String {
    match printable(&vote.reason).as_str() {
        "" => format!("party {} gave up", vote.party),
        why => format!("party {} gave up: {why}", vote.party),
    }
}

fn party(record: &SessionRecord, index: u16, key: &PublicKey) -> String {
    let states = [
        (record.absent.contains(&index), ", absent"),
        (record.terminated.contains(&index), ", done"),
        (record.acknowledged.contains(&index), ", has read the end"),
    ];
    let states: String = states.iter().filter(|(is, _)| *is).map(|(_, state)| *state).collect();
    format!("{index}: {key}{states}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{AbortVote, End, Program, SessionSpec};

    fn record() -> SessionRecord {
        let spec = SessionSpec {
            title: "a \u{1b}title".to_owned(),
            program: Program { name: "p".to_owned(), version: "1".to_owned(), digest: Hash([0; 32]) },
            admission: Admission::Invited { keys: vec![PublicKey([1; 32]), PublicKey([2; 32])] },
            min_parties: 2,
            max_parties: 2,
            corruption_threshold: 1,
            abort_quorum: 1,
            keying_rounds: 1,
            max_rounds: 1,
            max_message_bytes: 1,
            max_party_bytes: 1,
            padded_bytes: None,
            inline_payloads: true,
            keying_ms: 1,
            running_ms: 1,
            retention_ms: 1,
            round_timeout_ms: None,
        };
        SessionRecord {
            spec,
            creator: PublicKey([3; 32]),
            nonce: Hash([4; 32]),
            created: 1,
            phase: Phase::Keying,
            deadline_ms: None,
            registration: None,
            parties: 2,
            list: Hash([5; 32]),
            absent: vec![],
            terminated: vec![],
            aborted: vec![],
            end: None,
            acknowledged: vec![],
        }
    }

    #[test]
    fn changes_are_told_in_words() {
        let mut later = record();
        later.phase = Phase::Ended;
        later.deadline_ms = Some(1_700_000_000_000);
        later.aborted.push(AbortVote { party: 1, reason: "no\n time".to_owned() });
        later.end = Some(End { reason: EndReason::Aborted, height: 9, phase: Phase::Keying });
        let expected = [
            "party 1 gave up: no\u{fffd} time",
            "phase ended until 2023-11-14T22:13:20Z",
            "ended: aborted at height 9",
        ];
        assert_eq!(changes(&record(), &later), expected);
        assert!(changes(&later, &later).is_empty());
    }

    #[test]
    fn a_record_shows_every_party() {
        let mut record = record();
        record.terminated.push(1);
        let keys = [PublicKey([1; 32]), PublicKey([2; 32])];
        let shown = show(&SessionId([7; 32]), &record, &keys, None);
        assert!(shown.contains(&format!("1: {}, done", PublicKey([2; 32]))), "{shown}");
        assert!(shown.contains("a \u{fffd}title"), "{shown}");
    }
}

//! What is written, and how the ledger's answers read.

use super::{quoted, short};
use ledger::{Event, Outcome};
use std::fmt::Write as _;
use wire::{Bytes, Code, Hash, MailboxKind, PrivateItem, PrivateSet, SessionRecord, message_digest};

/// Payload, digest and number of recipients of what follows `writes KIND ROUND`.
pub fn message(kind: MailboxKind, people: &[String], mut rest: &str) -> (Bytes, Hash, u16) {
    if kind != MailboxKind::Private {
        let payload = quoted(rest).expect("a text in quotes").0.as_bytes().to_vec();
        return (Bytes(payload.clone()), message_digest(&payload), 0);
    }
    let mut items = vec![None; people.len()];
    while let Some((text, after)) = quoted(rest) {
        let to =
            rest.split('"').next().and_then(|words| words.split_whitespace().last()).expect("a name before the text");
        let item = PrivateItem { commitment: Hash([0; 32]), ciphertext: Bytes(text.as_bytes().to_vec()) };
        match people.iter().position(|person| person == to) {
            Some(j) => items[j] = Some(item),
            None => items.push(Some(item)),
        }
        rest = after;
    }
    let set = PrivateSet { items };
    (set.encode(), set.root(), set.items.len() as u16)
}

pub fn answer(outcome: &Outcome, index: usize) -> String {
    let receipt = outcome.receipts[index];
    let said = format!("{} {}/{}", receipt.code, receipt.height, receipt.position);
    let grown = outcome.events.iter().find_map(|event| match event {
        Event::Entry(entry) if entry.operation == receipt.operation => {
            let what = format!("{} {}", entry.mailbox.kind, entry.mailbox.round);
            Some((what, entry.position + 1, entry.head))
        }
        Event::Listed(row) if row.operation == receipt.operation => {
            Some((row.list.to_string(), row.position + 1, row.head))
        }
        _ => None,
    });
    grown.filter(|_| receipt.code == Code::Accepted).map_or(said.clone(), |(what, count, head)| {
        let word = if count == 1 { "entry" } else { "entries" };
        format!("{said}, {what} now {count} {word}, head {}", short(&head))
    })
}

/// A session's record, as far as it differs from what it was.
pub fn describe(record: &SessionRecord, before: Option<&SessionRecord>, people: &[String]) -> String {
    let names = |list: &[u16]| list.iter().map(|i| people[usize::from(*i)].as_str()).collect::<Vec<_>>().join(", ");
    let phase = format!("{:?}", record.phase).to_lowercase();
    let mut text = match before {
        Some(before) if before.phase != record.phase => {
            format!("goes from {} to {phase}", format!("{:?}", before.phase).to_lowercase())
        }
        _ => format!("is {phase}"),
    };
    match record.deadline_ms {
        Some(deadline_ms) => write!(text, " until {deadline_ms}ms").unwrap(),
        None if record.phase != wire::Phase::Erased => text += ", its clock starts with the next block",
        None => {}
    }
    let aborted = |record: &SessionRecord| record.aborted.iter().map(|vote| vote.party).collect::<Vec<_>>();
    for (what, now, then) in [
        ("absent", record.absent.clone(), before.map(|before| before.absent.clone())),
        ("done", record.terminated.clone(), before.map(|before| before.terminated.clone())),
        ("given up", aborted(record), before.map(aborted)),
        ("acknowledged by", record.acknowledged.clone(), before.map(|before| before.acknowledged.clone())),
    ] {
        if now != then.unwrap_or_default() {
            write!(text, "; {what}: {}", names(&now)).unwrap();
        }
    }
    if before.is_some_and(|before| before.parties != record.parties) {
        write!(text, "; parties: {}", people.join(", ")).unwrap();
    }
    let drawn = |record: &SessionRecord| record.registration.and_then(|registration| registration.challenge);
    if let Some(signature) = drawn(record).filter(|_| before.is_none_or(|before| drawn(before).is_none())) {
        write!(text, "; challenge {}", short(&wire::challenge(&signature))).unwrap();
    }
    if let Some(end) = record.end.filter(|_| before.is_none_or(|before| before.end.is_none())) {
        let (reason, phase) = (format!("{:?}", end.reason).to_lowercase(), format!("{:?}", end.phase).to_lowercase());
        write!(text, "; {reason} in {phase} at height {}", end.height).unwrap();
    }
    text
}

//! Every kind of answer, true, and every kind of lie about it.

use super::{Answered, HEIGHT, Question, at, signers};
use crate::{
    certifying::{Facts, Signers},
    samples::{
        broadcast, chain, key, keypair, mailbox, parameters, parties, private_set, private_write, record, rng, session,
        spec,
    },
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use wire::{
    Body, Bytes, Certificate, Certified, EndorsedKeyRecord, Entry, Envelope, G1Bytes, G2Bytes, Hash, Link, MailboxFact,
    MailboxHead, MailboxId, MailboxKind, NoSession, Operation, PartiesFact, Phase, Provable, PublicKey, RoundState,
    SessionFact, SessionId, SessionRecord,
};

/// The nonce of a session that is erased, and the id of one that never was.
const OTHER_NONCE: Hash = Hash([7; 32]);
const NOBODYS: SessionId = SessionId([0xee; 32]);

pub(super) struct World {
    pub(super) signers: Signers,
    /// The board, and as it was before the last broadcast.
    facts: Facts,
    before: Facts,
    answers: Vec<Answered>,
}

pub(super) fn answers() -> Vec<Answered> {
    let mut world = World { signers: signers(), facts: facts(3), before: facts(2), answers: Vec::new() };
    world.keys();
    world.certificates();
    world.sessions();
    world.lists();
    world.broadcasts();
    world.emptiness();
    world.private_messages();
    world.entries();
    world.strangers();
    world.answers
}

fn erased() -> (SessionId, SessionRecord) {
    let record = SessionRecord { nonce: OTHER_NONCE, phase: Phase::Erased, deadline_ms: None, ..record() };
    (spec().session_id(&chain(), &key(9), &OTHER_NONCE), record)
}

/// The board with so many broadcasts.
fn facts(broadcasts: usize) -> Facts {
    let mut facts = Facts::default();
    facts.put(&parameters());
    facts.put(&SessionFact { session: session(), record: record() });
    facts.put(&PartiesFact { session: session(), parties: parties() });
    let (session, record) = erased();
    facts.put(&SessionFact { session, record });
    facts.put(&public_page(broadcasts));
    facts.put(&private_page(0));
    facts
}

fn page(mailbox: MailboxId, recipient: Option<u16>, entries: Vec<Entry>) -> MailboxFact {
    let start = MailboxHead::empty(&chain(), &mailbox);
    let mut head = start;
    entries.iter().for_each(|entry| head.append(entry.sender, &entry.digest));
    let round = Some(RoundState { deadline_ms: Some(1_700_000_030_000), closed: false });
    let (rest, session) = (Vec::new(), None);
    MailboxFact { mailbox, recipient, head, round, from: 0, from_head: start.head, entries, rest, session }
}

fn entry(sender: u16, envelope: Envelope, body: Body) -> Entry {
    let Operation::Write { digest, length, .. } = envelope.signed.body else { unreachable!("samples write") };
    Entry { sender, digest, length, signature: envelope.signed.signature, body }
}

/// Broadcasts of parties 1, 0 and 2, in this order.
fn public_page(count: usize) -> MailboxFact {
    let message = |(seed, payload): (u8, &[u8])| {
        entry(u16::from(seed) - 1, broadcast(seed, 0, payload), Body::Message { payload: Bytes(payload.to_vec()) })
    };
    let messages: [(u8, &[u8]); 3] = [(2, b"world"), (1, b"hello"), (3, b"")];
    page(mailbox(MailboxKind::Broadcast, 0), None, messages.into_iter().take(count).map(message).collect())
}

/// What party 0 has written to `recipient`.
fn private_page(recipient: u16) -> MailboxFact {
    let (set, place) = (private_set(3), usize::from(recipient));
    let body = Body::Private { item: set.items[place].clone(), path: set.paths()[place].clone() };
    page(mailbox(MailboxKind::Private, 0), Some(recipient), vec![entry(0, private_write(1, 0), body)])
}

/// The part of a page from `from` on, up to `to`.
fn part(whole: &MailboxFact, from: usize, to: usize) -> MailboxFact {
    let mut head = MailboxHead { count: 0, head: whole.from_head };
    whole.entries[..from].iter().for_each(|entry| head.append(entry.sender, &entry.digest));
    let link = |entry: &Entry| Link { sender: entry.sender, digest: entry.digest };
    MailboxFact {
        from: head.count,
        from_head: head.head,
        entries: whole.entries[from..to].to_vec(),
        rest: whole.entries[to..].iter().map(link).collect(),
        ..whole.clone()
    }
}

/// What a reader asks who has read the first `held` entries of what `page` is a part of.
fn reading(page: &MailboxFact, held: &[Entry]) -> Question {
    let mut head = MailboxHead::empty(&chain(), &page.mailbox);
    held.iter().for_each(|entry| head.append(entry.sender, &entry.digest));
    let senders: BTreeSet<u16> = held.iter().map(|entry| entry.sender).collect();
    let MailboxFact { mailbox, recipient, .. } = *page;
    Question::Mailbox { mailbox, recipient, parties: parties(), held: head, senders }
}

impl World {
    fn certificate(&self) -> Certificate {
        self.signers.certify(1, at(HEIGHT, &self.facts))
    }

    fn certified<F: Provable>(&self, fact: F) -> Certified<F> {
        self.facts.certified(self.certificate(), fact)
    }

    pub(super) fn add(
        &mut self,
        name: &str,
        epochs: usize,
        question: &Question,
        answer: &impl Serialize,
        verdict: &str,
    ) {
        let answer: Value = serde_json::to_value(answer).expect("wire types are JSON");
        let (name, question, verdict) = (name.to_owned(), question.clone(), verdict.to_owned());
        self.answers.push(Answered { name, epochs, since: HEIGHT, question, answer, verdict });
    }

    pub(super) fn say(&mut self, name: &str, question: &Question, answer: &impl Serialize, verdict: &str) {
        self.add(name, 1, question, answer, verdict);
    }

    fn keys(&mut self) {
        let both = self.signers.keys();
        let [first, second] = [both[0].clone(), both[1].clone()];
        let mut say = |name: &str, epochs, records: Vec<EndorsedKeyRecord>| {
            let verdict = if name.starts_with("true: ") { "believed" } else { "bad_key_record" };
            self.add(name.trim_start_matches("true: "), epochs, &Question::Keys, &records, verdict);
        };
        let change = |record: &EndorsedKeyRecord, change: &dyn Fn(&mut EndorsedKeyRecord)| {
            let mut changed = record.clone();
            change(&mut changed);
            vec![changed]
        };
        say("true: the first key", 0, vec![first.clone()]);
        say("true: both keys, the first of which is known", 1, both.clone());
        say("one node of four has signed it", 0, change(&first, &|key| key.endorsements.truncate(1)));
        say("one node has signed it twice", 0, change(&first, &|key| key.endorsements[1] = key.endorsements[0]));
        say("a stranger has signed it", 0, change(&first, &|key| key.endorsements[1].node = 3));
        say("another height than was signed", 0, change(&first, &|key| key.record.first_height = 6));
        say("another key than was signed", 0, change(&first, &|key| key.record.group_key = second.record.group_key));
        say("no point of the curve", 0, change(&first, &|key| key.record.group_key = G2Bytes([0xa1; 96])));
        say("no nodes", 0, change(&first, &|key| key.record.identities.clear()));
        say("the second before the first", 0, vec![second.clone()]);
        say("a key before the first", 0, change(&first, &|key| key.previous = second.previous));
        say("the key before has not signed it", 1, change(&second, &|key| key.previous = None));
        say(
            "the key before has signed something else",
            1,
            change(&second, &|key| {
                key.previous = Some(first.previous.unwrap_or(G1Bytes([0xc0; 48])));
            }),
        );
        let mut fork = Signers::new(chain(), (21..25).map(keypair).collect());
        fork.renew([1; 32], super::EPOCHS[0], rng());
        say("another first key than is known", 1, fork.keys());
        let mut flat = Signers::new(chain(), (21..25).map(keypair).collect());
        [0xb0, 0xb1].into_iter().for_each(|seed| flat.renew([seed; 32], super::EPOCHS[0], rng()));
        say("the second begins with the first", 1, flat.keys());
    }

    fn certificates(&mut self) {
        let facts = self.facts.clone();
        let at = |height| at(height, &facts);
        let certificate = self.certificate();
        let question = Question::Certificate;
        let lie = |change: &dyn Fn(&mut Certificate)| {
            let mut changed = certificate;
            change(&mut changed);
            changed
        };
        self.say("a certificate", &question, &certificate, "believed");
        self.say("another root", &question, &lie(&|c| c.at.root.0[0] ^= 1), "bad_certificate");
        self.say("another height", &question, &lie(&|c| c.at.height += 1), "bad_certificate");
        self.say("another time", &question, &lie(&|c| c.at.time_ms += 1), "bad_certificate");
        self.say("a byte of the signature changed", &question, &lie(&|c| c.signature.0[20] ^= 1), "bad_certificate");
        let mut elsewhere = Signers::new("elsewhere".parse().expect("an id"), (21..25).map(keypair).collect());
        elsewhere.renew([0xb0; 32], super::EPOCHS[0], rng());
        self.say(
            "the same nodes' certificate of another chain",
            &question,
            &elsewhere.certify(1, at(HEIGHT)),
            "bad_certificate",
        );
        let mut strangers = Signers::new(chain(), (31..35).map(keypair).collect());
        strangers.renew([0xb9; 32], super::EPOCHS[0], rng());
        self.say("strangers' certificate", &question, &strangers.certify(1, at(HEIGHT)), "bad_certificate");
        self.say("an old certificate", &question, &self.signers.certify(1, at(HEIGHT - 1)), "stale");
        let of = |epoch, height| self.signers.certify(epoch, at(height));
        let [newer, renewed, early, superseded, before] = [of(2, 40), of(2, 40), of(2, 39), of(1, 40), of(1, 4)];
        self.add("under the second key", 2, &question, &newer, "believed");
        self.add("under a key that nobody has shown", 1, &question, &renewed, "unknown_epoch");
        self.add("under the second key before its height", 2, &question, &early, "wrong_epoch");
        self.add("under the first key when the second is in force", 2, &question, &superseded, "wrong_epoch");
        self.add("under the first key before its height", 1, &question, &before, "wrong_epoch");
    }

    fn sessions(&mut self) {
        let asked = Question::Session { session: session() };
        let (other, its_record) = erased();
        let fact = SessionFact { session: session(), record: record() };
        let truth = self.certified(fact.clone());
        self.say("the parameters", &Question::Network, &self.certified(parameters()), "believed");
        let mut parameters = self.certified(parameters());
        parameters.fact.quotas.live_sessions += 1;
        self.say("other parameters", &Question::Network, &parameters, "wrong_proof");
        self.say("a session", &asked, &truth, "believed");
        let swapped = self.certified(SessionFact { session: other, record: its_record.clone() });
        self.say("another session", &asked, &swapped, "about_something_else");
        let mut renamed = swapped.clone();
        renamed.fact.session = session();
        self.say("another session under this one's id", &asked, &renamed, "foreign_record");
        let mut ended = truth.clone();
        ended.fact.record.acknowledged.push(1);
        self.say("a record that was changed", &asked, &ended, "wrong_proof");
        let mut inviting = truth.clone();
        inviting.fact.record.list = Hash([1; 32]);
        self.say("a record with another list", &asked, &inviting, "foreign_record");
        let bare = Certified { proofs: Vec::new(), ..truth.clone() };
        self.say("no proof", &asked, &bare, "proof_count");
        let twice = Certified { proofs: [truth.proofs.clone(), truth.proofs.clone()].concat(), ..truth.clone() };
        self.say("a proof too many", &asked, &twice, "proof_count");
        let elsewhere = Certified { proofs: swapped.proofs, ..truth.clone() };
        self.say("another session's proof", &asked, &elsewhere, "wrong_proof");
        let mixed = Certified { proofs: self.before.certified(self.certificate(), fact).proofs, ..truth };
        self.say("the proof of an older board", &asked, &mixed, "wrong_proof");
        let nothing = self.certified(NoSession { session: NOBODYS });
        self.say("no such session", &Question::NoSession { session: NOBODYS }, &nothing, "believed");
        let hidden = self.certified(NoSession { session: session() });
        self.say("a session is hidden", &Question::NoSession { session: session() }, &hidden, "wrong_proof");
    }

    fn lists(&mut self) {
        let asked = Question::Parties { session: session() };
        let lie = |change: &dyn Fn(&mut Vec<PublicKey>)| {
            let mut answer = self.certified(PartiesFact { session: session(), parties: parties() });
            change(&mut answer.fact.parties);
            answer
        };
        let answers =
            [lie(&|_| ()), lie(&|keys| keys.truncate(2)), lie(&|keys| keys.swap(0, 1)), lie(&|keys| keys.push(key(4)))];
        let [truth, truncated, swapped, longer] = answers;
        self.say("the list of parties", &asked, &truth, "believed");
        self.say("a truncated list", &asked, &truncated, "wrong_proof");
        self.say("a list in another order", &asked, &swapped, "wrong_proof");
        self.say("a list with a stranger", &asked, &longer, "wrong_proof");
    }

    fn broadcasts(&mut self) {
        let whole = public_page(3);
        let from_start = reading(&whole, &[]);
        let after_one = reading(&whole, &whole.entries[..1]);
        self.say("a mailbox", &from_start, &self.certified(whole.clone()), "believed");
        self.say("its first entries", &from_start, &self.certified(part(&whole, 0, 2)), "believed");
        self.say("its last entries", &after_one, &self.certified(part(&whole, 1, 3)), "believed");
        self.say("nothing new", &reading(&whole, &whole.entries), &self.certified(part(&whole, 3, 3)), "believed");
        self.say("the wrong part", &after_one, &self.certified(part(&whole, 2, 3)), "discontinuous");
        self.say("entries are there and not shown", &from_start, &self.certified(part(&whole, 0, 0)), "withheld");
        let mut other = self.certified(whole.clone());
        other.fact.mailbox.round = 1;
        self.say("another mailbox", &from_start, &other, "about_something_else");
        let replayed = self.before.certified(self.certificate(), public_page(2));
        self.say("an older mailbox under a newer certificate", &from_start, &replayed, "wrong_proof");
        let lie = |change: &dyn Fn(&mut MailboxFact)| {
            let mut answer = self.certified(whole.clone());
            change(&mut answer.fact);
            answer
        };
        let forged = whole.entries[0].signature;
        let lies = [
            ("one entry is left out", "broken_chain", lie(&|page| drop(page.entries.remove(1)))),
            ("the last entry is left out", "broken_chain", lie(&|page| drop(page.entries.pop()))),
            ("entries in another order", "broken_chain", lie(&|page| page.entries.swap(0, 1))),
            ("another sender", "broken_chain", lie(&|page| page.entries[1].sender = 2)),
            ("a digest with a byte changed", "broken_chain", lie(&|page| page.entries[1].digest.0[0] ^= 1)),
            (
                "a payload with a byte changed",
                "wrong_payload",
                lie(&|page| {
                    page.entries[1].body = Body::Message { payload: Bytes(b"hullo".to_vec()) };
                }),
            ),
            ("a payload left out", "wrong_payload", lie(&|page| page.entries[1].body = Body::Omitted)),
            ("a length changed", "forged_entries", lie(&|page| page.entries[1].length = 6)),
            ("another signature", "forged_entries", lie(&|page| page.entries[1].signature = forged)),
            (
                "a round closed early",
                "wrong_proof",
                lie(&|page| page.round = page.round.map(|round| RoundState { closed: true, ..round })),
            ),
            (
                "a head of fewer entries",
                "wrong_proof",
                lie(&|page| {
                    (page.head, _) = (public_page(2).head, page.entries.pop());
                }),
            ),
        ];
        for (name, verdict, answer) in lies {
            self.say(name, &from_start, &answer, verdict);
        }
        let mut short = from_start;
        if let Question::Mailbox { parties, .. } = &mut short {
            parties.pop();
        }
        self.say("a sender that is not on the reader's list", &short, &self.certified(whole), "impossible_sender");
    }

    fn emptiness(&mut self) {
        let empty = |mailbox: MailboxId, record: Option<SessionRecord>| MailboxFact {
            session: record.map(Box::new),
            round: None,
            ..page(mailbox, None, Vec::new())
        };
        let unwritten = empty(mailbox(MailboxKind::Broadcast, 5), Some(record()));
        self.say("nobody has written", &reading(&unwritten, &[]), &self.certified(unwritten.clone()), "believed");
        let keying = empty(mailbox(MailboxKind::Keying, 0), Some(record()));
        self.say("nobody has given a key", &reading(&keying, &[]), &self.certified(keying.clone()), "believed");
        let bare = MailboxFact { session: None, ..unwritten.clone() };
        self.say("an empty mailbox of no session", &reading(&bare, &[]), &self.certified(bare.clone()), "no_record");
        let hidden = empty(mailbox(MailboxKind::Broadcast, 0), Some(record()));
        self.say("a forged empty mailbox", &reading(&hidden, &[]), &self.certified(hidden.clone()), "wrong_proof");
        let (session, its_record) = erased();
        let wiped = empty(MailboxId { session, ..unwritten.mailbox }, Some(its_record.clone()));
        self.say("a mailbox that was erased", &reading(&wiped, &[]), &self.certified(wiped.clone()), "erased");
        let alive = SessionRecord { phase: Phase::Running, ..its_record };
        let revived = empty(wiped.mailbox, Some(alive));
        self.say(
            "one that is said to be unwritten",
            &reading(&revived, &[]),
            &self.certified(revived.clone()),
            "wrong_proof",
        );
        let borrowed = empty(wiped.mailbox, Some(record()));
        self.say(
            "and another session's record beside it",
            &reading(&borrowed, &[]),
            &self.certified(borrowed.clone()),
            "foreign_record",
        );
    }

    fn private_messages(&mut self) {
        for (name, recipient) in [("a private message", 0), ("nothing for party 1, provably", 1)] {
            let page = private_page(recipient);
            self.say(name, &reading(&page, &[]), &self.certified(page.clone()), "believed");
        }
        let asked = reading(&private_page(0), &[]);
        let Body::Private { item, path } = private_page(0).entries[0].body.clone() else {
            unreachable!("a private body")
        };
        let others = private_page(2).entries[0].body.clone();
        let lies = [
            ("a private message is hidden", Body::Private { item: None, path: path.clone() }),
            ("another party's message", others),
            ("a short path", Body::Private { item, path: path[1..].to_vec() }),
        ];
        for (name, body) in lies {
            let mut answer = self.certified(private_page(0));
            answer.fact.entries[0].body = body;
            self.say(name, &asked, &answer, "wrong_path");
        }
        let answer = self.certified(private_page(2));
        self.say("another recipient's page", &asked, &answer, "about_something_else");
    }

    fn entries(&mut self) {
        let whole = public_page(3);
        let written = whole.entries[1].clone();
        let asked = Question::Written { mailbox: whole.mailbox, sender: 0, digest: written.digest };
        let mut truth = self.certified(part(&whole, 1, 2));
        truth.fact.entries[0].body = Body::Omitted;
        self.say("the entry of an operation", &asked, &truth, "believed");
        self.say("the entry of another", &asked, &self.certified(part(&whole, 2, 3)), "other_entry");
        let mut forged = truth.clone();
        forged.fact = part(&part(&whole, 0, 2), 1, 2);
        self.say("at the end of a mailbox that goes on", &asked, &forged, "broken_chain");
        let lost = Question::Written { mailbox: whole.mailbox, sender: 0, digest: Hash([9; 32]) };
        self.say("what was never written", &lost, &truth, "other_entry");
        truth.fact.entries[0].digest = Hash([9; 32]);
        self.say("and is put in its place", &lost, &truth, "broken_chain");
    }
}

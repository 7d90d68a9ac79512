//! A node that lies, or somebody between a client and a node: changes true answers into false ones, one kind of lie each.

use borsh::{BorshDeserialize, BorshSerialize};
use rand_core::OsRng;
use schnorrkel::Keypair;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use wire::{
    Admission, Answer, BoardAt, Body, Certified, ChainId, Code, G1Bytes, Hash, ListFact, ListHead, MailboxFact,
    MailboxHead, OperationId, PartiesFact, Provable, Receipt, SessionFact, SessionId, Signed, Submission,
    SubmissionOutcome,
    api::{OperationOutcome, Outcome},
    list_digest,
};

/// A kind of lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Leaves the last message of a mailbox out, and the last stranger of a list.
    Drop,
    /// Gives the first answer to a question again and again.
    Replay,
    /// Changes a byte of a message.
    Byte,
    /// Shows another session than was asked for.
    Swap(SessionId),
    /// Shows mailboxes and lists of strangers as empty, with the session's record and all the proofs that it can get.
    Empty,
    /// Throws operations away, and gives receipts for them.
    Receipt,
    /// Shows a session without its last party.
    Truncate,
    /// Puts a certificate of nodes that are not the cluster's below what it shows.
    Strangers,
}

/// Tells one kind of lie, and counts.
pub struct Liar {
    lie: Lie,
    chain: ChainId,
    /// Under which it signs receipts.
    identity: Keypair,
    told: AtomicUsize,
    /// Earlier answers, by question.
    memory: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The latest true answer about a session.
    session: Mutex<Option<Certified<SessionFact>>>,
}

impl Liar {
    /// A liar with a key of its own, which is no node's.
    pub fn new(lie: Lie, chain: ChainId) -> Self {
        Self::with_identity(lie, chain, Keypair::generate_with(OsRng))
    }

    /// A liar that signs receipts as the node that has this key.
    pub fn with_identity(lie: Lie, chain: ChainId, identity: Keypair) -> Self {
        Self { lie, chain, identity, told: AtomicUsize::new(0), memory: Mutex::default(), session: Mutex::default() }
    }

    /// How often it has lied.
    pub fn told(&self) -> usize {
        self.told.load(Ordering::Relaxed)
    }

    fn tell(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }

    /// What to ask of the true node in place of this path with its query.
    pub fn ask(&self, path: &str) -> String {
        let Lie::Swap(other) = self.lie else { return path.to_owned() };
        let Some(asked) = path.strip_prefix("/v1/sessions/").and_then(|rest| rest.get(..64)) else {
            return path.to_owned();
        };
        if asked != other.to_string() {
            self.tell();
        }
        path.replacen(asked, &other.to_string(), 1)
    }

    /// The answer to posted operations, if it is a lie.
    pub fn receive(&self, request: &[u8]) -> Option<Vec<u8>> {
        if self.lie != Lie::Receipt {
            return None;
        }
        let Submission { operations } = borsh::from_slice(request).ok()?;
        self.tell();
        let accepted = operations.iter().map(|envelope| {
            let operation: OperationId = envelope.id();
            let at = BoardAt { height: 1, time_ms: 1, root: Hash([0; 32]) };
            let fact = Receipt { operation, height: 1, position: 0, code: Code::Accepted };
            let receipt = Box::new(Signed::sign(&self.identity, self.chain.clone(), Answer { at, fact }, OsRng));
            OperationOutcome { operation, outcome: Outcome::Decided { receipt } }
        });
        Some(encode(&SubmissionOutcome { operations: accepted.collect() }))
    }

    /// The false answer in place of a true one, both in borsh.
    pub fn answer(&self, path: &str, truth: Vec<u8>) -> Vec<u8> {
        let lied = match self.lie {
            Lie::Drop => change(&truth, |answer: &mut Certified<MailboxFact>| answer.fact.entries.pop().is_some())
                .or_else(|| change(&truth, |answer: &mut Certified<ListFact>| answer.fact.keys.pop().is_some())),
            Lie::Byte => change(&truth, |answer: &mut Certified<MailboxFact>| {
                answer.fact.entries.iter_mut().any(|entry| spoil(&mut entry.body))
            }),
            Lie::Replay => self.replay(path, &truth),
            Lie::Empty => self.empty(&truth).or_else(|| self.empty_list(&truth)),
            Lie::Truncate => change(&truth, |answer: &mut Certified<PartiesFact>| answer.fact.parties.pop().is_some())
                .or_else(|| change(&truth, truncate)),
            Lie::Strangers => strangers::<MailboxFact>(&truth)
                .or_else(|| strangers::<SessionFact>(&truth))
                .or_else(|| strangers::<PartiesFact>(&truth))
                .or_else(|| strangers::<ListFact>(&truth)),
            Lie::Swap(_) | Lie::Receipt => None,
        };
        match lied {
            Some(lie) => {
                self.tell();
                lie
            }
            None => truth,
        }
    }

    fn replay(&self, path: &str, truth: &[u8]) -> Option<Vec<u8>> {
        let question = path.split("timeout_ms").next().unwrap_or_default().to_owned();
        let mut memory = self.memory.lock().expect("nobody panics with it");
        let first = memory.entry(question).or_insert_with(|| truth.to_vec());
        (first != truth).then(|| first.clone())
    }

    fn empty(&self, truth: &[u8]) -> Option<Vec<u8>> {
        let mut remembered = self.session.lock().expect("nobody panics with it");
        if let Some(session) = parse::<Certified<SessionFact>>(truth) {
            *remembered = Some(session);
            return None;
        }
        let mut answer: Certified<MailboxFact> = parse(truth)?;
        let session = remembered.as_ref().filter(|known| known.fact.session == answer.fact.mailbox.session)?;
        let MailboxFact { head, from, from_head, entries, rest, mailbox, .. } = &mut answer.fact;
        if head.count == 0 {
            return None;
        }
        *head = MailboxHead::empty(&self.chain, mailbox);
        (*from, *from_head) = (0, head.head);
        entries.clear();
        rest.clear();
        answer.fact.session = Some(Box::new(session.fact.record.clone()));
        answer.proofs.extend(session.proofs.clone());
        Some(encode(&answer))
    }

    fn empty_list(&self, truth: &[u8]) -> Option<Vec<u8>> {
        let remembered = self.session.lock().expect("nobody panics with it");
        let mut answer: Certified<ListFact> = parse(truth)?;
        let session = remembered.as_ref().filter(|known| known.fact.session == answer.fact.session)?;
        let ListFact { session: id, list, head, .. } = answer.fact;
        let nobody = ListHead::empty(&self.chain, &id, list);
        if head == nobody {
            return None;
        }
        let record = Some(Box::new(session.fact.record.clone()));
        answer.fact =
            ListFact { head: nobody, from: 0, from_head: nobody.head, keys: Vec::new(), record, ..answer.fact };
        answer.proofs.extend(session.proofs.clone());
        Some(encode(&answer))
    }
}

fn parse<T: BorshDeserialize>(bytes: &[u8]) -> Option<T> {
    borsh::from_slice(bytes).ok()
}

fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("borsh to a vector fails only beyond u32 lengths")
}

fn change<T: BorshDeserialize + BorshSerialize>(truth: &[u8], change: impl FnOnce(&mut T) -> bool) -> Option<Vec<u8>> {
    let mut answer = parse(truth)?;
    change(&mut answer).then(|| encode(&answer))
}

fn spoil(body: &mut Body) -> bool {
    let bytes = match body {
        Body::Message { payload } => Some(payload),
        Body::Private { item, .. } => item.as_mut().map(|item| &mut item.ciphertext),
        Body::Omitted => None,
    };
    let byte = bytes.and_then(|bytes| bytes.0.first_mut());
    byte.map(|byte| *byte ^= 1).is_some()
}

fn truncate(answer: &mut Certified<SessionFact>) -> bool {
    let record = &mut answer.fact.record;
    let Admission::Invited { keys } = &mut record.spec.admission else { return false };
    let shorter = keys.pop().is_some();
    record.list = list_digest(keys);
    record.parties = record.parties.saturating_sub(1);
    shorter
}

fn strangers<F: Provable + BorshDeserialize + BorshSerialize>(truth: &[u8]) -> Option<Vec<u8>> {
    // Any point of the curve will do that is not the signature: the generator.
    let generator = "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb";
    let signature: G1Bytes = generator.parse().expect("48 bytes");
    change(truth, |answer: &mut Certified<F>| {
        answer.certificate.signature = signature;
        true
    })
}

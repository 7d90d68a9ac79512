//! Whether a party has ever said two things: judged by all that it has sent, also what was refused, and by its journal's file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
};
use wire::{Bytes, Envelope, Hash, MailboxId, MailboxKind, Operation, PrivateSet, PublicKey, hash::TaggedHash};

/// Bytes of an XChaCha20 nonce.
const NONCE_BYTES: usize = 24;
/// Bytes before a journal's owner: its kind, version and id.
const JOURNAL_BYTES: usize = 18 + 1 + 32;
/// Bytes before the nonce of a journal's record.
const RECORD_BYTES: usize = 4 + 8;

/// Something that must be used once, and was used for two things.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Twice {
    /// Two messages in one slot.
    Slot(MailboxId),
    /// One message of a slot that was sent with different signatures: it was not sent again byte for byte.
    Bytes(MailboxId),
    /// A key of the private channels, named by its commitment.
    Key(Hash),
    /// A nonce of the private channels.
    PrivateNonce(Vec<u8>),
    /// The nonce of an operation's signature.
    SignatureNonce([u8; 32]),
    /// A nonce of threshold Schnorr, R_i, in two executions.
    SchnorrNonce(Vec<u8>),
    /// A nonce of threshold Schnorr, R_i, that two s_i answer: the difference gives the key away.
    SchnorrAnswer(Vec<u8>),
    /// A nonce of a journal's record.
    JournalNonce(Vec<u8>),
}

/// What was used, and for what first.
#[derive(Default)]
pub struct Used {
    all: BTreeMap<Twice, Hash>,
    twice: BTreeSet<Twice>,
    /// How often the same was used for the same again.
    pub again: usize,
    /// By the mailbox of its reveal.
    revealed: BTreeMap<MailboxId, BTreeSet<Vec<u8>>>,
}

impl fmt::Debug for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Used")
            .field("things", &self.all.len())
            .field("again", &self.again)
            .field("twice", &self.twice)
            .finish()
    }
}

impl Used {
    fn put(&mut self, what: Twice, for_what: &[&[u8]]) {
        let digest = for_what.iter().fold(TaggedHash::new("test"), |hash, part| hash.bytes(*part)).finish();
        match self.all.insert(what.clone(), digest) {
            Some(before) if before != digest => drop(self.twice.insert(what)),
            Some(_) => self.again += 1,
            None => {}
        }
    }

    /// Takes in an operation that was sent. `signings`: the rounds of threshold Schnorr signatures, which take four each.
    pub fn operation(&mut self, envelope: &Envelope, signings: Range<u32>) {
        let signed = &envelope.signed;
        let digest = borsh::to_vec(&signed.body).expect("it can be encoded");
        let author: PublicKey = signed.author;
        let nonce = *signed.signature.0.first_chunk().expect("a signature has 64 bytes");
        self.put(Twice::SignatureNonce(nonce), &[&author.0, &digest]);
        let Operation::Write { mailbox, digest, .. } = &signed.body else { return };
        self.put(Twice::Slot(*mailbox), &[&author.0, &digest.0]);
        self.put(Twice::Bytes(*mailbox), &[&author.0, &borsh::to_vec(envelope).expect("it can be encoded")]);
        if mailbox.kind == MailboxKind::Private {
            self.private(&envelope.payload);
        }
        if mailbox.kind == MailboxKind::Broadcast && signings.contains(&mailbox.round) {
            self.schnorr(mailbox, (mailbox.round - signings.start) % 4, &envelope.payload.0);
        }
    }

    fn private(&mut self, payload: &Bytes) {
        let set = PrivateSet::decode(&payload.0).expect("a set of private messages");
        for item in set.items.into_iter().flatten() {
            self.put(Twice::Key(item.commitment), &[&item.ciphertext.0]);
            let (nonce, sealed) = item.ciphertext.0.split_at(NONCE_BYTES);
            self.put(Twice::PrivateNonce(nonce.to_vec()), &[&item.commitment.0, sealed]);
        }
    }

    /// Every R_i that was revealed, and every s_i of its execution.
    fn schnorr(&mut self, mailbox: &MailboxId, step: u32, payload: &[u8]) {
        const REVEAL: u32 = 2;
        const SIGN: u32 = 3;
        if step == REVEAL {
            self.put(Twice::SchnorrNonce(payload.to_vec()), &[&mailbox.session.0, &mailbox.round.to_le_bytes()]);
            self.revealed.entry(*mailbox).or_default().insert(payload.to_vec());
        } else if step == SIGN {
            let reveal = MailboxId { round: mailbox.round - 1, ..*mailbox };
            for nonce in self.revealed.get(&reveal).cloned().unwrap_or_default() {
                self.put(Twice::SchnorrAnswer(nonce), &[payload]);
            }
        }
    }

    /// Takes in a journal's file; nothing of one that was wiped.
    pub fn journal(&mut self, file: &[u8]) {
        let owner = file.get(JOURNAL_BYTES..).filter(|_| file.starts_with(b"white-city-journal"));
        let Some(chain) = owner.and_then(<[u8]>::first_chunk).map(|length| u32::from_le_bytes(*length)) else { return };
        let header = JOURNAL_BYTES + 4 + usize::try_from(chain).expect("it fits") + 64;
        let mut rest = file.get(header..).unwrap_or_default();
        while let Some(length) = rest.first_chunk().map(|length| u32::from_le_bytes(*length)) {
            let end = RECORD_BYTES + usize::try_from(length).expect("it fits");
            // The last one may have been cut off in the middle.
            let Some((record, after)) = rest.split_at_checked(end) else { return };
            let nonce = &record[RECORD_BYTES..RECORD_BYTES + NONCE_BYTES];
            self.put(Twice::JournalNonce(nonce.to_vec()), &[&file[..JOURNAL_BYTES], record]);
            rest = after;
        }
    }

    /// What was used for two things.
    pub fn twice(&self) -> &BTreeSet<Twice> {
        &self.twice
    }

    /// How many different things of a kind were used.
    pub fn count(&self, kind: impl Fn(&Twice) -> bool) -> usize {
        self.all.keys().filter(|one| kind(one)).count()
    }

    /// Takes in what was used elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.again += other.again;
        self.twice.extend(other.twice);
        for (what, digest) in other.all {
            match self.all.insert(what.clone(), digest) {
                Some(before) if before != digest => drop(self.twice.insert(what)),
                _ => {}
            }
        }
    }
}

//! The facts of a certified board: proofs, and what hangs on the facts that are proved.

use crate::{
    BadAnswer,
    list::{check_chain, check_list, check_parties, named},
    mailbox::{Position, Slot, check_links, check_page},
};
use wire::{
    Admission, BackupFact, BoardAt, Certified, ChainId, Hash, ListFact, ListHead, ListKind, MailboxFact, MailboxId,
    NetworkParameters, NoSession, PartiesFact, Phase, Provable, SessionFact, SessionId, SessionRecord,
};

/// A board that f + 1 nodes have certified. Only [`crate::Verifier::check_certificate`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    chain: ChainId,
    genesis: Hash,
    at: BoardAt,
}

impl Board {
    pub(crate) fn new(chain: ChainId, genesis: Hash, at: BoardAt) -> Self {
        Self { chain, genesis, at }
    }

    /// Height, time and root.
    pub fn at(&self) -> BoardAt {
        self.at
    }

    /// The chain.
    pub fn chain(&self) -> &ChainId {
        &self.chain
    }

    /// Checks that all values of a fact are, or are not, on this board as the fact says. What the fact is about is the caller's to compare.
    ///
    /// # Errors
    /// [`BadAnswer::AboutSomethingElse`] if the answer is of another board, [`BadAnswer::ProofCount`], [`BadAnswer::WrongProof`].
    pub fn proves<F: Provable>(&self, answer: &Certified<F>) -> Result<(), BadAnswer> {
        if answer.certificate.at != self.at {
            return Err(BadAnswer::AboutSomethingElse { what: "board" });
        }
        let values = answer.fact.values();
        if values.len() != answer.proofs.len() {
            return Err(BadAnswer::ProofCount { expected: values.len(), found: answer.proofs.len() });
        }
        values.iter().zip(&answer.proofs).try_for_each(|((key, value), proof)| {
            let proved = proof.verify(&self.at.root, key, value.as_ref().map(AsRef::as_ref));
            proved.map_err(|why| BadAnswer::WrongProof { what: name(key), why })
        })
    }

    /// Checks the network's parameters, also against the network file's genesis.
    ///
    /// # Errors
    /// [`BadAnswer::WrongGenesis`]; those of [`Board::proves`].
    pub fn parameters(&self, answer: &Certified<NetworkParameters>) -> Result<(), BadAnswer> {
        self.proves(answer)?;
        let (found, expected) = (answer.fact.digest(), self.genesis);
        if found == expected { Ok(()) } else { Err(BadAnswer::WrongGenesis { expected, found }) }
    }

    /// Checks a session's record.
    ///
    /// # Errors
    /// [`BadAnswer::AboutSomethingElse`], [`BadAnswer::ForeignRecord`]; those of [`Board::proves`].
    pub fn session(&self, session: &SessionId, answer: &Certified<SessionFact>) -> Result<(), BadAnswer> {
        check_asked(session, &answer.fact.session)?;
        self.check_record(session, &answer.fact.record)?;
        self.proves(answer)
    }

    /// Checks that there is no session of this id.
    ///
    /// # Errors
    /// [`BadAnswer::AboutSomethingElse`]; those of [`Board::proves`].
    pub fn no_session(&self, session: &SessionId, answer: &Certified<NoSession>) -> Result<(), BadAnswer> {
        check_asked(session, &answer.fact.session)?;
        self.proves(answer)
    }

    /// Checks a session's list of parties.
    ///
    /// # Errors
    /// [`BadAnswer::AboutSomethingElse`]; those of [`Board::proves`].
    pub fn parties(&self, session: &SessionId, answer: &Certified<PartiesFact>) -> Result<(), BadAnswer> {
        check_asked(session, &answer.fact.session)?;
        self.proves(answer)
    }

    /// Checks what the board knows of a party's backup. Whether the payload is the one of the record is the next step's.
    ///
    /// # Errors
    /// [`BadAnswer::AboutSomethingElse`]; those of [`Board::proves`].
    pub fn backup(&self, session: &SessionId, party: u16, answer: &Certified<BackupFact>) -> Result<(), BadAnswer> {
        check_asked(session, &answer.fact.session)?;
        if answer.fact.party != party {
            return Err(BadAnswer::AboutSomethingElse { what: "party" });
        }
        self.proves(answer)
    }

    /// Checks one of an open session's lists: that it is about the right one, continues `held`, and goes to the end of what this board has.
    ///
    /// # Errors
    /// [`BadAnswer::AboutSomethingElse`]; those of [`check_list`] and [`Board::whole_list`].
    pub fn list(
        &self,
        session: &SessionId,
        list: ListKind,
        held: &ListHead,
        answer: &Certified<ListFact>,
    ) -> Result<(), BadAnswer> {
        check_asked(session, &answer.fact.session)?;
        if answer.fact.list != list {
            return Err(BadAnswer::AboutSomethingElse { what: "list" });
        }
        self.whole_list(answer)?;
        check_list(held, &answer.fact)
    }

    /// Checks an answer about a list by itself: that its keys are on this board, at their positions, up to the list's end.
    ///
    /// # Errors
    /// Those of [`Board::proves`] and [`check_chain`]; [`BadAnswer::NoRecord`], [`BadAnswer::Erased`] or [`BadAnswer::ForeignRecord`] if
    /// the list is empty and that says nothing.
    pub fn whole_list(&self, answer: &Certified<ListFact>) -> Result<(), BadAnswer> {
        let page = &answer.fact;
        if page.head.count == 0 {
            self.check_empty(&page.session, page.record.as_deref())?;
            let is_open = |record: &SessionRecord| matches!(record.spec.admission, Admission::Open { .. });
            if !page.record.as_deref().is_some_and(is_open) {
                return Err(BadAnswer::ForeignRecord { what: "its admission" });
            }
            if page.head != ListHead::empty(&self.chain, &page.session, page.list) {
                return Err(BadAnswer::BrokenChain);
            }
        }
        self.proves(answer)?;
        check_chain(page)
    }

    /// Checks a page of a mailbox: that it is about `slot`, continues `held` and, with what follows it, is all that the mailbox holds on this
    /// board. Payloads and signatures are the next step's ([`crate::mailbox::check_entries`]). Returns the head after each entry.
    ///
    /// # Errors
    /// Those of [`Board::proves`] and [`check_page`]; [`BadAnswer::NoRecord`] or [`BadAnswer::Erased`] if the mailbox is empty and that
    /// says nothing.
    pub fn mailbox(
        &self,
        slot: &Slot<'_>,
        held: &Position,
        answer: &Certified<MailboxFact>,
    ) -> Result<Vec<Hash>, BadAnswer> {
        let page = &answer.fact;
        if page.mailbox != slot.mailbox || page.recipient != slot.recipient {
            return Err(BadAnswer::AboutSomethingElse { what: "mailbox" });
        }
        self.check_emptiness(page)?;
        self.proves(answer)?;
        check_page(slot, held, page)
    }

    /// Checks a page of a mailbox by itself, without the list of parties: that its entries are on this board, at their positions.
    ///
    /// # Errors
    /// As [`Board::mailbox`].
    pub fn page(&self, answer: &Certified<MailboxFact>) -> Result<(), BadAnswer> {
        self.check_emptiness(&answer.fact)?;
        self.proves(answer)?;
        check_links(&answer.fact).map(drop)
    }

    /// Checks that `sender` has written what has this `digest`.
    ///
    /// # Errors
    /// [`BadAnswer::OtherEntry`]; those of [`Board::page`].
    pub fn written(
        &self,
        mailbox: &MailboxId,
        sender: u16,
        digest: &Hash,
        answer: &Certified<MailboxFact>,
    ) -> Result<(), BadAnswer> {
        if answer.fact.mailbox != *mailbox {
            return Err(BadAnswer::AboutSomethingElse { what: "mailbox" });
        }
        self.page(answer)?;
        let entry = answer.fact.entries.first();
        let shown = entry.is_some_and(|entry| entry.sender == sender && entry.digest == *digest);
        if shown { Ok(()) } else { Err(BadAnswer::OtherEntry) }
    }

    /// An empty mailbox means that nobody has written only if the session is there and not erased.
    fn check_emptiness(&self, page: &MailboxFact) -> Result<(), BadAnswer> {
        if page.head.count > 0 { Ok(()) } else { self.check_empty(&page.mailbox.session, page.session.as_deref()) }
    }

    fn check_empty(&self, session: &SessionId, record: Option<&SessionRecord>) -> Result<(), BadAnswer> {
        match record {
            None => Err(BadAnswer::NoRecord),
            Some(record) if record.phase == Phase::Erased => Err(BadAnswer::Erased),
            Some(record) => self.check_record(session, record),
        }
    }

    /// A session's record shows by itself whose it is: its specification hashes to the id, and of an invited session also its list. The list of
    /// any other is a fact of its own.
    fn check_record(&self, session: &SessionId, record: &SessionRecord) -> Result<(), BadAnswer> {
        if !record.belongs_to(&self.chain, session) {
            return Err(BadAnswer::ForeignRecord { what: "the specification" });
        }
        named(record).map_or(Ok(()), |keys| check_parties(record, keys))
    }
}

fn check_asked(asked: &SessionId, found: &SessionId) -> Result<(), BadAnswer> {
    if asked == found { Ok(()) } else { Err(BadAnswer::AboutSomethingElse { what: "session" }) }
}

fn name(key: &wire::FactKey) -> &'static str {
    use wire::FactKey::{Backup, ExchangeKeys, Generation, Keys, List, Mailbox, Network, Parties, Round, Session};
    match key {
        Network => "the network's parameters",
        Session(_) => "the session's record",
        Parties(_) => "the list of parties",
        Mailbox(_) => "the mailbox's head",
        Round(..) => "the round's state",
        List(..) => "the list of registrants or solvers",
        Keys(_) => "the key record",
        Generation(_) => "the generation of a key",
        Backup(..) => "the party's backup",
        ExchangeKeys => "the nodes' exchange keys",
    }
}

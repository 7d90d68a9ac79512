//! Lists that stand beside a session's record: who asked, who solved, and the parties, checked against the challenge and the solvers (P4.5).

use crate::{
    Board, Client, Error, PartyKeys,
    list::{List, check_final, check_parties, named},
    reader::Wait,
    survey::Question,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};
use wire::{Admission, Certified, Hash, ListFact, ListKind, PartiesFact, Phase, PublicKey, SessionId, SessionRecord};

/// The parties of so many sessions are remembered, for they never change.
const MAX_KNOWN: usize = 64;

/// Final lists, by session.
pub(crate) type Known = BTreeMap<SessionId, Arc<PartyKeys>>;

/// A session with its parties, in index order; none while an open session's list is not final.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) record: SessionRecord,
    pub(crate) keys: Arc<PartyKeys>,
}

impl Client {
    /// A session's parties in index order; empty while an open session's list is not final. Of an open session, it is checked that they are
    /// those who have solved, in the order that the nodes' challenge gives them.
    ///
    /// # Errors
    /// As [`Client::session`]; [`Error::Answer`] if the list does not follow from challenge and solvers.
    pub async fn parties(&self, session: &SessionId) -> Result<Vec<PublicKey>, Error> {
        Ok(self.listed(session).await?.keys.to_vec())
    }

    /// Who has asked to take part in an open session, or who has solved, in consensus order. Gone once the session is erased.
    ///
    /// # Errors
    /// As [`Client::session`].
    pub async fn list(&self, session: &SessionId, list: ListKind) -> Result<Vec<PublicKey>, Error> {
        let held = List::start(&self.network().chain, session, list);
        let question = question(session, list, &held, Duration::ZERO);
        self.certified(&question, |board: &Board, answer: Certified<ListFact>| {
            board.list(session, list, &held.head, &answer)?;
            Ok(answer.fact.keys)
        })
        .await
    }

    /// A session with its parties.
    pub(crate) async fn listed(&self, session: &SessionId) -> Result<Listed, Error> {
        let (_, record) = self.session_at(session).await?;
        let keys = self.keys_of(session, &record).await?;
        Ok(Listed { record, keys })
    }

    /// The parties that belong to a record.
    pub(crate) async fn keys_of(&self, session: &SessionId, record: &SessionRecord) -> Result<Arc<PartyKeys>, Error> {
        if record.parties == 0 {
            return Ok(Arc::default());
        }
        if let Some(known) = self.known().get(session) {
            return Ok(Arc::clone(known));
        }
        let keys = match named(record) {
            Some(keys) => keys.to_vec(),
            None => self.final_keys(session, record).await?,
        };
        let keys = Arc::new(PartyKeys::from(keys));
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        // Whoever came first: all seats of a process share them.
        Ok(Arc::clone(known.entry(*session).or_insert(keys)))
    }

    async fn final_keys(&self, session: &SessionId, record: &SessionRecord) -> Result<Vec<PublicKey>, Error> {
        let (what, path) = (format!("the parties of session {session}"), format!("sessions/{session}/parties"));
        let question = Question::about(session, what, path);
        let keys = self
            .certified(&question, |board, answer: Certified<PartiesFact>| {
                board.parties(session, &answer)?;
                check_parties(record, &answer.fact.parties)?;
                Ok(answer.fact.parties)
            })
            .await?;
        if matches!(record.spec.admission, Admission::Open { .. }) {
            let challenge = self.challenge(session, record).await?;
            let solvers = self.solvers(session, record).await?;
            // What an erased session still shows is the order alone.
            check_final(&challenge, solvers.as_deref().unwrap_or(&keys), &keys)?;
        }
        Ok(keys)
    }

    /// Who has solved; `None` if the session is erased.
    async fn solvers(&self, session: &SessionId, record: &SessionRecord) -> Result<Option<Vec<PublicKey>>, Error> {
        if record.phase == Phase::Erased {
            return Ok(None);
        }
        match self.list(session, ListKind::Solvers).await {
            Ok(solvers) => Ok(Some(solvers)),
            Err(error) => match self.session_at(session).await?.1.phase {
                Phase::Erased => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// c: the challenge of an open session that has one, checked under the key of the epoch that its record names.
    pub(crate) async fn challenge(&self, session: &SessionId, record: &SessionRecord) -> Result<Hash, Error> {
        let state = record.registration.ok_or(crate::BadAnswer::ForeignRecord { what: "its registration" })?;
        let no_challenge = crate::BadAnswer::BadChallenge { epoch: state.epoch };
        let signature = state.challenge.ok_or(no_challenge)?;
        if self.verifier().epoch() < state.epoch {
            self.keys().await?;
        }
        Ok(self.verifier().check_challenge(session, state.epoch, &signature)?)
    }

    /// Reads on in a list, from one node, which may wait up to `poll` for more keys than are held. True if an answer counted.
    pub(crate) async fn read_list(
        &self,
        session: &SessionId,
        list: ListKind,
        held: &mut List,
        poll: Duration,
        wait: &mut Wait,
    ) -> bool {
        let question = question(session, list, held, poll);
        let head = held.head;
        let check = |board: &Board, answer: Certified<ListFact>| {
            board.list(session, list, &head, &answer)?;
            Ok(answer.fact)
        };
        let ask = |node: usize| self.prove(node, &question, check);
        let found = self.survey(&question, self.order_past(wait.asked()), ask, &mut wait.tried).await;
        let Some((node, page)) = found else { return false };
        if page.keys.is_empty() {
            wait.in_vain(node, self.network().nodes.len());
        }
        held.advance(page);
        true
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn question(session: &SessionId, list: ListKind, held: &List, poll: Duration) -> Question {
    let path = format!("sessions/{session}/{list}?from={}", held.head.count);
    Question { poll, ..Question::about(session, format!("the {list} of session {session}"), path) }
}

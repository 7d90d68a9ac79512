//! True and false answers about those who come into an open session: who asked, who solved, and who became a party.

use super::{HEIGHT, Question, at, lies::World};
use crate::{
    certifying::Facts,
    samples::{chain, key, open_record, open_spec, record, session},
};
use wire::{
    Certified, G1Bytes, Hash, ListFact, ListHead, ListKind, PartiesFact, Phase, Provable, PublicKey, SessionFact,
    SessionId, SessionRecord, challenge, final_list, list_digest,
};

/// Its name, the verdict, and what is changed in the truth.
type Lie = (&'static str, &'static str, fn(&mut ListFact));

const ASKED: ListKind = ListKind::Registrants;
const SOLVED: ListKind = ListKind::Solvers;

/// A board with an open session whose list is final, and with others.
struct Strangers {
    facts: Facts,
    record: SessionRecord,
    signature: G1Bytes,
}

fn id(nonce: u8) -> SessionId {
    open_spec().session_id(&chain(), &key(9), &Hash([nonce; 32]))
}

/// The list of the session of `nonce`, from `from` on.
fn list(nonce: u8, list: ListKind, keys: &[PublicKey], from: usize) -> ListFact {
    let session = id(nonce);
    let mut before = ListHead::empty(&chain(), &session, list);
    keys[..from].iter().for_each(|key| before.append(key));
    let mut head = before;
    keys[from..].iter().for_each(|key| head.append(key));
    let (keys, from_head) = (keys[from..].to_vec(), before.head);
    ListFact { session, list, head, from: before.count, from_head, keys, record: None }
}

fn asked() -> Vec<PublicKey> {
    (1..=25).map(key).collect()
}

/// All who asked, but for three.
fn solved() -> Vec<PublicKey> {
    asked().into_iter().rev().take(22).collect()
}

/// The session's record at some point of its life.
fn young(nonce: u8, phase: Phase) -> SessionRecord {
    let registration = open_record().registration.map(|state| wire::RegistrationState { challenge: None, ..state });
    SessionRecord { nonce: Hash([nonce; 32]), phase, registration, ..open_record() }
}

impl Strangers {
    /// 1: the list is final. 2: nobody has asked yet. 3: erased.
    fn new(world: &World) -> Self {
        let signature = world.signers.draw(1, &id(1));
        let parties = final_list(&challenge(&signature), solved());
        let mut running = young(1, Phase::Keying);
        (running.parties, running.list) = (22, list_digest(&parties));
        running.registration =
            running.registration.map(|state| wire::RegistrationState { challenge: Some(signature), ..state });
        let mut facts = Facts::default();
        let erased = SessionRecord { deadline_ms: None, ..young(3, Phase::Erased) };
        for (nonce, record) in [(1, running.clone()), (2, young(2, Phase::Registering)), (3, erased)] {
            facts.put(&SessionFact { session: id(nonce), record });
        }
        facts.put(&SessionFact { session: session(), record: record() });
        facts.put(&list(1, ASKED, &asked(), 0));
        facts.put(&list(1, SOLVED, &solved(), 0));
        facts.put(&PartiesFact { session: id(1), parties });
        Self { facts, record: running, signature }
    }

    fn certified<F: Provable>(&self, world: &World, fact: F) -> Certified<F> {
        self.facts.certified(world.signers.certify(1, at(HEIGHT, &self.facts)), fact)
    }
}

/// What a reader asks who holds the first `held` keys.
fn reading(nonce: u8, kind: ListKind, held: &[PublicKey]) -> Question {
    Question::List { session: id(nonce), list: kind, held: list(nonce, kind, held, 0).head }
}

impl World {
    pub(super) fn strangers(&mut self) {
        let board = Strangers::new(self);
        self.growing_lists(&board);
        self.empty_lists(&board);
        self.final_lists(&board);
    }

    fn growing_lists(&mut self, board: &Strangers) {
        let (whole, from_start) = (list(1, ASKED, &asked(), 0), reading(1, ASKED, &[]));
        let later = list(1, ASKED, &asked(), 20);
        let certified = |world: &Self, fact: &ListFact| board.certified(world, fact.clone());
        let truth = certified(self, &whole);
        self.say("all who have asked", &from_start, &truth, "believed");
        let answer = certified(self, &later);
        self.say("those since then", &reading(1, ASKED, &asked()[..20]), &answer, "believed");
        self.say("those since another point", &from_start, &answer, "discontinuous");
        let mut turned = asked();
        turned.swap(3, 4);
        self.say("after a past that was another", &reading(1, ASKED, &turned[..20]), &answer, "discontinuous");
        let answer = certified(self, &list(1, SOLVED, &solved(), 0));
        self.say("who has solved", &reading(1, SOLVED, &[]), &answer, "believed");
        self.say("the other list", &from_start, &answer, "about_something_else");
        let mut renamed = answer;
        renamed.fact.list = ASKED;
        self.say("the other list under this one's name", &from_start, &renamed, "wrong_proof");
        let changes: [Lie; 6] = [
            ("a list that is cut", "broken_chain", |page| page.keys.truncate(24)),
            ("a list in another order", "broken_chain", |page| page.keys.swap(0, 1)),
            ("a list with a stranger more", "broken_chain", |page| page.keys.push(key(77))),
            ("a list with another in somebody's place", "broken_chain", |page| page.keys[7] = key(77)),
            ("a list that counts one less", "wrong_proof", |page| page.head.count -= 1),
            ("a shorter list with its own head", "wrong_proof", |page| *page = list(1, ASKED, &asked()[..24], 0)),
        ];
        for (name, verdict, change) in changes {
            let mut answer = truth.clone();
            change(&mut answer.fact);
            self.say(name, &from_start, &answer, verdict);
        }
    }

    fn empty_lists(&mut self, board: &Strangers) {
        let empty = |nonce: u8, record: Option<SessionRecord>| ListFact {
            record: record.map(Box::new),
            ..list(nonce, ASKED, &[], 0)
        };
        let answer = board.certified(self, empty(2, Some(young(2, Phase::Registering))));
        self.say("nobody has asked", &reading(2, ASKED, &[]), &answer, "believed");
        let answer = board.certified(self, empty(2, None));
        self.say("an empty list of no session", &reading(2, ASKED, &[]), &answer, "no_record");
        let answer = board.certified(self, empty(1, Some(board.record.clone())));
        self.say("a forged empty list", &reading(1, ASKED, &[]), &answer, "wrong_proof");
        let erased = SessionRecord { deadline_ms: None, ..young(3, Phase::Erased) };
        let answer = board.certified(self, empty(3, Some(erased)));
        self.say("a list that was erased", &reading(3, ASKED, &[]), &answer, "erased");
        let answer = board.certified(self, empty(3, Some(young(3, Phase::Registering))));
        self.say("one that nobody is said to be on", &reading(3, ASKED, &[]), &answer, "wrong_proof");
        let answer = board.certified(self, empty(3, Some(young(2, Phase::Registering))));
        self.say("and another session's record beside it", &reading(3, ASKED, &[]), &answer, "foreign_record");
        let mut closed = empty(2, Some(record()));
        closed.session = session();
        closed.head = ListHead::empty(&chain(), &session(), ASKED);
        closed.from_head = closed.head.head;
        let asked = Question::List { session: session(), list: ASKED, held: closed.head };
        let answer = board.certified(self, closed);
        self.say("a list of a session that is not open", &asked, &answer, "foreign_record");
    }

    fn final_lists(&mut self, board: &Strangers) {
        let everybody = asked();
        let asked = |solvers: Vec<PublicKey>, change: &dyn Fn(&mut SessionRecord)| {
            let mut record = board.record.clone();
            change(&mut record);
            Question::Final { session: id(1), record: Box::new(record), solvers }
        };
        let parties = final_list(&challenge(&board.signature), solved());
        let answer = board.certified(self, PartiesFact { session: id(1), parties: parties.clone() });
        self.say("the final list", &asked(solved(), &|_| ()), &answer, "believed");
        self.say("a final list without one who has solved", &asked(everybody, &|_| ()), &answer, "wrong_list");
        let fewer = solved()[1..].to_vec();
        self.say("a final list with one who has not", &asked(fewer, &|_| ()), &answer, "wrong_list");
        let foreign = self.signers.draw(1, &id(2));
        let under = |signature: G1Bytes| {
            asked(solved(), &move |record: &mut SessionRecord| {
                let drawn = |state| wire::RegistrationState { challenge: Some(signature), ..state };
                record.registration = record.registration.map(drawn);
            })
        };
        self.say("under another session's challenge", &under(foreign), &answer, "bad_challenge");
        self.say("under no challenge at all", &under(G1Bytes([0; 48])), &answer, "bad_challenge");
        let newer = asked(solved(), &|record| {
            record.registration = record.registration.map(|state| wire::RegistrationState { epoch: 2, ..state });
        });
        self.say("a challenge under a key that nobody has shown", &newer, &answer, "unknown_epoch");
        self.add("a challenge under another key than it names", 2, &newer, &answer, "bad_challenge");
        let mut turned = parties.clone();
        turned.swap(0, 1);
        let mut swapped = board.record.clone();
        swapped.list = list_digest(&turned);
        let mut facts = board.facts.clone();
        facts.put(&SessionFact { session: id(1), record: swapped.clone() });
        facts.put(&PartiesFact { session: id(1), parties: turned.clone() });
        let certificate = self.signers.certify(1, at(HEIGHT, &facts));
        let answer = facts.certified(certificate, PartiesFact { session: id(1), parties: turned });
        let question = Question::Final { session: id(1), record: Box::new(swapped), solvers: solved() };
        self.say("a certified list in an order that the challenge does not give", &question, &answer, "wrong_list");
        let answer = facts.certified(certificate, PartiesFact { session: id(1), parties });
        self.say("another list than the certified one", &question, &answer, "wrong_proof");
    }
}

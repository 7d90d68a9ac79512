//! A write whose payload too few nodes have is refused, changes nothing and does not use up its slot.

use crate::kit::{self, Cast, Flaw};
use ledger::{Block, Payload, State, Submitted};
use wire::{
    Bytes, Code, Hash, MailboxId, MailboxKind, Operation, Quotas, SessionId, SessionSpec, limits::MAX_INLINE_BYTES,
};

const NODES: [&str; 4] = ["north", "east", "south", "west"];
const NOW: u64 = 1000;

struct Board {
    cast: Cast,
    state: State,
    session: SessionId,
}

impl Board {
    /// A session that runs, in which alice is alone.
    fn new(inline_payloads: bool) -> Self {
        let mut cast = Cast::new();
        let quotas = Quotas { live_sessions: 5, live_sessions_per_creator: 5, live_bytes: u64::MAX };
        let (state, _) = kit::ready(&cast.network_of(&NODES, &["olga".to_owned()], quotas));
        let keys = cast.keys(&["alice".to_owned()]);
        let spec = SessionSpec { inline_payloads, max_message_bytes: 5000, ..kit::spec(keys) };
        let creator = cast.key("olga");
        let session = spec.session_id(&cast.chain, &creator, &Hash([1; 32]));
        let mut board = Self { cast, state, session };
        let creation = Operation::CreateSession { spec: Box::new(spec), nonce: Hash([1; 32]) };
        let creation = board.cast.submit("olga", creation, Bytes::default()).unwrap();
        assert_eq!(board.apply(Submitted::Verified(creation, Payload::Inline)), Code::Accepted);
        assert_eq!(board.write(MailboxKind::Keying, 3, &all(), 1, Flaw::None), Code::Accepted);
        board
    }

    fn apply(&mut self, submitted: Submitted) -> Code {
        // A clock that has waited for its block.
        self.state.apply(&Block { height: self.state.height() + 1, time_ms: NOW, operations: vec![] });
        let before = self.state.root();
        let block = Block { height: self.state.height() + 1, time_ms: NOW, operations: vec![submitted] };
        let outcome = self.state.apply(&block);
        let code = outcome.receipts[0].code;
        assert_eq!(code == Code::Accepted, outcome.root != before, "who is refused has changed nothing");
        code
    }

    fn operation(&mut self, kind: MailboxKind, length: u32) -> wire::Verified<Operation> {
        let mailbox = MailboxId { session: self.session, kind, round: 0 };
        let recipients = u16::from(kind == MailboxKind::Private);
        let write = Operation::Write { mailbox, digest: Hash([length as u8; 32]), length, recipients };
        let chain = self.cast.chain.clone();
        self.cast.sign("alice", write).verify(&chain).unwrap()
    }

    fn write(&mut self, kind: MailboxKind, length: u32, by: &[(&str, bool)], early: u64, flaw: Flaw) -> Code {
        let operation = self.operation(kind, length);
        let payload = self.cast.stored(&operation, NOW + early, by, flaw);
        self.apply(Submitted::Verified(operation, payload))
    }

    fn inline(&mut self, kind: MailboxKind, length: u32) -> Code {
        let operation = self.operation(kind, length);
        self.apply(Submitted::Verified(operation, Payload::Inline))
    }
}

fn all() -> Vec<(&'static str, bool)> {
    NODES.map(|node| (node, false)).into()
}

#[test]
fn two_thirds_of_the_nodes_must_stand_for_exactly_this_payload() {
    let mut board = Board::new(true);
    let (yes, no) = (|name| (name, false), |name| (name, true));
    let three = [yes("north"), yes("east"), yes("west")];
    for (why, by, early, flaw) in [
        ("nobody", &[][..], 1, Flaw::None),
        ("too few", &[yes("north"), yes("east")], 1, Flaw::None),
        ("the same one twice", &[yes("north"), yes("east"), yes("east"), yes("east")], 1, Flaw::None),
        ("some who are no nodes", &[yes("north"), yes("east"), yes("mallory"), yes("alice")], 1, Flaw::None),
        ("one refuses", &[yes("north"), yes("east"), no("south")], 1, Flaw::None),
        ("expired this very moment", &three, 0, Flaw::None),
        ("another operation is listed", &three, 1, Flaw::AnotherOperation),
        ("another length is listed", &three, 1, Flaw::AnotherLength),
        ("another list was confirmed", &three, 1, Flaw::AnotherBundle),
        ("for another time", &three, 1, Flaw::AnotherExpiry),
        ("nothing is listed there", &three, 1, Flaw::AnotherPlace),
    ] {
        for kind in [MailboxKind::Private, MailboxKind::Broadcast] {
            assert_eq!(board.write(kind, 100, by, early, flaw), Code::NotStored, "{why}");
        }
    }
    let by = [yes("north"), no("east"), yes("south"), yes("west")];
    assert_eq!(board.write(MailboxKind::Private, 100, &by, 1, Flaw::None), Code::Accepted, "the slot is still free");
    assert_eq!(board.write(MailboxKind::Private, 100, &[], 0, Flaw::None), Code::DuplicateSame);
    assert_eq!(board.write(MailboxKind::Private, 101, &[], 0, Flaw::None), Code::DuplicateDifferent);
    assert_eq!(board.write(MailboxKind::Broadcast, 4000, &three, 1, Flaw::None), Code::Accepted);
}

#[test]
fn in_a_block_stands_what_is_short_public_and_permitted() {
    let mut board = Board::new(true);
    assert_eq!(board.inline(MailboxKind::Private, 100), Code::NotStored);
    assert_eq!(board.inline(MailboxKind::Broadcast, MAX_INLINE_BYTES + 1), Code::NotStored);
    assert_eq!(board.inline(MailboxKind::Broadcast, MAX_INLINE_BYTES), Code::Accepted);
    let mut discreet = Board::new(false);
    assert_eq!(discreet.inline(MailboxKind::Broadcast, 1), Code::NotStored);
    assert_eq!(discreet.write(MailboxKind::Broadcast, 1, &all(), 1, Flaw::None), Code::Accepted);
}

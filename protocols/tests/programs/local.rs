//! The runner itself.

use crate::setup::{key_generation, run};
use client_sdk::protocol::{Abort, Messages, Protocol, Step};
use protocols::{
    ProtocolError,
    local::{Ending, run_local},
};
use wire::MailboxKind;

/// Does the same steps whatever it reads.
struct Script(NextMessage);

type NextMessage = fn(&Messages) -> Result<Step<u8>, Abort>;

impl Protocol for Script {
    type Output = u8;

    fn next_message(&self, messages: &Messages) -> Result<Step<u8>, Abort> {
        (self.0)(messages)
    }
}

#[test]
fn who_waits_for_ever_learns_for_whom() {
    let reader = Script(|messages| {
        Ok(match messages.sent_broadcast(0) {
            None => Step::Broadcast { round: 0, data: vec![] },
            Some(_) => Step::Read { kind: MailboxKind::Broadcast, round: 0, count: 3 },
        })
    });
    let silent = Script(|_| Ok(Step::Output(1)));
    let endings = run_local(&[&reader as &dyn Protocol<Output = u8>, &silent, &silent], 0).unwrap();
    assert_eq!(endings[0], Ending::Waiting { kind: MailboxKind::Broadcast, round: 0, missing: vec![1, 2] });
    assert_eq!(endings[1], Ending::Output(1));
}

#[test]
fn programs_that_would_never_end_are_aborted() {
    let scripts: [NextMessage; 4] = [
        |_| Ok(Step::Broadcast { round: 0, data: vec![] }),
        |_| Ok(Step::P2p { round: 0, to: 0, data: vec![] }),
        |_| Ok(Step::P2p { round: 0, to: 9, data: vec![] }),
        |_| Ok(Step::Read { kind: MailboxKind::Broadcast, round: 0, count: 0 }),
    ];
    for script in scripts {
        let ending = run_local(&[&Script(script) as &dyn Protocol<Output = u8>], 0).unwrap().remove(0);
        assert!(matches!(ending, Ending::Aborted(_)), "{ending:?}");
    }
}

#[test]
fn a_run_is_its_order() {
    let programs: Vec<_> = (0..4).map(|index| key_generation(4, index)).collect();
    assert_eq!(run(&programs, 1), run(&programs, 1));
    let nobody: [&dyn Protocol<Output = u8>; 0] = [];
    assert_eq!(run_local(&nobody, 0), Ok(vec![]));
    let silent = Script(|_| Ok(Step::Output(1)));
    let many = vec![&silent as &dyn Protocol<Output = u8>; 4097];
    assert_eq!(run_local(&many, 0), Err(ProtocolError::TooManyParties { parties: 4097 }));
}

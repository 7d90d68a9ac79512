//! What becomes of a key's generation when the next one is in force.

use crate::{assert_can_sign, voids::Board};
use std::collections::BTreeSet;
use wire::{Code, GenerationStep, Operation};

#[test]
fn what_made_a_key_is_forgotten_when_the_next_one_is_in_force() {
    let mut board = Board::new(4);
    board.finish();
    let first = board.run().clone();
    let dealing = board.cluster.nodes.dealing(0, &first, &BTreeSet::new());
    for epoch in 2..=3 {
        let before = board.run().clone();
        assert_eq!(board.by(0, Operation::RenewKey { epoch }), Code::Accepted);
        assert!(
            board.state.generations()[&(epoch - 1)].has_dealings(),
            "shares of it are needed to vouch for the next"
        );
        board.finish();
        assert_can_sign(&board.cluster, board.run(), &[0, 1, 2, 3]);
        let after = &board.state.generations()[&(epoch - 1)];
        assert!(!after.has_dealings());
        assert!(after.dealings.iter().all(Option::is_none) && after.checks.iter().all(Option::is_none));
        // All that others go by is there as before.
        assert_eq!(ledger::public_keys(after).unwrap(), ledger::public_keys(&before).unwrap());
        assert_eq!((&after.endorsed, &after.qualified), (&before.endorsed, &before.qualified));
        let bytes = |run| borsh::to_vec(run).unwrap().len();
        assert!(bytes(after) * 2 < bytes(&before), "{} of {} bytes", bytes(after), bytes(&before));
    }
    let late = board.cluster.nodes.submit(0, &first, GenerationStep::Deal { dealing });
    assert_eq!(board.apply(vec![late], 0), [Code::WrongStep]);
    board.assert_restores_everywhere();
}

//! A node that knows what the others gave it can make its own share zero, and harms nobody but itself.

use crate::{assert_can_sign, assert_endorsed, cheat::Cheat, voids::Board};
use bls::{Domain, Error};
use white_city_tests::generation::index;
use wire::{Bytes, Code, Dealing, ExchangeKey, GenerationPhase, GenerationStep, Operation};

#[test]
fn a_node_that_makes_its_own_share_zero_has_none_and_the_others_have_a_key() {
    let mut board = Board::new(4);
    assert_eq!(board.steps(0..3), [Code::Accepted; 3]);
    let dealt =
        |dealer: u16| board.cluster.nodes.polynomial(dealer, board.run()).share_for(index(3)).unwrap().to_bytes();
    let cheat = Cheat::new(3, &[0, 1, 2].map(|dealer| *dealt(dealer)));
    let sealed = |recipient| Bytes([cheat.share(recipient).as_slice(), &[0; 16]].concat());
    let shares = (0..4).map(sealed).collect();
    let dealing = Dealing { commitments: cheat.commitments(), ephemeral: ExchangeKey([9; 32]), shares };
    assert_eq!(board.step(3, GenerationStep::Deal { dealing }), Code::Accepted);
    assert_eq!(board.steps(0..4), [Code::Accepted; 4]);
    assert_eq!(board.run().checks, vec![Some(vec![]); 4], "nobody has anything to say against it");
    assert_eq!((board.run().attempt, board.run().phase), (0, GenerationPhase::Endorsing));
    assert_eq!(board.run().public_shares[3].0[..2], [0xC0, 0]);
    board.finish();
    assert_eq!((board.run().attempt, board.run().qualified.clone()), (0, vec![0, 1, 2, 3]));
    assert_endorsed(&board.cluster, board.run());
    assert_can_sign(&board.cluster, board.run(), &[0, 1, 2]);

    let first = board.run().clone();
    assert!(board.cluster.nodes.share(3, &first).is_none());
    let keys = ledger::public_keys(&first).unwrap();
    let partial = board.cluster.nodes.share(2, &first).unwrap().partial_sign(Domain::Certificate, b"a root");
    let refused = keys.verify_partial(Domain::Certificate, b"a root", index(3), &partial);
    assert_eq!(refused, Err(Error::ZeroShare { index: index(3) }));

    // It may vouch for the next key, though not with a share of this one.
    assert_eq!(board.by(0, Operation::RenewKey { epoch: 2 }), Code::Accepted);
    board.steps(0..4);
    board.steps(0..4);
    let second = board.run().clone();
    let GenerationStep::Endorse { partial, .. } = board.cluster.nodes.endorsement(2, &second, Some(&first)) else {
        panic!()
    };
    let GenerationStep::Endorse { signature, .. } = board.cluster.nodes.endorsement(3, &second, None) else { panic!() };
    assert_eq!(board.step(3, GenerationStep::Endorse { signature, partial }), Code::BadPartial);
    assert_eq!(board.step(3, GenerationStep::Endorse { signature, partial: None }), Code::Accepted);
    board.finish();
    assert_can_sign(&board.cluster, board.run(), &[0, 1, 2, 3]);
    board.assert_restores_everywhere();
}

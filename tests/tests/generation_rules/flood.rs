//! A node that fills a block with wrong steps makes the others look at one.

use crate::voids::Board;
use std::collections::BTreeSet;
use wire::{Code, G1Bytes, G2Bytes, Generation, GenerationPhase, GenerationStep, Operation, Signature};

/// So many wrong steps in one block.
const FLOOD: u8 = 250;

#[test]
fn of_a_block_full_of_wrong_dealings_one_is_looked_at() {
    let mut board = Board::new(4);
    let run = board.run().clone();
    let right = board.cluster.nodes.dealing(3, &run, &BTreeSet::new());
    let mut steps = Vec::new();
    for number in 0..FLOOD {
        let mut dealing = right.clone();
        dealing.commitments[1] = G2Bytes([number; 96]);
        steps.push((3, GenerationStep::Deal { dealing }));
    }
    // Looked at, these would be accepted and refused for another reason.
    steps.push((3, GenerationStep::Deal { dealing: right.clone() }));
    steps.push((3, GenerationStep::Check { accused: vec![] }));
    let codes = in_one_block(&mut board, &run, steps);
    assert_eq!(codes, vec![Code::BadDealing; usize::from(FLOOD) + 2]);
    assert_eq!(
        board.step(3, GenerationStep::Deal { dealing: right }),
        Code::Accepted,
        "the next block knows nothing of it"
    );
    board.finish();
    board.assert_restores_everywhere();
}

#[test]
fn of_a_block_full_of_wrong_endorsements_one_is_looked_at_and_others_are_heard() {
    let mut board = Board::new(4);
    board.finish();
    let first = board.run().clone();
    assert_eq!(board.by(0, Operation::RenewKey { epoch: 2 }), Code::Accepted);
    board.steps(0..4);
    board.steps(0..4);
    let run = board.run().clone();
    let right: Vec<_> = (0..4).map(|node| board.cluster.nodes.endorsement(node, &run, Some(&first))).collect();
    let GenerationStep::Endorse { signature, partial } = right[3] else { panic!() };
    let mut steps = vec![(3, GenerationStep::Endorse { signature: Signature([3; 64]), partial })];
    // Looked at, these would have the code `bad_partial`.
    for number in 0..FLOOD {
        steps.push((3, GenerationStep::Endorse { signature, partial: Some(G1Bytes([number; 48])) }));
    }
    steps.push((3, right[3].clone()));
    let wrong = steps.len();
    steps.push((0, right[0].clone()));
    let codes = in_one_block(&mut board, &run, steps);
    assert_eq!(codes[..wrong], vec![Code::BadSignature; wrong]);
    assert_eq!(codes[wrong..], [Code::Accepted], "what others say counts");
    assert_eq!(board.run().phase, GenerationPhase::Endorsing);
    assert_eq!(board.step(3, right[3].clone()), Code::Accepted, "the next block knows nothing of it");
    assert_eq!(board.run().phase, GenerationPhase::Done);
    board.assert_restores_everywhere();
}

fn in_one_block(board: &mut Board, run: &Generation, steps: Vec<(u16, GenerationStep)>) -> Vec<Code> {
    let submit = |(node, step)| board.cluster.nodes.submit(node, run, step);
    let operations = steps.into_iter().map(submit).collect();
    board.apply(operations, 1)
}

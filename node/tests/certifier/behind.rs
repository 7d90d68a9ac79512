//! A node that is behind the others.

use super::quorum::{FIRST, Quorum, at, certified};
use node::{
    certifier::{Effect, WINDOW},
    keyring::EpochKeys,
};
use std::sync::Arc;

#[test]
fn a_node_that_is_behind_keeps_what_is_ahead_of_it() {
    let quorum = Quorum::new(4);
    let mut leader = quorum.certifier(1);
    let mut behind = quorum.certifier(0);
    behind.execute(at(FIRST), Some(1));
    let last = FIRST + 3 * WINDOW as u64;
    let mut newest = None;
    for height in FIRST..=last {
        leader.execute(at(height), Some(1));
        newest = certified(&leader.receive(2, quorum.share(2, 1, at(height)))).pop().or(newest);
        assert_eq!(behind.receive(2, quorum.share(2, 1, at(height))).len(), usize::from(height == FIRST));
    }
    // Shares of the last heights are still there.
    let near = last - 1;
    let mut catching_up = (FIRST + 1..=near).map(|height| behind.execute(at(height), Some(1)));
    assert_eq!(certified(&catching_up.next_back().unwrap()).len(), 1);
    drop(catching_up);
    // A certificate of a block to come is told to others, and used when the block is executed.
    let mut far = quorum.certifier(3);
    far.execute(at(FIRST), Some(1));
    let newest = newest.unwrap();
    assert_eq!(far.accept(1, newest), []);
    assert_eq!(far.latest(), Some(&newest));
    assert_eq!(far.accept(1, newest), []);
    assert_eq!(far.execute(at(last - 1), Some(1)), [], "nobody needs a share for a height before it");
    assert_eq!(far.execute(at(last), Some(1)), [Effect::Certified(newest)]);
    assert!(!far.is_open());
}

#[test]
fn a_node_that_stays_behind_serves_the_first_boards_that_come_and_the_newest() {
    let quorum = Quorum::new(4);
    let mut behind = quorum.bare(0);
    let keys = EpochKeys { epoch: 1, first_height: FIRST, public: quorum.public(1), share: None };
    behind.adopt(Arc::new(keys));
    let last = FIRST + 2 * WINDOW as u64;
    for height in FIRST..=last {
        assert_eq!(behind.accept(1, quorum.certificate(1, at(height))), []);
    }
    let served = |height: &u64| !certified(&behind.execute(at(*height), Some(1))).is_empty();
    let served: Vec<u64> = (FIRST..=last).filter(served).collect();
    let first = FIRST..FIRST + WINDOW as u64 - 1;
    assert_eq!(served, first.chain([last]).collect::<Vec<_>>());
    assert!(!behind.is_open());
}

//! The nodes make their threshold key: the real rules of the board and the real participants, with f faulty nodes, crashes between
//! any two steps, and everything in a random order.

#[path = "generation_rules/cheat.rs"]
mod cheat;
#[path = "generation/faults.rs"]
mod faults;
#[path = "generation/kit.rs"]
mod kit;

use bls::{Domain, Signature};
use faults::Fault;
use kit::Cluster;
use node::participant::ShareError;
use std::{collections::BTreeSet, time::Instant};
use wire::{ChainId, GenerationPhase};

/// The record of every epoch follows from the one before, and every honest node's share works.
fn assert_sound(cluster: &mut Cluster, epochs: u64) {
    let chain: ChainId = cluster.state.parameters().chain.clone();
    let genesis: Vec<_> = cluster.state.parameters().nodes.iter().map(|node| node.identity).collect();
    let mut identities = genesis;
    for epoch in 1..=epochs {
        let run = &cluster.state.generations()[&epoch];
        let endorsed = run.endorsed.as_ref().expect("the key is in force");
        assert_eq!(endorsed.check_endorsements(&chain, &identities), Ok(()));
        let previous = cluster.members[0].keyring.epoch(epoch - 1);
        assert_eq!(endorsed.previous.is_some(), previous.is_some());
        if let (Some(signature), Some(previous)) = (endorsed.previous, previous) {
            let signature = Signature::from_bytes(&signature.0).unwrap();
            let message = endorsed.record.succession_message(&chain);
            previous.public.group_key().verify(Domain::KeyRecord, &message.0, &signature).unwrap();
        }
        identities.clone_from(&endorsed.record.identities);
        for member in cluster.honest() {
            let share = &member.keyring.epoch(epoch).unwrap().share;
            assert!(share.is_some(), "honest node {} has no share", member.participant.index());
        }
        cluster.certify(epoch);
    }
}

fn with_random_faults(nodes: u16, seeds: std::ops::Range<u64>) {
    let (mut spoilt, mut restarts) = (0, 0);
    for seed in seeds {
        let mut cluster = Cluster::new(nodes, seed).with_random_faults();
        cluster.crashes = 20;
        cluster.make_key(1);
        cluster.order(2);
        cluster.make_key(2);
        assert_sound(&mut cluster, 2);
        (spoilt, restarts) = (spoilt + cluster.spoilt, restarts + cluster.restarts);
    }
    assert!(restarts > 0);
    assert_eq!(spoilt > 0, nodes >= 4, "{spoilt} steps were spoilt");
}

#[test]
fn one_node_makes_a_key_alone() {
    with_random_faults(1, 0..20);
}

#[test]
fn two_nodes_make_a_key() {
    with_random_faults(2, 0..20);
}

#[test]
fn four_nodes_make_a_key_though_one_is_faulty() {
    with_random_faults(4, 0..60);
}

#[test]
fn seven_nodes_make_a_key_though_two_are_faulty() {
    with_random_faults(7, 0..20);
}

#[test]
fn sixteen_nodes_make_a_key_though_five_are_faulty() {
    with_random_faults(16, 0..4);
}

#[test]
fn sixty_four_nodes_make_a_key_though_twenty_one_are_faulty() {
    let started = Instant::now();
    let mut cluster = Cluster::new(64, 1).with_random_faults();
    cluster.eagerness = 95;
    cluster.make_key(1);
    assert_sound(&mut cluster, 1);
    println!("64 nodes: {:?}", started.elapsed());
}

#[test]
fn each_fault_by_itself_is_withstood_and_dealt_with() {
    for fault in Fault::ALL {
        let mut cluster = Cluster::new(4, 7);
        cluster.members[2].fault = Some(fault);
        cluster.make_key(1);
        assert_sound(&mut cluster, 1);
        assert!(cluster.spoilt > 0, "{fault:?} did not happen");
        let run = cluster.newest();
        let counts = !matches!(
            fault,
            Fault::Silent
                | Fault::WrongShares
                | Fault::WrongAnswer
                | Fault::Garbage
                | Fault::WrongCommitments
                | Fault::NoPoints
                | Fault::WeakKey
        );
        assert_eq!(run.qualified.contains(&2), counts, "{fault:?}");
        assert!([0, 1, 3].iter().all(|honest| run.qualified.contains(honest)), "{fault:?}");
        assert_eq!(run.attempt, 0, "{fault:?}");
    }
}

#[test]
fn the_same_history_makes_the_same_key() {
    let root = |seed| {
        let mut cluster = Cluster::new(4, seed).with_random_faults();
        cluster.crashes = 20;
        cluster.make_key(1);
        cluster.state.root()
    };
    assert_eq!(root(3), root(3));
    assert_ne!(root(3), root(4));
}

/// With the seeds of the run before, answers of the two together could give a secret away.
#[test]
fn a_run_without_an_outcome_is_followed_by_one_with_new_seeds() {
    let mut cluster = Cluster::new(4, 5);
    for member in &mut cluster.members[..3] {
        member.fault = Some(Fault::Garbage);
    }
    while cluster.newest().attempt == 0 {
        cluster.block();
    }
    cluster.members.iter_mut().for_each(|member| member.fault = None);
    cluster.make_key(1);
    assert_eq!(cluster.newest().attempt, 1);
    assert_sound(&mut cluster, 1);
    for member in &cluster.members {
        let dealt: Vec<_> = member.dealt.values().collect();
        assert_eq!(dealt.len(), 2);
        let points: BTreeSet<_> = dealt.iter().flat_map(|dealing| &dealing.commitments).map(|point| point.0).collect();
        assert_eq!(points.len(), 4, "the runs share no coefficient");
        assert_ne!(dealt[0].ephemeral, dealt[1].ephemeral);
    }
}

/// It cannot answer, so that its dealing does not count if somebody says that it dealt badly, and that is all.
#[test]
fn a_dealer_that_lost_its_seed_goes_on_without_it() {
    let mut cluster = Cluster::new(4, 6);
    cluster.members[3].fault = Some(Fault::AccusesAll);
    while cluster.newest().phase == GenerationPhase::Dealing {
        cluster.block();
    }
    cluster.lose_seeds(0);
    cluster.restart(0);
    cluster.make_key(1);
    let run = cluster.newest();
    assert!(run.dealings[0].is_some() && !run.qualified.contains(&0), "{:?}", run.qualified);
    assert_sound(&mut cluster, 1);
}

#[test]
fn a_node_that_lost_its_exchange_secret_has_a_share_again_with_the_next_key() {
    let mut cluster = Cluster::new(4, 8);
    cluster.make_key(1);
    cluster.lose_secret(1);
    let share = |cluster: &Cluster, node: usize, epoch| cluster.keys(epoch)[node].share.is_some();
    assert!(!share(&cluster, 1, 1));
    assert!([0, 2, 3].into_iter().all(|node| share(&cluster, node, 1)));
    while cluster.newest().next_exchange_keys[1] != cluster.members[1].participant.exchange_key() {
        cluster.block();
    }
    cluster.order(2);
    cluster.make_key(2);
    assert!((0..4).all(|node| share(&cluster, node, 2)));
    let run = cluster.newest();
    assert_eq!(run.attempt, 0);
    assert_eq!(run.checks.iter().flatten().flatten().count(), 0, "nobody accuses anybody");
}

/// Shares that it made the others publish would be its own share of the key, for everybody to see.
#[test]
fn a_node_without_its_secret_accuses_nobody() {
    let mut cluster = Cluster::new(4, 9);
    cluster.lose_secret(1);
    cluster.make_key(1);
    let run = cluster.newest();
    assert_eq!(run.checks[1], None);
    assert_eq!(run.qualified, [0, 1, 2, 3]);
    assert!(cluster.keys(1)[1].share.is_none());
    cluster.certify(1);
}

/// It deals last and knows what the others gave it: its dealing is flawless, and it has itself to blame.
#[test]
fn a_node_that_makes_its_own_share_zero_has_none_and_the_others_go_on() {
    let mut cluster = Cluster::new(4, 10);
    cluster.eagerness = 100;
    cluster.members[3].fault = Some(Fault::Silent);
    while cluster.newest().dealings.iter().flatten().count() < 3 {
        cluster.block();
    }
    cluster.deal_so_that_own_share_is_zero(3);
    cluster.members[3].fault = None;
    cluster.make_key(1);
    let run = cluster.newest().clone();
    assert_eq!((run.attempt, run.qualified.as_slice()), (0, [0, 1, 2, 3].as_slice()));
    assert_eq!(run.checks.iter().flatten().flatten().count(), 0, "nobody accuses anybody");
    assert_eq!(cluster.members[3].participant.share(&run).err(), Some(ShareError::Zero));
    let has_share: Vec<bool> = cluster.keys(1).iter().map(|keys| keys.share.is_some()).collect();
    assert_eq!(has_share, [true, true, true, false]);
    cluster.certify(1);
    cluster.order(2);
    cluster.make_key(2);
    assert!(cluster.keys(2).iter().all(|keys| keys.share.is_some()), "with the next key it is one of them again");
}

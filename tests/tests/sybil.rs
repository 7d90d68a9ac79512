//! Open registration on real clusters: strangers and an adversary, a node that is gone, and a group that registers once and signs often.

use white_city_tests::{
    cluster::Cluster,
    sybil::{self, Fight},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_adversary_gets_no_more_than_the_bound_though_a_node_is_gone() {
    let mut cluster = Cluster::start(4, &[]).await;
    cluster.nodes[3].kill();
    let outcome = sybil::fight(&cluster, &Fight { terms: sybil::terms(2), excess: 1 }).await.unwrap();
    assert!(!cluster.nodes[3].is_running());
    let paid = usize::try_from(outcome.budget / outcome.proof).unwrap();
    assert!((paid..=outcome.bound).contains(&outcome.gained), "the attack is a real one: {outcome:?}");
    assert!(outcome.refused > 0 && outcome.used <= outcome.budget, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_work_come_to_nothing() {
    let cluster = Cluster::start(4, &[]).await;
    let flood = sybil::flood(&cluster, 12, 200, 16).await.unwrap();
    assert_eq!(flood.refused, 200);
    assert!(flood.stamp_hashes > 500.0, "12 bits take 4,096 hashes on average: {flood:?}");
}

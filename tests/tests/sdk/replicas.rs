//! A replica that the network file names may be down, hang, or tell any lie: its readers go to the nodes, and know who it was.

use super::{
    board::{Board, Conduct, invited},
    whole_life,
};
use client_sdk::{Caught, Client};
use futures::future::try_join_all;
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use white_city_tests::liar::Lie;
use wire::{NetworkFile, ReplicaAddress};

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_may_do_as_it_likes() {
    use Conduct::{Down, Garbage, Honest, Lying, Silent};
    let conducts = [
        (Down, None),
        (Silent, None),
        (Garbage, None),
        (Lying(Lie::Drop), Some("broken_chain")),
        (Lying(Lie::Byte), Some("wrong_payload")),
        (Lying(Lie::Replay), Some("stale")),
        (Lying(Lie::Empty), Some("wrong_proof")),
        (Lying(Lie::Truncate), Some("foreign_record")),
        (Lying(Lie::Strangers), Some("bad_certificate")),
    ];
    for (conduct, name) in conducts {
        // One more gateway, for which the cluster answers as it does for any that is faulty, in the part of a replica.
        let board = Board::start(&[Honest, Honest, Honest, Honest, conduct]).await;
        let replicas = vec![ReplicaAddress { name: "replica0".into(), url: board.network.nodes[4].url.clone() }];
        let network = NetworkFile { replicas, ..board.network.clone() };
        let (parties, spec) = invited(4);
        let id = board.client().create(&board.creator, spec).await.unwrap();
        let clients: Vec<Client> = (0..4).map(|_| Client::new(network.clone()).unwrap()).collect();
        let started = Instant::now();
        let lives = parties.iter().zip(&clients).map(|(party, client)| {
            client.prefer(0);
            whole_life(client.clone(), party, &id)
        });
        assert_eq!(try_join_all(lives).await.unwrap(), [10; 4], "{conduct:?}");
        assert!(started.elapsed() < Duration::from_secs(30), "{conduct:?} took {:?}", started.elapsed());
        assert!(board.faults.load(Ordering::Relaxed) > 0 || conduct == Down, "{conduct:?} was never asked");
        let caught: Vec<Caught> = clients.iter().flat_map(Client::caught).collect();
        let named = caught.iter().any(|caught| caught.node == "replica0" && Some(caught.bad.name()) == name);
        assert!(named || name.is_none(), "{conduct:?}: {caught:?}");
        let is_its = |caught: &&Caught| ["replica0", "node4"].contains(&caught.node.as_str());
        let framed = caught.iter().find(|caught| !is_its(caught) && caught.bad.is_lie());
        assert_eq!(framed, None, "{conduct:?}");
    }
}

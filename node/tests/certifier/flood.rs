//! A node that sends share after share costs the others no more than one that sends one.

use crate::{
    faults,
    quorum::{FIRST, Quorum, at, certified},
};
use bls::Domain;
use node::certifier::{Certifier, WINDOW};
use wire::{BoardAt, CertificateShare};

#[test]
fn however_many_shares_a_node_sends_one_of_each_height_is_judged() {
    let quorum = Quorum::new(7);
    let mut certifier = quorum.certifier(0);
    let villains = [5, 6];
    let (mut blamed, mut sent) = (0, 0);
    // Points of the curve, rightly signed, and no two alike.
    let mut flood = |certifier: &mut Certifier, height: u64, count: u64| {
        for (villain, n) in villains.into_iter().flat_map(|villain| (0..count).map(move |n| (villain, n))) {
            sent += 1;
            let strange = BoardAt { time_ms: sent, ..at(height) };
            let partial = quorum.partial(villain, Domain::Certificate, 1, strange);
            let body = CertificateShare { partial, ..quorum.share(villain, 1, at(height)).body };
            blamed += faults(&certifier.receive(villain, quorum.envelope(villain, body))).len();
            // One that names ever later heights does not get rid of what is known of it.
            let far = quorum.share(1, 1, at(height + 1000 + n));
            certifier.receive(villain, far);
        }
        blamed
    };
    let mut certificates = 0;
    for height in FIRST..FIRST + 4 {
        let before = certifier.pairings();
        flood(&mut certifier, height, 20);
        let mut effects = certifier.execute(at(height), Some(1));
        flood(&mut certifier, height, 3 * WINDOW as u64);
        for node in [1, 2] {
            effects.extend(certifier.receive(node, quorum.share(node, 1, at(height))));
            flood(&mut certifier, height, 20);
        }
        certificates += certified(&effects).len();
        let most = quorum.size() + villains.len() + 1;
        let pairings = certifier.pairings() - before;
        assert!((1..=most as u64).contains(&pairings), "{pairings} pairings at height {height}");
    }
    assert_eq!(certificates, 4);
    // That there were two, and that one of them was wrong.
    assert!(flood(&mut certifier, 0, 0) <= 4 * 2 * villains.len());
}

//! Shares become certificates, whatever up to f nodes do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

#[path = "certifier/behind.rs"]
mod behind;
#[path = "certifier/flood.rs"]
mod flood;
#[path = "support/quorum.rs"]
mod quorum;

use bls::Domain;
use node::{
    certifier::{Certifier, Effect, Fault},
    keyring::EpochKeys,
};
use proptest::prelude::*;
use quorum::{FIRST, Quorum, at, certified, other};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};
use wire::{BoardAt, Certificate, CertificateShare, G1Bytes, Signed};

fn shares(effects: &[Effect]) -> Vec<CertificateShare> {
    let shares = effects.iter().filter_map(|effect| match effect {
        Effect::Send(share) => Some(*share),
        _ => None,
    });
    shares.collect()
}

fn faults(effects: &[Effect]) -> Vec<(usize, Fault)> {
    let blamed = effects.iter().filter_map(|effect| match effect {
        Effect::Blame { node, fault, .. } => Some((*node, *fault)),
        _ => None,
    });
    blamed.collect()
}

#[test]
fn a_node_that_is_alone_certifies_what_it_executes() {
    let quorum = Quorum::new(1);
    let mut certifier = quorum.certifier(0);
    let effects = certifier.execute(at(FIRST), Some(1));
    assert_eq!(shares(&effects).len(), 1);
    let made = certified(&effects);
    assert!(quorum.is_certificate(&made[0]) && made[0].at == at(FIRST));
    assert_eq!(certifier.latest(), Some(&made[0]));
    assert!(!certifier.is_open());
    assert_eq!(certifier.execute(at(FIRST), Some(1)), []);
}

#[test]
fn a_share_is_given_only_for_blocks_of_the_epoch_whose_key_the_node_has() {
    let quorum = Quorum::new(4);
    let mut certifier = quorum.certifier(0);
    assert_eq!(certifier.execute(at(FIRST - 1), Some(1)), [], "before the first height");
    assert_eq!(certifier.execute(at(FIRST), None), [], "the board does not have the key's record yet");
    assert_eq!(shares(&certifier.execute(at(FIRST + 1), Some(1)))[0].at, at(FIRST + 1));
    assert_eq!(certifier.execute(at(FIRST + 2), Some(2)), [], "the board has a newer one");
    // As soon as its key comes, the newest block is signed.
    let given = shares(&certifier.adopt(quorum.keys(2, 0)));
    assert_eq!(given.iter().map(|share| (share.epoch, share.at)).collect::<Vec<_>>(), [(2, at(FIRST + 2))]);
    assert_eq!(certifier.adopt(quorum.keys(1, 0)), [], "an old key changes nothing");
    // Who has lost its share signs nothing, and makes certificates of what the others give.
    let mut poor = quorum.bare(0);
    let keys = EpochKeys { epoch: 1, first_height: FIRST, public: quorum.public(1), share: None };
    poor.adopt(Arc::new(keys));
    assert_eq!(poor.execute(at(FIRST), Some(1)), []);
    assert!(poor.is_open());
    assert_eq!(poor.receive(1, quorum.share(1, 1, at(FIRST))), []);
    assert_eq!(certified(&poor.receive(2, quorum.share(2, 1, at(FIRST)))).len(), 1);
}

#[test]
fn a_bad_share_is_blamed_once_and_the_others_certify() {
    let quorum = Quorum::new(7);
    let mut certifier = quorum.certifier(0);
    certifier.execute(at(FIRST), Some(1));
    let body = quorum.share(1, 1, at(FIRST)).body;
    // Another node's partial signature, rightly signed as one's own.
    let wrong = CertificateShare { partial: quorum.partial(3, Domain::Certificate, 1, at(FIRST)), ..body };
    let evidence = quorum.envelope(1, wrong);
    assert_eq!(certifier.receive(1, evidence.clone()), [], "it cannot be told yet");
    let effects = certifier.receive(2, quorum.share(2, 1, at(FIRST)));
    let blamed = Effect::Blame { node: 1, fault: Fault::Partial, evidence: Some(Box::new(evidence.clone())) };
    assert_eq!(effects, [blamed]);
    assert!(evidence.verify(&quorum.chain).is_ok(), "it convinces a third person");
    assert_eq!(certified(&certifier.receive(3, quorum.share(3, 1, at(FIRST)))).len(), 1);
    // From then on its shares wait until there are too few others.
    certifier.execute(at(FIRST + 1), Some(1));
    let wrong = CertificateShare { at: at(FIRST + 1), ..wrong };
    assert_eq!(certifier.receive(1, quorum.envelope(1, wrong)), []);
    assert_eq!(faults(&certifier.receive(2, quorum.share(2, 1, at(FIRST + 1)))), [(1, Fault::Partial)]);
    assert_eq!(certified(&certifier.receive(3, quorum.share(3, 1, at(FIRST + 1)))).len(), 1);
    // A right one still counts.
    certifier.execute(at(FIRST + 2), Some(1));
    certifier.receive(1, quorum.share(1, 1, at(FIRST + 2)));
    assert_eq!(certified(&certifier.receive(2, quorum.share(2, 1, at(FIRST + 2)))).len(), 1);
}

#[test]
fn what_no_honest_node_sends_is_blamed_on_the_node_whose_channel_it_came_on() {
    let quorum = Quorum::new(4);
    let mut certifier = quorum.certifier(0);
    let good = quorum.share(1, 1, at(FIRST));
    let replayed = certifier.receive(2, good.clone());
    assert_eq!(replayed, [Effect::Blame { node: 2, fault: Fault::Envelope, evidence: None }]);
    let forged = Signed { body: CertificateShare { epoch: 2, ..good.body }, ..good.clone() };
    let elsewhere = Signed { chain: "elsewhere".parse().unwrap(), ..good.clone() };
    let no_point = quorum.envelope(1, CertificateShare { partial: G1Bytes([7; 48]), ..good.body });
    for (bad, fault) in [(forged, Fault::Envelope), (elsewhere, Fault::Envelope), (no_point, Fault::Partial)] {
        assert_eq!(faults(&quorum.certifier(0).receive(1, bad)), [(1, fault)]);
    }
    // Two boards for one height: the first counts if it is the right one, and both are known to be its.
    assert_eq!(certifier.receive(1, good.clone()), []);
    assert_eq!(certifier.receive(1, good), [], "a copy is no fault");
    assert_eq!(faults(&certifier.receive(1, quorum.share(1, 1, other(FIRST)))), [(1, Fault::TwoShares)]);
    assert_eq!(certifier.receive(1, quorum.share(1, 1, other(FIRST))), [], "once is enough");
    // Another board than the one executed here is found when it is.
    assert_eq!(certifier.receive(3, quorum.share(3, 1, other(FIRST))), []);
    let effects = certifier.execute(at(FIRST), Some(1));
    assert_eq!(faults(&effects), [(3, Fault::OtherBoard)]);
    assert_eq!(certified(&effects).len(), 1);
    // Late shares are not even looked at; nor is who is no node.
    assert_eq!(certifier.receive(3, quorum.share(3, 1, other(FIRST))), []);
    assert_eq!(certifier.receive(4, quorum.share(3, 1, at(FIRST + 1))), []);
}

#[test]
fn a_node_that_starts_again_is_given_the_newest_certificate_or_makes_it() {
    let quorum = Quorum::new(4);
    let mut before = quorum.certifier(0);
    before.execute(at(FIRST), Some(1));
    let made = certified(&before.receive(2, quorum.share(2, 1, at(FIRST))))[0];
    // Its store knows the height only; the keys come a little later.
    let mut after = quorum.bare(0);
    assert_eq!(after.execute(at(FIRST), Some(1)), []);
    assert_eq!(after.accept(2, made), [], "without a key nothing can be checked");
    let given = after.adopt(quorum.keys(1, 0));
    assert_eq!(shares(&given), shares(&quorum.certifier(0).execute(at(FIRST), Some(1))), "the same share as ever");
    assert_eq!(after.accept(2, made), [Effect::Certified(made)]);
    assert_eq!(after.accept(2, made), []);
    // A wrong one is blamed, one of another epoch cannot be checked, and a right one of another board is told.
    let at_next = Certificate { at: at(FIRST + 1), ..made };
    assert_eq!(faults(&after.accept(3, at_next)), [(3, Fault::Certificate)]);
    assert_eq!(after.accept(3, Certificate { epoch: 2, ..at_next }), []);
    let mut strange = quorum.certifier(1);
    strange.execute(other(FIRST), Some(1));
    assert_eq!(strange.accept(2, made), [Effect::Diverged(made)]);
    assert!(strange.is_open());
}

#[test]
fn who_does_not_speak_of_a_certified_height_in_time_is_missing_once() {
    let quorum = Quorum::new(4);
    let mut certifier = quorum.certifier(0);
    assert_eq!(certifier.missing(), NOBODY);
    certifier.execute(at(FIRST), Some(1));
    certifier.receive(1, quorum.share(1, 1, at(FIRST)));
    assert_eq!(certifier.missing(), NOBODY, "the others have had no time yet");
    certifier.receive(2, quorum.share(2, 1, at(FIRST)));
    assert_eq!(certifier.missing(), [3]);
    assert_eq!(certifier.missing(), NOBODY);
    certifier.execute(at(FIRST + 1), Some(1));
    certifier.receive(3, quorum.share(3, 1, at(FIRST + 1)));
    assert_eq!(certifier.missing(), NOBODY);
    assert_eq!(certifier.missing(), [1, 2]);
    // Where a certificate was told, nobody had to send anything.
    certifier.execute(at(FIRST + 2), Some(1));
    assert_eq!(certified(&certifier.accept(1, quorum.certificate(1, at(FIRST + 2)))).len(), 1);
    assert_eq!((certifier.missing(), certifier.missing()), (vec![], vec![]));
}

const NOBODY: [usize; 0] = [];

/// All nodes of a cluster, and what is under way between them.
struct Cluster {
    quorum: Quorum,
    nodes: Vec<Certifier>,
    /// The next height that each node executes.
    next: Vec<u64>,
    /// The share that each node sends now.
    newest: Vec<Option<Signed<CertificateShare>>>,
    under_way: VecDeque<(usize, usize, Signed<CertificateShare>)>,
    effects: Vec<(usize, Effect)>,
}

/// The last nodes of a cluster are faulty in one of these ways.
#[derive(Clone, Copy, Debug)]
enum Bad {
    Silent,
    Garbage,
    OtherBoard,
    Equivocates,
    Replays,
}

impl Cluster {
    fn new(size: usize) -> Self {
        let quorum = Quorum::new(size);
        let nodes = (0..size).map(|node| quorum.certifier(node)).collect();
        let (next, newest) = (vec![FIRST; size], vec![None; size]);
        Self { quorum, nodes, next, newest, under_way: VecDeque::new(), effects: Vec::new() }
    }

    fn honest(&self) -> usize {
        self.quorum.size() - self.quorum.faults()
    }

    fn follow(&mut self, node: usize, effects: Vec<Effect>) {
        for share in shares(&effects) {
            let envelope = self.quorum.envelope(node, share);
            self.newest[node] = Some(envelope.clone());
            self.send(node, &envelope);
        }
        self.effects.extend(effects.into_iter().map(|effect| (node, effect)));
    }

    fn send(&mut self, from: usize, envelope: &Signed<CertificateShare>) {
        let others = (0..self.honest()).filter(|to| *to != from);
        self.under_way.extend(others.map(|to| (from, to, envelope.clone())));
    }

    fn execute(&mut self, node: usize) {
        let height = self.next[node];
        self.next[node] += 1;
        let effects = self.nodes[node].execute(at(height), Some(1));
        self.follow(node, effects);
    }

    fn misbehave(&mut self, node: usize, bad: Bad, height: u64) {
        let good = self.quorum.share(node, 1, at(height));
        let partial = self.quorum.partial(0, Domain::Certificate, 1, at(height));
        match bad {
            Bad::Silent => {}
            Bad::Garbage => {
                let body = CertificateShare { partial, ..good.body };
                self.send(node, &self.quorum.envelope(node, body));
            }
            Bad::OtherBoard => self.send(node, &self.quorum.share(node, 1, other(height))),
            Bad::Equivocates => {
                self.send(node, &good);
                self.send(node, &self.quorum.share(node, 1, other(height)));
            }
            Bad::Replays => self.send(node, &self.quorum.share(0, 1, at(height))),
        }
    }

    fn deliver(&mut self, which: usize) {
        let Some((from, to, envelope)) = self.under_way.swap_remove_back(which) else { return };
        let effects = self.nodes[to].receive(from, envelope);
        self.follow(to, effects);
    }
}

fn bad() -> impl Strategy<Value = Bad> {
    prop_oneof![
        Just(Bad::Silent),
        Just(Bad::Garbage),
        Just(Bad::OtherBoard),
        Just(Bad::Equivocates),
        Just(Bad::Replays)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// In any order, with copies and losses, whatever f nodes do: every honest node gets the same certificates, never one of another
    /// board, the newest height is certified once shares are sent again, and no honest node is ever blamed.
    #[test]
    fn honest_nodes_certify_what_they_execute(
        size in prop_oneof![Just(4_usize), Just(7)],
        bad in bad(),
        steps in prop::collection::vec((any::<u8>(), any::<u16>()), 20..120),
    ) {
        let mut cluster = Cluster::new(size);
        let honest = cluster.honest();
        for (action, choice) in steps {
            let choice = usize::from(choice);
            match action % 8 {
                0 | 1 => cluster.execute(choice % honest),
                2 => {
                    let height = cluster.next.iter().max().unwrap() - u64::try_from(choice % 3).unwrap();
                    cluster.misbehave(honest + choice % (size - honest), bad, height.max(FIRST));
                }
                3 if !cluster.under_way.is_empty() => {
                    let (from, _, envelope) = cluster.under_way[choice % cluster.under_way.len()].clone();
                    cluster.send(from, &envelope);
                }
                4 => drop(cluster.under_way.pop_front()),
                _ if !cluster.under_way.is_empty() => cluster.deliver(choice % cluster.under_way.len()),
                _ => {}
            }
        }
        // The chain comes to rest: all execute the last block, and send their shares again until it is certified.
        let last = *cluster.next.iter().max().unwrap();
        for node in 0..honest {
            while cluster.next[node] <= last {
                cluster.execute(node);
            }
            let newest = cluster.newest[node].clone().unwrap();
            cluster.send(node, &newest);
        }
        while !cluster.under_way.is_empty() {
            cluster.deliver(0);
        }
        for node in &cluster.nodes[..honest] {
            prop_assert_eq!(node.latest().map(|latest| latest.at), Some(at(last)));
            prop_assert_eq!(node.latest(), cluster.nodes[0].latest());
            prop_assert!(!node.is_open());
        }
        let mut heights = vec![0; honest];
        for (node, effect) in &cluster.effects {
            match effect {
                Effect::Send(share) => prop_assert_eq!(share.at, at(share.at.height)),
                Effect::Certified(made) => {
                    prop_assert!(made.at == at(made.at.height) && made.at.height > heights[*node]);
                    prop_assert!(cluster.quorum.is_certificate(made));
                    heights[*node] = made.at.height;
                }
                Effect::Blame { node, .. } => prop_assert!(*node >= honest),
                Effect::Diverged(_) => prop_assert!(false, "nobody has another board"),
            }
        }
    }
}

/// Everything that `quorum.faults()` key holders can sign or pass on, as shares that come on their channels.
fn attempts(
    quorum: &Quorum,
    targets: &[(u64, BoardAt)],
    seen: &[Signed<CertificateShare>],
) -> Vec<(usize, Signed<CertificateShare>)> {
    let villains = quorum.size() - quorum.faults()..quorum.size();
    let mut all = Vec::new();
    for (&(epoch, at), villain) in targets.iter().flat_map(|target| villains.clone().map(move |node| (target, node))) {
        // Their own partial signatures, for this and for any other purpose, and those of each other.
        for signer in villains.clone() {
            all.extend(Domain::ALL.iter().map(|domain| {
                let partial = quorum.partial(signer, *domain, epoch, at);
                (villain, quorum.envelope(villain, CertificateShare { epoch, at, partial }))
            }));
        }
        // Partial signatures of honest nodes on other things, passed off as their own, or as if the honest node had said so.
        for share in seen {
            let body = CertificateShare { epoch, at, partial: share.body.partial };
            all.push((villain, quorum.envelope(villain, body)));
            all.push((villain, Signed { body, ..share.clone() }));
        }
    }
    all.extend(villains.flat_map(|villain| seen.iter().map(move |share| (villain, share.clone()))));
    all
}

/// All sets of `count` of `items`.
fn choose<T: Clone>(items: &[T], count: usize) -> Vec<Vec<T>> {
    let Some((first, rest)) = items.split_first().filter(|_| count > 0) else {
        return if count == 0 { vec![vec![]] } else { vec![] };
    };
    let with = choose(rest, count - 1).into_iter().map(|mut set| {
        set.push(first.clone());
        set
    });
    with.chain(choose(rest, count)).collect()
}

/// What honest nodes have signed in the attack below: three heights of two epochs.
const fn signed() -> [(u64, u64); 3] {
    [(1, FIRST), (1, FIRST + 1), (2, FIRST + 2)]
}

/// What comes of an honest node that gets all of `forged` before and after each block, and is offered every signature for every target.
fn besiege(
    quorum: &Quorum,
    node: usize,
    targets: &[(u64, BoardAt)],
    signatures: &[G1Bytes],
    forged: &[(usize, Signed<CertificateShare>)],
) -> Vec<Effect> {
    let mut certifier = quorum.certifier(node);
    let mut effects = Vec::new();
    for height in [0, FIRST, FIRST + 1, FIRST + 2] {
        if height > 0 {
            effects.extend(certifier.execute(at(height), Some(1)));
        }
        for (villain, share) in forged {
            effects.extend(certifier.receive(*villain, share.clone()));
        }
        for signature in signatures {
            for &(epoch, at) in targets {
                let forged = Certificate { epoch, at, signature: *signature };
                effects.extend(certifier.accept(quorum.size() - 1, forged));
            }
        }
    }
    effects
}

#[test]
fn f_nodes_together_never_certify_a_root_that_no_honest_node_signed() {
    let block = at(FIRST + 1);
    let targets = [
        (1, other(block.height)),
        (1, BoardAt { time_ms: block.time_ms + 1, ..block }),
        (1, BoardAt { height: block.height + 1, ..block }),
        (1, BoardAt { height: u64::MAX, ..other(FIRST) }),
        (2, block),
    ];
    for size in [4, 7] {
        let quorum = Quorum::new(size);
        let honest = size - quorum.faults();
        let share = |node, (epoch, height)| quorum.share(node, epoch, at(height));
        let seen: Vec<_> = (0..honest).flat_map(|node| signed().map(|what| share(node, what))).collect();
        let genuine = quorum.certificate(1, at(FIRST)).signature;
        let signatures: Vec<_> = seen.iter().map(|share| share.body.partial).chain([genuine]).collect();
        for (signature, (epoch, at)) in signatures.iter().flat_map(|one| targets.map(|target| (*one, target))) {
            assert!(!quorum.is_certificate(&Certificate { epoch, at, signature }));
        }
        // Also for what is right they give everything that is wrong.
        let mut forged = attempts(&quorum, &[&targets[..], &[(1, block)]].concat(), &seen);
        let (mut blamed, step) = (BTreeSet::new(), forged.len() / 24 + 1);
        // Of a height a node looks at no more of a villain's shares than the first that is wrong, so each comes first once.
        for turn in 0..forged.len() {
            forged.rotate_left(1);
            let offered = if turn % step == 0 { &signatures[..4] } else { &[] };
            let effects = besiege(&quorum, honest - 1, &targets, offered, &forged);
            for made in certified(&effects) {
                assert!(signed().contains(&(made.epoch, made.at.height)) && made.at == at(made.at.height), "{made:?}");
            }
            blamed.extend(faults(&effects));
        }
        assert!(blamed.iter().all(|(node, _)| *node >= honest), "{blamed:?}");
        let seen_through: BTreeSet<Fault> = blamed.into_iter().map(|(_, fault)| fault).collect();
        let all = [Fault::Envelope, Fault::Partial, Fault::TwoShares, Fault::OtherBoard, Fault::Certificate];
        assert_eq!(seen_through, all.into_iter().collect());
    }
}

/// The same without this node's software: no f + 1 of all the partial signatures that they can have make the signature that they want.
#[test]
fn no_f_plus_one_of_what_they_have_make_a_signature() {
    for size in [4, 7] {
        let quorum = Quorum::new(size);
        let honest = size - quorum.faults();
        let combine = |epoch, at, set: &[(usize, G1Bytes)]| {
            let message = wire::certificate_message(&quorum.chain, epoch, &at).0;
            quorum.public(epoch).combine(Domain::Certificate, &message, &quorum::partials(set)).is_ok()
        };
        let block = at(FIRST + 1);
        for (epoch, target) in [(1, other(block.height)), (1, at(FIRST + 3)), (2, block)] {
            let own = (honest..size).map(|node| (node, quorum.partial(node, Domain::Certificate, epoch, target)));
            let others = (0..honest).map(|node| (node, quorum.partial(node, Domain::Certificate, 1, block)));
            let all: Vec<_> = own.clone().chain(others).collect();
            for set in choose(&all, quorum.faults() + 1) {
                assert!(!combine(epoch, target, &set));
            }
            // One honest share more would be enough.
            let honest_one = (0, quorum.partial(0, Domain::Certificate, epoch, target));
            assert!(combine(epoch, target, &own.chain([honest_one]).collect::<Vec<_>>()));
        }
    }
}

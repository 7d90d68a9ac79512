//! An adversary who fights for an open session on a real cluster: with more hash power than honest parties have, of which every hash
//! is counted, and with requests that cost it nothing.

use crate::{
    cheat::{self, Budget},
    cluster::Cluster,
    signing,
};
use client_sdk::{Client, Error, Identity, Options, Session, identity_file};
use futures::future::{join_all, try_join_all};
use pow::{Parameters, Terms};
use rand_core::OsRng;
use std::{
    collections::BTreeSet,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};
use wire::{
    Admission, Bytes, Code, Hash, ListKind, OpenTerms, Operation, Phase, PublicKey, SessionId, SessionRecord,
    SessionSpec, Solution, Stamp, Work, message_digest,
};

/// Between two looks at the session.
const LOOK: Duration = Duration::from_millis(50);
/// The session gets so long to reach each of its phases.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is fought for.
#[derive(Clone, Copy, Debug)]
pub struct Fight {
    /// The session's terms: its `adversary` is the one that fights.
    pub terms: OpenTerms,
    /// The adversary has this many times the hashes that the terms reckon with. With more than 1 the bound need not hold.
    pub excess: u64,
}

/// How it ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Honest parties that came, all of whom must be on the list.
    pub honest: usize,
    /// The most identities that the adversary is to get: the session's corruption threshold.
    pub bound: usize,
    /// Identities that it got.
    pub gained: usize,
    /// Solutions of it that the nodes refused, for too little work was in them.
    pub refused: usize,
    /// Hashes that it had for its proofs,
    pub budget: u64,
    /// those that it used,
    pub used: u64,
    /// and those of one honest proof.
    pub proof: u64,
    /// Hashes that it used for stamps, beside.
    pub stamps: u64,
}

/// The terms of a small fight, over in seconds: devices of 100,000 hashes a second.
pub fn terms(adversary: u32) -> OpenTerms {
    OpenTerms {
        registering_ms: 6_000,
        stamp_bits: 8,
        work: Work { version: 1, leaf_hashes: 64, leaves_log2: 12, openings: 256 },
        hash_rate: 100_000,
        slack_ms: 5_000,
        head_start_ms: 3_000,
        adversary,
        soundness_bits: 40,
    }
}

/// The most identities that the terms leave to their adversary.
///
/// # Panics
/// If the terms are not sound.
pub fn bound(terms: &OpenTerms) -> u16 {
    u16::try_from(reckoned(terms).identities().expect("sound terms")).expect("a small session")
}

fn reckoned(terms: &OpenTerms) -> Terms {
    let Work { leaf_hashes, leaves_log2, openings, .. } = terms.work;
    Terms {
        parameters: Parameters::new(leaf_hashes, leaves_log2, openings).expect("sound work"),
        hash_rate: terms.hash_rate,
        slack_ms: terms.slack_ms,
        head_start_ms: terms.head_start_ms,
        adversary: terms.adversary,
        soundness_bits: terms.soundness_bits,
    }
}

/// A session in which the honest are more than the adversary can be.
pub fn spec(terms: OpenTerms) -> SessionSpec {
    let bound = bound(&terms);
    SessionSpec {
        title: "a fight".to_owned(),
        admission: Admission::Open { terms },
        min_parties: bound + 1,
        max_parties: 4 * bound + 20,
        corruption_threshold: bound,
        keying_ms: 10_000,
        max_party_bytes: 1 << 20,
        ..signing::spec(vec![])
    }
}

/// Lets one more honest party than the bound, and the adversary, fight for a session.
///
/// # Errors
/// Those of the SDK, for the honest.
///
/// # Panics
/// If the session does not get on, or this machine was too slow for the adversary's hashes.
pub async fn fight(cluster: &Cluster, fight: &Fight) -> Result<Outcome, Error> {
    let operator = identity_file::load(&cluster.operator_file(), None)?;
    let client = Client::new(cluster.network.clone())?;
    let spec = spec(fight.terms);
    let bound = usize::from(spec.corruption_threshold);
    let session = client.create(&operator, spec).await?;
    let honest: Vec<Identity> = (0..=bound).map(|_| Identity::generate(&mut OsRng)).collect();
    let join = honest.iter().map(|identity| Session::join(&client, identity, &session, Options::default()));
    let (joined, attack) = tokio::join!(try_join_all(join), attack(cluster, fight, &session));
    drop(joined?);
    let (attackers, refused, used, stamps) = attack?;
    let parties = client.parties(&session).await?;
    let on_list = |keys: &BTreeSet<PublicKey>| parties.iter().filter(|key| keys.contains(key)).count();
    assert_eq!(
        on_list(&honest.iter().map(Identity::public).collect()),
        honest.len(),
        "who is honest and in time is in"
    );
    let budget = budget(fight);
    let proof = reckoned(&fight.terms).parameters.total_hashes();
    Ok(Outcome { honest: honest.len(), bound, gained: on_list(&attackers), refused, budget, used, proof, stamps })
}

fn budget(fight: &Fight) -> u64 {
    let OpenTerms { adversary, hash_rate, head_start_ms, .. } = fight.terms;
    let ms = reckoned(&fight.terms).solving_ms() + head_start_ms;
    fight.excess * u64::from(adversary) * hash_rate * ms / 1000
}

/// Registers as many keys as could be of use, works for one after the other until the hashes are used up, and hands in cheap proofs
/// for the rest. Its keys, solutions refused, hashes used for proofs and for stamps.
async fn attack(
    cluster: &Cluster,
    fight: &Fight,
    session: &SessionId,
) -> Result<(BTreeSet<PublicKey>, usize, u64, u64), Error> {
    let client = Client::new(cluster.network.clone())?;
    let chain = &cluster.network.chain;
    let all = budget(fight);
    let keys =
        usize::try_from(all / reckoned(&fight.terms).parameters.total_hashes()).expect("a small session") * 2 + 5;
    let identities: Vec<Identity> = (0..keys).map(|_| Identity::generate(&mut OsRng)).collect();
    let record = when(&client, session, |record| record.deadline_ms.is_some()).await?;
    let expiry_ms = record.deadline_ms.unwrap_or_default();
    let (stamps, hashes): (Vec<Stamp>, Vec<u64>) = identities
        .iter()
        .map(|identity| {
            mint(&Stamp::context(chain, session, &identity.public(), expiry_ms), fight.terms.stamp_bits, expiry_ms)
        })
        .unzip();
    let requests = identities.iter().zip(stamps).map(async |(identity, stamp)| {
        let operation = Operation::Register { session: *session, stamp };
        client.submit(&identity.envelope(chain, operation, Bytes::default(), OsRng), PATIENCE).await
    });
    try_join_all(requests).await?;

    let drawn = |record: &SessionRecord| record.registration.is_some_and(|state| state.challenge.is_some());
    let record = when(&client, session, drawn).await?;
    let signature = record.registration.and_then(|state| state.challenge).expect("it is drawn");
    let (challenge, work) = (wire::challenge(&signature), fight.terms.work);
    let publics: Vec<PublicKey> = identities.iter().map(Identity::public).collect();
    let worked = tokio::task::spawn_blocking(move || {
        let (part, mut budget) = (cheat::best_part(&work), Budget { hashes: all });
        let proofs = publics.iter().map(|key| cheat::solve(&work, &challenge.0, &key.0, part, &mut budget)).collect();
        (proofs, budget.hashes)
    });
    let (proofs, left): (Vec<Option<Vec<u8>>>, u64) = worked.await.expect("it does not panic");
    // Nothing but the shape of a proof is left for the others.
    let shape = proofs.iter().flatten().next().cloned().unwrap_or_default();
    let handed_in = identities.iter().zip(&proofs).map(async |(identity, proof)| {
        let proof = Bytes(proof.clone().unwrap_or_else(|| shape.clone()));
        let payload = Solution { chain: chain.clone(), session: *session, key: identity.public(), proof }.encode();
        let (digest, length) = (message_digest(&payload.0), payload.length());
        let operation = Operation::Solve { session: *session, digest, length };
        client.submit(&identity.envelope(chain, operation, payload, OsRng), PATIENCE).await
    });
    let mut refused = 0;
    for outcome in join_all(handed_in).await {
        match outcome {
            Err(Error::Refused { code: Code::BadSolution, .. }) => refused += 1,
            Err(Error::Refused { code: Code::SolvingClosed, .. }) => {
                panic!("this machine is too slow for {all} hashes")
            }
            other => other?,
        }
    }
    Ok((identities.iter().map(Identity::public).collect(), refused, all - left, hashes.iter().sum()))
}

async fn when(
    client: &Client,
    session: &SessionId,
    ready: impl Fn(&SessionRecord) -> bool,
) -> Result<SessionRecord, Error> {
    let started = Instant::now();
    loop {
        let record = client.session(session).await?;
        if ready(&record) {
            return Ok(record);
        }
        assert!(record.phase < Phase::Ended && started.elapsed() < PATIENCE, "the session does not get on: {record:?}");
        tokio::time::sleep(LOOK).await;
    }
}

/// A stamp, and how many hashes it took.
fn mint(context: &Hash, bits: u8, expiry_ms: u64) -> (Stamp, u64) {
    let never = AtomicBool::new(false);
    let nonce = pow::hashcash::mint(&context.0, bits, 0, &|_| {}, &never).expect("there is one");
    (Stamp { expiry_ms, nonce }, nonce + 1)
}

/// What a flood of requests came to.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Requests without work, all of which were refused.
    pub refused: usize,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Hashes that a stamp took on average,
    pub stamp_hashes: f64,
    /// of so many that were made.
    pub stamps: u32,
}

/// Sends `requests` requests whose stamps show no work, by as many keys, to an open session that takes requests.
///
/// # Errors
/// Those of the SDK.
///
/// # Panics
/// If one is not refused for its stamp, or is on the list.
pub async fn flood(cluster: &Cluster, bits: u8, requests: usize, stamps: u32) -> Result<Flood, Error> {
    let operator = identity_file::load(&cluster.operator_file(), None)?;
    let client = Client::new(cluster.network.clone())?;
    let chain = &cluster.network.chain;
    let terms = OpenTerms { stamp_bits: bits, registering_ms: 60_000, ..terms(1) };
    let session = client.create(&operator, spec(terms)).await?;
    let record = when(&client, &session, |record| record.deadline_ms.is_some()).await?;
    let expiry_ms = record.deadline_ms.unwrap_or_default();
    let identities: Vec<Identity> = (0..requests).map(|_| Identity::generate(&mut OsRng)).collect();
    let envelopes: Vec<_> = identities
        .iter()
        .map(|identity| {
            let context = Stamp::context(chain, &session, &identity.public(), expiry_ms);
            let nonce = (0..).find(|nonce| !pow::hashcash::check(&context.0, bits, *nonce)).unwrap_or_default();
            let operation = Operation::Register { session, stamp: Stamp { expiry_ms, nonce } };
            identity.envelope(chain, operation, Bytes::default(), OsRng)
        })
        .collect();
    let started = Instant::now();
    let outcomes = join_all(envelopes.iter().map(|envelope| client.submit(envelope, PATIENCE))).await;
    let took = started.elapsed();
    for outcome in outcomes {
        assert!(matches!(outcome, Err(Error::Refused { code: Code::BadStamp, .. })), "{outcome:?}");
    }
    assert_eq!(client.list(&session, ListKind::Registrants).await?, []);
    let context = |number: u32| message_digest(&number.to_le_bytes());
    let hashes: u64 = (0..stamps).map(|number| mint(&context(number), bits, expiry_ms).1).sum();
    Ok(Flood { refused: requests, took, stamp_hashes: hashes as f64 / f64::from(stamps), stamps })
}

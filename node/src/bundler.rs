//! Delivers operations with their payloads to all nodes as one bundle, and collects who has stored them.

use crate::{abci::now_ms, payloads::Payloads, peers::Peers};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use wire::{
    Bundle, Bytes, Code, Confirmation, ConfirmedBundle, Delivery, Envelope, MailboxKind, Operation, PublicKey,
    SessionId, Signed, Verified,
    limits::{MAX_INLINE_BYTES, MAX_NODES},
};

/// The route of deliveries.
pub const ROUTE: &str = "/bundles";
/// For one node's confirmation.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The same if the node has to verify solutions before: it is over well before the bundle may be handed in no more.
const SOLUTIONS_TIMEOUT: Duration = Duration::from_secs(20);
/// From the newest block, or now, to a bundle's expiry. A bundle is handed in again up to half of that before.
const LIFE_MS: u64 = 60_000;
/// Bytes of deliveries under way to one node. One that takes none gets no more, and fetches what it lacks later.
const UNDER_WAY_BYTES: usize = 32 * 1024 * 1024;

/// As much of bundles of solutions, which have room of their own, for a node may take long to verify them; and what each counts at least, so that
/// a node is given no more of them than it examines at the same time.
const SOLUTIONS_UNDER_WAY_BYTES: usize = 4 * 1024 * 1024;
const SOLUTIONS_BYTES: usize = SOLUTIONS_UNDER_WAY_BYTES / 4;

/// Whether a session permits short payloads in blocks.
pub type PermitsInline = Arc<dyn Fn(&SessionId) -> bool + Send + Sync>;

/// Makes bundles for one gateway. Clones share it.
#[derive(Clone)]
pub struct Bundler {
    payloads: Payloads,
    peers: Peers,
    own: usize,
    permits_inline: PermitsInline,
    /// For each node.
    room: Arc<BTreeMap<usize, Room>>,
}

/// What may be under way to one node.
struct Room {
    writes: Arc<Semaphore>,
    solutions: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        let room = |bytes| Arc::new(Semaphore::new(bytes));
        Self { writes: room(UNDER_WAY_BYTES), solutions: room(SOLUTIONS_UNDER_WAY_BYTES) }
    }
}

/// True if a node must verify proofs of work before it can confirm the delivery.
pub fn has_solutions(delivery: &Delivery) -> bool {
    delivery.envelopes.iter().any(|envelope| is_solution(&envelope.signed.body))
}

/// True if the operation's payload must be verified before it is confirmed. Bundles have only such operations, or none.
pub fn is_solution(operation: &Operation) -> bool {
    matches!(operation, Operation::Solve { .. })
}

/// A bundle that was delivered.
pub struct Delivered {
    /// The list and its confirmations.
    pub bundle: Arc<ConfirmedBundle>,
    /// For each payload, whether enough nodes have it.
    pub stored: Vec<bool>,
}

/// What has been said of a bundle so far.
struct Tally {
    needed: usize,
    nodes: usize,
    confirmations: Vec<Signed<Confirmation>>,
    /// For each payload, who has it and who has not, or gave no answer.
    counts: Vec<(usize, usize)>,
}

impl Bundler {
    /// A bundler for the node at `own` in genesis.
    pub fn new(payloads: Payloads, peers: Peers, own: usize, permits_inline: PermitsInline) -> Self {
        let room = peers.others().map(|peer| (peer, Room::default()));
        Self { room: Arc::new(room.collect()), payloads, peers, own, permits_inline }
    }

    /// True if the operation's payload must not travel in a transaction.
    pub fn travels_beside(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Write { mailbox, length, .. } => {
                mailbox.kind == MailboxKind::Private
                    || *length > MAX_INLINE_BYTES
                    || !(self.permits_inline)(&mailbox.session)
            }
            Operation::Solve { .. } | Operation::Backup { .. } => true,
            _ => false,
        }
    }

    /// True if a bundle is good for some time yet.
    pub fn is_fresh(&self, bundle: &Bundle) -> bool {
        bundle.expiry_ms > self.time_ms().saturating_add(LIFE_MS / 2)
    }

    /// The time of the next blocks, as far as this node knows.
    fn time_ms(&self) -> u64 {
        self.payloads.at().map_or(0, |at| at.time_ms).max(now_ms())
    }

    /// Delivers at most [`wire::limits::MAX_BUNDLE_OPERATIONS`] writes, or [`wire::limits::MAX_BUNDLE_SOLUTIONS`] solutions, to all nodes, this one too. Returns as soon as of each payload
    /// it is known whether enough nodes have it; slower nodes are still being delivered to then.
    ///
    /// # Errors
    /// [`Code::Internal`] for nothing that this node causes.
    pub async fn deliver(&self, operations: Vec<(Verified<Operation>, Envelope)>) -> Result<Delivered, Code> {
        let expiry_ms = self.time_ms().saturating_add(LIFE_MS);
        let height = self.payloads.at().map_or(0, |at| at.height);
        let gateway = self.payloads.identity();
        let of_solutions = operations.iter().any(|(operation, _)| is_solution(operation.body()));
        let encoded = tokio::task::spawn_blocking(move || {
            let (verified, envelopes): (Vec<_>, Vec<_>) = operations.into_iter().unzip();
            let delivery = Delivery { gateway, expiry_ms, height, envelopes };
            let (bundle, body) = (delivery.bundle(), axum::body::Bytes::from(delivery.encode().0));
            let payloads = delivery.envelopes.into_iter().map(|envelope| envelope.payload);
            (bundle, body, verified.into_iter().zip(payloads).collect::<Vec<_>>())
        });
        let (bundle, body, own) = encoded.await.map_err(|_| Code::Internal)?;
        let mut answers = self.hand_out(&bundle, &body, own, of_solutions);
        let parameters = self.payloads.parameters();
        let digest = bundle.digest(&parameters.chain);
        let mut tally = Tally {
            needed: parameters.confirmations_needed(),
            nodes: parameters.nodes.len(),
            confirmations: Vec::with_capacity(MAX_NODES),
            counts: vec![(0, 0); bundle.items.len()],
        };
        while !tally.is_known() {
            let Some(answer) = answers.join_next().await else { break };
            let Ok((node, answer)) = answer else { continue };
            let expected = parameters.nodes.get(node).map(|node| node.identity);
            tally.count(answer.filter(|answer| is_about(answer, expected, digest, expiry_ms)));
        }
        answers.detach_all();
        let stored = tally.counts.iter().map(|(have, _)| *have >= tally.needed).collect();
        Ok(Delivered { bundle: Arc::new(ConfirmedBundle { bundle, confirmations: tally.confirmations }), stored })
    }

    /// Hands the bundle to all nodes at once; what each has answered, if it has.
    fn hand_out(
        &self,
        bundle: &Bundle,
        body: &axum::body::Bytes,
        own: Vec<(Verified<Operation>, Bytes)>,
        of_solutions: bool,
    ) -> JoinSet<(usize, Option<Signed<Confirmation>>)> {
        let mut answers = JoinSet::new();
        let (payloads, bundle, node) = (self.payloads.clone(), bundle.clone(), self.own);
        answers.spawn(async move { (node, payloads.take_own(bundle, own).await.ok()) });
        for peer in self.peers.others() {
            let Some(place) = self.place(peer, body.len(), of_solutions) else {
                metrics::counter!("white_city_deliveries_withheld_total").increment(1);
                answers.spawn(std::future::ready((peer, None)));
                continue;
            };
            let (peers, body, chain) = (self.peers.clone(), body.clone(), self.payloads.parameters().chain.clone());
            answers.spawn(async move {
                let limit = if of_solutions { SOLUTIONS_TIMEOUT } else { TIMEOUT };
                let answer = peers.post(peer, ROUTE, body, limit).await;
                drop(place);
                let answer = answer.inspect_err(|error| {
                    tracing::debug!(error = error as &dyn std::error::Error, "a bundle was not delivered");
                });
                let signed: Option<Signed<Confirmation>> = answer.ok().and_then(|bytes| borsh::from_slice(&bytes).ok());
                let sound =
                    signed.filter(|signed| signed.clone().verify(&chain).is_ok() && signed.body.check().is_ok());
                (peer, sound)
            });
        }
        answers
    }

    fn place(&self, peer: usize, bytes: usize, of_solutions: bool) -> Option<OwnedSemaphorePermit> {
        let Room { writes, solutions } = self.room.get(&peer)?;
        let (room, bytes) = if of_solutions { (solutions, bytes.max(SOLUTIONS_BYTES)) } else { (writes, bytes) };
        Arc::clone(room).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

/// True if the answer is the node's and about the bundle that it was given.
fn is_about(answer: &Signed<Confirmation>, node: Option<PublicKey>, digest: wire::Hash, expiry_ms: u64) -> bool {
    Some(answer.author) == node && (answer.body.bundle, answer.body.expiry_ms) == (digest, expiry_ms)
}

impl Tally {
    fn count(&mut self, answer: Option<Signed<Confirmation>>) {
        for ((have, have_not), place) in self.counts.iter_mut().zip(0_u16..) {
            let has = answer.as_ref().is_some_and(|answer| answer.body.covers(place));
            let count = if has { have } else { have_not };
            *count = count.saturating_add(1);
        }
        self.confirmations.extend(answer);
    }

    /// True if further answers change nothing.
    fn is_known(&self) -> bool {
        let most_against = self.nodes.saturating_sub(self.needed);
        self.counts.iter().all(|(have, have_not)| *have >= self.needed || *have_not > most_against)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::OsRng;
    use schnorrkel::Keypair;
    use wire::Hash;

    fn answer(refused: &[u16]) -> Option<Signed<Confirmation>> {
        let body = Confirmation { bundle: Hash([1; 32]), expiry_ms: 5, refused: refused.to_vec() };
        Some(Signed::sign(&Keypair::generate_with(OsRng), "here".parse().unwrap(), body, OsRng))
    }

    #[test]
    fn each_payload_is_decided_as_soon_as_it_can_be() {
        let tally = |answers: Vec<Option<Signed<Confirmation>>>| {
            let mut tally = Tally { needed: 3, nodes: 4, confirmations: vec![], counts: vec![(0, 0); 2] };
            let mut known = Vec::new();
            for answer in answers {
                tally.count(answer);
                known.push(tally.is_known());
            }
            (known, tally.counts)
        };
        assert_eq!(tally(vec![answer(&[]), answer(&[]), answer(&[])]).0, [false, false, true]);
        assert_eq!(tally(vec![None, None]).0, [false, true], "two of four cannot be three");
        let (known, counts) = tally(vec![answer(&[1]), answer(&[]), answer(&[1])]);
        assert_eq!(known, [false, false, true], "the first has three, the second cannot");
        assert_eq!(counts, [(3, 0), (1, 2)]);
        assert_eq!(tally(vec![answer(&[1]), answer(&[]), answer(&[]), answer(&[])]).0, [false, false, false, true]);
    }
}

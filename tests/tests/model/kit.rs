//! What the ledger's tests share: people with keys, a chain, and a store that keeps what events say.

use ledger::{
    Event, LedgerError, Payload, State, StoredBackup, StoredBundle, StoredEntry, StoredListing, StoredSession,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey};
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
};
use white_city_tests::generation;
use wire::{
    Bundle, BundleItem, Bytes, ChainId, Code, Confirmation, Creators, Envelope, ExchangeKey, Generation, Hash,
    ListKind, MailboxId, NetworkParameters, NodeKeys, NodeRecord, Operation, OperationId, PublicKey, Quotas,
    RoundState, SessionId, Signed, TlsKey, Verified,
};

/// People by name. A name always has the same key.
pub struct Cast {
    pub chain: ChainId,
    /// Of those who have had a part so far.
    pub keys: BTreeMap<String, Keypair>,
    rng: ChaCha20Rng,
}

impl Cast {
    pub fn new() -> Self {
        Self { chain: "trace-1".parse().unwrap(), keys: BTreeMap::new(), rng: ChaCha20Rng::from_seed([1; 32]) }
    }

    pub fn keypair(&mut self, name: &str) -> &Keypair {
        self.keys.entry(name.to_owned()).or_insert_with(|| {
            let mut seed = [0; 32];
            seed[..name.len()].copy_from_slice(name.as_bytes());
            MiniSecretKey::from_bytes(&seed).unwrap().expand_to_keypair(ExpansionMode::Ed25519)
        })
    }

    pub fn key(&mut self, name: &str) -> PublicKey {
        PublicKey(self.keypair(name).public.to_bytes())
    }

    pub fn keys(&mut self, names: &[String]) -> Vec<PublicKey> {
        names.iter().map(|name| self.key(name)).collect()
    }

    pub fn sign(&mut self, name: &str, operation: Operation) -> Signed<Operation> {
        let keypair = self.keypair(name).clone();
        Signed::sign(&keypair, self.chain.clone(), operation, &mut self.rng)
    }

    /// Signed and verified as a node does it, payload included.
    pub fn submit(&mut self, name: &str, operation: Operation, payload: Bytes) -> Result<Verified<Operation>, Code> {
        let signed = self.sign(name, operation);
        let chain = self.chain.clone();
        Ok(Envelope { signed, payload }.verify(&chain)?.0)
    }

    /// A network whose operators are `operators` and whose only node is `north`.
    pub fn network(&mut self, operators: &[String], quotas: Quotas) -> NetworkParameters {
        self.network_of(&["north"], operators, quotas)
    }

    /// A network whose operators are `operators` and whose nodes are `nodes`.
    pub fn network_of(&mut self, nodes: &[&str], operators: &[String], quotas: Quotas) -> NetworkParameters {
        let record = |(name, number): (&&str, u8)| {
            let keys = NodeKeys { exchange: ExchangeKey([2 + number; 32]), tls: TlsKey([2 + number; 32]) };
            let keypair = self.keypair(name).clone();
            NodeRecord::sign((*name).to_owned(), &keypair, &self.chain, keys, &mut self.rng)
        };
        NetworkParameters {
            nodes: nodes.iter().zip(0..).map(record).collect(),
            chain: self.chain.clone(),
            operators: self.keys(operators),
            creators: Creators::Operators,
            quotas,
        }
    }

    /// The bundle of one write, expired at `expiry_ms`, and who says to have stored it; who `refuses` says not to.
    pub fn stored(
        &mut self,
        operation: &Verified<Operation>,
        expiry_ms: u64,
        confirmers: &[(&str, bool)],
        flaw: Flaw,
    ) -> Payload {
        let Some(length) = operation.body().payload_bytes() else { return Payload::Inline };
        let mut item = BundleItem { operation: OperationId(operation.digest().0), length, chunk_root: Hash([0; 32]) };
        match flaw {
            Flaw::AnotherOperation => item.operation.0[0] ^= 1,
            Flaw::AnotherLength => item.length += 1,
            Flaw::None | Flaw::AnotherBundle | Flaw::AnotherExpiry | Flaw::AnotherPlace => {}
        }
        let gateway = self.key("north");
        let mut bundle = Bundle { gateway, expiry_ms, items: vec![item] };
        let (digest, chain) = (bundle.digest(&self.chain), self.chain.clone());
        let mut confirm = |(name, refuses): &(&str, bool)| {
            let expiry_ms = expiry_ms + u64::from(flaw == Flaw::AnotherExpiry);
            let refused = if *refuses { vec![0] } else { vec![] };
            let keypair = self.keypair(name).clone();
            let signed = Signed::sign(
                &keypair,
                chain.clone(),
                Confirmation { bundle: digest, expiry_ms, refused },
                &mut self.rng,
            );
            signed.verify(&chain).unwrap()
        };
        let confirmations = confirmers.iter().map(&mut confirm).collect();
        if flaw == Flaw::AnotherBundle {
            bundle.items.push(item);
        }
        let bundle = Arc::new(StoredBundle::new(&chain, bundle, confirmations));
        Payload::Beside { bundle, place: u16::from(flaw == Flaw::AnotherPlace) }
    }
}

/// What is wrong with a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// It lists another operation,
    AnotherOperation,
    /// or another length.
    AnotherLength,
    /// What was confirmed is another list,
    AnotherBundle,
    /// or for another time.
    AnotherExpiry,
    /// The transaction names a place that is not there.
    AnotherPlace,
}

/// A board on which nothing has happened but that its nodes have made their key.
pub fn ready(parameters: &NetworkParameters) -> (State, Store) {
    type Generations = BTreeMap<u64, Generation>;
    static MADE: LazyLock<Mutex<BTreeMap<Vec<PublicKey>, Generations>>> = LazyLock::new(Mutex::default);
    let nodes = parameters.nodes.iter().map(|node| node.identity).collect();
    // Making a key takes some time, and depends on nothing but the nodes.
    let mut made = MADE.lock().unwrap();
    let generations = made.entry(nodes).or_insert_with(|| {
        let mut cast = Cast::new();
        let keypairs: Vec<Keypair> = parameters.nodes.iter().map(|node| cast.keypair(&node.name).clone()).collect();
        generation::ready(parameters, &keypairs).generations().clone()
    });
    let store = Store { generations: generations.clone(), ..Store::default() };
    (store.restore(parameters, 0).unwrap(), store)
}

/// What a node stores: the rows that all events so far have left.
#[derive(Clone, Default, PartialEq)]
pub struct Store {
    pub sessions: BTreeMap<SessionId, StoredSession>,
    pub rounds: BTreeMap<(SessionId, u32), RoundState>,
    pub entries: BTreeMap<(MailboxId, u32), StoredEntry>,
    pub generations: BTreeMap<u64, Generation>,
    pub listings: BTreeMap<(SessionId, ListKind, u32), StoredListing>,
    pub backups: BTreeMap<(SessionId, u16), StoredBackup>,
}

impl Store {
    pub fn keep(&mut self, events: &[Event]) {
        for event in events {
            match event.clone() {
                Event::Generation { generation } => self.generations.extend([(generation.epoch, *generation)]),
                Event::Session { session, stored } => self.sessions.extend([(session, *stored)]),
                Event::Round { session, round, state } => self.rounds.extend([((session, round), state)]),
                Event::Entry(entry) => self.entries.extend([((entry.mailbox, entry.position), entry)]),
                Event::Listed(listing) => {
                    self.listings.extend([((listing.session, listing.list, listing.position), listing)]);
                }
                Event::Backup(backup) => self.backups.extend([((backup.session, backup.party), backup)]),
                Event::Erased { session } => {
                    self.listings.retain(|(id, ..), _| *id != session);
                    self.rounds.retain(|(id, _), _| *id != session);
                    self.entries.retain(|(mailbox, _), _| mailbox.session != session);
                }
            }
        }
    }

    pub fn mailbox(&self, mailbox: MailboxId) -> impl Iterator<Item = &StoredEntry> {
        self.entries.range((mailbox, 0)..=(mailbox, u32::MAX)).map(|(_, entry)| entry)
    }

    pub fn restore(&self, parameters: &NetworkParameters, height: u64) -> Result<State, LedgerError> {
        let rounds = self.rounds.iter().map(|((session, round), state)| (*session, *round, *state));
        let (sessions, entries) = (self.sessions.clone(), self.entries.values().cloned());
        let (listings, backups) = (self.listings.values().copied(), self.backups.values().copied());
        let generations = self.generations.values().cloned();
        State::restore(parameters.clone(), height, sessions, rounds, entries, listings, backups, generations)
    }
}

/// The specification that tests change where they differ.
pub fn spec(keys: Vec<PublicKey>) -> wire::SessionSpec {
    let parties = u16::try_from(keys.len()).unwrap();
    wire::SessionSpec {
        title: "test".to_owned(),
        program: wire::Program { name: "echo".to_owned(), version: "1".to_owned(), digest: Hash([0; 32]) },
        admission: wire::Admission::Invited { keys },
        min_parties: parties,
        max_parties: parties,
        corruption_threshold: parties - 1,
        abort_quorum: 1,
        keying_rounds: 1,
        max_rounds: 2,
        max_message_bytes: 1000,
        max_party_bytes: 10_000,
        padded_bytes: None,
        inline_payloads: true,
        keying_ms: 10_000,
        running_ms: 60_000,
        retention_ms: 30_000,
        round_timeout_ms: None,
    }
}

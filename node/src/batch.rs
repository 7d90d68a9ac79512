//! Transactions as bytes become batches of verified operations, each once: what CheckTx has verified, the block need not verify again.

use ledger::{Payload, StoredBundle, Submitted};
use moka::sync::Cache;
use rand_core::OsRng;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use wire::{
    Bytes, Carried, ChainId, Code, ConfirmedBundle, Operation, OperationId, Signed, Transaction, TransactionItem,
    Verified, signed::verify_all,
};

/// Verified transactions are remembered up to this many bytes, which is the whole mempool's bound.
const REMEMBERED_BYTES: u64 = 128 * 1024 * 1024;
/// What an operation weighs beside its bytes in the transaction.
const OPERATION_WEIGHT: usize = 512;

/// The operations of one transaction, in order.
pub struct Batch {
    items: Vec<Item>,
    /// Length of the transaction, all of which may be in memory: a payload, a list of parties.
    bytes: usize,
}

type Item = Result<Sound, Refused>;

/// An operation that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// The operation.
    pub operation: Verified<Operation>,
    /// Where its payload is.
    pub payload: Payload,
    /// The payload, if it is in the transaction; else empty.
    pub inline: Bytes,
}

/// An operation that does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its name.
    pub operation: OperationId,
    /// Why.
    pub code: Code,
}

impl Batch {
    /// All operations, or why one is refused.
    pub fn items(&self) -> impl Iterator<Item = Result<&Sound, &Refused>> {
        self.items.iter().map(Result::as_ref)
    }

    /// What the ledger is given of each operation.
    pub fn submitted(&self) -> impl Iterator<Item = Submitted> {
        self.items().map(|item| match item {
            Ok(sound) => Submitted::Verified(sound.operation.clone(), sound.payload.clone()),
            Err(refused) => Submitted::Refused { operation: refused.operation, code: refused.code },
        })
    }

    /// All operations, if all verify.
    ///
    /// # Errors
    /// The code of the first that does not.
    pub fn sound(&self) -> Result<Vec<&Sound>, Code> {
        self.items().collect::<Result<_, _>>().map_err(|refused| refused.code)
    }
}

/// Verifies transactions and remembers them by hash.
pub struct Verifier {
    chain: ChainId,
    remembered: Cache<[u8; 32], Arc<Batch>>,
}

impl Verifier {
    /// A verifier for one chain.
    pub fn new(chain: ChainId) -> Self {
        let remembered = Cache::builder().weigher(weigh).max_capacity(REMEMBERED_BYTES).build();
        Self { chain, remembered }
    }

    /// The operations of an encoded [`Transaction`], each checked on its own. The answer depends on the bytes alone: the randomness
    /// in the batch check lets no invalid signature pass, and a batch that fails is checked one by one.
    ///
    /// # Errors
    /// [`Code::RequestTooLarge`] or [`Code::Malformed`] if the bytes are no transaction.
    pub fn verify(&self, transaction: &[u8]) -> Result<Arc<Batch>, Code> {
        let hash: [u8; 32] = Sha256::digest(transaction).into();
        if let Some(batch) = self.remembered.get(&hash) {
            return Ok(batch);
        }
        let Transaction { items, bundle } = Transaction::decode(transaction)?;
        let bundle = bundle.map(|bundle| Arc::new(verify_bundle(bundle, &self.chain)));
        let batch = Arc::new(Batch { items: verify_items(items, bundle, &self.chain), bytes: transaction.len() });
        self.remembered.insert(hash, batch.clone());
        Ok(batch)
    }
}

/// A bundle with those of its confirmations whose signatures are good.
fn verify_bundle(bundle: ConfirmedBundle, chain: &ChainId) -> StoredBundle {
    let verified = verify_all(bundle.confirmations, chain, OsRng);
    StoredBundle::new(chain, bundle.bundle, verified.into_iter().flatten().collect())
}

/// As [`TransactionItem::check`] on each, with all signatures in one batch.
fn verify_items(items: Vec<TransactionItem>, bundle: Option<Arc<StoredBundle>>, chain: &ChainId) -> Vec<Item> {
    let refused = |signed: &Signed<Operation>, code| Refused { operation: OperationId(signed.digest().0), code };
    let check = |item: TransactionItem| {
        item.check().map_err(|code| refused(&item.signed, code))?;
        match (item.payload, &bundle) {
            (Carried::Inline { payload }, _) => Ok((item.signed, Payload::Inline, payload)),
            (Carried::Beside { place }, Some(bundle)) => {
                Ok((item.signed, Payload::Beside { bundle: Arc::clone(bundle), place }, Bytes::default()))
            }
            (Carried::Beside { .. }, None) => Err(refused(&item.signed, Code::NotStored)),
        }
    };
    let checked: Vec<_> = items.into_iter().map(check).collect();
    let signed: Vec<_> =
        checked.iter().filter_map(|item| item.as_ref().ok()).map(|(signed, ..)| signed.clone()).collect();
    let mut verified = verify_all(signed, chain, OsRng).into_iter();
    let join = |item: Result<(Signed<Operation>, Payload, Bytes), Refused>| {
        let (signed, payload, inline) = item?;
        match verified.next().unwrap_or(Err(Code::Internal)) {
            Ok(operation) => Ok(Sound { operation, payload, inline }),
            Err(code) => Err(refused(&signed, code)),
        }
    };
    checked.into_iter().map(join).collect()
}

fn weigh(_: &[u8; 32], batch: &Arc<Batch>) -> u32 {
    let weight = batch.items.len().saturating_mul(OPERATION_WEIGHT).saturating_add(batch.bytes);
    u32::try_from(weight).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use schnorrkel::{ExpansionMode, MiniSecretKey};
    use wire::Envelope;
    use wire::{Admission, Hash, Program, PublicKey, SessionId, SessionSpec, limits::MAX_PARTIES};

    fn envelope(chain: &str) -> Envelope {
        signed(chain, Operation::Terminate { session: SessionId([7; 32]) })
    }

    fn signed(chain: &str, operation: Operation) -> Envelope {
        let keypair = MiniSecretKey::from_bytes(&[1; 32]).unwrap().expand_to_keypair(ExpansionMode::Ed25519);
        Envelope { signed: Signed::sign(&keypair, chain.parse().unwrap(), operation, OsRng), payload: Bytes::default() }
    }

    #[test]
    fn each_operation_is_judged_as_it_would_be_alone() {
        let good = envelope("here");
        let foreign = envelope("there");
        let mut forged = envelope("here");
        forged.signed.body = Operation::Terminate { session: SessionId([8; 32]) };
        let mut stuffed = envelope("here");
        stuffed.payload = Bytes(vec![1]);
        let envelopes = vec![stuffed, good.clone(), forged, foreign, good.clone()];
        let chain: ChainId = "here".parse().unwrap();
        let alone: Vec<_> = envelopes.iter().map(|envelope| envelope.clone().verify(&chain)).collect();
        let ids: Vec<_> = envelopes.iter().map(Envelope::id).collect();
        let verifier = Verifier::new(chain);
        let bytes = Transaction::inline(envelopes).encode();
        for _ in 0..2 {
            let batch = verifier.verify(&bytes.0).unwrap();
            for ((item, alone), id) in batch.items().zip(&alone).zip(&ids) {
                match (item, alone) {
                    (Ok(item), Ok((alone, _))) => assert_eq!(&item.operation, alone),
                    (Err(refused), Err(code)) => assert_eq!((refused.operation, refused.code), (*id, *code)),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(batch.sound().unwrap_err(), Code::PayloadMismatch);
        }
        let sound = verifier.verify(&Transaction::inline([good]).encode().0).unwrap();
        assert_eq!(sound.sound().unwrap().len(), 1);
    }

    /// Anybody's signature is remembered, also one that may not create sessions: what it makes a node hold must count in full.
    #[test]
    fn a_long_list_of_parties_weighs_what_it_takes() {
        let keys: Vec<PublicKey> =
            (0..MAX_PARTIES).map(|i| PublicKey([i.to_le_bytes(); 16].concat().try_into().unwrap())).collect();
        let spec = SessionSpec {
            title: String::new(),
            program: Program { name: String::new(), version: String::new(), digest: Hash([0; 32]) },
            admission: Admission::Invited { keys },
            min_parties: 1,
            max_parties: MAX_PARTIES,
            corruption_threshold: 0,
            abort_quorum: 1,
            keying_rounds: 1,
            max_rounds: 1,
            max_message_bytes: 1,
            max_party_bytes: 1,
            padded_bytes: None,
            inline_payloads: true,
            keying_ms: 1,
            running_ms: 1,
            retention_ms: 1,
            round_timeout_ms: None,
        };
        let creation = signed("here", Operation::CreateSession { spec: Box::new(spec), nonce: Hash([0; 32]) });
        let bytes = Transaction::inline([creation]).encode();
        let batch = Verifier::new("here".parse().unwrap()).verify(&bytes.0).unwrap();
        assert!(batch.sound().is_ok());
        assert!(weigh(&[0; 32], &batch) > u32::from(MAX_PARTIES) * 32);
    }

    #[test]
    fn what_is_no_transaction_is_refused() {
        let verifier = Verifier::new("here".parse().unwrap());
        assert_eq!(verifier.verify(b"garbage").err(), Some(Code::Malformed));
        assert_eq!(verifier.verify(&Transaction::inline([]).encode().0).err(), Some(Code::Malformed));
        assert_eq!(verifier.verify(&vec![0; 2 * 1024 * 1024]).err(), Some(Code::RequestTooLarge));
    }
}

//! Whatever a value holds, it survives both encodings; whatever bytes arrive, no decoder panics, and what one accepts it writes
//! again as the same bytes.

use borsh::{BorshDeserialize, BorshSerialize};
use proptest::{collection::vec, option, prelude::*};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::LazyLock;
use white_city_tests::{samples, vector};
use wire::{
    AbortVote, Admission, Answer, BoardAt, Body, Bytes, ChainId, Confirmation, Dealing, Delivery, End, EndReason,
    Entry, Envelope, ExchangeKey, G1Bytes, G2Bytes, GenerationStep, Hash, Link, MailboxFact, MailboxHead, MailboxId,
    MailboxKind, NetworkParameters, Operation, Phase, PrivateItem, PrivateSet, Program, PublicKey, PublishedShare,
    RoundState, ScalarBytes, SessionFact, SessionId, SessionRecord, SessionSpec, Signature, Signed, Submission,
    SubmissionOutcome, Transaction,
};

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn key() -> impl Strategy<Value = PublicKey> {
    any::<[u8; 32]>().prop_map(PublicKey)
}

fn session_id() -> impl Strategy<Value = SessionId> {
    any::<[u8; 32]>().prop_map(SessionId)
}

fn signature() -> impl Strategy<Value = Signature> {
    (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(a, b)| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&a);
        bytes[32..].copy_from_slice(&b);
        Signature(bytes)
    })
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..64).prop_map(Bytes)
}

fn chain() -> impl Strategy<Value = ChainId> {
    "[a-z0-9-]{1,48}".prop_map(|text| text.parse().expect("it is one"))
}

fn kind() -> impl Strategy<Value = MailboxKind> {
    prop_oneof![Just(MailboxKind::Keying), Just(MailboxKind::Broadcast), Just(MailboxKind::Private)]
}

fn mailbox() -> impl Strategy<Value = MailboxId> {
    (session_id(), kind(), any::<u32>()).prop_map(|(session, kind, round)| MailboxId { session, kind, round })
}

fn spec() -> impl Strategy<Value = SessionSpec> {
    let program = (any::<String>(), any::<String>(), hash());
    let program = program.prop_map(|(name, version, digest)| Program { name, version, digest });
    let numbers = (any::<[u16; 4]>(), any::<[u32; 3]>(), any::<[u64; 4]>());
    let options = (option::of(any::<u32>()), option::of(any::<u64>()));
    (any::<String>(), program, vec(key(), 0..5), numbers, options).prop_map(
        |(title, program, keys, numbers, options)| {
            let ([min_parties, max_parties, corruption_threshold, abort_quorum], rounds, times) = numbers;
            let [keying_rounds, max_rounds, max_message_bytes] = rounds;
            let [max_party_bytes, keying_ms, running_ms, retention_ms] = times;
            let (padded_bytes, round_timeout_ms) = options;
            let admission = Admission::Invited { keys };
            SessionSpec {
                title,
                program,
                admission,
                min_parties,
                max_parties,
                corruption_threshold,
                abort_quorum,
                keying_rounds,
                max_rounds,
                max_message_bytes,
                max_party_bytes,
                padded_bytes,
                inline_payloads: max_rounds % 2 == 0,
                keying_ms,
                running_ms,
                retention_ms,
                round_timeout_ms,
            }
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (spec(), hash()).prop_map(|(spec, nonce)| Operation::CreateSession { spec: Box::new(spec), nonce }),
        (mailbox(), hash(), any::<u32>(), any::<u16>())
            .prop_map(|(mailbox, digest, length, recipients)| Operation::Write { mailbox, digest, length, recipients }),
        session_id().prop_map(|session| Operation::Terminate { session }),
        (session_id(), any::<String>()).prop_map(|(session, reason)| Operation::Abort { session, reason }),
        (session_id(), any::<u64>(), hash()).prop_map(|(session, height, root)| Operation::Ack {
            session,
            height,
            root
        }),
        (any::<u64>(), any::<u32>()).prop_map(|(deadline_ms, attempt)| Operation::Tick { deadline_ms, attempt }),
        (any::<u64>(), any::<u32>(), step()).prop_map(|(epoch, attempt, step)| Operation::Generate {
            epoch,
            attempt,
            step: Box::new(step)
        }),
        any::<[u8; 32]>().prop_map(|key| Operation::ReplaceExchangeKey { key: ExchangeKey(key) }),
        any::<u64>().prop_map(|epoch| Operation::RenewKey { epoch }),
    ]
}

fn dealing() -> impl Strategy<Value = Dealing> {
    let points = vec(vec(any::<u8>(), 96).prop_map(|point| G2Bytes(point.try_into().unwrap())), 0..4);
    (points, any::<[u8; 32]>(), vec(bytes(), 0..4)).prop_map(|(commitments, ephemeral, shares)| Dealing {
        commitments,
        ephemeral: ExchangeKey(ephemeral),
        shares,
    })
}

fn step() -> impl Strategy<Value = GenerationStep> {
    let share = || (any::<u16>(), any::<[u8; 32]>());
    let share = || share().prop_map(|(recipient, share)| PublishedShare { recipient, share: ScalarBytes(share) });
    let partial = vec(any::<u8>(), 48).prop_map(|partial| G1Bytes(partial.try_into().unwrap()));
    prop_oneof![
        dealing().prop_map(|dealing| GenerationStep::Deal { dealing }),
        vec(any::<u16>(), 0..5).prop_map(|accused| GenerationStep::Check { accused }),
        vec(share(), 0..5).prop_map(|shares| GenerationStep::Answer { shares }),
        (signature(), option::of(partial))
            .prop_map(|(signature, partial)| GenerationStep::Endorse { signature, partial }),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    (chain(), key(), operation(), signature(), bytes()).prop_map(|(chain, author, body, signature, payload)| Envelope {
        signed: Signed { chain, author, body, signature },
        payload,
    })
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![Just(Phase::Keying), Just(Phase::Running), Just(Phase::Ended), Just(Phase::Erased)]
}

fn end() -> impl Strategy<Value = End> {
    let reason = prop_oneof![Just(EndReason::Terminated), Just(EndReason::Aborted), Just(EndReason::Expired)];
    (reason, any::<u64>(), phase()).prop_map(|(reason, height, phase)| End { reason, height, phase })
}

fn record() -> impl Strategy<Value = SessionRecord> {
    let made = (spec(), key(), hash(), any::<u64>());
    let indices = || vec(any::<u16>(), 0..4);
    let vote = (any::<u16>(), any::<String>()).prop_map(|(party, reason)| AbortVote { party, reason });
    let life = (phase(), option::of(any::<u64>()), option::of(end()), any::<u16>(), hash());
    (made, life, [indices(), indices(), indices()], vec(vote, 0..3)).prop_map(|(made, life, indices, aborted)| {
        let (spec, creator, nonce, created) = made;
        let (phase, deadline_ms, end, parties, list) = life;
        let [absent, terminated, acknowledged] = indices;
        SessionRecord {
            spec,
            creator,
            nonce,
            created,
            phase,
            deadline_ms,
            registration: None,
            parties,
            list,
            absent,
            terminated,
            aborted,
            end,
            acknowledged,
        }
    })
}

fn item() -> impl Strategy<Value = PrivateItem> {
    (hash(), bytes()).prop_map(|(commitment, ciphertext)| PrivateItem { commitment, ciphertext })
}

fn entry() -> impl Strategy<Value = Entry> {
    let body = prop_oneof![
        Just(Body::Omitted),
        bytes().prop_map(|payload| Body::Message { payload }),
        (option::of(item()), vec(hash(), 0..4)).prop_map(|(item, path)| Body::Private { item, path }),
    ];
    (any::<u16>(), hash(), any::<u32>(), signature(), body)
        .prop_map(|(sender, digest, length, signature, body)| Entry { sender, digest, length, signature, body })
}

fn page() -> impl Strategy<Value = MailboxFact> {
    let head = (any::<u32>(), hash()).prop_map(|(count, head)| MailboxHead { count, head });
    let round =
        (option::of(any::<u64>()), any::<bool>()).prop_map(|(deadline_ms, closed)| RoundState { deadline_ms, closed });
    let link = (any::<u16>(), hash()).prop_map(|(sender, digest)| Link { sender, digest });
    let entries = (vec(entry(), 0..4), vec(link, 0..4));
    (mailbox(), option::of(any::<u16>()), head, option::of(round), (any::<u32>(), hash()), entries).prop_map(
        |(mailbox, recipient, head, round, (from, from_head), (entries, rest))| MailboxFact {
            mailbox,
            recipient,
            head,
            round,
            from,
            from_head,
            entries,
            rest,
            session: None,
        },
    )
}

fn answer<F: std::fmt::Debug>(fact: impl Strategy<Value = F>) -> impl Strategy<Value = Answer<F>> {
    let at = (any::<u64>(), any::<u64>(), hash()).prop_map(|(height, time_ms, root)| BoardAt { height, time_ms, root });
    (at, fact).prop_map(|(at, fact)| Answer { at, fact })
}

fn survives_json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("wire types are JSON");
    assert_eq!(&serde_json::from_str::<T>(&text).expect(&text), value);
}

fn survives_borsh<T: BorshSerialize + BorshDeserialize + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = borsh::to_vec(value).expect("wire types are borsh");
    assert_eq!(&borsh::from_slice::<T>(&bytes).expect("its own encoding"), value);
}

/// Decodes `bytes` as `T`; what is accepted must be written as it came, for a digest is taken over what is written.
fn is_canonical<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> bool {
    borsh::from_slice::<T>(bytes).is_ok_and(|value| {
        assert_eq!(borsh::to_vec(&value).expect("wire types are borsh"), bytes, "{}", std::any::type_name::<T>());
        true
    })
}

/// How many of the decoders accept `bytes`.
fn decode_as_everything(bytes: &[u8]) -> usize {
    let accepted = [
        is_canonical::<Envelope>(bytes),
        is_canonical::<Operation>(bytes),
        is_canonical::<Submission>(bytes),
        is_canonical::<SubmissionOutcome>(bytes),
        is_canonical::<SessionRecord>(bytes),
        is_canonical::<Answer<MailboxFact>>(bytes),
        is_canonical::<Answer<SessionFact>>(bytes),
        is_canonical::<NetworkParameters>(bytes),
        Transaction::decode(bytes).is_ok(),
        Delivery::decode(bytes).is_ok(),
        is_canonical::<Signed<Confirmation>>(bytes),
        PrivateSet::decode(bytes).is_ok(),
    ];
    accepted.into_iter().filter(|accepted| *accepted).count()
}

fn parse_as_everything(text: &str) {
    let _ = serde_json::from_str::<Envelope>(text).map(|envelope| envelope.verify(&samples::chain()));
    let _ = serde_json::from_str::<Submission>(text);
    let _ = serde_json::from_str::<SubmissionOutcome>(text);
    let _ = serde_json::from_str::<Answer<MailboxFact>>(text);
    let _ = serde_json::from_str::<wire::api::Problem>(text);
    let _ = serde_json::from_str::<wire::NetworkFile>(text).map(|file| file.check());
    let _ = serde_json::from_str::<SessionSpec>(text).map(|spec| spec.check());
}

/// JSON and borsh of a sample.
type Encoding = (Option<String>, Option<Vec<u8>>);

/// Encodings of all samples, made once.
static ENCODINGS: LazyLock<Vec<Encoding>> = LazyLock::new(encodings);

fn encodings() -> Vec<Encoding> {
    let files = vector::files();
    let vectors = files.iter().filter(|(name, _)| !["hashes.json", "refused.json"].contains(name));
    let vectors = vectors.flat_map(|(_, file)| file["vectors"].as_array().cloned().unwrap_or_default());
    vectors
        .map(|vector| {
            let borsh = vector["borsh"].as_str().map(|text| hex::decode(text).expect("hex"));
            (vector.get("json").map(ToString::to_string), borsh)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn envelopes_survive(value in envelope()) {
        survives_json(&value);
        survives_borsh(&value);
        let _ = value.verify(&samples::chain());
    }

    #[test]
    fn records_survive(value in answer((session_id(), record()).prop_map(|(session, record)| SessionFact { session, record }))) {
        survives_json(&value);
        survives_borsh(&value);
    }

    #[test]
    fn pages_survive(value in answer(page())) {
        survives_json(&value);
        survives_borsh(&value);
    }

    #[test]
    fn transactions_and_private_sets_survive(envelopes in vec(envelope(), 1..4), items in vec(option::of(item()), 1..9)) {
        let transaction = Transaction::inline(envelopes);
        prop_assert_eq!(&Transaction::decode(&transaction.encode().0), &Ok(transaction));
        let set = PrivateSet { items };
        prop_assert_eq!(&PrivateSet::decode(&set.encode().0), &Ok(set));
    }

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..512), text in any::<String>()) {
        decode_as_everything(&bytes);
        parse_as_everything(&text);
    }

    #[test]
    fn damaged_encodings_never_panic(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let (json, borsh) = which.get(&ENCODINGS);
        if let Some(mut bytes) = borsh.clone().filter(|bytes| !bytes.is_empty()) {
            let place = at.index(bytes.len());
            bytes[place] = byte;
            if cut { bytes.truncate(place) }
            decode_as_everything(&bytes);
        }
        if let Some(text) = json {
            let mut text = text.clone().into_bytes();
            let place = at.index(text.len());
            text[place] = byte;
            if cut { text.truncate(place) }
            parse_as_everything(&String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn the_decoders_under_test_accept_something() {
    let accepted: usize =
        ENCODINGS.iter().filter_map(|(_, borsh)| borsh.as_ref()).map(|bytes| decode_as_everything(bytes)).sum();
    assert!(accepted > 30, "only {accepted}");
}

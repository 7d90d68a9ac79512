//! Vectors: values of every type that crosses a wire, as JSON and as borsh, with the digests that belong to them. Other languages
//! can check themselves against `tests/vectors/`, which [`files`] writes.

mod accepted;
pub mod certified;
mod hashes;
mod refused;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;
use wire::{
    Answer, Hash, MailboxFact, NetworkFile, NetworkParameters, Operation, PartiesFact, PrivateSet, Receipt, Report,
    SessionFact, SessionRecord, Signed, list_digest,
};

pub use hashes::{HashVector, hashes};
pub use refused::{Refusal, judge, refusals};

/// A value in all its forms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vector {
    /// The type, by its name in `wire`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the value is.
    pub name: String,
    /// As JSON, if the type has that form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// As borsh in hex, if the type has that form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub borsh: Option<String>,
    /// Digests that follow from the value, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, Value>,
}

/// Files of `tests/vectors/` by name, as they should be.
///
/// # Panics
/// Never, unless a sample is no JSON.
pub fn files() -> BTreeMap<&'static str, Value> {
    let about = "The same value as JSON and as borsh (hex), with digests that follow from it.";
    let mut files: BTreeMap<&str, Value> =
        accepted::accepted().into_iter().map(|(name, vectors)| (name, file(about, &vectors))).collect();
    let about = "SHA-256 over the tag and the parts (hex), each after its length as eight little-endian bytes.";
    files.insert("hashes.json", file(about, &hashes()));
    let about = "Input that is refused, and its code. Envelopes are judged for the chain `vectors-1`.";
    files.insert("certified.json", certified::file());
    files.insert("refused.json", file(about, &refusals()));
    files
}

fn file<T: Serialize>(about: &str, vectors: &[T]) -> Value {
    serde_json::json!({ "about": about, "vectors": vectors })
}

type DigestsByName = BTreeMap<String, Value>;

fn named<const N: usize>(digests: [(&str, String); N]) -> DigestsByName {
    digests.into_iter().map(|(name, digest)| (name.to_owned(), Value::String(digest))).collect()
}

fn of_operation(signed: &Signed<Operation>) -> DigestsByName {
    let mut digests = named([("operation", signed.digest().to_string())]);
    if let Operation::CreateSession { spec, nonce } = &signed.body {
        digests.extend(named([("session", spec.session_id(&signed.chain, &signed.author, nonce).to_string())]));
    }
    digests
}

fn of_envelope(envelope: &wire::Envelope) -> DigestsByName {
    of_operation(&envelope.signed)
}

fn of_report(report: &Report<Receipt>) -> DigestsByName {
    named([("signed", report.digest().to_string())])
}

fn of_key_record(record: &wire::KeyRecord) -> DigestsByName {
    named([("succession", record.succession_message(&crate::samples::chain()).to_string())])
}

fn of_certificate(certificate: &wire::Certificate) -> DigestsByName {
    let wire::Certificate { epoch, at, .. } = certificate;
    named([("message", wire::certificate_message(&crate::samples::chain(), *epoch, at).to_string())])
}

fn of_generation(generation: &wire::Generation) -> DigestsByName {
    named([("generation", generation.digest().to_string())])
}

fn of_parameters(parameters: &NetworkParameters) -> DigestsByName {
    named([("genesis", parameters.digest().to_string())])
}

fn of_network_file(file: &NetworkFile) -> DigestsByName {
    named([("network", file.digest().to_string())])
}

fn of_parties(fact: &PartiesFact) -> DigestsByName {
    named([("list", list_digest(&fact.parties).to_string())])
}

fn of_private_set(set: &PrivateSet) -> DigestsByName {
    let mut digests = named([("root", set.root().to_string())]);
    digests.insert("paths".to_owned(), serde_json::to_value(set.paths()).expect("paths are JSON"));
    digests
}

fn of_bundle(bundle: &wire::Bundle) -> DigestsByName {
    named([("bundle on vectors-1", bundle.digest(&crate::samples::chain()).to_string())])
}

fn of_delivery(delivery: &wire::Delivery) -> DigestsByName {
    of_bundle(&delivery.bundle())
}

fn of_confirmation(confirmation: &Signed<wire::Confirmation>) -> DigestsByName {
    named([("signed", confirmation.digest().to_string())])
}

fn of_stamp(stamp: &wire::Stamp) -> DigestsByName {
    let (chain, session, key) = (crate::samples::chain(), crate::samples::open_session(), crate::samples::key(1));
    named([("context for person 1", wire::Stamp::context(&chain, &session, &key, stamp.expiry_ms).to_string())])
}

fn of_registration(state: &wire::RegistrationState) -> DigestsByName {
    let drawn = state.challenge.map(|signature| ("challenge", wire::challenge(&signature).to_string()));
    drawn.map_or_else(DigestsByName::new, |drawn| named([drawn]))
}

fn of_solution(solution: &wire::Solution) -> DigestsByName {
    named([("payload", wire::message_digest(&solution.encode().0).to_string())])
}

fn of_backup(backup: &wire::Backup) -> DigestsByName {
    let place = backup.place(2, &wire::ExchangeKey([77; 32]));
    let payload = wire::message_digest(&backup.encode().0);
    named([
        ("context", backup.context().to_string()),
        ("place of node 2", place.to_string()),
        ("payload", payload.to_string()),
    ])
}

fn of_restore(request: &wire::RestoreRequest) -> DigestsByName {
    let digest = wire::signed::digest(&crate::samples::chain(), &crate::samples::key(1), request);
    named([("signed by person 1", digest.to_string())])
}

fn of_challenge_share(share: &Signed<wire::ChallengeShare>) -> DigestsByName {
    let message = wire::challenge_message(&share.chain, &share.body.session);
    named([("signed", share.digest().to_string()), ("message", message.to_string())])
}

fn of_list(fact: &wire::ListFact) -> DigestsByName {
    let mut head = wire::ListHead { count: fact.from, head: fact.from_head };
    fact.keys.iter().for_each(|key| head.append(key));
    named([("head after the last key", head.head.to_string())])
}

fn of_page(page: &MailboxFact) -> DigestsByName {
    let mut head = wire::MailboxHead { count: page.from, head: page.from_head };
    page.entries.iter().for_each(|entry| head.append(entry.sender, &entry.digest));
    named([("head after the last entry", head.head.to_string())])
}

/// A type with its name in the files, and what follows from a value beside its encodings.
pub(crate) trait Kind {
    const NAME: &'static str;

    fn digests(&self) -> DigestsByName;
}

macro_rules! kind {
    ($type:ty, $name:literal $(, $digests:path)?) => {
        impl Kind for $type {
            const NAME: &'static str = $name;

            fn digests(&self) -> DigestsByName {
                [$($digests(self))?].into_iter().flat_map(DigestsByName::into_iter).collect()
            }
        }
    };
}

macro_rules! kinds {
    ($($rewrite:ident: [$($type:ty as $name:literal $(=> $digests:path)?),* $(,)?];)*) => {
        $($(kind!($type, $name $(, $digests)?);)*)*

        /// Reads a vector's forms and writes them anew, with the digests. Equal means that nothing was lost on any way.
        ///
        /// # Errors
        /// If a form does not parse, or the type is unknown.
        pub fn rewrite(vector: &Vector) -> Result<Vector, String> {
            match vector.kind.as_str() {
                $($($name => $rewrite::<$type>(vector),)*)*
                other => Err(format!("no type {other}")),
            }
        }
    };
}

kinds! {
    rewrite_both: [
        Hash as "Hash", wire::SessionId as "SessionId", wire::OperationId as "OperationId", wire::PublicKey as "PublicKey",
        wire::Signature as "Signature", wire::Bytes as "Bytes", wire::ChainId as "ChainId", wire::Code as "Code",
        wire::Program as "Program", wire::Admission as "Admission", wire::SessionSpec as "SessionSpec", wire::Phase as "Phase",
        wire::EndReason as "EndReason", wire::End as "End", wire::AbortVote as "AbortVote", SessionRecord as "SessionRecord",
        wire::MailboxKind as "MailboxKind", wire::MailboxId as "MailboxId", wire::MailboxHead as "MailboxHead",
        wire::RoundState as "RoundState", wire::PrivateItem as "PrivateItem", wire::BoardAt as "BoardAt",
        SessionFact as "SessionFact",
        PartiesFact as "PartiesFact" => of_parties, wire::Body as "Body", wire::Entry as "Entry", wire::Link as "Link",
        wire::NoSession as "NoSession",
        MailboxFact as "MailboxFact" => of_page, Receipt as "Receipt",
        Answer<NetworkParameters> as "Answer<NetworkParameters>", Answer<SessionFact> as "Answer<SessionFact>",
        Answer<PartiesFact> as "Answer<PartiesFact>", Answer<MailboxFact> as "Answer<MailboxFact>",
        Report<Receipt> as "Report<Receipt>" => of_report,
        wire::NodeRecord as "NodeRecord", wire::Creators as "Creators", wire::Quotas as "Quotas",
        NetworkParameters as "NetworkParameters" => of_parameters, wire::NodeAddress as "NodeAddress",
        wire::ReplicaAddress as "ReplicaAddress",
        NetworkFile as "NetworkFile" => of_network_file, wire::Invitation as "Invitation", Operation as "Operation",
        Signed<Operation> as "Signed<Operation>" => of_operation, wire::Envelope as "Envelope" => of_envelope,
        wire::Submission as "Submission", wire::api::Outcome as "Outcome", wire::api::OperationOutcome as "OperationOutcome",
        wire::SubmissionOutcome as "SubmissionOutcome", wire::api::SessionSummary as "SessionSummary",
        wire::api::SessionPage as "SessionPage", wire::api::NodeStatus as "NodeStatus", wire::api::GenerationStatus as "GenerationStatus",
    ];
    rewrite_both: [
        wire::ExchangeKey as "ExchangeKey", wire::TlsKey as "TlsKey", wire::NodeKeys as "NodeKeys", wire::G1Bytes as "G1Bytes",
        wire::G2Bytes as "G2Bytes", wire::ScalarBytes as "ScalarBytes", wire::PublishedShare as "PublishedShare",
        wire::Dealing as "Dealing", wire::KeyRecord as "KeyRecord" => of_key_record, wire::Endorsement as "Endorsement",
        wire::EndorsedKeyRecord as "EndorsedKeyRecord", wire::Certificate as "Certificate" => of_certificate,
        wire::CertificateShare as "CertificateShare", Signed<wire::CertificateShare> as "Signed<CertificateShare>",
        wire::FactLeaf as "FactLeaf", wire::FactProof as "FactProof", wire::GenerationStep as "GenerationStep",
        wire::GenerationPhase as "GenerationPhase",
        wire::Certified<NetworkParameters> as "Certified<NetworkParameters>",
    ];
    rewrite_both: [
        wire::Work as "Work", wire::OpenTerms as "OpenTerms", wire::Stamp as "Stamp" => of_stamp,
        wire::RegistrationState as "RegistrationState" => of_registration, wire::ListKind as "ListKind",
        wire::ListHead as "ListHead", wire::ListFact as "ListFact" => of_list, Answer<wire::ListFact> as "Answer<ListFact>",
        wire::api::PhaseStatus as "PhaseStatus",
    ];
    rewrite_both: [
        wire::KeptBackup as "KeptBackup", wire::BackupRecord as "BackupRecord", wire::BackupFact as "BackupFact",
        wire::ExchangeKeysFact as "ExchangeKeysFact", wire::RestoreQuestion as "RestoreQuestion",
        wire::RestoreAnswer as "RestoreAnswer",
    ];
    rewrite_borsh: [
        wire::Lock as "Lock", wire::Backup as "Backup" => of_backup, wire::RestoreRequest as "RestoreRequest" => of_restore,
    ];
    rewrite_borsh: [
        wire::Solution as "Solution" => of_solution, wire::ChallengeShare as "ChallengeShare",
        Signed<wire::ChallengeShare> as "Signed<ChallengeShare>" => of_challenge_share,
    ];
    rewrite_borsh: [wire::Generation as "Generation" => of_generation, PrivateSet as "PrivateSet" => of_private_set, wire::Transaction as "Transaction",
        wire::TransactionItem as "TransactionItem", wire::Carried as "Carried", wire::BundleItem as "BundleItem",
        wire::Bundle as "Bundle" => of_bundle, wire::Confirmation as "Confirmation",
        Signed<wire::Confirmation> as "Signed<Confirmation>" => of_confirmation, wire::ConfirmedBundle as "ConfirmedBundle",
        wire::Delivery as "Delivery" => of_delivery];
    rewrite_json: [wire::api::Problem as "Problem"];
}

fn vector<T: Kind>(name: &str, value: &T, json: Option<Value>, borsh: Option<Vec<u8>>) -> Vector {
    let (kind, name) = (T::NAME.to_owned(), name.to_owned());
    Vector { kind, name, json, borsh: borsh.map(hex::encode), digests: value.digests() }
}

pub(crate) fn both<T: Kind + Serialize + BorshSerialize>(name: &str, value: &T) -> Vector {
    let json = serde_json::to_value(value).expect("wire types are JSON");
    vector(name, value, Some(json), Some(borsh::to_vec(value).expect("wire types are borsh")))
}

pub(crate) fn binary<T: Kind + BorshSerialize>(name: &str, value: &T) -> Vector {
    vector(name, value, None, Some(borsh::to_vec(value).expect("wire types are borsh")))
}

pub(crate) fn json<T: Kind + Serialize>(name: &str, value: &T) -> Vector {
    vector(name, value, Some(serde_json::to_value(value).expect("wire types are JSON")), None)
}

fn from_json<T: DeserializeOwned>(vector: &Vector) -> Result<T, String> {
    let json = vector.json.as_ref().ok_or("no JSON")?;
    // Through text, as it comes over a wire: a `Value` lends its strings in another way.
    serde_json::from_str(&json.to_string()).map_err(|error| error.to_string())
}

fn from_borsh<T: BorshDeserialize>(vector: &Vector) -> Result<T, String> {
    let bytes = hex::decode(vector.borsh.as_ref().ok_or("no borsh")?).map_err(|error| error.to_string())?;
    borsh::from_slice(&bytes).map_err(|error| error.to_string())
}

fn rewrite_both<T>(vector: &Vector) -> Result<Vector, String>
where
    T: Kind + Serialize + DeserializeOwned + BorshSerialize + BorshDeserialize + PartialEq,
{
    let (by_json, by_borsh): (T, T) = (from_json(vector)?, from_borsh(vector)?);
    if by_json == by_borsh { Ok(both(&vector.name, &by_json)) } else { Err("JSON and borsh differ".to_owned()) }
}

fn rewrite_borsh<T: Kind + BorshSerialize + BorshDeserialize>(vector: &Vector) -> Result<Vector, String> {
    Ok(binary(&vector.name, &from_borsh::<T>(vector)?))
}

fn rewrite_json<T: Kind + Serialize + DeserializeOwned>(vector: &Vector) -> Result<Vector, String> {
    Ok(json(&vector.name, &from_json::<T>(vector)?))
}

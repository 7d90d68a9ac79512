//! Everything of White-City that crosses a wire.
//!
//! | module | what it holds |
//! |---|---|
//! | [`bytes`], [`hash`], [`chain`] | ids, hex, domain-separated hashing, the chain id |
//! | [`operation`], [`session`] | what can be asked of the board, and what a session is |
//! | [`signed`] | [`Signed`] to [`Verified`], single and in batches; [`Envelope`]: an operation with its payload |
//! | [`registration`] | how strangers become parties of an open session |
//! | [`mailbox`], [`private`] | hash chains of entries, and the Merkle tree of a party's private messages |
//! | [`fact`] | board facts and the answers in which nodes tell them |
//! | [`proof`], [`certificate`] | paths from a fact to a root of the board, and the nodes' threshold signature over that |
//! | [`generation`], [`keys`] | how the nodes make their threshold key on the board, and who vouches for it |
//! | [`backup`], [`sealing`] | what parties keep at the nodes, and secrets sealed to single nodes |
//! | [`network`], [`invitation`] | the cluster's parameters, the network file; what the parties of a session are sent |
//! | [`api`] | requests and answers of the gateway, transactions |
//! | [`bundle`] | payloads beside consensus: deliveries, and nodes' confirmations of them |
//! | [`code`], [`limits`] | why something was refused, and every bound |
//!
//! Signed and hashed bytes are borsh; people see JSON. Nothing here has a clock, randomness or I/O.
//!
//! ```
//! use wire::{ChainId, Code, Operation, SessionId, Signed};
//! # struct Rng(u8);
//! # impl rand_core::RngCore for Rng {
//! #     fn next_u32(&mut self) -> u32 { self.0.into() }
//! #     fn next_u64(&mut self) -> u64 { self.0.into() }
//! #     fn fill_bytes(&mut self, d: &mut [u8]) { d.fill(self.0) }
//! #     fn try_fill_bytes(&mut self, d: &mut [u8]) -> Result<(), rand_core::Error> { d.fill(self.0); Ok(()) }
//! # }
//! # impl rand_core::CryptoRng for Rng {}
//! # let keypair = schnorrkel::MiniSecretKey::from_bytes(&[1; 32]).unwrap().expand_to_keypair(schnorrkel::ExpansionMode::Ed25519);
//! # let rng = Rng(1);
//! let chain: ChainId = "white-city-1".parse().unwrap();
//! let operation = Operation::Terminate { session: SessionId([7; 32]) };
//! let signed = Signed::sign(&keypair, chain.clone(), operation, rng);
//! assert!(signed.clone().verify(&chain).is_ok());
//! assert_eq!(signed.verify(&"white-city-2".parse().unwrap()), Err(Code::WrongChain));
//! ```

pub mod api;
pub mod backup;
pub mod bundle;
pub mod bytes;
pub mod certificate;
pub mod chain;
pub mod code;
pub mod fact;
pub mod generation;
pub mod hash;
pub mod invitation;
pub mod keys;
pub mod limits;
pub mod mailbox;
pub mod network;
pub mod operation;
pub mod private;
pub mod proof;
pub mod registration;
pub mod sealing;
pub mod session;
pub mod signed;

pub use api::{Carried, Submission, SubmissionOutcome, Transaction, TransactionItem};
pub use backup::{
    Backup, BackupFact, BackupRecord, ExchangeKeysFact, KeptBackup, Lock, RestoreAnswer, RestoreQuestion,
    RestoreRequest,
};
pub use bundle::{Bundle, BundleItem, Confirmation, ConfirmedBundle, Delivery, chunk_root};
pub use bytes::{
    Bytes, ExchangeKey, G1Bytes, G2Bytes, Hash, OperationId, PublicKey, ScalarBytes, SessionId, Signature, TlsKey,
};
pub use certificate::{Certificate, CertificateShare, Certified, certificate_message};
pub use chain::ChainId;
pub use code::Code;
pub use fact::{
    Answer, BoardAt, Body, Entry, FactKey, Link, MailboxFact, NoSession, PartiesFact, Provable, Receipt, Report,
    SessionFact,
};
pub use generation::{Dealing, Generation, GenerationPhase, GenerationStep, PublishedShare, SEALED_SHARE_BYTES};
pub use invitation::{BadInvitation, Invitation};
pub use keys::{EndorsedKeyRecord, Endorsement, KeyRecord};
pub use mailbox::{MailboxHead, MailboxId, MailboxKind, RoundState};
pub use network::{
    Creators, NetworkFile, NetworkParameters, NodeAddress, NodeKeys, NodeRecord, Quotas, ReplicaAddress,
    fault_tolerance,
};
pub use operation::{Operation, message_digest};
pub use private::{PrivateItem, PrivateSet, PrivateTree, verify_item};
pub use proof::{FactLeaf, FactProof, ProofError};
pub use registration::{
    ChallengeShare, ListFact, ListHead, ListKind, OpenTerms, RegistrationState, Solution, Stamp, Work, challenge,
    challenge_message, final_list,
};
pub use session::{AbortVote, Admission, End, EndReason, Phase, Program, SessionRecord, SessionSpec, list_digest};
pub use signed::{Envelope, Message, Signed, Verified};

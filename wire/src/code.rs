//! Stable codes: why something was accepted or refused. Receipts and problem documents carry the same ones.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $value:literal, $text:literal, $meaning:literal;)*) => {
        /// Why something was accepted or refused. A code keeps its name, number and meaning for ever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
        #[borsh(use_discriminant = true)]
        #[repr(u8)]
        pub enum Code {
            $(#[doc = $meaning] #[serde(rename = $text)] $name = $value,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as it stands in answers.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What the code means and what to do, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

codes! {
    Accepted = 0, "accepted", "The board has changed as asked.";
    DuplicateSame = 1, "duplicate_same", "The author has already done exactly this; nothing changed and nothing is lost.";
    DuplicateDifferent = 2, "duplicate_different", "The author has already written something else to this slot; the first stays.";
    Malformed = 3, "malformed", "The input is no JSON, borsh or parameter of the documented form; compare it with the OpenAPI description.";
    BadSignature = 4, "bad_signature", "The signature is not the author's over this operation.";
    WrongChain = 5, "wrong_chain", "The operation was signed for another chain.";
    PayloadMismatch = 6, "payload_mismatch", "The payload is not the one whose digest and length the operation signs.";
    PayloadTooLarge = 7, "payload_too_large", "The payload is longer than the system or the session allows.";
    UnknownSession = 8, "unknown_session", "The board knows no session of this id; check id and network, or wait if it was just created.";
    NotAParty = 9, "not_a_party", "The author is not on the session's list.";
    NotPermitted = 10, "not_permitted", "The network's parameters do not let this key do this.";
    InvalidSpecification = 11, "invalid_specification", "The session's specification contradicts itself or a bound of the system.";
    SessionExists = 12, "session_exists", "A session of this id exists or existed; choose another nonce.";
    QuotaExceeded = 13, "quota_exceeded", "The network's or the session's quota is used up.";
    WrongPhase = 14, "wrong_phase", "The session is in a phase that does not allow this; read the session.";
    Absent = 15, "absent", "The author gave no key in time and does not take part in this session.";
    RoundOutOfRange = 16, "round_out_of_range", "The round is not below the session's number of rounds.";
    RoundClosed = 17, "round_closed", "The round's time is over; who has not written is missing.";
    AlreadyAcknowledged = 18, "already_acknowledged", "The author has acknowledged the session's end, which ended its writing.";
    HeightOutOfRange = 19, "height_out_of_range", "The named height is before the session's end or has not been reached.";
    WrongRecipients = 20, "wrong_recipients", "A set of private messages must have exactly one item for each party on the list.";
    UnknownOperation = 21, "unknown_operation", "This node knows no decided operation of this id.";
    UnknownHeight = 22, "unknown_height", "This node has no block of this height, or no longer.";
    NotFound = 23, "not_found", "There is no such resource; see /docs.";
    MethodNotAllowed = 24, "method_not_allowed", "The resource does not know this method; see /docs.";
    UnsupportedMediaType = 25, "unsupported_media_type", "Send application/json or application/octet-stream.";
    RequestTooLarge = 26, "request_too_large", "The request's body is larger than the system allows.";
    Overloaded = 27, "overloaded", "The node has more to do than it can; try again after the time in Retry-After, or another node.";
    Unavailable = 28, "unavailable", "The node cannot serve this now; try again after the time in Retry-After, or another node.";
    NotDecided = 29, "not_decided", "The operation was handed in but not decided in time; send the same bytes again.";
    Internal = 30, "internal", "The node failed; its log says why.";
    RequestTimeout = 31, "request_timeout", "The request did not arrive in time.";
    WrongShape = 32, "wrong_shape", "The JSON can be read, but is not of the documented shape; compare it with the OpenAPI description.";
    NotStored = 33, "not_stored", "Too few nodes have stored the payload in time; nothing is lost, send the same bytes again.";
    NotReady = 34, "not_ready", "The nodes have not made their key or certified a board yet; try again after the time in Retry-After.";
    WrongGeneration = 35, "wrong_generation", "The key generation of this epoch and attempt is not the one that runs, or the epoch named for the next key is not the next, or the one before is not finished.";
    WrongStep = 36, "wrong_step", "The key generation is in a phase that does not allow this step, or nobody asks the author for it.";
    BadDealing = 37, "bad_dealing", "The dealing is not for this cluster: as many shares as nodes, and f + 1 commitments that are points of the group.";
    BadAccusation = 38, "bad_accusation", "A node can accuse only other nodes that have dealt.";
    BadAnswer = 39, "bad_answer", "The published shares are not for exactly the accusers, or one of them is not what its dealer committed to.";
    BadPartial = 40, "bad_partial", "The partial signature is not one of the author's share of the key before.";
    TooEarly = 41, "too_early", "So soon after a key came into force only an operator can renew it.";
    NotCertifiable = 42, "not_certifiable", "Only a write that the board has accepted has an entry that can be certified.";
    NotOpen = 43, "not_open", "The session's creator has chosen its parties; strangers cannot register.";
    NotRegistered = 44, "not_registered", "The author is not on the list of those who asked in time to take part.";
    AlreadyRegistered = 45, "already_registered", "The key is registered already, by another request; nothing changed and nothing is lost.";
    RegistrationClosed = 46, "registration_closed", "The time for requests to take part is over.";
    SolvingClosed = 47, "solving_closed", "The time for solutions is over; the list of parties is fixed.";
    NoChallenge = 48, "no_challenge", "The nodes have not drawn the challenge yet; read the session until it is there.";
    BadStamp = 49, "bad_stamp", "The request's stamp does not show the work that the session asks for, for this key, session, chain and expiry.";
    StampExpired = 50, "stamp_expired", "The stamp's expiry is past, or later than the deadline for requests; stamps are made for that deadline.";
    RequestsFull = 51, "requests_full", "As many have asked to take part as the system allows.";
    ListFull = 52, "list_full", "As many have solved as the session has room for; the first ones count.";
    BadChallenge = 53, "bad_challenge", "The signature is not the nodes' joint one for this session.";
    ForeignSolution = 54, "foreign_solution", "The solution was made for another session or chain.";
    StolenSolution = 55, "stolen_solution", "The solution was made for another key than its author's.";
    BadSolution = 56, "bad_solution", "The proof of work is wrong: it does not show the work on this challenge and key.";
    WrongParent = 57, "wrong_parent", "The parent must be a session that has come to run, with as many parties as this session names as its most and, those absent left out, at least as its least.";
    ThresholdTooSmall = 58, "threshold_too_small", "The stated adversary gets more identities than the session's corruption threshold; let parties do more work, state a weaker adversary, or raise the threshold and the least number of parties.";
    WeakWork = 59, "weak_work", "The proof of work cannot have the stated soundness, or takes more bytes or more time to verify than the system allows; see `white-city pow parameters`.";
    BadBackup = 60, "bad_backup", "The payload is no backup of this party in this session for the nodes of this cluster.";
    OutdatedBackup = 61, "outdated_backup", "The party has made or erased a backup of a greater number since; an older one does not come back.";
    NoBackup = 62, "no_backup", "The nodes keep no such backup of this party: there was none, another has replaced it, it was erased, or its time is over.";
    NoShare = 63, "no_share", "This node cannot open its share of the backup, for example because its exchange key was replaced since; other nodes can.";
    TooManyAttempts = 64, "too_many_attempts", "This backup was asked for too often; try again after the time in Retry-After.";
    ReadOnly = 65, "read_only", "This is a read-only replica: hand operations in at a node, and ask a node for its part in restoring a backup.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Code {}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Code {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        let meanings: Vec<String> = Self::ALL.iter().map(|code| format!("- `{code}`: {}", code.meaning())).collect();
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .description(Some(format!("Why something was accepted or refused.\n\n{}", meanings.join("\n"))))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Code {}

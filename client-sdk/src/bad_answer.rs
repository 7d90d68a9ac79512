//! What can be wrong with a node's answer.

use wire::{Hash, ProofError};

macro_rules! bad_answers {
    ($($(#[$meta:meta])* $name:ident $({ $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })? = $text:literal, $message:literal;)*) => {
        /// Why one node's answer does not count.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum BadAnswer {
            $($(#[$meta])* #[error($message)] $name $({ $($(#[$field_meta])* $field: $type,)* })?,)*
        }

        impl BadAnswer {
            /// A name for programs and vectors, which does not change.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name { .. } => $text,)* }
            }
        }
    };
}

bad_answers! {
    /// A receipt is signed by another key than the network file gives for the node, or for another chain, or not properly.
    NotSigned = "not_signed", "the receipt is not signed by the node's identity key";
    /// A receipt says that an operation was accepted which is not on the certified board of that height or a later one.
    FalseReceipt {
        /// The height that the receipt names.
        height: u64,
    } = "false_receipt", "its receipt says that the operation was accepted at height {height}, and the certified board does not have it";
    /// It is about something else than was asked.
    AboutSomethingElse {
        /// The noun.
        what: &'static str,
    } = "about_something_else", "the answer is about another {what}";

    /// A key record does not follow from what the client knows.
    BadKeyRecord {
        /// The record's epoch.
        epoch: u64,
        /// What is wrong.
        why: &'static str,
    } = "bad_key_record", "the key record of epoch {epoch} does not count: {why}";
    /// It is certified under a key that the client does not know and that the node did not show.
    UnknownEpoch {
        /// The epoch that the certificate names.
        epoch: u64,
    } = "unknown_epoch", "the certificate is of key epoch {epoch}, for which there is no key record";
    /// It is certified under a key that was not in force at that height.
    WrongEpoch {
        /// The epoch that the certificate names.
        epoch: u64,
        /// Its height.
        height: u64,
    } = "wrong_epoch", "the certificate is of key epoch {epoch}, whose key is not the one for height {height}";
    /// The certificate is not signed by the cluster, or not for this chain, height, time and root.
    BadCertificate {
        /// The height that it names.
        height: u64,
    } = "bad_certificate", "the certificate of height {height} is not signed under the cluster's key";
    /// Two certificates of one height: more than f nodes have signed falsely.
    TwoBoards {
        /// The height.
        height: u64,
    } = "two_boards", "there are two certified boards of height {height}: more than f nodes lie, believe none of them";
    /// It is older than what the client knew when it asked: the node lags behind, or replays.
    Stale {
        /// Height of the answer.
        height: u64,
        /// Certified height that the client knew.
        known: u64,
    } = "stale", "the answer is of height {height}, and height {known} is known to be certified";

    /// It has not the proofs that its fact needs.
    ProofCount {
        /// How many the fact needs.
        expected: usize,
        /// How many are there.
        found: usize,
    } = "proof_count", "the answer has {found} proofs where {expected} are needed";
    /// A proof does not lead from the fact to the certified root: the fact is not what the board holds.
    WrongProof {
        /// What was to be proved.
        what: &'static str,
        /// What is wrong with the proof.
        why: ProofError,
    } = "wrong_proof", "{what} is not proved to be on the certified board: {why}";

    /// The network's parameters are not those that the network file names.
    WrongGenesis {
        /// As the network file says.
        expected: Hash,
        /// As found.
        found: Hash,
    } = "wrong_genesis", "the network's parameters have digest {found}, not the network file's {expected}";
    /// The network's parameters are not those of the invitation's network.
    ForeignNetwork {
        /// The digest that the invitation names.
        expected: Hash,
        /// As found.
        found: Hash,
    } = "foreign_network", "it shows a network with digest {found}, not the invitation's {expected}";
    /// A session's record does not hash to the session's id, or its list is not the one that the specification names.
    ForeignRecord {
        /// What does not match.
        what: &'static str,
    } = "foreign_record", "the record is not this session's: {what} does not match";
    /// The nodes' challenge of an open session is not their joint signature.
    BadChallenge {
        /// The epoch whose key it should be under.
        epoch: u64,
    } = "bad_challenge", "the session's challenge is not signed under the cluster's key of epoch {epoch}";
    /// The final list of an open session does not follow from its challenge and from who has solved.
    WrongList {
        /// What is wrong.
        why: &'static str,
    } = "wrong_list", "the list of parties does not follow from the challenge and the solvers: {why}";
    /// An empty mailbox or list is shown without the record of its session.
    NoRecord = "no_record", "an empty mailbox or list is shown without the record of its session, which may be erased";
    /// The session is erased, so that its mailboxes and lists are empty whatever was in them.
    Erased = "erased", "the session is erased, and its empty mailbox or list says nothing";
    /// A page does not begin where the reader is.
    Discontinuous {
        /// Number of entries that the reader holds.
        position: u32,
    } = "discontinuous", "the page does not continue what is held up to position {position}";
    /// The entries and what follows them do not hash to the mailbox's head.
    BrokenChain = "broken_chain", "the entries do not hash to the mailbox's head";
    /// A page shows no entry, though there are some.
    Withheld {
        /// Position of the first entry that is not shown.
        position: u32,
    } = "withheld", "the entry at {position} is there and not shown";
    /// An entry's sender is not on the list, or has another entry in the same mailbox.
    ImpossibleSender {
        /// Position of the entry.
        position: u32,
        /// The index that it names.
        sender: u16,
    } = "impossible_sender", "the entry at {position} is from {sender}, who cannot have written it";
    /// The answer does not show the entry of the operation that was asked for.
    OtherEntry = "other_entry", "the answer does not show the entry of the operation";
    /// An entry's payload is not the one whose digest and length its sender signed, or is missing.
    WrongPayload {
        /// The sender.
        sender: u16,
    } = "wrong_payload", "the payload of the entry from party {sender} is not the one that the party signed";
    /// A private item does not lie under the root that its sender signed.
    WrongPath {
        /// The sender.
        sender: u16,
    } = "wrong_path", "the private item from party {sender} is not under the root that the party signed";
    /// The payload of a backup is missing, is not the one that the board holds the digest of, or one that no honest owner makes.
    WrongBackup = "wrong_backup", "the backup's payload is not the one that the board holds the digest of, or no backup";
    /// A node's part in opening a backup is not what follows from the share that the owner has dealt it.
    WrongEvaluation = "wrong_evaluation", "its part in opening the backup is wrong: the backup's commitments show another share";
    /// Entries whose signatures are not their senders'.
    ForgedEntries {
        /// The senders that the entries name.
        senders: Vec<u16>,
    } = "forged_entries", "entries are not signed by their senders: {senders:?}";
}

impl BadAnswer {
    /// True for what no honest node says, if it was asked for the key that it names first. One that lags behind shows an older board, perhaps
    /// under an older key, and an erased session is no lie.
    pub fn is_lie(&self) -> bool {
        !matches!(self, Self::Stale { .. } | Self::WrongEpoch { .. } | Self::Erased)
    }
}

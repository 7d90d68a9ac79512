//! Every bound of the system that is not a session's own, in one place. Sizes are bytes, durations milliseconds.

/// Most parties in one session.
pub const MAX_PARTIES: u16 = 4096;
/// Rounds are numbered from 0 to below this, at most.
pub const MAX_ROUNDS: u32 = 65_536;
/// Most rounds of a key agreement.
pub const MAX_KEYING_ROUNDS: u32 = 16;
/// Longest payload of one operation: one broadcast, or all private messages of a party in a round together.
pub const MAX_PAYLOAD_BYTES: u32 = 1024 * 1024;
/// Longest payload that may travel in a transaction; all others, and private ones of any length, travel beside.
pub const MAX_INLINE_BYTES: u32 = 1024;
/// Longest borsh encoding of one [`crate::Operation`] with its signature (an invitation list is the longest).
pub const MAX_OPERATION_BYTES: usize = 256 * 1024;
/// Longest borsh encoding of one [`crate::Envelope`]: the payload and what signs it.
pub const MAX_ENVELOPE_BYTES: usize = MAX_PAYLOAD_BYTES as usize + MAX_OPERATION_BYTES;
/// A gateway closes a batch that has reached this size.
pub const TARGET_TRANSACTION_BYTES: usize = 512 * 1024;
/// Longest transaction. A batch that has reached its size, a bundle's list and all nodes' confirmations fit together.
pub const MAX_TRANSACTION_BYTES: usize = 1024 * 1024;
/// Most operations in one transaction.
pub const MAX_TRANSACTION_OPERATIONS: usize = 256;
/// Most payloads in one bundle.
pub const MAX_BUNDLE_OPERATIONS: usize = MAX_TRANSACTION_OPERATIONS;
/// A gateway closes a bundle whose envelopes have reached this size.
pub const TARGET_DELIVERY_BYTES: usize = 2 * 1024 * 1024;
/// Longest delivery of a bundle. One envelope always fits.
pub const MAX_DELIVERY_BYTES: usize = TARGET_DELIVERY_BYTES + MAX_ENVELOPE_BYTES;
/// Most solutions in one bundle, which is of nothing else: nodes verify them before they confirm it.
pub const MAX_BUNDLE_SOLUTIONS: usize = 8;
/// A gateway closes a bundle of solutions that has reached this size.
pub const TARGET_SOLUTIONS_BYTES: usize = 512 * 1024;
/// Longest delivery of a bundle of solutions. One envelope always fits.
pub const MAX_SOLUTIONS_DELIVERY_BYTES: usize = TARGET_SOLUTIONS_BYTES + MAX_ENVELOPE_BYTES;
/// A payload's chunks are so long, the last may be shorter.
pub const CHUNK_BYTES: usize = 4096;
/// A bundle's expiry lies at most so far ahead.
pub const MAX_BUNDLE_MS: u64 = 120_000;
/// Most bytes of one party in one session that wait beside consensus for the board's decision.
pub const MAX_PENDING_PARTY_BYTES: u64 = 8 * 1024 * 1024;
/// Most bytes that one gateway has delivered and that wait so.
pub const MAX_PENDING_GATEWAY_BYTES: u64 = 256 * 1024 * 1024;
/// What a pending payload counts beside its own bytes.
pub const PENDING_PAYLOAD_BYTES: u64 = 1024;
/// Longest block.
pub const MAX_BLOCK_BYTES: usize = 4 * 1024 * 1024;
/// Longest request body at the gateway. JSON takes two characters a byte.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// Most operations in one request.
pub const MAX_REQUEST_OPERATIONS: usize = MAX_TRANSACTION_OPERATIONS;
/// Most entries in one page of an answer.
pub const MAX_PAGE_ENTRIES: u32 = 4096;
/// An answer's page ends once its payloads have reached this size.
pub const TARGET_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Longest time that a read waits for what is not there yet.
pub const MAX_WAIT_MS: u64 = 60_000;
/// Longest chain id.
pub const MAX_CHAIN_ID_BYTES: usize = 48;
/// Longest title of a session, name of a program, and version of a program.
pub const MAX_NAME_BYTES: usize = 128;
/// Longest reason of an abort.
pub const MAX_REASON_BYTES: usize = 256;
/// Most nodes of a cluster.
pub const MAX_NODES: usize = 64;
/// Most read-only replicas that a node gives payloads to, and that a network file names.
pub const MAX_REPLICAS: usize = 64;
/// Longest base URL of a node.
pub const MAX_URL_BYTES: usize = 256;
/// Longest invitation as a string: the URLs of most nodes are in it, in base32.
pub const MAX_INVITATION_CHARACTERS: usize = 27_000;
/// Most operators, and most keys that may create sessions.
pub const MAX_CREATORS: usize = 1024;
/// So long may nodes take to deal, to check, and to answer when the cluster's threshold key is made.
pub const GENERATION_PHASE_MS: u64 = 10_000;
/// So long after a threshold key came into force nodes leave it to the operators to renew it.
pub const RENEWAL_PAUSE_MS: u64 = 3_600_000;
/// Most requests to take part in one open session.
pub const MAX_REQUESTS: u32 = 65_536;
/// Most requests in all open sessions together whose list of parties is not final, for every node has them in memory.
pub const MAX_LIVE_REQUESTS: u32 = 1_048_576;
/// Most leading zero bits of a stamp.
pub const MAX_STAMP_BITS: u8 = 48;
/// Longest time that nodes may take to draw a challenge.
pub const MAX_HEAD_START_MS: u64 = 600_000;
/// Highest hash rate of an honest device, in hashes a second.
pub const MAX_HASH_RATE: u64 = 1 << 50;
/// Strongest adversary, as a multiple of an honest device.
pub const MAX_ADVERSARY: u32 = 1 << 20;
/// Most hashes that a session can ask nodes to do for each proof of work that is handed in: a few tenths of a second.
pub const MAX_VERIFIER_HASHES: u64 = 1 << 22;
/// Highest soundness of a proof of work.
pub const MAX_SOUNDNESS_BITS: u16 = 128;
/// Longest of each of a session's durations: a year.
pub const MAX_DURATION_MS: u64 = 366 * 24 * 3600 * 1000;
/// Most bytes that a party can back up at the nodes.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;
/// Longest payload of a backup: with shares and commitments for the most nodes.
pub const MAX_BACKUP_BYTES: u32 = 80 * 1024;
/// Greatest number of a backup: so often may a party make one in a session. The order to erase the last of them has the next number.
pub const MAX_BACKUPS: u32 = 1024;
/// Longest time for which a backup is kept, unless it is made again.
pub const MAX_BACKUP_MS: u64 = MAX_DURATION_MS;
/// All backups together may take one part in so many of what the network's quota allows live sessions to reserve, beside that.
pub const BACKUP_SHARE: u64 = 16;
/// What each backup counts of that beside its payload, so that there is a bound on their number, too.
pub const BACKUP_ROW_BYTES: u64 = 1024;
/// So many backups at most go in one block because their time is over; the rest goes in those that follow. No block keeps nodes busy for long.
pub const MAX_EXPIRED_BACKUPS: usize = 256;
/// Most memory that opening a backup with a passphrase may ask for, in KiB,
pub const MAX_PASSPHRASE_MEMORY_KIB: u32 = 1024 * 1024;
/// most passes over it,
pub const MAX_PASSPHRASE_PASSES: u32 = 16;
/// and most lanes.
pub const MAX_PASSPHRASE_LANES: u32 = 16;
/// Most bytes that one party may write in a session.
pub const MAX_PARTY_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// Longest file that this project reads into memory: network files, invitations, identities, keys.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

//! What all nodes of a chain start from: the network's parameters, and CometBFT's genesis document that carries them.

use crate::{NodeError, home, home::Home};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use wire::{NetworkParameters, Quotas, limits::MAX_BLOCK_BYTES};

/// What all sessions together may take, unless the operators say otherwise.
pub const DEFAULT_QUOTAS: Quotas =
    Quotas { live_sessions: 4096, live_sessions_per_creator: 1024, live_bytes: 1024 * 1024 * 1024 * 1024 };

/// Evidence of a validator's misbehaviour counts for two days and so many blocks, CometBFT's own defaults.
const EVIDENCE_BLOCKS: &str = "100000";
const EVIDENCE_NANOSECONDS: &str = "172800000000000";
const EVIDENCE_BYTES: &str = "1048576";

/// Reads the parameters of the node in `home` and checks their bounds.
///
/// # Errors
/// [`NodeError::File`] or [`NodeError::FileFormat`].
pub fn load(home: &Home) -> Result<NetworkParameters, NodeError> {
    const EXPECTED: &str = "a network's parameters";
    let parameters: NetworkParameters = home::read_json(&home.genesis(), EXPECTED)?;
    parameters.check().map_err(|code| home::format_error(&home.genesis(), EXPECTED, code.meaning()))?;
    Ok(parameters)
}

/// CometBFT's genesis document: the parameters as application state, and every node as validator of equal power.
pub fn comet_document(parameters: &NetworkParameters, validators: &[Value], time: OffsetDateTime) -> Value {
    let time = time.format(&Rfc3339).expect("years from 0 to 9999 have an RFC 3339 form, and clocks show one");
    json!({
        "genesis_time": time,
        "chain_id": parameters.chain,
        "initial_height": "1",
        "consensus_params": {
            "block": { "max_bytes": MAX_BLOCK_BYTES.to_string(), "max_gas": "-1" },
            "evidence": {
                "max_age_num_blocks": EVIDENCE_BLOCKS,
                "max_age_duration": EVIDENCE_NANOSECONDS,
                "max_bytes": EVIDENCE_BYTES,
            },
            "validator": { "pub_key_types": ["ed25519"] },
            "version": { "app": "0" },
            "abci": { "vote_extensions_enable_height": "0" },
        },
        "validators": validators,
        "app_hash": "",
        "app_state": parameters,
    })
}

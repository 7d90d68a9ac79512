//! What a solver has done, as bytes: parameters and seed, which units are done, their nodes, and a digest of all that.

use crate::{
    error::Error,
    hash::{NODE_BYTES, VERSION},
    parameters::Parameters,
    solver::{Kept, unit_nodes_log2},
};
use sha2::{Digest, Sha256};

const TAG: &[u8] = b"white-city checkpoint of a proof of work";
const DIGEST_BYTES: usize = 32;

fn head(parameters: &Parameters, seed: &[u8; 32]) -> Vec<u8> {
    let mut head = vec![VERSION];
    head.extend(parameters.leaf_hashes().to_le_bytes());
    head.push(parameters.leaves_log2());
    head.extend(parameters.openings().to_le_bytes());
    head.extend([parameters.subtree_log2(), parameters.unit_log2()]);
    head.extend(seed);
    head
}

fn digest(content: &[u8]) -> [u8; DIGEST_BYTES] {
    Sha256::new().chain_update(TAG).chain_update(content).finalize().into()
}

/// A bit for each unit, then the nodes of those that are done.
pub(crate) fn write(parameters: &Parameters, seed: &[u8; 32], kept: &Kept) -> Vec<u8> {
    let mut bytes = head(parameters, seed);
    let bits = |eight: &[bool]| eight.iter().rev().fold(0, |byte, done| (byte << 1) | u8::from(*done));
    bytes.extend(kept.done.chunks(8).map(bits));
    let units = kept.nodes.chunks(1 << unit_nodes_log2(parameters));
    let done = units.zip(&kept.done).filter(|(_, done)| **done);
    bytes.extend(done.flat_map(|(nodes, _)| nodes.as_flattened()));
    let digest = digest(&bytes);
    bytes.extend(digest);
    bytes
}

pub(crate) fn read(parameters: &Parameters, seed: &[u8; 32], bytes: &[u8]) -> Result<Kept, Error> {
    let (content, found) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or(Error::DamagedCheckpoint)?;
    if digest(content) != *found {
        return Err(Error::DamagedCheckpoint);
    }
    let rest = content.strip_prefix(head(parameters, seed).as_slice()).ok_or(Error::OtherCheckpoint)?;
    let mut kept = Kept::empty(parameters);
    let (bits, nodes) = rest.split_at_checked(kept.done.len().div_ceil(8)).ok_or(Error::DamagedCheckpoint)?;
    for (eight, byte) in kept.done.chunks_mut(8).zip(bits) {
        for (bit, done) in eight.iter_mut().enumerate() {
            *done = (byte >> bit) & 1 == 1;
        }
    }
    let (nodes, []) = nodes.as_chunks::<NODE_BYTES>() else { return Err(Error::DamagedCheckpoint) };
    let size = 1 << unit_nodes_log2(parameters);
    let done = kept.done.iter().filter(|done| **done).count();
    if nodes.len() != done * size {
        return Err(Error::DamagedCheckpoint);
    }
    let places = kept.nodes.chunks_mut(size).zip(&kept.done).filter(|(_, done)| **done);
    for ((unit, _), stored) in places.zip(nodes.chunks(size)) {
        unit.copy_from_slice(stored);
    }
    Ok(kept)
}

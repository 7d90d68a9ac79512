//! What an open session's terms mean to crate `pow`. The only file that knows it.

use pow::{Parameters, Terms};
use wire::{
    Bytes, ChainId, Code, Hash, OpenTerms, PublicKey, SessionId, Solution, Stamp, Work,
    limits::{MAX_DURATION_MS, MAX_PAYLOAD_BYTES, MAX_VERIFIER_HASHES},
};

/// The terms as crate `pow` reads them.
fn terms(terms: &OpenTerms) -> Result<Terms, Code> {
    let Work { version, leaf_hashes, leaves_log2, openings } = terms.work;
    let parameters = Parameters::new(leaf_hashes, leaves_log2, openings).ok().filter(|_| version == pow::VERSION);
    Ok(Terms {
        parameters: parameters.ok_or(Code::WeakWork)?,
        hash_rate: terms.hash_rate,
        slack_ms: terms.slack_ms,
        head_start_ms: terms.head_start_ms,
        adversary: terms.adversary,
        soundness_bits: terms.soundness_bits,
    })
}

/// The longest payload of a solution.
pub(crate) fn max_solution_bytes(chain: &ChainId, open: &OpenTerms) -> Result<usize, Code> {
    let nothing = Solution {
        chain: chain.clone(),
        session: SessionId([0; 32]),
        key: PublicKey([0; 32]),
        proof: Bytes::default(),
    };
    Ok(nothing.encode().0.len().saturating_add(terms(open)?.parameters.max_proof_bytes()))
}

/// Whether a session can have such terms: there is such a work, its solutions fit into payloads and are soon verified, and it ends
/// one day.
pub(crate) fn check(chain: &ChainId, open: &OpenTerms) -> Result<(), Code> {
    let fits = u32::try_from(max_solution_bytes(chain, open)?).is_ok_and(|bytes| bytes <= MAX_PAYLOAD_BYTES);
    if !fits || terms(open)?.parameters.verifier_hashes() > MAX_VERIFIER_HASHES {
        Err(Code::WeakWork)
    } else if solving_ms(open) > MAX_DURATION_MS {
        Err(Code::InvalidSpecification)
    } else {
        Ok(())
    }
}

/// Whether a session in which so many parties may be corrupted holds out against the adversary of these terms, who gets no more
/// identities than that (Theorem 4.6).
pub(crate) fn check_threshold(open: &OpenTerms, corruption_threshold: u16) -> Result<(), Code> {
    let identities = terms(open)?.identities().map_err(|_| Code::WeakWork)?;
    if identities <= u64::from(corruption_threshold) { Ok(()) } else { Err(Code::ThresholdTooSmall) }
}

/// T = time_proof / pi + T_sol, in milliseconds.
pub(crate) fn solving_ms(open: &OpenTerms) -> u64 {
    terms(open).map_or(open.slack_ms, |terms| terms.solving_ms())
}

/// Whether a request has cost what the session asks for.
pub(crate) fn is_paid(context: &Hash, bits: u8, stamp: &Stamp) -> bool {
    pow::hashcash::check(&context.0, bits, stamp.nonce)
}

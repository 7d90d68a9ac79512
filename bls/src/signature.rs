//! Signatures in G1.

use crate::encoding::point;
use blst::min_sig;

point!(
    /// A signature of the whole group. A message has exactly one under a key, whoever took part in making it.
    Signature,
    min_sig::Signature,
    48,
    |bytes: &[u8; 48]| min_sig::Signature::sig_validate(bytes, true)
);
point!(
    /// A signature by one share of the key; a threshold of them makes a [`Signature`]. Nothing says yet that it is right:
    /// [`crate::PublicKeySet`] does.
    PartialSignature,
    min_sig::Signature,
    48,
    |bytes: &[u8; 48]| min_sig::Signature::sig_validate(bytes, true)
);

/// True if `signature` is one under `key` on `message`, hashed to the curve with `tag`.
pub(crate) fn verifies(signature: &min_sig::Signature, key: &min_sig::PublicKey, tag: &[u8], message: &[u8]) -> bool {
    // Both points were checked when they were decoded or computed.
    signature.verify(false, message, tag, &[], key, false) == blst::BLST_ERROR::BLST_SUCCESS
}

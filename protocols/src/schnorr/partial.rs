//! Checking partial signatures: all at once, and one by one to find who cheated.

use super::encoding::Point;
use crate::context::Context;
use curve25519_dalek::{
    EdwardsPoint, Scalar, constants::ED25519_BASEPOINT_POINT, traits::IsIdentity, traits::VartimeMultiscalarMul,
};

/// What party j has to fulfil: s_j B = R_j + c X_j.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partial<'a> {
    pub(crate) party: u16,
    pub(crate) nonce: &'a Point,
    pub(crate) key: &'a Point,
    pub(crate) response: Scalar,
}

/// The parties whose partial signature is wrong, ascending; none if all are right.
pub(crate) fn culprits(context: &Context, challenge: &Scalar, partials: &[Partial<'_>]) -> Vec<u16> {
    if holds(context, challenge, partials) {
        return Vec::new();
    }
    let wrong = |partial: &&Partial<'_>| !holds(context, challenge, std::slice::from_ref(*partial));
    partials.iter().filter(wrong).map(|partial| partial.party).collect()
}

/// One multiplication for all: sum z_j (R_j + c X_j - s_j B) = 0 with weights z_j of 128 bits from a hash of everything
/// that stands in the equations, the responses included, so that nobody can choose errors that cancel.
fn holds(context: &Context, challenge: &Scalar, partials: &[Partial<'_>]) -> bool {
    let mut hash = context.hash("schnorr/batch").bytes(challenge.as_bytes());
    for partial in partials {
        hash = hash.bytes(partial.nonce.bytes()).bytes(partial.key.bytes()).bytes(partial.response.as_bytes());
    }
    let transcript = hash.finish();
    let mut scalars = Vec::with_capacity(2 * partials.len() + 1);
    let mut points = Vec::with_capacity(2 * partials.len() + 1);
    let mut response = Scalar::ZERO;
    for partial in partials {
        let weight = weight(context, &transcript, partial.party);
        scalars.extend([weight, weight * challenge]);
        points.extend([*partial.nonce.point(), *partial.key.point()]);
        response += weight * partial.response;
    }
    scalars.push(-response);
    points.push(ED25519_BASEPOINT_POINT);
    EdwardsPoint::vartime_multiscalar_mul(scalars, points).is_identity()
}

fn weight(context: &Context, transcript: &wire::Hash, party: u16) -> Scalar {
    let hash = context.hash("schnorr/weight").bytes(transcript.0).value(&party).finish();
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(hash.0).take(16).for_each(|(to, from)| *to = from);
    Scalar::from_bytes_mod_order(bytes)
}

//! What single parties have to fulfil, checked for all at once, and one by one to find who cheated.

use super::encoding::Point;
use crate::context::Context;
use curve25519_dalek::{EdwardsPoint, Scalar, constants::ED25519_BASEPOINT_POINT, traits::VartimeMultiscalarMul};

/// What party j has to fulfil, up to a component of small order: zB = T + cX. Of a proof of knowledge, X is X_j; of a partial signature,
/// T = R_j, z = s_j and c is the same for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Equation<'a> {
    pub(crate) party: u16,
    pub(crate) commitment: Point,
    pub(crate) key: &'a Point,
    pub(crate) factor: Scalar,
    pub(crate) response: Scalar,
}

/// The parties whose equation does not hold, ascending as they come; none if all do.
pub(crate) fn culprits(context: &Context, equations: &[Equation<'_>]) -> Vec<u16> {
    if hold(context, equations) {
        return Vec::new();
    }
    let wrong = |equation: &&Equation<'_>| !hold(context, std::slice::from_ref(*equation));
    equations.iter().filter(wrong).map(|equation| equation.party).collect()
}

/// One multiplication for all: sum w_j (T_j + c_j X_j - z_j B) is of small order, with weights w_j of 128 bits from a hash of everything
/// that stands in the equations, the responses included, so that nobody can choose errors that cancel, and all parties, who have the
/// same equations, come to the same verdict. Whatever components of small order the points have, one equation and the sum of many come to the same verdict, too:
/// what is left of equations that hold in the prime-order subgroup is one of the eight points of small order.
fn hold(context: &Context, equations: &[Equation<'_>]) -> bool {
    let mut hash = context.hash("schnorr/batch");
    for Equation { commitment, key, factor, response, .. } in equations {
        hash = hash.bytes(commitment.bytes()).bytes(key.bytes()).bytes(factor.as_bytes()).bytes(response.as_bytes());
    }
    let transcript = hash.finish();
    let mut scalars = Vec::with_capacity(2 * equations.len() + 1);
    let mut points = Vec::with_capacity(2 * equations.len() + 1);
    let mut sum = Scalar::ZERO;
    for Equation { party, commitment, key, factor, response } in equations {
        let weight = weight(context, &transcript, *party);
        scalars.extend([weight, weight * factor]);
        points.extend([*commitment.point(), *key.point()]);
        sum += weight * response;
    }
    scalars.push(-sum);
    points.push(ED25519_BASEPOINT_POINT);
    EdwardsPoint::vartime_multiscalar_mul(scalars, points).is_small_order()
}

fn weight(context: &Context, transcript: &wire::Hash, party: u16) -> Scalar {
    let hash = context.hash("schnorr/weight").bytes(transcript.0).value(&party).finish();
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(hash.0).take(16).for_each(|(to, from)| *to = from);
    Scalar::from_bytes_mod_order(bytes)
}

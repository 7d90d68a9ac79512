//! Hashcash, for requests to register: the paper's simple proof of work against floods (§IV-A, "Preventing a denial-of-service
//! attack").
//!
//! A nonce is good if SHA-256 of tag, context and nonce begins with so many zero bits. The context is a hash of whatever the
//! stamp is bound to; who makes it decides that.

use crate::hash::{first_stamp, stamp_bits};
use std::sync::atomic::{AtomicBool, Ordering};

/// Attempts between two calls of `progress`.
const STEP: u64 = 1 << 16;

/// True if `nonce` is a stamp of at least `bits` bits.
pub fn check(context: &[u8; 32], bits: u8, nonce: u64) -> bool {
    stamp_bits(context, nonce) >= u32::from(bits)
}

/// Looks for a stamp from the nonce `start` on: about 2^`bits` attempts. `progress` is told from time to time how many there
/// were. It finds the smallest nonce.
///
/// `None` if `cancel` became true, or the nonces end.
pub fn mint(context: &[u8; 32], bits: u8, start: u64, progress: &dyn Fn(u64), cancel: &AtomicBool) -> Option<u64> {
    let mut nonce = start;
    while !cancel.load(Ordering::Relaxed) {
        let next = nonce.checked_add(STEP)?;
        if let Some(found) = first_stamp(context, u32::from(bits), nonce, STEP) {
            return Some(found);
        }
        nonce = next;
        progress(nonce - start);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_is_minted_is_good_for_its_context_only() {
        let never = AtomicBool::new(false);
        let nonce = mint(&[1; 32], 14, 5, &|_| {}, &never).expect("one is found");
        assert!(nonce >= 5 && check(&[1; 32], 14, nonce) && !check(&[2; 32], 14, nonce));
        assert!(check(&[2; 32], 0, nonce));
        assert!((5..nonce).all(|smaller| !check(&[1; 32], 14, smaller)));
    }

    #[test]
    fn it_can_be_given_up() {
        let (told, cancel) = (Cell::new(0), AtomicBool::new(false));
        let progress = |attempts| {
            told.set(attempts);
            cancel.store(attempts >= 2 * STEP, Ordering::Relaxed);
        };
        assert_eq!(mint(&[1; 32], 255, 0, &progress, &cancel), None);
        assert_eq!(told.get(), 2 * STEP);
        assert_eq!(mint(&[1; 32], 255, u64::MAX - STEP, &|_| {}, &AtomicBool::new(false)), None);
    }
}

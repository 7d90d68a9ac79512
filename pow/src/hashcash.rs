//! Hashcash, for requests to register: the paper's simple proof of work against floods (§IV-A, "Preventing a denial-of-service
//! attack").
//!
//! A nonce is good if SHA-256 of tag, context and nonce begins with so many zero bits. The context is a hash of whatever the
//! stamp is bound to; who makes it decides that.

use crate::hash::stamp_bits;
use std::sync::atomic::{AtomicBool, Ordering};

/// Attempts between two calls of `progress`.
const STEP: u64 = 1 << 16;

/// True if `nonce` is a stamp of at least `bits` bits.
pub fn check(context: &[u8; 32], bits: u8, nonce: u64) -> bool {
    stamp_bits(context, nonce) >= u32::from(bits)
}

/// Looks for a stamp from the nonce `start` on: about 2^`bits` attempts. `progress` is told from time to time how many there
/// were.
///
/// `None` if `cancel` became true, or no nonce was left.
pub fn mint(context: &[u8; 32], bits: u8, start: u64, progress: &dyn Fn(u64), cancel: &AtomicBool) -> Option<u64> {
    let mut attempts = 0;
    for nonce in start..=u64::MAX {
        if check(context, bits, nonce) {
            return Some(nonce);
        }
        attempts += 1;
        if attempts % STEP == 0 {
            progress(attempts);
            if cancel.load(Ordering::Relaxed) {
                return None;
            }
        }
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
    }

    #[test]
    fn it_can_be_given_up() {
        let told = Cell::new(0);
        assert_eq!(mint(&[1; 32], 255, 0, &|attempts| told.set(attempts), &AtomicBool::new(true)), None);
        assert_eq!(told.get(), STEP);
    }
}

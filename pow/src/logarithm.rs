//! Binary logarithms in integers, rounded up, so that no bound that is made of them comes out better than it is.

/// Bits after the point.
pub const FRACTION_BITS: u32 = 56;

/// The binary logarithm of `number`, at least 1, times 2^[`FRACTION_BITS`]: never less than the true one, and no more than 2
/// greater. Zero has none and gives zero.
pub(crate) fn log2_up(number: u64) -> u64 {
    let Some(whole) = number.checked_ilog2() else { return 0 };
    // The number over the power of two below it, with 63 bits after the point. Squared, it shows the next bit.
    let mut rest = u128::from(number) << (63 - whole);
    let mut fraction: u64 = 0;
    let mut exact = rest == 1 << 63;
    for _ in 0..FRACTION_BITS {
        rest = (rest * rest).div_ceil(1 << 63);
        let bit = rest >> 64;
        fraction = (fraction << 1) | u64::from(bit != 0);
        if bit != 0 {
            rest = rest.div_ceil(2);
        }
    }
    exact = exact && fraction == 0;
    (u64::from(whole) << FRACTION_BITS) + fraction + u64::from(!exact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn powers_of_two_are_exact() {
        for bit in 0..64_u32 {
            assert_eq!(log2_up(1 << bit), u64::from(bit) << FRACTION_BITS);
        }
    }

    #[test]
    fn known_logarithms_are_rounded_up() {
        // floor(log2(n) 2^56), from mpmath with 60 digits.
        for (number, floor) in
            [(3, 114_208_584_442_304_135), (10, 239_370_146_084_580_907), (u64::MAX, 4_611_686_018_427_387_903)]
        {
            assert!((floor + 1..=floor + 2).contains(&log2_up(number)), "{number}");
        }
    }

    proptest! {
        #[test]
        fn products_are_sums(a in 1..=u64::from(u32::MAX), b in 1..=u64::from(u32::MAX)) {
            let (sum, product) = (log2_up(a) + log2_up(b), log2_up(a * b));
            prop_assert!(sum.abs_diff(product) <= 4, "{a}, {b}: {sum}, {product}");
        }

        #[test]
        fn greater_numbers_have_no_smaller_logarithms(number in 1..u64::MAX) {
            prop_assert!(log2_up(number) <= log2_up(number + 1));
        }
    }
}

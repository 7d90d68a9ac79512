//! What the parties learn: exact totals, and mean and variance as fractions.

use std::fmt;

/// Most digits after the point that [`Fraction::decimal`] gives.
pub const MAX_DECIMALS: u8 = 30;

/// Number, sum and sum of squares of all inputs. Mean and variance follow, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    parties: u16,
    sum: u128,
    sum_of_squares: u128,
}

/// A non-negative fraction, not reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// Above the line.
    pub numerator: u128,
    /// Below the line: n for a mean, n² for a variance; never 0.
    pub denominator: u32,
}

impl Summary {
    /// Accepts totals that `parties` inputs of at most `limit` can have, and no others. n² limit² must be below 2^128.
    pub(crate) fn new(parties: u16, limit: u64, sum: u128, sum_of_squares: u128) -> Option<Self> {
        let count = u128::from(parties);
        let limit = u128::from(limit);
        let bounded = parties > 0 && sum <= count * limit && sum_of_squares <= count * limit * limit;
        // Σx ≤ Σx² for integers, and (Σx)² ≤ n Σx² (Cauchy and Schwarz).
        let possible = bounded && sum <= sum_of_squares && sum * sum <= count * sum_of_squares;
        possible.then_some(Self { parties, sum, sum_of_squares })
    }

    /// n: number of inputs.
    pub fn parties(&self) -> u16 {
        self.parties
    }

    /// Σx.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// Σx².
    pub fn sum_of_squares(&self) -> u128 {
        self.sum_of_squares
    }

    /// Σx / n.
    pub fn mean(&self) -> Fraction {
        Fraction { numerator: self.sum, denominator: self.parties.into() }
    }

    /// The population's variance: (n Σx² - (Σx)²) / n².
    pub fn variance(&self) -> Fraction {
        let count = u32::from(self.parties);
        let scaled = u128::from(count) * self.sum_of_squares;
        Fraction { numerator: scaled.saturating_sub(self.sum * self.sum), denominator: count * count }
    }
}

impl Fraction {
    /// The value with `digits` digits after the point, at most [`MAX_DECIMALS`], rounded half up. Integer arithmetic
    /// throughout.
    pub fn decimal(&self, digits: u8) -> String {
        let digits = digits.min(MAX_DECIMALS);
        let denominator = u128::from(self.denominator.max(1));
        let mut whole = self.numerator / denominator;
        let mut rest = self.numerator % denominator;
        let mut part = 0u128;
        let mut unit = 1u128;
        for _ in 0..digits {
            rest *= 10;
            part = part * 10 + rest / denominator;
            rest %= denominator;
            unit *= 10;
        }
        if rest * 2 >= denominator {
            part += 1;
        }
        if part == unit {
            part = 0;
            whole += 1;
        }
        if digits == 0 { whole.to_string() } else { format!("{whole}.{part:0width$}", width = usize::from(digits)) }
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_half_up_and_carry() {
        let fraction = |numerator, denominator| Fraction { numerator, denominator };
        assert_eq!(fraction(1, 3).decimal(4), "0.3333");
        assert_eq!(fraction(2, 3).decimal(4), "0.6667");
        assert_eq!(fraction(5, 2).decimal(0), "3");
        assert_eq!(fraction(19_999, 10_000).decimal(3), "2.000");
        assert_eq!(fraction(1, 1024).decimal(10), "0.0009765625");
        assert_eq!(fraction(1, 3).decimal(255).len(), 2 + usize::from(MAX_DECIMALS));
        assert_eq!(fraction(u128::MAX, 1).decimal(2), format!("{}.00", u128::MAX));
    }

    #[test]
    fn impossible_totals_are_refused() {
        assert!(Summary::new(2, 10, 7, 25).is_some(), "3 and 4");
        assert_eq!(Summary::new(2, 10, 21, 221), None, "above the limit");
        assert_eq!(Summary::new(2, 10, 7, 24), None, "a negative variance");
        assert_eq!(Summary::new(9, 10, 3, 2), None, "squares of integers are not below them");
        assert_eq!(Summary::new(2, 10, u128::MAX, u128::MAX), None);
        assert_eq!(Summary::new(0, 10, 0, 0), None);
    }
}

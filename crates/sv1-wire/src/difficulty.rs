//! Share difficulty as Stratum V1 speaks of it: a decimal number.

use std::fmt;

/// A finite, positive share difficulty; 1 is the target `0x1d00ffff`. Fractions are real: small
/// miners ask for 0.0001.
///
/// It prints without an exponent, whole numbers without a point, and reads back as the same number.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Difficulty(f64);

impl Difficulty {
    /// The difficulty, unless it is zero, negative, infinite or not a number.
    pub fn new(difficulty: f64) -> Option<Self> {
        (difficulty.is_finite() && difficulty > 0.0).then_some(Self(difficulty))
    }

    /// The number.
    pub const fn as_f64(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_devices_read_it() {
        let print = |number| Difficulty::new(number).unwrap().to_string();
        assert_eq!(print(1024.0), "1024");
        assert_eq!(print(0.0001), "0.0001");
        assert_eq!(print(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(print(4_503_599_627_370_496.0), "4503599627370496");
    }

    #[test]
    fn what_is_no_difficulty_is_refused() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Difficulty::new(wrong), None);
        }
    }
}

//! The target of a difficulty that a pool sent as a decimal number.

use headframe_sv1_wire::Difficulty;
use headframe_work::Target;

/// Bits of a double after the binary point of its significand.
const FRACTION_BITS: i32 = 52;

/// Difficulty 1's target is 0xffff · 2^208.
const ONE: u128 = 0xffff;
const ONE_SHIFT: i32 = 208;

/// The highest hash that meets `difficulty`: difficulty 1's target divided by it, rounded down, and
/// the easiest target there is where that does not fit 256 bits. Exact for every double.
pub(super) fn target_of(difficulty: Difficulty) -> Target {
    let (significand, exponent) = decompose(difficulty.as_f64());
    // 0xffff · 2^shift / significand.
    match ONE_SHIFT - exponent {
        // 2^1023 and such: no hash can meet it but zero.
        shift if shift < 0 => Target::ZERO,
        // The quotient has at least 16 + shift - 53 bits.
        shift if shift > 256 - 16 + FRACTION_BITS + 1 => Target::MAX,
        shift => divide(shift.unsigned_abs(), significand),
    }
}

/// A positive double as `significand · 2^exponent`, the significand being odd.
fn decompose(value: f64) -> (u64, i32) {
    let bits = value.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    let biased = i32::try_from(bits >> FRACTION_BITS & 0x7ff).expect("eleven bits");
    let (significand, exponent) = match biased {
        0 => (fraction, 1 - 1023 - FRACTION_BITS),
        biased => (fraction | 1 << FRACTION_BITS, biased - 1023 - FRACTION_BITS),
    };
    let zeros = significand.trailing_zeros();
    (significand >> zeros, exponent + zeros as i32)
}

/// `0xffff · 2^shift / divisor`, rounded down, by long division in base 2^64. The divisor has at
/// most 53 bits, `shift` at most 293 (so that five limbs hold the dividend).
fn divide(shift: u32, divisor: u64) -> Target {
    let mut limbs = [0u64; 6];
    let low = (shift / 64) as usize;
    let shifted = ONE << (shift % 64);
    limbs[low] = shifted as u64;
    limbs[low + 1] = (shifted >> 64) as u64;
    let mut remainder = 0;
    for limb in limbs.iter_mut().rev() {
        let dividend = u128::from(remainder) << 64 | u128::from(*limb);
        *limb = (dividend / u128::from(divisor)) as u64;
        remainder = (dividend % u128::from(divisor)) as u64;
    }
    if limbs[4..] != [0, 0] {
        return Target::MAX;
    }
    let mut bytes = [0; 32];
    for (chunk, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(limbs) {
        *chunk = limb.to_le_bytes();
    }
    Target::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use headframe_work::Rung;
    use proptest::prelude::*;

    use super::*;

    fn target(difficulty: f64) -> Target {
        target_of(Difficulty::new(difficulty).unwrap())
    }

    /// Every rung that a pool of ours assigns comes out as the very target that it judges by.
    #[test]
    fn powers_of_two_are_exact() {
        for exponent in Rung::EASIEST.exponent()..=Rung::HARDEST.exponent() {
            let rung = Rung::from_exponent(exponent);
            assert_eq!(
                target(rung.difficulty().as_f64()),
                rung.target(),
                "2^{exponent}"
            );
        }
    }

    /// Quotients by another implementation of whole numbers (Python's), and the ends of the range.
    #[test]
    fn known_targets() {
        for (difficulty, expected) in [
            (
                1000.0,
                "00000000004188f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28",
            ),
            (
                8192.0,
                "000000000007fff8000000000000000000000000000000000000000000000000",
            ),
            (
                0.5,
                "00000001fffe0000000000000000000000000000000000000000000000000000",
            ),
            (
                0.1,
                "00000009fff5ffffffffd80028000000009fff5ffffffffd80028000000009ff",
            ),
            (
                123456789.125,
                "0000000000000022c9e88a622406c55104e80a265e8c03b7175396ced90e0d9b",
            ),
            (
                1e-9,
                "3b9a8e6535fffef481b5fe088151b0791619e09d7e3f36fccfbaa4c14955fdb7",
            ),
        ] {
            assert_eq!(target(difficulty).to_string(), expected, "{difficulty}");
        }
        assert_eq!(target(f64::MIN_POSITIVE), Target::MAX);
        assert_eq!(target(f64::from_bits(1)), Target::MAX);
        assert_eq!(target(2f64.powi(-33)), Target::MAX);
        assert_eq!(target(f64::MAX), Target::ZERO);
    }

    proptest! {
        /// The difficulty of the target is the difficulty, as far as a double can say.
        #[test]
        fn agrees_with_bitcoin(exponent in -31.0..60.0f64) {
            let difficulty = exponent.exp2();
            let theirs = bitcoin::Target::from(target(difficulty)).difficulty_float();
            prop_assert!((theirs / difficulty - 1.0).abs() < 1e-9, "{theirs} {difficulty}");
        }

        /// A harder difficulty never has an easier target.
        #[test]
        fn is_monotonic(a in any::<f64>(), b in any::<f64>()) {
            if let (Some(a), Some(b)) = (Difficulty::new(a.abs()), Difficulty::new(b.abs())) {
                prop_assert_eq!(a <= b, target_of(a) >= target_of(b) && (a <= b || target_of(a) > target_of(b)));
            }
        }
    }
}

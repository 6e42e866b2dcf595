//! Chance that is the same in every run.

/// A small generator of numbers (xorshift64*): not for secrets.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.number() >> 16) % end.max(1)
    }

    /// A number from 0 up to, not including, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// A waiting time for something that comes by chance, once in `mean` seconds.
    pub fn wait(&mut self, mean: f64) -> core::time::Duration {
        let seconds = -mean * (1.0 - self.fraction()).ln();
        core::time::Duration::from_secs_f64(seconds.clamp(1e-6, 1e9))
    }

    /// `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| (self.number() >> 32) as u8)
    }
}

//! Medians, and between what they lie.

use std::fmt;

/// Values of several rounds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Half of the values, nearly all and all are not above these.
    pub(crate) fn tail(&self) -> String {
        let at = |part: usize| {
            let place = (self.0.len() * part).div_ceil(100).max(1) - 1;
            self.0.get(place).copied().unwrap_or(f64::NAN)
        };
        let [half, nearly, all] = [at(50), at(99), at(100)];
        format!("p50 {half:.2}, p99 {nearly:.2}, most {all:.2}")
    }

    pub(crate) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let (first, last) = (self.0.first(), self.0.last());
        let (first, last) = (first.unwrap_or(&f64::NAN), last.unwrap_or(&f64::NAN));
        let median = self.median();
        write!(
            f,
            "{median:.digits$} ({first:.digits$}\u{2013}{last:.digits$})"
        )
    }
}

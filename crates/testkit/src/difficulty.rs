//! Difficulty that tests need not wait for.

use headframe_channels::DifficultySettings;
use headframe_work::Rung;

/// All shares are of the difficulty 2^`exponent`, however many come.
pub fn fixed_difficulty(exponent: i32) -> DifficultySettings {
    let rung = Rung::from_exponent(exponent);
    DifficultySettings {
        shares_per_minute: 12.0,
        start: rung,
        min: rung,
        max: rung,
    }
}

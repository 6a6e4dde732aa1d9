//! What the copper bears: margin, bit errors and attainable rate of discrete
//! multitone by the gap approximation (ITU-T G.992.1, annex A's bands).
//!
//! A band of `w` Hz with a signal to noise ratio `s` carries
//! `w · log2(1 + s / Γ)` bit/s with one error in 10^7 bits; Γ is 9.8 dB without
//! coding. Margin is what `s` lies above the need of the rate in use.

use std::f64::consts::SQRT_2;

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Down,
    Up,
}

const GAP: f64 = 9.55;

impl Way {
    /// Hertz: tones 32 to 255 down, 6 to 31 up, 4312.5 Hz each.
    const fn band(self) -> f64 {
        match self {
            Way::Down => 224.0 * 4312.5,
            Way::Up => 26.0 * 4312.5,
        }
    }

    /// The SNR in dB that `rate` bit/s needs.
    pub(crate) fn needed_db(self, rate: u64) -> f64 {
        10.0 * (GAP * (2f64.powf(rate as f64 / self.band()) - 1.0)).log10()
    }

    /// Margin in dB at `rate`.
    pub(crate) fn margin_db(self, snr_db: f64, rate: u64) -> f64 {
        snr_db - self.needed_db(rate)
    }

    /// The rate that leaves `margin_db`, at most `most`, in steps of 32 kbit/s.
    pub(crate) fn attainable(self, snr_db: f64, margin_db: f64, most: u64) -> u64 {
        let s = 10f64.powf((snr_db - margin_db) / 10.0);
        let rate = self.band() * (1.0 + s / GAP).log2();
        ((rate as u64).min(most) / 32_000) * 32_000
    }
}

/// Part of the bits that arrive wrong at a margin.
pub(crate) fn bit_error_rate(margin_db: f64) -> f64 {
    // The tail of a normal distribution at √(3Γ·margin).
    let x = (3.0 * GAP * 10f64.powf(margin_db / 10.0)).sqrt();
    0.5 * libm::erfc(x / SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_rates_have_margin_and_errors_grow_as_it_shrinks() {
        let down = Way::Down.margin_db(45.0, 8_000_000);
        let up = Way::Up.margin_db(45.0, 800_000);
        assert!((9.0..13.0).contains(&down) && (11.0..16.0).contains(&up), "{down} {up}");
        let at = [6.0, 0.0, -1.5, -3.0].map(bit_error_rate);
        assert!(at[0] < 1e-12 && (1e-8..2e-7).contains(&at[1]), "{at:?}");
        assert!((1e-6..1e-5).contains(&at[2]) && (5e-5..2e-4).contains(&at[3]), "{at:?}");
    }

    #[test]
    fn attainable_keeps_the_margin() {
        for snr in [15.0, 25.0, 35.0] {
            let rate = Way::Down.attainable(snr, 6.0, u64::MAX);
            assert!((6.0..7.0).contains(&Way::Down.margin_db(snr, rate)), "{snr} {rate}");
        }
        assert_eq!(Way::Down.attainable(60.0, 6.0, 8_000_000), 8_000_000);
        assert_eq!(Way::Up.attainable(-20.0, 6.0, 800_000), 0);
    }
}

//! Which messages have a trace.

/// The randomness of an id: its last 56 bits (W3C Trace Context, Level 2, *random trace id flag*).
const BITS: u32 = 56;

/// The chance with which a trace is exported, as all samplers of OpenTelemetry that come after us
/// understand it: a threshold below which the randomness of its id is left out (*TraceState:
/// Probability Sampling*). Whoever counts spans multiplies by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance(u64);

impl Chance {
    /// Every one is.
    pub const ALWAYS: Self = Self(0);

    /// `share`: 1 for all, 0 for none.
    #[must_use]
    pub fn of(share: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^56")]
        Self(((1.0 - share.clamp(0.0, 1.0)) * 2_f64.powi(BITS.cast_signed())) as u64)
    }

    /// Whether the trace of that id is one that is exported.
    #[must_use]
    pub fn takes(self, id: [u8; 16]) -> bool {
        let Self(threshold) = self;
        u128::from_be_bytes(id) & ((1 << BITS) - 1) >= threshold.into()
    }

    /// As `tracestate` has it; empty where all are exported and there is nothing to say.
    #[must_use]
    pub fn trace_state(self) -> String {
        let Self(threshold) = self;
        let digits = format!("{threshold:014x}");
        match digits.trim_end_matches('0') {
            "" => String::new(),
            digits => format!("ot=th:{digits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_ids_is_taken_always_the_same() {
        let ids = |n: u64| {
            let mut id = [7; 16];
            // Spread over all of the randomness, and nowhere else.
            id[9..].copy_from_slice(&(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8).to_be_bytes()[1..]);
            id
        };
        for (share, least, most) in [(0.0, 0, 0), (0.1, 900, 1100), (0.5, 4900, 5100), (1.0, 10_000, 10_000)] {
            let taken = (0..10_000).filter(|n| Chance::of(share).takes(ids(*n))).count();
            assert!((least..=most).contains(&taken), "{share}: {taken}");
        }
        let (few, many) = (Chance::of(0.1), Chance::of(0.3));
        assert!((0..10_000).all(|n| !few.takes(ids(n)) || many.takes(ids(n))), "who takes more takes those as well");
    }

    #[test]
    fn a_threshold_is_written_as_the_specification_has_it() {
        // Its examples: 100 %, 50 %, 25 %; and one of many digits.
        for (share, state) in [(1.0, ""), (0.5, "ot=th:8"), (0.25, "ot=th:c"), (0.1, "ot=th:e6666666666668")] {
            assert_eq!(Chance::of(share).trace_state(), state);
        }
        assert_eq!(Chance::of(7.0), Chance::ALWAYS);
        assert!(!Chance::of(-1.0).takes([255; 16]));
    }
}

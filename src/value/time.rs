use jiff::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, as rows have them.
#[must_use]
pub fn millis(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The other way round.
#[must_use]
pub fn time(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// `2026-11-25T02:22:22.123456Z`, for the log.
#[must_use]
pub fn rfc3339(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.6}")
}

/// `Wed, 25 Nov 2026 02:22:22 +0000`, for header fields (RFC 5322 §3.3). Always UTC, so that no
/// reader of a log has to know where the machine stands.
#[must_use]
pub fn rfc5322(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_standards_say() {
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_795_659_742, 123_456_000);
        assert_eq!(rfc3339(at), "2026-11-26T02:22:22.123456Z");
        assert_eq!(rfc5322(at), "Thu, 26 Nov 2026 02:22:22 +0000");
    }
}

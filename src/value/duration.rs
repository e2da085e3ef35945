use std::time::Duration;

/// Reads a duration written with its unit: `500ms`, `10s`, `5m`, `2h`, `7d`.
///
/// # Errors
/// A sentence that says what would have been right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong =
        || format!("`{text}` is not a duration: write a whole number and its unit, such as \"500ms\", \"10s\", \"5m\", \"2h\" or \"7d\"");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let (scale, of) = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => (1, "seconds"),
        "m" => (60, "minutes"),
        "h" => (3600, "hours"),
        "d" => (86400, "days"),
        _ => return Err(wrong()),
    };
    number.checked_mul(scale).map(Duration::from_secs).ok_or_else(|| format!("`{text}` is more {of} than can be counted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in ["", "5", "s", "5 s", "-5s", "5.5s", "5M", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}

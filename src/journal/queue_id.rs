//! Under which name the MTA took a message.

/// Longer than any MTA's.
const LONGEST: usize = 64;

/// The queue id in the text of a 2yz to the end of data, as the MTAs people run write it:
///
/// | MTA | text |
/// | --- | --- |
/// | Postfix, OpenSMTPD since 6.6, Haraka, Halon | `2.0.0 Ok: queued as 4cGZ2R3Y4Vz9sQ` |
/// | Exim | `OK id=1tFabc-000000001Xy-2ZaB` |
/// | Sendmail, OpenSMTPD | `2.0.0 5a2b3c4d Message accepted for delivery` |
/// | Exchange | `2.6.0 <…> [InternalId=4711, Hostname=…] Queued mail for delivery` |
///
/// `None` where the text is none of these: an id that is guessed leads whoever follows it astray.
#[must_use]
pub fn queue_id(text: &str) -> Option<&str> {
    let after = |marker: &str| find_ignoring_case(text, marker).and_then(|at| text.get(at + marker.len()..)).and_then(first_word);
    let before = |marker: &str| find_ignoring_case(text, marker).and_then(|at| text.get(..at)).and_then(last_word);
    after("queued as ").or_else(|| after(" id=")).or_else(|| after("[InternalId=")).or_else(|| before(" message accepted"))
}

fn find_ignoring_case(text: &str, marker: &str) -> Option<usize> {
    text.as_bytes().windows(marker.len()).position(|window| window.eq_ignore_ascii_case(marker.as_bytes()))
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn first_word(text: &str) -> Option<&str> {
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.get(..end).map(|word| word.trim_end_matches('.')).filter(|word| fits(word))
}

fn last_word(text: &str) -> Option<&str> {
    // What stands before it may be no more than the enhanced status code, `2.0.0`.
    text.rsplit(' ').next().filter(|word| word.chars().all(is_part) && word.contains(|c: char| c.is_ascii_alphabetic()) && fits(word))
}

fn fits(word: &str) -> bool {
    (1..=LONGEST).contains(&word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_what_mtas_say() {
        for (text, id) in [
            ("2.0.0 Ok: queued as 4cGZ2R3Y4Vz9sQ", Some("4cGZ2R3Y4Vz9sQ")),
            ("2.0.0 Ok: queued as ABCDEF.", Some("ABCDEF")),
            ("2.0.0 ok, Queued as ABCDEF (1 s)", Some("ABCDEF")),
            ("OK id=1tFabc-000000001Xy-2ZaB", Some("1tFabc-000000001Xy-2ZaB")),
            ("2.0.0 4AP2MMxx012345 Message accepted for delivery", Some("4AP2MMxx012345")),
            ("2.6.0 <a@b> [InternalId=4711, Hostname=ex.example] 1 bytes Queued mail for delivery", Some("4711")),
            ("2.0.0 message accepted for delivery", None),
            ("2.0.0 Ok", None),
            ("2.0.0 Ok: queued as ", None),
            ("2.0.0 Ok: queued as <script>", None),
            ("", None),
        ] {
            assert_eq!(queue_id(text), id, "{text}");
        }
        assert_eq!(queue_id(&format!("queued as {}", "x".repeat(LONGEST + 1))), None);
    }
}

//! Encoded words (RFC 2047), as generous readers decode them: anywhere, whatever is in them.
use base64::{Engine, alphabet, engine};

/// Padding or none, and loose bits at the end: what readers forgive.
const LENIENT: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// Octets within which a word has to end: RFC 2047 §2 has 75, and programs that break that do not
/// break it by more.
const LONGEST: usize = 1000;

/// `text` with all its encoded words decoded, blanks between two of them left out (§6.2); what is in
/// an unknown charset or encoding stays as it is. `None` where there is nothing to decode.
pub fn decode(text: &str) -> Option<String> {
    let (mut decoded, mut rest, mut any) = (String::new(), text, false);
    while let Some(start) = rest.find("=?") {
        let (before, word) = rest.split_at_checked(start)?;
        match read(word) {
            Some((inside, length)) => {
                if !(any && before.trim().is_empty()) {
                    decoded.push_str(before);
                }
                decoded.push_str(&inside);
                any = true;
                rest = word.get(length..)?;
            }
            None => {
                decoded.push_str(before);
                decoded.push_str("=?");
                rest = word.get(2..)?;
            }
        }
    }
    decoded.push_str(rest);
    any.then_some(decoded)
}

/// The encoded word that `text` begins with, decoded, and its length.
pub fn read(text: &str) -> Option<(String, usize)> {
    let near = text.get(..text.floor_char_boundary(LONGEST))?.strip_prefix("=?")?;
    let mut parts = near.splitn(3, '?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = rest.find("?=")?;
    let encoded = rest.get(..end)?;
    let octets = if encoding.eq_ignore_ascii_case("b") {
        let dense: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        LENIENT.decode(dense.as_bytes()).ok()?
    } else if encoding.eq_ignore_ascii_case("q") {
        quoted(encoded.as_bytes())
    } else {
        return None;
    };
    // A language may follow the charset (RFC 2231 §5).
    let label = charset.split('*').next()?;
    let known = encoding_rs::Encoding::for_label(label.as_bytes())?;
    let (decoded, _) = known.decode_without_bom_handling(&octets);
    Some((decoded.into_owned(), "=????=".len() + charset.len() + encoding.len() + end))
}

/// The `Q` encoding (§4.2).
fn quoted(encoded: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        let hex = after.first_chunk::<2>().and_then(|two| std::str::from_utf8(two).ok()).and_then(|two| u8::from_str_radix(two, 16).ok());
        match (octet, hex) {
            (b'=', Some(value)) => {
                octets.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'_', _) => octets.push(b' '),
            _ => octets.push(octet),
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_decoded_as_generous_readers_do() {
        for (text, decoded) in [
            ("=?utf-8?Q?a=40b_c?= x", "a@b c x"),
            ("a =?UTF-8?B?w6k=?=", "a é"),
            ("=?utf-8?b?w6k?=", "é"),
            ("=?utf-8*en?q?a?= \t =?iso-8859-1?Q?=E9?=", "aé"),
            ("=?utf-8?q?=00=zz=4?=", "\0=zz=4"),
            ("=?utf-8?q?a?==?utf-8?q?b?=", "ab"),
            ("=? =?utf-8?q?a?=", "=? a"),
            ("=?utf-16le?b?YQBiAA==?=", "ab"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(decoded), "{text}");
        }
        for plain in ["", "a", "=?utf-8?q?a", "=?utf-8?x?a?=", "=?nonsense?q?a?=", "=?utf-8?b?!?="] {
            assert_eq!(decode(plain), None, "{plain}");
        }
    }
}

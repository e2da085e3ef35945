//! From octets to text, by what the part says of its charset, and where it says nothing by what it is.
use super::text;
use crate::message::{HeaderBlock, Reading};
use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// Octets of a part's header section that are looked at, and of a document for its `<meta>`.
const LOOKED_AT: usize = 16 << 10;

/// The text of a reading, at most `most` octets of it; sets `cut` where there is more.
pub(super) fn decode(reading: &Reading, message: &Bytes, most: usize, cut: &mut bool) -> String {
    let octets = reading.octets.get(..reading.octets.len().min(most)).unwrap_or_default();
    *cut |= octets.len() < reading.octets.len();
    let declared = declared(reading, message).and_then(|label| Encoding::for_label(label.as_bytes()));
    let in_document = || if &*reading.content_type == "text/html" { meta(octets) } else { None };
    let encoding = declared.or_else(in_document).unwrap_or_else(|| {
        // Cut in the middle of a character, it is UTF-8 all the same.
        let is_utf8 = match std::str::from_utf8(octets) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none(),
        };
        if is_utf8 { UTF_8 } else { WINDOWS_1252 }
    });
    let (decoded, _, _) = encoding.decode(octets);
    text::cut(decoded.replace("\r\n", "\n").into(), most, cut).into_owned()
}

/// What the header section of the part says, where that stands in the message itself.
fn declared(reading: &Reading, message: &Bytes) -> Option<String> {
    let place = reading.places.as_ref()?.first()?;
    let end = place.end.min(message.len()).min(place.start.saturating_add(LOOKED_AT));
    let part = message.get(place.start..end)?;
    let headers = HeaderBlock::new(Bytes::copy_from_slice(section(part)));
    let value = headers.find("Content-Type")?.for_log(1000);
    label(&value)
}

/// Up to the empty line.
fn section(part: &[u8]) -> &[u8] {
    let end = [&b"\r\n\r\n"[..], b"\n\n"].iter().filter_map(|empty| memchr::memmem::find(part, empty)).min();
    end.map_or(part, |end| part.get(..end + 2).unwrap_or(part))
}

/// The value of `charset` in a field or a `<meta>`.
fn label(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let rest = lower.split_once("charset")?.1.trim_start().strip_prefix('=')?.trim_start();
    let rest = rest.trim_start_matches(['"', '\'']);
    Some(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:.+".contains(*c)).collect())
}

fn meta(octets: &[u8]) -> Option<&'static Encoding> {
    let start = String::from_utf8_lossy(octets.get(..octets.len().min(LOOKED_AT)).unwrap_or_default()).into_owned();
    let meta = start.to_ascii_lowercase();
    let encoding = meta.split("<meta").skip(1).find_map(|rest| label(rest.split('>').next().unwrap_or_default()))?;
    // What calls itself UTF-16 in letters of one octet is not.
    Encoding::for_label(encoding.as_bytes()).filter(|encoding| encoding.is_ascii_compatible())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_in_fields_and_in_documents() {
        for (text, expected) in [
            ("text/plain; charset=utf-8", "utf-8"),
            ("text/plain; CHARSET = \"ISO-8859-1\"; format=flowed", "iso-8859-1"),
            (" http-equiv=content-type content='text/html; charset=koi8-r'", "koi8-r"),
        ] {
            assert_eq!(label(text).as_deref(), Some(expected));
        }
        assert_eq!(label("text/plain"), None);
        assert_eq!(meta(b"<html><META charset=\"windows-1251\">").map(Encoding::name), Some("windows-1251"));
        assert_eq!(meta(b"<meta charset=utf-16>"), None);
    }
}

//! One payload in every shape of malformed mail that some program opens and another does not see.
//! For the tests here, and those on the real binary, which include this file.

use ::base64::{Engine as _, engine::general_purpose::STANDARD};

/// A message with the payload in it.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// What has to be noted.
    pub(crate) anomaly: &'static str,
    pub(crate) message: Vec<u8>,
}

/// The test file that every virus scanner knows, put together here so that this file is none.
pub(crate) fn eicar() -> String {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}", "$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!", "$H+H*"].concat()
}

fn base64() -> String {
    STANDARD.encode(eicar())
}

/// In lines of 76.
fn base64_lines() -> String {
    let encoded = base64();
    let (first, second) = encoded.split_at(76);
    format!("{first}\r\n{second}\r\n")
}

fn message(content_type: &str, body: &str) -> Vec<u8> {
    let from =
        "From: <a@example.net>\r\nTo: <b@example.org>\r\nSubject: shapes\r\nMessage-ID: <shape@example.net>\r\nMIME-Version: 1.0\r\n";
    let end = if body.ends_with("\r\n") { "" } else { "\r\n" };
    format!("{from}{content_type}\r\n{body}{end}").into_bytes()
}

/// A part that is the payload, in base64; `fields` instead of its transfer encoding.
fn attachment(fields: &str) -> String {
    format!("Content-Type: application/octet-stream; name=a.com\r\nContent-Disposition: attachment; filename=a.com\r\n{fields}\r\n")
}

fn encoded() -> String {
    attachment("Content-Transfer-Encoding: base64\r\n") + &base64_lines()
}

/// A text and the part, cut by `delimiter`.
fn parts(delimiter: &str, part: &str) -> String {
    format!("--{delimiter}\r\nContent-Type: text/plain\r\n\r\nhello\r\n--{delimiter}\r\n{part}\r\n--{delimiter}--\r\n")
}

fn mixed(part: &str) -> Vec<u8> {
    message("Content-Type: multipart/mixed; boundary=real\r\n", &parts("real", part))
}

/// The part in a multipart whose type is written so, cut by `real`.
fn typed(content_type: &str) -> Vec<u8> {
    message(&format!("Content-Type: {content_type}\r\n"), &parts("real", &encoded()))
}

fn with_encoding(fields: &str) -> Vec<u8> {
    mixed(&(attachment(fields) + &base64_lines()))
}

/// Every octet an escape, in lower case, with blanks after the soft breaks.
fn quoted() -> String {
    let escapes: Vec<String> = eicar().bytes().map(|octet| format!("={octet:02x}")).collect();
    escapes.chunks(20).map(<[String]>::concat).collect::<Vec<_>>().join("= \r\n") + "\r\n"
}

fn uuencoded() -> String {
    let mut text = "begin 644 a.com\r\n".to_owned();
    for line in eicar().as_bytes().chunks(45) {
        let digit = |bits: u32| char::from(b' ' + u8::try_from(bits & 63).unwrap_or_default()).to_string().replace(' ', "`");
        text += &digit(u32::try_from(line.len()).unwrap_or_default());
        for three in line.chunks(3) {
            let octet = |n: usize| u32::from(three.get(n).copied().unwrap_or_default());
            let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
            text.extend([18, 12, 6, 0].map(|shift| digit(bits >> shift)));
        }
        text += "\r\n";
    }
    text + "`\r\nend\r\n"
}

fn yencoded() -> String {
    // None of its octets needs an escape, and all are ASCII but for a few.
    let octets: String = eicar().bytes().map(|octet| char::from(octet.wrapping_add(42))).collect();
    format!("=ybegin line=128 size=68 name=a.com\r\n{octets}\r\n=yend size=68\r\n")
}

/// As octets: a character is one.
fn latin1(text: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(text).chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// All shapes.
pub(crate) fn all() -> Vec<Shape> {
    let shape = |name, anomaly, message| Shape { name, anomaly, message };
    let payload = eicar();
    let (head, tail) = payload.split_at(20);
    let padded = format!("{}\r\n{}\r\n", STANDARD.encode(head), STANDARD.encode(tail));
    let digits = base64();
    let junk: String = digits.as_bytes().chunks(5).map(|five| format!("{}*", String::from_utf8_lossy(five))).collect();
    let by_line: String = [head, tail].map(|text| format!("{}\r\n", STANDARD.encode(text).trim_end_matches('='))).concat();
    let nested = |fields: &str, body: &str| mixed(&format!("Content-Type: message/rfc822\r\n{fields}\r\n{body}"));
    let inner = String::from_utf8_lossy(&mixed(&encoded())).into_owned();
    let text = "Content-Type: text/plain\r\n";
    let base64_part = |text: &str| mixed(&(attachment("Content-Transfer-Encoding: base64\r\n") + text));
    vec![
        shape(
            "the first of two encodings",
            "encoding_conflict",
            with_encoding("Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n"),
        ),
        shape(
            "the last of two encodings",
            "encoding_conflict",
            with_encoding("Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n"),
        ),
        shape("a comment before the encoding", "encoding_malformed", with_encoding("Content-Transfer-Encoding: (7bit) base64\r\n")),
        shape("quotes around the encoding", "encoding_malformed", with_encoding("Content-Transfer-Encoding: \"base64\"\r\n")),
        shape("a list of encodings", "encoding_malformed", with_encoding("Content-Transfer-Encoding: base64, quoted-printable\r\n")),
        shape("a blank in the name of the field", "field_name", with_encoding("Content-Transfer- Encoding: base64\r\n")),
        shape("the first of two types", "type_conflict", typed("multipart/mixed; boundary=real\r\nContent-Type: text/plain")),
        shape("the last of two types", "type_conflict", typed("text/plain\r\nContent-Type: multipart/mixed; boundary=real")),
        shape("a type without a subtype", "type_malformed", typed("multipart; boundary=real")),
        shape("the first of two boundaries", "boundary_conflict", typed("multipart/mixed; boundary=real; boundary=other")),
        shape("the last of two boundaries", "boundary_conflict", typed("multipart/mixed; boundary=other; boundary=real")),
        shape("a boundary in pieces", "boundary_extended", typed("multipart/mixed; boundary*0=re; boundary*1=\"al\"")),
        shape(
            "a boundary percent-encoded beside another",
            "boundary_extended",
            typed("multipart/mixed; boundary=other; boundary*=us-ascii''re%61l"),
        ),
        shape("a comment in the boundary", "boundary_unused", typed("multipart/mixed; boundary=other(boundary=real)")),
        shape("blanks after the boundary", "boundary_malformed", typed("multipart/mixed; boundary=\"real  \"")),
        shape("a boundary in another case", "boundary_loose", typed("multipart/mixed; boundary=REAL")),
        shape("a boundary that goes on", "boundary_prefix", typed("multipart/mixed; boundary=re")),
        shape("no boundary", "boundary_missing", typed("multipart/mixed")),
        shape("no semicolon before the boundary", "type_malformed", typed("multipart/mixed boundary=real")),
        shape("no end", "end_missing", message("Content-Type: multipart/mixed; boundary=real\r\n", &format!("--real\r\n{}", encoded()))),
        shape(
            "after the end",
            "parts_after_end",
            message(
                "Content-Type: multipart/mixed; boundary=real\r\n",
                &format!("{}--real\r\n{}--real--\r\n", parts("real", text), encoded()),
            ),
        ),
        shape("a line of blanks in the header section", "header_blank_line", mixed(&encoded().replacen("\r\n\r\n", "\r\n \t\r\n", 1))),
        shape("no line between header and body", "header_line", mixed(&encoded().replacen("\r\n\r\n", "\r\n", 1))),
        shape("an empty line before the header section", "header_in_body", mixed(&format!("\r\n{}", encoded()))),
        shape("padding inside base64", "base64_padding", base64_part(&padded)),
        shape("more after the padding", "base64_padding", base64_part(&format!("{}aGVsbG8=\r\n", base64_lines()))),
        shape("junk inside base64", "base64_junk", base64_part(&junk)),
        shape("lines of base64 that stand alone", "base64_uneven", base64_part(&by_line)),
        shape(
            "quoted-printable in lower case",
            "quoted_malformed",
            mixed(&(attachment("Content-Transfer-Encoding: quoted-printable\r\n") + &quoted())),
        ),
        shape("uuencode in text", "uuencode", mixed(&format!("{text}\r\nhello\r\n{}", uuencoded()))),
        shape(
            "uuencode before the first part",
            "uuencode",
            message("Content-Type: multipart/mixed; boundary=real\r\n", &(uuencoded() + &parts("real", text))),
        ),
        shape("uuencode by name", "uuencode", mixed(&(attachment("Content-Transfer-Encoding: x-uuencode\r\n") + &uuencoded()))),
        shape("yEnc in text", "yenc", latin1(&mixed(&format!("{text}\r\n{}", yencoded())))),
        shape("an encoded message", "encoded_message", nested("Content-Transfer-Encoding: base64\r\n", &STANDARD.encode(&inner))),
        shape(
            "an encoded multipart",
            "encoded_multipart",
            message(
                "Content-Type: multipart/mixed; boundary=real\r\nContent-Transfer-Encoding: base64\r\n",
                &STANDARD.encode(parts("real", &encoded())),
            ),
        ),
        shape(
            "the same boundary twice, one inside the other",
            "boundary_unused",
            mixed(&format!("Content-Type: multipart/mixed; boundary=real\r\n\r\n--real\r\n{}", encoded())),
        ),
    ]
}

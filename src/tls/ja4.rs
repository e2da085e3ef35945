//! JA4, the fingerprint of a TLS client: what it offers in its hello, whoever it says it is. The
//! method is FoxIO's (<https://github.com/FoxIO-LLC/ja4>, `technical_details/JA4.md`, BSD-3-Clause);
//! the code is ours.
//!
//! ```text
//! t13d1516h2_8daaf6152771_e5627efa2ab1
//! │││ │ │ │  └ extensions in order of their numbers, signature algorithms as they stand: hashed
//! │││ │ │ │    cipher suites in order of their numbers, hashed, in the middle
//! │││ │ │ └ first and last character of the first ALPN value
//! │││ │ └ extensions, ││└ cipher suites: how many
//! ││└ d: asks for a name (SNI), i: does not
//! │└ version, └ t: over TCP
//! ```
//!
//! Nothing here believes a length: what is not there is not read, and what is no hello has no
//! fingerprint.
use aws_lc_rs::digest::{SHA256, digest};

/// Octets of a first flight that are looked at; with post-quantum keys it has two thousand.
pub const MOST: usize = 16 << 10;

const RECORD_OF_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What is known of the octets that a client has sent so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Hello {
    /// Its hello is not complete.
    More,
    /// It is none.
    Nothing,
    /// It is complete, and this is its JA4.
    Known(String),
}

/// Looks at the first octets of a connection, TLS records and all (RFC 8446 §5.1: a hello may be cut
/// into several).
#[must_use]
pub fn of_flight(flight: &[u8]) -> Hello {
    let mut message = Vec::new();
    let mut rest = Reader(flight);
    loop {
        if let [kind, a, b, c, body @ ..] = message.as_slice() {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            match body.get(..length) {
                _ if *kind != CLIENT_HELLO => return Hello::Nothing,
                Some(body) => return of_hello(body).map_or(Hello::Nothing, Hello::Known),
                None if length > MOST => return Hello::Nothing,
                None => {}
            }
        }
        // What has been gathered is less than what there is: this ends.
        match rest.0.first() {
            Some(&RECORD_OF_HANDSHAKE) => {}
            Some(_) => return Hello::Nothing,
            None => return Hello::More,
        }
        let Some(record) = rest.skip(3).and_then(|()| rest.vector16()) else { return Hello::More };
        if record.is_empty() {
            return Hello::Nothing;
        }
        message.extend_from_slice(record);
    }
}

/// The JA4 of a ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), without the header of the handshake;
/// `None` where it is none.
#[must_use]
pub fn of_hello(hello: &[u8]) -> Option<String> {
    let mut hello = Reader(hello);
    let mut version = hello.number()?;
    hello.skip(32)?;
    hello.vector8()?;
    let mut suites = numbers(hello.vector16()?);
    hello.vector8()?;
    let mut extensions = Reader(hello.vector16().unwrap_or_default());
    let (mut kinds, mut signatures, mut named, mut alpn) = (Vec::new(), Vec::new(), false, String::from("00"));
    while let Some(kind) = extensions.number() {
        let data = extensions.vector16()?;
        if is_grease(kind) {
            continue;
        }
        kinds.push(kind);
        match kind {
            SERVER_NAME => named = true,
            ALPN => alpn = first_protocol(data).map_or(alpn, protocol),
            SIGNATURE_ALGORITHMS => signatures = numbers(Reader(data).vector16().unwrap_or_default()),
            SUPPORTED_VERSIONS => {
                let offered = numbers(Reader(data).vector8().unwrap_or_default());
                version = offered.into_iter().max().unwrap_or(version);
            }
            _ => {}
        }
    }
    let counts = (suites.len().min(99), kinds.len().min(99));
    kinds.retain(|kind| !matches!(*kind, SERVER_NAME | ALPN));
    suites.sort_unstable();
    kinds.sort_unstable();
    let mut hashed = hex(&kinds);
    if !signatures.is_empty() {
        hashed = format!("{hashed}_{}", hex(&signatures));
    }
    let (version, name) = (version_name(version), if named { 'd' } else { 'i' });
    let suites = truncated(&suites, &hex(&suites));
    let kinds = truncated(&kinds, &hashed);
    Some(format!("t{version}{name}{:02}{:02}{alpn}_{suites}_{kinds}", counts.0, counts.1))
}

fn version_name(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

fn first_protocol(list: &[u8]) -> Option<&[u8]> {
    Reader(Reader(list).vector16()?).vector8().filter(|name| !name.is_empty())
}

/// Its first and last character; of its hexadecimal form where one of them is no letter or digit.
fn protocol(name: &[u8]) -> String {
    let (first, last) = (name.first().copied().unwrap_or(b'0'), name.last().copied().unwrap_or(b'0'));
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first, last].map(char::from).iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 15)
}

/// RFC 8701: values that mean nothing, so that servers learn to skip what they do not know.
fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 15 == 10
}

/// Without GREASE.
fn numbers(octets: &[u8]) -> Vec<u16> {
    let mut reader = Reader(octets);
    std::iter::from_fn(|| reader.number()).filter(|number| !is_grease(*number)).collect()
}

fn hex(numbers: &[u16]) -> String {
    numbers.iter().map(|number| format!("{number:04x}")).collect::<Vec<_>>().join(",")
}

/// Twelve digits of the hash of `text`; zeros where there was nothing to list.
fn truncated(listed: &[u16], text: &str) -> String {
    if listed.is_empty() {
        return "0".repeat(12);
    }
    crate::value::hex(digest(&SHA256, text.as_bytes()).as_ref().get(..6).unwrap_or_default())
}

/// What is left of octets.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(drop)
    }
    fn number(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }
    /// Octets after their number, of one octet or two.
    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = *self.take(1)?.first()?;
        self.take(length.into())
    }
    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(list: &str) -> Vec<u16> {
        list.split(',').filter(|item| !item.is_empty()).map(|item| u16::from_str_radix(item, 16).unwrap()).collect()
    }
    fn wire(numbers: &[u16]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }
    fn vector16(octets: &[u8]) -> Vec<u8> {
        [&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], octets].concat()
    }
    fn vector8(octets: &[u8]) -> Vec<u8> {
        [&[u8::try_from(octets.len()).unwrap()][..], octets].concat()
    }

    /// A hello with these suites, extensions and signature algorithms, in hexadecimal as the method's
    /// own examples list them.
    fn hello(legacy: u16, versions: &[u16], suites: &str, extensions: &str, signatures: &str, alpn: &[u8]) -> Vec<u8> {
        let of = |kind: u16| {
            let data = match kind {
                SIGNATURE_ALGORITHMS => vector16(&wire(&parse(signatures))),
                SUPPORTED_VERSIONS => vector8(&wire(versions)),
                ALPN => vector16(&[vector8(alpn), vector8(b"http/1.1")].concat()),
                _ => vec![0; 3],
            };
            [kind.to_be_bytes().to_vec(), vector16(&data)].concat()
        };
        let extensions: Vec<u8> = parse(extensions).into_iter().flat_map(of).collect();
        let mut hello =
            [legacy.to_be_bytes().to_vec(), vec![7; 32], vector8(&[1; 32]), vector16(&wire(&parse(suites))), vector8(&[0])].concat();
        if !extensions.is_empty() {
            hello.extend(vector16(&extensions));
        }
        hello
    }

    const SUITES: &str = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035";
    const EXTENSIONS: &str = "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015";
    const SIGNATURES: &str = "0403,0804,0401,0503,0805,0501,0806,0601";

    #[test]
    fn the_examples_of_the_method_have_their_fingerprints() {
        let grease = |list: &str| format!("0a0a,{list},fafa");
        let versions = [0x3a3a, 0x0304, 0x0303];
        for (suites, extensions) in [(SUITES.to_owned(), EXTENSIONS.to_owned()), (grease(SUITES), grease(EXTENSIONS))] {
            let hello = hello(0x0303, &versions, &suites, &extensions, SIGNATURES, b"h2");
            assert_eq!(of_hello(&hello).unwrap(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        }
        // Without signature algorithms the list has no end of its own.
        let bare = hello(0x0303, &versions, SUITES, EXTENSIONS, "", b"h2");
        assert_eq!(of_hello(&bare).unwrap(), "t13d1516h2_8daaf6152771_6d807ffa2a79");
        // Chrome 143, as browserleaks.com published it.
        let chrome = "002d,0033,0010,fe0d,0017,44cd,0000,000b,000a,002b,ff01,0023,0012,0005,000d,001b";
        let chrome = hello(
            0x0303,
            &[0x0304, 0x0303],
            "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035",
            chrome,
            SIGNATURES,
            b"h2",
        );
        assert_eq!(of_hello(&chrome).unwrap(), "t13d1516h2_8daaf6152771_d8a2da3f94cd");
    }

    #[test]
    fn what_is_missing_has_its_own_signs() {
        let cases = [
            (hello(0x0303, &[], "", "", "", b""), "t12i000000_000000000000"),
            (hello(0x0301, &[], "002f", "0000", "", b""), "t10d010100_"),
            (hello(0x7f1c, &[], "", "", "", b""), "t00i000000_000000000000"),
        ];
        for (hello, expected) in cases {
            let found = of_hello(&hello).unwrap();
            assert!(found.starts_with(expected) && found.ends_with("_000000000000"), "{found} is not {expected}");
        }
        for (alpn, expected) in [
            (&b"h2"[..], "h2"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"", "00"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"0\xab", "3b"),
            (b"01\xab\xcd", "3d"),
            (b"0\xab\xcd1", "01"),
        ] {
            let hello = hello(0x0303, &[], "002f", "0010", "", alpn);
            assert_eq!(&of_hello(&hello).unwrap()[8..10], expected, "{alpn:?}");
        }
    }

    fn records(hello: &[u8], cut: usize) -> Vec<u8> {
        let message = [&[CLIENT_HELLO, 0][..], &vector16(hello)].concat();
        message.chunks(cut).flat_map(|piece| [&[RECORD_OF_HANDSHAKE, 3, 1][..], &vector16(piece)].concat()).collect()
    }

    #[test]
    fn a_hello_is_found_in_records_however_they_are_cut() {
        let hello = hello(0x0303, &[0x0304], SUITES, EXTENSIONS, SIGNATURES, b"h2");
        for cut in [1, 3, 4, 5, 100, 4096] {
            let flight = records(&hello, cut);
            for end in 0..flight.len() {
                assert_eq!(of_flight(&flight[..end]), Hello::More, "{cut} {end}");
            }
            let more = [&flight[..], b"whatever follows"].concat();
            for flight in [flight, more] {
                assert_eq!(of_flight(&flight), Hello::Known("t13d1516h2_8daaf6152771_e5627efa2ab1".into()));
            }
        }
        for other in
            [&b"EHLO x\r\n"[..], b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", b"\x16\x03\x01\x00\x04\x01\xff\xff\xff"]
        {
            assert_eq!(of_flight(other), Hello::Nothing, "{other:?}");
        }
    }

    #[test]
    fn a_real_client_has_one() {
        let mut config = crate::tls::builder().unwrap().1.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        config.alpn_protocols = vec![b"smtp".to_vec()];
        let mut client = rustls::ClientConnection::new(config.into(), "mx.example.org".try_into().unwrap()).unwrap();
        let mut flight = Vec::new();
        client.write_tls(&mut flight).unwrap();
        let Hello::Known(found) = of_flight(&flight) else { panic!("{flight:?}") };
        assert!(found.starts_with("t13d") && found[8..10] == *"sp" && found.len() == 36, "{found}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered(octets in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..400, with: u8) {
            let _ = (of_flight(&octets), of_hello(&octets));
            let mut flight = records(&hello(0x0303, &[0x0304], SUITES, EXTENSIONS, SIGNATURES, b"h2"), 90);
            let at = at % flight.len();
            flight[at] = with;
            if let Hello::Known(found) = of_flight(&flight) {
                prop_assert!(found.len() == 36 && found.is_ascii(), "{}", found);
            }
        }
    }
}

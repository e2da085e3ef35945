//! What the fuzz targets do with their input. `tests/fuzz_corpus.rs` includes this file and does
//! the same with every file of the corpora, so that what a fuzzer found once stays found.

use bytes::BytesMut;
use octroi::chain::Verdict;
use octroi::message::{Edits, HeaderBlock, MimeError, budget::Budget, readings};
use octroi::smtp::client::{Replies, write_mail, write_recipient};
use octroi::smtp::data::{ChunkDecoder, Decoder, Piece, Stains, Stuffer};
use octroi::smtp::{Address, Capabilities, Command, Domain, Offer, Recipient, Reply};
use octroi::stages::milter;
use octroi::unpack::{self, Input, Limits};

mod dialogue;
#[path = "../src/smtp/data/reference.rs"]
mod reference;

use reference::Reading;

/// DATA: one reading at every cut, and it is the slow reference's; what is read goes out again by
/// DATA as the same.
pub fn data(input: &[u8]) {
    let (cuts, octets) = Cuts::from(input);
    let wire = [octets, b"\r\n.\r\nQUIT\r\n"].concat();
    let (expected, rest) = reference::data(&wire).expect("the end is there");
    let (reading, left) = decode(&wire, cuts);
    assert_eq!((&reading, &left[..]), (&expected, rest));

    let mut again = BytesMut::new();
    let mut stuffer = Stuffer::default();
    cuts.of(&reading.text).for_each(|piece| stuffer.write(piece, &mut again));
    again.extend_from_slice(stuffer.end());
    let (second, left) = decode(&again, cuts);
    assert_eq!((second.text, left.len()), (reading.text, 0));
    assert!(!(second.look_alike || second.bare_lf || second.bare_cr || second.nul));
}

fn decode(wire: &[u8], cuts: Cuts) -> (Reading, Vec<u8>) {
    let (mut decoder, mut input, mut text) = (Decoder::new(), BytesMut::new(), Vec::new());
    let mut pieces = cuts.of(wire);
    loop {
        match decoder.next(&mut input) {
            Piece::Body(body) => text.extend_from_slice(&body),
            Piece::More => input.extend_from_slice(pieces.next().expect("the end is not seen")),
            Piece::End => break,
        }
    }
    let leading_dot = decoder.has_leading_dot();
    let rest = pieces.fold(input.to_vec(), |rest, piece| [&rest, piece].concat());
    (reading(text, decoder.stains(), leading_dot), rest)
}

fn reading(text: Vec<u8>, stains: Stains, leading_dot: bool) -> Reading {
    let Stains { look_alike, bare_lf, bare_cr, nul } = stains;
    Reading { text, look_alike, bare_lf, bare_cr, nul, leading_dot }
}

/// BDAT: one reading however it is divided into chunks and segments, and it is the reference's.
pub fn bdat(input: &[u8]) {
    let (cuts, content) = Cuts::from(input);
    for binary in [false, true] {
        let mut decoder = ChunkDecoder::new(binary);
        let mut text = Vec::new();
        for chunk in cuts.of(content) {
            let (mut input, mut remaining) = (BytesMut::new(), chunk.len() as u64);
            for segment in cuts.next().of(chunk) {
                input.extend_from_slice(segment);
                while !input.is_empty() {
                    text.extend_from_slice(&decoder.next(&mut input, &mut remaining));
                }
            }
            assert_eq!(remaining, 0);
        }
        text.extend(decoder.finish().unwrap_or_default());
        assert_eq!(decoder.ends_with_crlf(), text.is_empty() || text.ends_with(b"\r\n"));
        let leading_dot = decoder.has_leading_dot() && !binary;
        assert_eq!(reading(text, decoder.stains(), leading_dot), reference::chunks(content, binary));
    }
}

/// Commands: every line has an answer, and MAIL and RCPT mean upstream what they meant here.
pub fn command(line: &[u8]) {
    let (all, none) = offers();
    let server = capabilities();
    for utf8 in [false, true] {
        let _ = Command::parse(line, &none, utf8).map_err(|mistake| mistake.refusal());
        let mut out = BytesMut::new();
        match Command::parse(line, &all, utf8) {
            Ok(Command::Mail(mail)) => write_mail(&mut out, &mail, mail.size, &server),
            Ok(Command::Rcpt(recipient)) => write_recipient(&mut out, &recipient, &server),
            Ok(_) => continue,
            Err(mistake) => {
                assert!(!mistake.refusal().reply().text().contains('\n'));
                continue;
            }
        }
        let again = out.strip_suffix(b"\r\n").expect("a line");
        assert_eq!(Command::parse(again, &all, utf8), Command::parse(line, &all, utf8));
    }
}

/// Addresses: what is taken stands in a path as the same, and in no reading ends it.
pub fn address(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Some(domain) = Domain::parse(text) {
        assert_eq!(domain.as_str(), text);
        assert!(!text.contains(|c: char| c.is_control() || " <>@\"\\".contains(c)));
    }
    for utf8 in [false, true] {
        let Some(address) = Address::parse(text, utf8) else { continue };
        assert!(!text.contains(char::is_control) && (utf8 || text.is_ascii()));
        let mut line = BytesMut::new();
        write_recipient(&mut line, &Recipient::new(address.clone()), &Capabilities::default());
        let line = line.strip_suffix(b"\r\n").expect("a line");
        let (offer, _) = offers();
        assert_eq!(Command::parse(line, &offer, utf8), Ok(Command::Rcpt(Box::new(Recipient::new(address)))));
    }
}

/// Replies: the same ones at every cut, and written out they read the same.
pub fn reply(input: &[u8]) {
    let (cuts, wire) = Cuts::from(input);
    let read = |cuts: Cuts, wire: &[u8]| {
        let (mut replies, mut all) = (Replies::default(), Vec::new());
        for piece in cuts.of(wire) {
            replies.input().extend_from_slice(piece);
            while let Some(reply) = replies.next() {
                let failed = reply.is_err();
                all.push(reply);
                if failed {
                    return all;
                }
            }
        }
        all
    };
    let all = read(cuts, wire);
    // Of two faults in one line, which is met first depends on the cut.
    let outcome = |all: Vec<Result<Reply, _>>| all.into_iter().map(|reply| reply.map_err(drop)).collect::<Vec<_>>();
    assert_eq!(outcome(all.clone()), outcome(read(Cuts(0), wire)));
    // What is not UTF-8 grows, and with its code may be too long then.
    let short = |reply: &Reply| reply.text().split('\n').all(|line| line.len() <= 2000);
    for reply in all.into_iter().flatten().filter(short) {
        let mut out = BytesMut::new();
        reply.write_to(&mut out);
        let _ = Capabilities::from_reply(&reply).intersection(&capabilities());
        assert_eq!(read(Cuts(0), &out), [Ok(reply)]);
    }
}

/// The server's machine: a client that says anything, in whatever pieces.
pub fn server(input: &[u8]) {
    let (cuts, octets) = Cuts::from(input);
    dialogue::run(cuts.of(octets), cuts.next().0);
}

/// PROXY headers: one that is whole is waited for as long as it is not.
pub fn proxy(input: &[u8]) {
    if let Ok(Some(header)) = octroi::gate::proxy::parse(input) {
        assert!(header.length <= input.len());
        (0..header.length).for_each(|cut| assert_eq!(octroi::gate::proxy::parse(&input[..cut]), Ok(None), "cut at {cut}"));
    }
}

/// Readings: of whatever octets there is one, or a word why not; none is longer than what it was made
/// of allows, and no memory stays counted.
pub fn readings(input: &[u8]) {
    let memory = Budget::new(64 << 20);
    match readings::of(input.to_vec(), &memory) {
        Ok(readings) => {
            assert!(!readings.all().is_empty());
            // A line of uuencode says how many octets it has, at most 63, and may leave out those that are zero.
            assert!(readings.all().iter().all(|reading| reading.octets.len() <= 32 * input.len() + 64));
            assert!(readings.anomalies().iter().all(|found| found.at <= input.len() as u64));
        }
        Err(MimeError::TooComplex(_)) => {}
        Err(error) => panic!("{error}"),
    }
    assert_eq!(memory.used(), 0);
}

/// Any octets are looked into within the limits, and what the archives' readers panic at stays with
/// the one archive.
pub fn unpack(input: &[u8]) {
    let limits = Limits { size: 4 << 20, files: 100, depth: 5, ..Limits::default() };
    let mut reserved = 0;
    let mut reserve = |octets: u64| {
        reserved += octets;
        true
    };
    let part = Input { names: vec!["a".into()], declared: "".into(), is_body: false, octets: input.to_vec().into() };
    let unpacked = unpack::unpack([part], &limits, &mut reserve).expect("nobody refused memory");
    assert!(reserved <= limits.size && unpacked.all().len() <= limits.files);
    for file in unpacked.all() {
        assert!(file.depth <= limits.depth && unpacked.path(file).len() == file.depth + 1);
        assert!(file.sha256.is_some() || file.size == 0);
    }
}

/// Milters: whatever one says, what it asks for leaves a header section a header section and a body
/// without a second message in it, its refusal is one, and no memory stays counted.
pub fn milter(input: &[u8]) {
    const LARGEST: u64 = 4096;
    let memory = Budget::new(2 * LARGEST);
    if let Ok(Some(report)) = milter::hear(input, LARGEST, &memory) {
        let edits = Edits(report.edits);
        let block = edits.apply(&HeaderBlock::new("Subject: x\r\n y\r\nTo: b\r\n".into()));
        let block = block.strip_suffix(b"\r\n").unwrap_or(&block);
        assert!(block.is_empty() || lines(block).all(|line| !line.trim_ascii().is_empty()), "the header section ends early");
        let body = edits.body_replacement().map_or(&b""[..], |body| body);
        assert!(body.len() as u64 <= 2 * LARGEST && memory.used() <= LARGEST);
        for line in lines(block).chain(lines(body)) {
            assert!(!line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "a line in a line");
        }
        for finding in &report.findings {
            assert!(!finding.to_string().contains(char::is_control));
        }
        match report.verdict {
            Verdict::Refuse(refusal) => assert!((400..600).contains(&refusal.reply().code()) && !refusal.closes()),
            Verdict::Quarantine(hold) => assert!(hold.reason.len() <= 1000),
            Verdict::Deliver | Verdict::Discard => {}
        }
    }
    assert_eq!(memory.used(), 0);
}

fn lines(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(octets);
    std::iter::from_fn(move || {
        let octets = rest?;
        let end = octets.windows(2).position(|pair| pair == b"\r\n");
        rest = end.map(|end| &octets[end + 2..]);
        Some(end.map_or(octets, |end| &octets[..end]))
    })
}

/// Where to cut: a seed out of the input, so that the fuzzer moves the cuts too. 0 cuts nowhere.
#[derive(Clone, Copy)]
struct Cuts(u32);

impl Cuts {
    fn from(input: &[u8]) -> (Self, &[u8]) {
        input.split_first_chunk().map_or((Self(0), input), |(seed, rest)| (Self(u32::from_le_bytes(*seed)), rest))
    }

    fn next(self) -> Self {
        Self(self.0.wrapping_mul(747_796_405).wrapping_add(2_891_336_453))
    }

    fn of(mut self, mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
        std::iter::from_fn(move || {
            if octets.is_empty() {
                return None;
            }
            let length = if self.0 == 0 { octets.len() } else { 1 + (self.0 >> 16) as usize % 6 };
            self = if self.0 == 0 { self } else { self.next() };
            let (piece, rest) = octets.split_at(length.min(octets.len()));
            octets = rest;
            Some(piece)
        })
    }
}

fn offers() -> (Offer, Offer) {
    let none = Offer::basic("mx.example.org".into());
    let all = Offer {
        eight_bit: true,
        utf8: true,
        binary: true,
        dsn: true,
        enhanced_codes: true,
        starttls: true,
        require_tls: true,
        auth: vec!["PLAIN".into()],
        ..none.clone()
    };
    (all, none)
}

fn capabilities() -> Capabilities {
    let text = "mx\nSIZE\n8BITMIME\nSMTPUTF8\nBINARYMIME\nCHUNKING\nDSN\nAUTH PLAIN\nREQUIRETLS";
    Capabilities::from_reply(&Reply::new(250, text))
}

//! The parts of the protocol that every octet or every command passes through.
//!
//! `cargo bench --bench codec`; the text benchmarks count octets of a 64 KiB read.
#![expect(clippy::expect_used, reason = "a benchmark")]

use bytes::BytesMut;
use divan::{Bencher, black_box, counter::BytesCount};
use octroi::smtp::client::{Replies, write_mail, write_recipient};
use octroi::smtp::data::{ChunkDecoder, Decoder, Piece, Stuffer};
use octroi::smtp::{Capabilities, Command, Offer, Reply};

fn main() {
    divan::main();
}

/// One read of the driver.
const READ: usize = 64 << 10;

#[derive(Debug)]
enum Text {
    /// Lines of 60 octets or so, some empty.
    Prose,
    /// Lines of 76 octets, as attachments are.
    Base64,
    /// Every line begins with a stuffed dot, and is short.
    Dots,
    /// Every line ends with a bare LF.
    BareNewlines,
    /// One line without end.
    OneLine,
}

const TEXTS: [Text; 5] = [Text::Prose, Text::Base64, Text::Dots, Text::BareNewlines, Text::OneLine];

impl Text {
    fn octets(&self) -> Vec<u8> {
        let sample: &[u8] = match self {
            Self::Prose => b"Dear all,\r\n\r\nplease find below what was said on Tuesday, and who is to do it:\r\nthe first point was left for next week. Everything else stands.\r\n",
            Self::Base64 => b"JVBERi0xLjcKJeLjz9MKNCAwIG9iago8PC9GaWx0ZXIvRmxhdGVEZWNvZGUvTGVuZ3RoIDQxNz4+\r\n",
            Self::Dots => b"..a line\r\n",
            Self::BareNewlines => b"please find below what was said on Tuesday, and who is to do\n",
            Self::OneLine => b"text",
        };
        sample.iter().copied().cycle().take(READ).collect()
    }
}

fn text(bencher: Bencher<'_, '_>, text: &Text, mut read: impl FnMut(&mut BytesMut)) {
    let octets = text.octets();
    bencher.counter(BytesCount::new(octets.len())).with_inputs(|| BytesMut::from(&octets[..])).bench_local_refs(|input| read(input));
}

#[divan::bench(args = TEXTS)]
fn data(bencher: Bencher<'_, '_>, what: &Text) {
    text(bencher, what, |input| {
        let mut decoder = Decoder::new();
        while let Piece::Body(body) = decoder.next(input) {
            black_box(body);
        }
    });
}

#[divan::bench(args = TEXTS)]
fn bdat(bencher: Bencher<'_, '_>, what: &Text) {
    text(bencher, what, |input| {
        let mut decoder = ChunkDecoder::new(false);
        let mut remaining = input.len() as u64;
        while remaining > 0 {
            black_box(decoder.next(input, &mut remaining));
        }
    });
}

#[divan::bench(args = TEXTS)]
fn stuff(bencher: Bencher<'_, '_>, what: &Text) {
    text(bencher, what, |input| {
        Stuffer::default().split(input).for_each(|slice| {
            black_box(slice);
        });
    });
}

const COMMANDS: [&str; 7] = [
    "EHLO mx.example.com",
    "MAIL FROM:<>",
    "MAIL FROM:<fred.bloggs@example.com> SIZE=41234 BODY=8BITMIME",
    "RCPT TO:<joe@example.org>",
    "RCPT TO:<joe@example.org> NOTIFY=FAILURE ORCPT=rfc822;joe@example.org",
    "DATA",
    "BDAT 41234 LAST",
];

#[divan::bench(args = COMMANDS)]
fn command(bencher: Bencher<'_, '_>, line: &str) {
    let offer = Offer { eight_bit: true, utf8: true, dsn: true, ..Offer::basic("mx.example.org".into()) };
    bencher.bench(|| Command::parse(black_box(line).as_bytes(), &offer, false));
}

#[divan::bench]
fn write_envelope(bencher: Bencher<'_, '_>) {
    let offer = Offer { eight_bit: true, dsn: true, ..Offer::basic("mx.example.org".into()) };
    let server = Capabilities::from_reply(&Reply::new(250, "mx\nSIZE\n8BITMIME\nDSN"));
    let parse = |line: &str| Command::parse(line.as_bytes(), &offer, false).expect("a command");
    let (Command::Mail(mail), Command::Rcpt(recipient)) = (parse(COMMANDS[2]), parse(COMMANDS[4])) else { return };
    let mut out = BytesMut::with_capacity(1024);
    bencher.bench_local(|| {
        out.clear();
        write_mail(&mut out, &mail, Some(41234), &server);
        write_recipient(&mut out, &recipient, &server);
        black_box(out.len())
    });
}

#[derive(Debug)]
enum Wire {
    Ok,
    Queued,
    Ehlo,
}

impl Wire {
    fn octets(&self) -> &'static [u8] {
        match self {
            Self::Ok => b"250 2.1.0 Ok\r\n",
            Self::Queued => b"250 2.0.0 Ok: queued as 4B2D21F8A3\r\n",
            Self::Ehlo => b"250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n",
        }
    }
}

#[divan::bench(args = [Wire::Ok, Wire::Queued, Wire::Ehlo])]
fn reply(bencher: Bencher<'_, '_>, wire: &Wire) {
    let mut replies = Replies::default();
    bencher.bench_local(|| {
        replies.input().extend_from_slice(black_box(wire.octets()));
        replies.next()
    });
}

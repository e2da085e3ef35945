//! What the chain itself costs a message, when its stages do nothing, and what a message costs the
//! spool.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]
use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use divan::{Bencher, counter::BytesCount};
use octroi::{
    chain::{Chain, Configured, Expression, Facts, Inspection, Inspections, Question, Stage, StageError, Vocabulary, Wants},
    message::{Client, Content, Envelope, HeaderBlock, HeaderEnd, Message, Spool, budget::Budget, readings, spool::Settings},
    smtp::{Address, Mail, Recipient, ReversePath},
    value::Id,
};
use std::{io::Write, sync::Arc, time::Duration};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

struct Nothing(Wants);

#[async_trait]
impl Stage for Nothing {
    fn wants(&self) -> Wants {
        self.0
    }
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Self(self.0)))
    }
}
#[async_trait]
impl Inspection for Nothing {}

fn chain(stages: usize, wants: Wants) -> Arc<Chain> {
    let stage = |n| Configured::new(format!("stage{n}"), "nothing", Box::new(Nothing(wants)));
    Arc::new(Chain::new((0..stages).map(stage).collect(), Duration::from_secs(120)))
}
fn client() -> Arc<Client> {
    let address = "192.0.2.1:1".parse().unwrap();
    Arc::new(Client { listener: "mx".into(), address, local: address, tls: None, hello: None, account: None, mechanism: None })
}
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// A condition over a header field, as a rule asks it of every message.
#[divan::bench(args = ["header['Subject'] == 'x'", "header['Subject'].matches('(?i)urgent|invoice [0-9]+')"])]
fn condition(bencher: Bencher<'_, '_>, text: &str) {
    let vocabulary = Vocabulary::of_message([], []);
    let (client, mail) = (client(), Mail::new(ReversePath(None)));
    let header = HeaderBlock::new("From: a@example.net\r\nSubject: Your invoice 4711\r\n".into());
    let (vocabulary, client, mail, header) = (&vocabulary, &*client, &mail, Some(&header));
    let facts = Facts { vocabulary, client, mail, recipients: &[], size: 4096, header, findings: &[] };
    let condition = Expression::compile(text, vocabulary).unwrap();
    bencher.bench_local(|| condition.holds(&facts).unwrap());
}

/// From MAIL to the end of a message of one piece; the session stands already.
fn transaction(bencher: Bencher<'_, '_>, stages: usize, wants: Wants) {
    let (runtime, client) = (runtime(), client());
    let mail = Mail::new(ReversePath(None));
    let recipient = Recipient::new(Address::parse("user@example.org", false).unwrap());
    let envelope = Envelope { mail: mail.clone(), recipients: vec![recipient.clone()] };
    let message = Message::new(envelope.into(), HeaderBlock::new("A: b\r\n".into()), Content::from_bytes(vec![b'x'; 4096]));
    let chunk = Bytes::from(vec![b'x'; 4000]);
    let mut inspections = runtime.block_on(Inspections::begin(&chain(stages, wants), &client));
    bencher.bench_local(|| {
        runtime.block_on(async {
            inspections.ask(Question::Mail(&client, &mail, Id::generate())).await;
            inspections.ask(Question::Recipient(&client, &recipient)).await;
            inspections.ask(Question::Headers(&message.headers)).await;
            if inspections.wants_body() {
                inspections.body(&chunk).await;
            }
            inspections.conclude(&client, &message).await
        })
    });
}

#[divan::bench(args = [0, 1, 10])]
fn stages_that_want_the_end(bencher: Bencher<'_, '_>, stages: usize) {
    transaction(bencher, stages, Wants::END_OF_MESSAGE);
}

#[divan::bench(args = [10])]
fn stages_that_want_nothing(bencher: Bencher<'_, '_>, stages: usize) {
    transaction(bencher, stages, Wants::NOTHING);
}

#[divan::bench(args = [1, 10])]
fn stages_that_want_everything(bencher: Bencher<'_, '_>, stages: usize) {
    transaction(bencher, stages, Wants::ALL);
}

/// Header section found, content spooled in memory, all of it dropped again.
#[divan::bench(args = [4 << 10, 1 << 20])]
fn message_in_memory(bencher: Bencher<'_, '_>, size: usize) {
    let memory = Budget::new(1 << 30);
    let settings = Settings { in_memory: 2 << 20, memory: memory.clone(), disk: Budget::new(0), directory: Arc::new(std::env::temp_dir()) };
    let runtime = runtime();
    let mut octets = "X-Header: some value of some length, as they are\r\n".repeat(20).into_bytes();
    octets.extend_from_slice(b"\r\n");
    octets.resize(size, b'x');
    let octets = Bytes::from(octets);
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        runtime.block_on(async {
            let mut spool = Spool::new(&settings);
            let mut end = HeaderEnd::new(64 << 10, &memory);
            let mut headers = None;
            for at in (0..size).step_by(32 << 10) {
                let chunk = octets.slice(at..size.min(at + (32 << 10)));
                if headers.is_none() {
                    headers = end.push(&chunk).unwrap();
                }
                spool.push(chunk).await.unwrap();
            }
            (headers, spool.finish().await.unwrap())
        })
    });
}

/// All readings of a message with a text of 4 KiB and an attachment that makes it 100 KiB, and of one
/// without attachment.
#[divan::bench(args = [4 << 10, 100 << 10])]
fn readings(bencher: Bencher<'_, '_>, size: usize) {
    let memory = Budget::new(1 << 30);
    let text = "Dear all, please find below what was said on Tuesday, and who is to do it=\r\n".repeat(40);
    let mut octets = "X-Header: some value of some length, as they are\r\n".repeat(20);
    octets += "Content-Type: multipart/mixed; boundary=\"=_part\"\r\n\r\n--=_part\r\nContent-Type: text/plain\r\n";
    octets += &format!("Content-Transfer-Encoding: quoted-printable\r\n\r\n{text}\r\n");
    if size > octets.len() + 1000 {
        octets +=
            "--=_part\r\nContent-Type: application/pdf; name=minutes.pdf\r\nContent-Disposition: attachment; filename=minutes.pdf\r\n";
        octets += "Content-Transfer-Encoding: base64\r\n\r\n";
        let line = "JVBERi0xLjcKJeLjz9MKNCAwIG9iago8PC9GaWx0ZXIvRmxhdGVEZWNvZGUvTGVuZ3RoIDQxNz4+\r\n";
        octets += &line.repeat((size - octets.len()) / line.len());
    }
    octets += "--=_part--\r\n";
    let octets = Bytes::from(octets);
    bencher.counter(BytesCount::new(octets.len())).bench_local(|| readings::of(octets.clone(), &memory).unwrap());
}

/// A message with a text of 4 KiB and an attachment of 100 KiB: all its files, found, named and
/// digested, from its octets on.
#[divan::bench(args = ["none", "picture", "document"])]
fn attachments(bencher: Bencher<'_, '_>, what: &str) {
    let text = "Dear all, please find below what was said on Tuesday, and who is to do it.\r\n".repeat(52);
    let mut octets = format!("Content-Type: multipart/mixed; boundary=\"=_part\"\r\n\r\n--=_part\r\n\r\n{text}\r\n");
    let attached = match what {
        "picture" => [b"\xff\xd8\xff\xe0", &noise(100 << 10)[..]].concat(),
        "document" => document(),
        _ => Vec::new(),
    };
    if !attached.is_empty() {
        octets += "--=_part\r\nContent-Type: application/octet-stream; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        for line in STANDARD.encode(attached).as_bytes().chunks(76) {
            octets += std::str::from_utf8(line).unwrap();
            octets += "\r\n";
        }
    }
    octets += "--=_part--\r\n";
    let end = octets.find("\r\n\r\n").unwrap() + 2;
    let headers = HeaderBlock::new(Bytes::copy_from_slice(octets.as_bytes().get(..end).unwrap()));
    let envelope = Arc::new(Envelope { mail: Mail::new(ReversePath(None)), recipients: vec![] });
    let octets = Bytes::from(octets);
    let runtime = runtime();
    bencher.counter(BytesCount::new(octets.len())).bench_local(|| {
        let message = Message::new(Arc::clone(&envelope), headers.clone(), Content::from_bytes(octets.clone()));
        runtime.block_on(async { message.files().await.unwrap().all().len() })
    });
}

/// As word processors write them: some XML, and a picture.
fn document() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let xml = "<w:p><w:r><w:t>What was said on Tuesday</w:t></w:r></w:p>".repeat(4_000).into_bytes();
    let types = b"<Types/>".to_vec();
    for (name, octets) in [("[Content_Types].xml", types), ("word/document.xml", xml), ("word/media/image1.jpeg", noise(96 << 10))] {
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(&octets).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Octets that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

//! What each of octroi's own stages adds to a message, from MAIL to the chain's conclusion.
//!
//! `none` is the chain without stages: the difference is the stage's. `auth` asks a DNS server on
//! loopback that knows nothing, over a cache that does.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark that cannot be set up should stop")]
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use divan::Bencher;
use octroi::{
    chain::{Chain, Inspections, Question},
    dns,
    message::{Client, Content, Envelope, HeaderEnd, Message, budget::Budget},
    smtp::{Address, Domain, Mail, Recipient, ReversePath},
    stages::{self, Surroundings},
    value::{
        Id,
        settings::{Problems, Section},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::runtime::Runtime;
use toml::de::DeTable;

#[expect(dead_code, unreachable_pub, reason = "tests need more of it")]
#[path = "../tests/support/dns.rs"]
mod scripted;

fn main() {
    divan::main();
}

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/rules");
const STAGES: [&str; 7] = ["none", "limits", "headers", "mime", "attachments", "yara", "auth"];

fn chain(kind: &str, resolver: &dns::Resolver) -> Arc<Chain> {
    let settings = match kind {
        "none" => String::new(),
        "limits" => "[[stage]]\ntype = \"limits\"\nparts = 100\nmessage_size = \"50MiB\"\n".to_owned(),
        "headers" => "[[stage]]\ntype = \"headers\"\ninsert = [\"X-Gate: mx\"]\ndelete = [\"X-Spam\"]\n".to_owned(),
        "yara" => format!("[[stage]]\ntype = \"yara\"\nrules = [\"{RULES}\"]\n"),
        other => format!("[[stage]]\ntype = \"{other}\"\n"),
    };
    let (table, _) = DeTable::parse_recoverable(&settings);
    let problems = Problems::default();
    let surroundings =
        Surroundings { hostname: "mx.example.org".into(), dns: resolver.clone(), listeners: vec![], timeout: Duration::from_secs(10) };
    let stages = stages::read(&mut Section::root(&table, problems.clone()), &surroundings);
    assert!(problems.take().is_empty());
    Arc::new(Chain::new(stages, Duration::from_secs(120)))
}

/// A text of a few KiB.
fn plain() -> Vec<u8> {
    mail("Content-Type: text/plain; charset=utf-8\r\n\r\n", &"All is well here, and the weather is fine as ever.\r\n".repeat(70))
}

/// The same with a picture of 100 KiB.
fn attached() -> Vec<u8> {
    let picture: Vec<u8> =
        b"\x89PNG\r\n\x1a\n".iter().copied().chain((0..100 << 10).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8)).collect();
    let encoded = BASE64_STANDARD.encode(picture);
    let lines: String = encoded.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned() + "\r\n").collect();
    let text = "All is well here, and the weather is fine as ever.\r\n".repeat(70);
    let body = format!(
        "--b\r\nContent-Type: text/plain\r\n\r\n{text}--b\r\nContent-Type: image/png; name=\"a.png\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{lines}--b--\r\n"
    );
    mail("Content-Type: multipart/mixed; boundary=b\r\n\r\n", &body)
}

fn mail(header: &str, body: &str) -> Vec<u8> {
    format!(
        "Received: from a.example.net by b.example.net; Wed, 25 Nov 2026 10:00:00 +0000\r\nFrom: Alice <a@example.net>\r\nTo: Bob <b@example.org>\r\n\
         Subject: a subject of usual length\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\nMIME-Version: 1.0\r\n{header}{body}"
    )
    .into_bytes()
}

fn transaction(bencher: Bencher<'_, '_>, kind: &str, octets: Vec<u8>) {
    let server = scripted::Dns::start();
    server.txt("example.net", "v=spf1 ip4:192.0.2.0/24 -all");
    let settings = dns::Settings { resolvers: vec![server.address], ..dns::Settings::default() };
    let chain = chain(kind, &dns::Resolver::new(&settings));
    let runtime: Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let address = "192.0.2.1:1".parse().unwrap();
    let hello = Some((Domain::parse("mail.example.net").unwrap(), true));
    let client = Arc::new(Client { listener: "mx".into(), address, local: address, tls: None, hello, account: None, mechanism: None });
    let mail = Mail::new(ReversePath(Some(Address::parse("a@example.net", false).unwrap())));
    let recipient = Recipient::new(Address::parse("b@example.org", false).unwrap());
    let envelope = Arc::new(Envelope { mail: mail.clone(), recipients: vec![recipient.clone()] });
    let octets = Bytes::from(octets);
    let (headers, body) = HeaderEnd::new(1 << 20, &Budget::new(1 << 20)).push(&octets).unwrap().expect("an empty line");
    let mut inspections = runtime.block_on(Inspections::begin(&chain, &client));
    bencher.bench_local(|| {
        runtime.block_on(async {
            inspections.ask(Question::Mail(&client, &mail, Id::generate())).await;
            inspections.ask(Question::Recipient(&client, &recipient)).await;
            inspections.ask(Question::Headers(&headers)).await;
            if inspections.wants_body() {
                inspections.body(&octets.slice(body..)).await;
            }
            // A message is parsed once; each is another one here.
            let message = Message::new(Arc::clone(&envelope), headers.clone(), Content::from_bytes(octets.clone()));
            inspections.conclude(&client, &message).await
        })
    });
}

#[divan::bench(args = STAGES)]
fn text_of_4k(bencher: Bencher<'_, '_>, kind: &str) {
    transaction(bencher, kind, plain());
}

#[divan::bench(args = STAGES)]
fn picture_of_100k(bencher: Bencher<'_, '_>, kind: &str) {
    transaction(bencher, kind, attached());
}

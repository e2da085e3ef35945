//! What the journal costs a message, and how long it takes to find one among a million.
//!
//! `cargo bench --bench journal`, `cargo bench --bench journal -- --rows 100000`
//!
//! CPU time is that of the whole process: the session's share (a small message is looked into, a record is
//! moved into a queue), and that of the threads that look into larger ones and write the rows. What there
//! is to compare it with: a message of 4 KiB costs the gate 50 µs (a hundred a connection) to 100 µs (a
//! connection each) without any stage, and 200 to 300 µs with those that the package installs (see the
//! README).
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot start has nothing to say; one that can, says it here"
)]
use octroi::{
    chain::{Conclusion, Finding, StageTiming},
    journal::{Book, Journal, Kind, Query, Session, Settings},
    message::{Client, Content, Envelope, HeaderBlock, Message},
    smtp::{Address, Domain, Mail, Recipient, Refusal, Reply, ReversePath},
    telemetry::{Metrics, StageResult},
    value::Id,
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

struct Bench {
    metrics: Arc<Metrics>,
    book: Option<Book>,
    journal: Arc<Journal>,
    random: u64,
    told: u64,
}

/// User and system time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_ascii_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn address(text: &str) -> Address {
    Address::parse(text, false).expect("an address")
}

impl Bench {
    fn new(directory: Option<&Path>, settings: Settings) -> Self {
        let metrics = Metrics::new().expect("metrics");
        let book = directory.map(|directory| Book::open(directory, settings, &metrics).expect("a journal"));
        let journal = Journal::new(Arc::clone(&metrics), metrics.listener("mx"), [].into());
        let journal = Arc::new(match &book {
            Some(book) => journal.with_book(book.clone()),
            None => journal,
        });
        Self { metrics, book, journal, random: 1, told: 0 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    /// A message, or as often as not in real life, a refused command; from some of many.
    fn tell(&mut self, content: Option<&Message>) {
        let (user, domain, host) = (self.random(200_000), self.random(20_000), self.random(100_000));
        let client = Arc::new(Client {
            listener: "mx".into(),
            address: ([10, 0, (host >> 8) as u8, host as u8], 4711).into(),
            local: ([192, 0, 2, 2], 25).into(),
            tls: None,
            hello: Domain::parse(&format!("mail.dom{domain}.example")).map(|domain| (domain, true)),
            account: None,
            mechanism: None,
        });
        let now = Instant::now();
        let session = Session::open(&self.journal, &client, now);
        let mail = Mail::new(ReversePath(Some(address(&format!("user{user}@dom{domain}.example")))));
        let recipient = Recipient::new(address(&format!("rcpt{}@example.org", self.random(50_000))));
        self.told += 1;
        let fate = self.random(100);
        if content.is_none() && fate < 5 {
            let refusal = Refusal::permanent(50, "1.1", "no such user here");
            session.refused(
                octroi::journal::Phase::Recipient,
                &refusal,
                octroi::journal::By::Upstream("default"),
                Some(&mail),
                Some(&recipient),
            );
            return std::mem::forget(session);
        }
        let mut entry = session.begin(Id::generate(), &mail, now);
        entry.recipient(&recipient);
        entry.receiving();
        let subject = format!("Invoice {} for word{} and word{}", self.random(1_000_000), self.random(5000), self.random(5000));
        let from = format!("Some Body <user{user}@dom{domain}.example>");
        entry.headers(Some(format!("<{}.{}@dom{domain}.example>", self.random(1 << 30), self.told)), Some(subject), Some(from));
        entry.received(4096, now);
        let timing = |stage: &str| StageTiming {
            stage: stage.into(),
            took: Duration::from_micros(200),
            calls: None,
            result: StageResult::Pass,
            incomplete: None,
            findings: 2,
        };
        let findings = vec![
            Finding::text("auth.spf", if fate < 90 { "pass" } else { "fail" }),
            Finding::text("auth.dkim", "pass"),
            Finding::text("auth.dmarc", "pass"),
            Finding::number("limits.parts", 2),
        ];
        let timings = vec![timing("limits"), timing("auth"), timing("clamav")];
        entry.concluded(&mut Conclusion { timings, findings, ..Conclusion::default() }, now);
        if let Some(content) = content {
            entry.content(content);
        }
        entry.upstream(&"default".into());
        match fate {
            0..85 => entry.delivered(&Reply::new(250, format!("2.0.0 Ok: queued as 4cGZ{:010x}", self.random(1 << 30))), now),
            85..97 => entry.refused(&Refusal::permanent(54, "7.1", "not accepted here"), now),
            97..99 => entry.refused(&Refusal::temporary(51, "3.0", "later"), now),
            _ => entry.quarantined(&Reply::new(250, "2.0.0 ok"), now),
        }
        drop(entry);
        std::mem::forget(session);
    }

    /// Waits until all that was told is written.
    fn settle(&self) {
        while self.book.is_some() && self.metrics.journal_rows.get() < self.told {
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Tells of so many; says how long that took here, and how much processor in all, each.
    fn run(&mut self, messages: u64, content: &dyn Fn() -> Option<Message>) -> (Duration, Duration) {
        let mut here = Duration::ZERO;
        let contents: Vec<_> = (0..1000).map(|_| content()).collect();
        let before = cpu();
        for n in 0..messages {
            // Looked into anew, as each is: what was found once is kept with the message.
            let fresh =
                contents.get((n % 1000) as usize).and_then(Option::as_ref).map(|message| message.with_headers(message.headers.clone()));
            let begun = Instant::now();
            self.tell(fresh.as_ref());
            here += begun.elapsed();
            if n % 1000 == 999 {
                self.settle();
            }
        }
        self.settle();
        let of = |time: Duration| Duration::from_nanos((time.as_nanos() / u128::from(messages)) as u64);
        (of(here), of(cpu().saturating_sub(before)))
    }
}

fn message(parts: &str) -> Message {
    let headers = "From: a@example.net\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n";
    let envelope = Envelope { mail: Mail::new(ReversePath(None)), recipients: vec![] };
    Message::new(envelope.into(), HeaderBlock::new(headers.into()), Content::from_bytes(format!("{headers}\r\n{parts}--b--\r\n")))
}

fn text() -> Message {
    let line = "Some text as people write it, and now and then a link: https://www.example.org/path\r\n";
    message(&format!("--b\r\nContent-Type: text/plain\r\n\r\n{}", line.repeat(45)))
}

fn attachment() -> Message {
    let line = "JVBERi0xLjQKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSL0ZpbHRlci9GbGF0ZURl\r\n";
    message(&format!(
        "--b\r\nContent-Type: text/html\r\n\r\n<a href=\"https://www.example.org/\">x</a>\r\n--b\r\n\
         Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        line.repeat(1300)
    ))
}

fn main() {
    let rows: u64 = std::env::args().skip_while(|word| word != "--rows").nth(1).and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000);
    let off = Settings { attachments: false, urls: false, ..Settings::default() };
    println!("microseconds a message        session  all threads");
    let show = |what: &str, (here, all): (Duration, Duration)| {
        println!("{what:<28} {:>8.1}     {:>8.1}", here.as_secs_f64() * 1e6, all.as_secs_f64() * 1e6);
    };
    show("no journal", Bench::new(None, off).run(100_000, &|| None));
    let directory = || tempfile::tempdir().expect("a directory");
    let place = directory();
    show("envelope and headers", Bench::new(Some(place.path()), off).run(100_000, &|| None));
    let place = directory();
    show("and looks into 4 KiB of text", Bench::new(Some(place.path()), Settings::default()).run(50_000, &|| Some(text())));
    let place = directory();
    show("and into a PDF of 75 KiB", Bench::new(Some(place.path()), Settings::default()).run(5000, &|| Some(attachment())));

    let place = directory();
    let mut bench = Bench::new(Some(place.path()), off);
    let (_, all) = bench.run(rows, &|| None);
    let size = std::fs::metadata(place.path().join("journal.db")).map_or(0, |file| file.len());
    println!("\n{rows} rows: {:.1} µs each, {} octets each on disk", all.as_secs_f64() * 1e6, size / rows);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let Some(book) = &bench.book else { return };
    println!("\nmilliseconds for a page of 50       first    again  rows");
    for (what, query) in queries() {
        let once = || {
            let begun = Instant::now();
            let found = runtime.block_on(book.rows().search(&query)).expect("an answer").len();
            (begun.elapsed().as_secs_f64() * 1e3, found)
        };
        let ((first, found), (again, _)) = (once(), once());
        println!("{what:<32} {first:>8.1} {again:>8.1} {found:>5}");
    }
    let begun = Instant::now();
    let day = SystemTime::now() - Duration::from_secs(86_400);
    let summary = runtime.block_on(book.rows().summary(day, SystemTime::now())).expect("an answer");
    println!(
        "{:<32} {:>8.1}          {:>5}",
        "summary of a day",
        begun.elapsed().as_secs_f64() * 1e3,
        summary.messages().values().sum::<u64>()
    );
}

fn queries() -> Vec<(&'static str, Query)> {
    let text = |text: &str| Some(text.to_owned());
    let page = || Query::new(50);
    vec![
        ("no filter", page()),
        ("kind", Query { kind: Some(Kind::Command), ..page() }),
        ("verdict, frequent", Query { verdicts: vec!["delivered".into()], ..page() }),
        ("verdict, rare", Query { verdicts: vec!["quarantined".into()], ..page() }),
        ("sender", Query { sender: text("user4711@dom4711.example"), ..page() }),
        ("sender's domain", Query { sender: text("@dom77.example"), ..page() }),
        ("domains below", Query { sender: text("@*.example"), ..page() }),
        ("recipient", Query { recipient: text("rcpt4711@example.org"), ..page() }),
        ("recipient's domain, all", Query { recipient: text("@example.org"), ..page() }),
        ("client", Query { client: "10.0.7.7/32".parse().ok(), ..page() }),
        ("network of 65,536", Query { client: "10.0.0.0/16".parse().ok(), ..page() }),
        ("network of 1,024", Query { client: "10.0.8.0/22".parse().ok(), ..page() }),
        ("message id, none", Query { message_id: text("none@example.org"), ..page() }),
        ("finding and its value", Query { finding: Some(("auth.spf".into(), text("fail"))), ..page() }),
        ("finding, any value", Query { finding: Some(("auth.spf".into(), None)), ..page() }),
        ("words", Query { text: text("invoice word17"), ..page() }),
        ("words and a phrase", Query { text: text("\"for word17 and word18\""), ..page() }),
        ("beginning of many words", Query { text: text("wor*"), ..page() }),
        ("two frequent, apart", Query { verdicts: vec!["rejected".into()], kind: Some(Kind::Command), decided_by: text("none"), ..page() }),
        ("sender's domain and verdict", Query { sender: text("@dom77.example"), verdicts: vec!["rejected".into()], ..page() }),
        ("host, none", Query { host: text("evil.example"), ..page() }),
    ]
}

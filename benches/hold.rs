//! How many messages a second the quarantine takes in, beside what the disk can sync.
//!
//! `cargo bench --bench hold`, `cargo bench --bench hold -- --directory /var/lib/octroi`
//!
//! A message that is held has its content synced, the directory of that, and its row, before the
//! client is answered: three syncs, one of them shared by all that come meanwhile (group commit). The
//! disk's own rate is that of 4 KiB appended to one file and synced, one after the other, and with as
//! many files at once as there are messages under way.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot start has nothing to say; one that can, says it here"
)]
use octroi::{
    chain::{Finding, Hold, HoldClass},
    message::{Client, Content, HeaderBlock},
    quarantine::{Held, Quarantine, Settings},
    smtp::{Address, Mail, Recipient, ReversePath},
    storage::{Access, Store},
    telemetry::Metrics,
    value::Id,
};
use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::task::JoinSet;

/// How long each number is measured.
const TIME: Duration = Duration::from_secs(3);
const UNDER_WAY: [usize; 4] = [1, 8, 64, 256];

/// Syncs a second, by so many threads with a file each.
fn syncs(directory: &Path, threads: usize) -> f64 {
    let count = AtomicU64::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..threads {
            let count = &count;
            scope.spawn(move || {
                let mut file = File::create(directory.join(format!("sync-{n}"))).expect("a file");
                while begun.elapsed() < TIME {
                    file.write_all(&[1; 4096]).expect("room");
                    file.sync_data().expect("a disk");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    count.into_inner() as f64 / begun.elapsed().as_secs_f64()
}

/// Lines as a person's mail has them, which compress as such do.
fn text(octets: usize) -> String {
    let mut state = 1_u64;
    let mut text = String::from("From: Somebody <somebody@example.net>\r\nSubject: An offer for 17 of them\r\n\r\n");
    while text.len() < octets {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("word{} ", (state >> 33) % 5000));
        if state >> 61 == 0 {
            text.push_str("\r\n");
        }
    }
    text
}

async fn keep(quarantine: &Quarantine, content: &Content, headers: &HeaderBlock) {
    let client = Client {
        listener: "mx".into(),
        address: ([192, 0, 2, 7], 4711).into(),
        local: ([192, 0, 2, 1], 25).into(),
        tls: None,
        hello: None,
        account: None,
        mechanism: None,
    };
    let address = |text| Address::parse(text, false).expect("an address");
    let recipient = Recipient::new(address("somebody@example.org"));
    let id = Id::generate();
    let held = Held {
        id,
        message: id,
        hold: &Hold { class: HoldClass::Spam, reason: "because of its score".into() },
        decided_by: Some("rspamd"),
        client: &client,
        mail: &Mail::new(ReversePath(Some(address("somebody@example.net")))),
        recipients: &[&recipient],
        headers,
        content,
        findings: &[Finding::number("rspamd.score", 17), Finding::text("auth.spf", "fail")],
        timings: &[],
        received_at: SystemTime::now(),
        dialogue: "S: 220 mx.example.org ESMTP\nC: EHLO mail.example.net\n",
    };
    quarantine.keep(held).await.expect("room");
}

/// Messages stored a second, with so many under way at any time.
async fn stores(quarantine: &Quarantine, octets: usize, under_way: usize) -> f64 {
    let text = text(octets);
    let (headers, _) = text.split_once("\r\n\r\n").expect("headers");
    let headers = Arc::new(HeaderBlock::new(format!("{headers}\r\n").into()));
    let content = Content::from_bytes(text);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..under_way {
        let (quarantine, content, headers) = (quarantine.clone(), content.clone(), Arc::clone(&headers));
        tasks.spawn(async move {
            let mut count = 0_u32;
            while begun.elapsed() < TIME {
                keep(&quarantine, &content, &headers).await;
                count += 1;
            }
            count
        });
    }
    let counts = tasks.join_all().await;
    f64::from(counts.iter().sum::<u32>()) / begun.elapsed().as_secs_f64()
}

fn main() {
    let named = std::env::args().skip_while(|word| word != "--directory").nth(1).map(PathBuf::from);
    // Not the system's place for temporary files, which may be memory.
    let directory = named.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    let place = tempfile::tempdir_in(directory).expect("a directory");
    let store = Store::open(place.path(), Access::Create).expect("a store");
    let quarantine = Quarantine::new(store, Settings::default(), &Metrics::new().expect("metrics"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("a second, with so many under way   {:>8} {:>8} {:>8} {:>8}", UNDER_WAY[0], UNDER_WAY[1], UNDER_WAY[2], UNDER_WAY[3]);
    let show = |what: &str, measure: &dyn Fn(usize) -> f64| {
        let numbers = UNDER_WAY.map(|under_way| format!("{:>8.0}", measure(under_way)));
        println!("{what:<34} {}", numbers.join(" "));
    };
    show("the disk's syncs of 4 KiB", &|threads| syncs(place.path(), threads));
    show("messages of 4 KiB stored", &|under_way| runtime.block_on(stores(&quarantine, 4 << 10, under_way)));
    show("messages of 100 KiB stored", &|under_way| runtime.block_on(stores(&quarantine, 100 << 10, under_way)));
}

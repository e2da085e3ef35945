//! How long the quarantine's lists take, with so many entries: `cargo bench --bench quarantine -- 1000000`.
//!
//! The entries are written past [`octroi::quarantine`], a transaction for all, since storing a million
//! of them takes a million syncs; their contents are not there. Each question is asked twenty times.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a bench")]

use octroi::{
    chain::HoldClass,
    quarantine::{Assigned, Cursor, Filter, Order, Quarantine, Settings, Sort, State, Visible},
    storage::{Access, Store},
    telemetry::Metrics,
};
use std::{
    path::Path,
    time::{Duration, Instant, SystemTime},
};

const TIMES: usize = 20;
const DAY: i64 = 86_400_000;

fn fill(path: &Path, entries: i64, now: i64) {
    let mut database = rusqlite::Connection::open(path).unwrap();
    database.pragma_update(None, "synchronous", "off").unwrap();
    // Indexes are written all over: without room they would be read and written again for each row.
    database.pragma_update(None, "cache_size", -1_000_000).unwrap();
    let transaction = database.transaction().unwrap();
    {
        let mut entry = transaction
            .prepare(
                "INSERT INTO quarantine_entry (id, message, stored_at, received_at, class, reason, decided_by, state, changed_at, listener, \
                 client, sender, mail, header_from, subject, message_id, size, stored, sha256, findings, timings) \
                 VALUES (?1, ?1, ?2, ?2, ?3, 'because of its score', ?4, ?5, ?2, 'mx', ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13, ?14, '[]')",
            )
            .unwrap();
        let mut recipient = transaction
            .prepare("INSERT INTO quarantine_recipient (entry, position, address, arguments, state, changed_at) VALUES (?1, ?2, ?3, ?4, 'held', ?5)")
            .unwrap();
        let mut state = 1_u64;
        let mut random = |below: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as i64 % below
        };
        let client = r#"{"address":"192.0.2.7:4711","local":"192.0.2.1:25","hello":"mail.example.net","protocol":"ESMTPS","account":null,"tls":{"version":"TLSv1.3","cipher":"TLS_AES_256_GCM_SHA384"}}"#;
        for n in 0..entries {
            // Evenly over thirty days, the last now.
            let at = now - 30 * DAY + n * (30 * DAY) / entries;
            let id = format!("{}{n:016}", id_of(at));
            let class = ["spam", "spam", "spam", "phishing", "policy", "malware", "incomplete"][random(7) as usize];
            let held = ["held", "held", "released", "deleted"][random(4) as usize];
            let sender = format!("sender{}@host{}.example", random(50_000), random(2_000));
            let subject = format!("invoice {} for order {}", random(100_000), random(1_000_000));
            let findings = format!(
                r#"[{{"name":"rspamd.score","value":{}}},{{"name":"{}","value":"x"}}]"#,
                random(30),
                if n % 9_973 == 0 { "yara.rule" } else { "auth.spf" }
            );
            let by = ["rspamd", "rule spam", "clamd", "attachments"][random(4) as usize];
            entry
                .execute((
                    &id,
                    at,
                    class,
                    by,
                    held,
                    client,
                    &sender,
                    format!("<{sender}>"),
                    format!("Somebody <{sender}>"),
                    subject,
                    format!("<{n}@host.example>"),
                    random(1_000_000),
                    "0".repeat(64),
                    findings,
                ))
                .unwrap();
            for position in 0..=random(2) {
                // Most are for one domain, few for a small one.
                let domain = if random(1_000) == 0 { "small.example".to_owned() } else { format!("d{}.example", random(20)) };
                let address = format!("user{}@{domain}", random(5_000));
                recipient.execute((&id, position, &address, format!("<{address}>"), at)).unwrap();
            }
        }
    }
    transaction.commit().unwrap();
}

fn id_of(millis: i64) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    (0..10).rev().map(|place| char::from(DIGITS[(millis >> (5 * place) & 31) as usize])).collect()
}

fn main() {
    let entries = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000_000);
    let temporary = tempfile::tempdir().unwrap();
    // One that was filled before is looked at again.
    let kept = std::env::var_os("OCTROI_BENCH_STATE").map(std::path::PathBuf::from);
    let directory = kept.as_deref().unwrap_or_else(|| temporary.path());
    let is_new = !directory.join("octroi.db").exists();
    let store = Store::open(directory, Access::Create).unwrap();
    let now = SystemTime::now();
    let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let begun = Instant::now();
    if is_new {
        fill(&directory.join("octroi.db"), entries, millis);
        println!("{entries} entries written in {:.1} s", begun.elapsed().as_secs_f64());
    }
    let quarantine = Quarantine::new(store, Settings::default(), &Metrics::new().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let domains = |names: &[&str]| Visible::Domains(names.iter().map(|name| (*name).to_owned()).collect());
    let ago = |days: i64| Some(now - Duration::from_millis((days * DAY) as u64));
    let filter = Filter::default;
    let held = || Filter { state: Some(State::Held), ..filter() };
    let by = |sort| Order { sort, ascending: false };
    let time = by(Sort::Time);
    let cases: Vec<(&str, Filter, Order)> = vec![
        ("all", filter(), time),
        ("held", held(), time),
        ("held, oldest first", held(), time.reversed()),
        ("held malware", Filter { class: Some(HoldClass::Malware), ..held() }, time),
        ("held, largest first", held(), by(Sort::Size)),
        ("held, by sender", held(), by(Sort::Sender)),
        ("of one sender", Filter { sender: Some("sender77@host7.example".into()), ..held() }, time),
        ("of a sender's domain", Filter { sender: Some("@host7.example".into()), ..held() }, time),
        ("to one recipient", Filter { recipient: Some("user77@d7.example".into()), ..filter() }, time),
        ("to a domain", Filter { recipient: Some("@d7.example".into()), ..held() }, time),
        (
            "seen by a reviewer of three domains",
            Filter { visible: domains(&["d1.example", "d2.example", "small.example"]), ..held() },
            time,
        ),
        ("of a small domain", Filter { visible: domains(&["small.example"]), ..held() }, time),
        ("of a small domain, largest first", Filter { visible: domains(&["small.example"]), ..held() }, by(Sort::Size)),
        ("a word that all have", Filter { text: Some("invoice".into()), ..held() }, time),
        ("a word that few have", Filter { text: Some("order 4711".into()), ..held() }, time),
        ("the beginning of a word", Filter { text: Some("invoice for ord".into()), ..held() }, time),
        ("a rare finding", Filter { finding: Some("yara.rule".into()), ..held() }, time),
        ("nothing that there is", Filter { decided_by: Some("rule none".into()), ..held() }, time),
        ("a day two weeks ago", Filter { after: ago(15), before: ago(14), ..held() }, time),
        ("assigned to somebody", Filter { assigned: Some(Assigned::To("anna".into())), ..filter() }, time),
    ];
    println!("{:40} {:>8} {:>8} {:>6}", "question", "median", "worst", "found");
    for (what, filter, order) in cases {
        let mut took = Vec::new();
        let mut found = String::new();
        for _ in 0..TIMES {
            let begun = Instant::now();
            let page = runtime.block_on(quarantine.page(&filter, order, None, 50)).unwrap();
            took.push(begun.elapsed());
            found = format!("{}{}", page.entries.len(), if page.unfinished { " …" } else { "" });
        }
        show(what, took, &found);
    }
    let deep = Cursor::parse(&format!("{}{:016}", id_of(millis - 20 * DAY), 0)).unwrap();
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        runtime.block_on(quarantine.page(&held(), time, Some(&deep), 50)).unwrap();
        took.push(begun.elapsed());
    }
    show("held, two thirds down", took, "50");
    for (what, visible) in
        [("counts of all", Visible::All), ("counts of three domains", domains(&["d1.example", "d2.example", "small.example"]))]
    {
        let mut took = Vec::new();
        for _ in 0..TIMES {
            let begun = Instant::now();
            runtime.block_on(quarantine.counts(&visible)).unwrap();
            took.push(begun.elapsed());
        }
        show(what, took, "");
    }
}

fn show(what: &str, mut took: Vec<Duration>, found: &str) {
    took.sort_unstable();
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    println!("{what:40} {:>5.1} ms {:>5.1} ms {found:>6}", ms(took[took.len() / 2]), ms(*took.last().unwrap()));
}

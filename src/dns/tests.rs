use super::*;
use crate::value::settings::Problems;
use std::time::Instant;
use toml::de::DeTable;

#[expect(unreachable_pub, reason = "shared with the tests of the whole, which need more of it")]
#[allow(dead_code, reason = "the same")]
#[path = "../../tests/support/dns.rs"]
mod scripted;
use scripted::{Answer, Dns};

fn resolver(server: SocketAddr) -> Resolver {
    Resolver::new(&Settings { resolvers: vec![server], timeout: Duration::from_millis(300), attempts: 1, cache: 100 })
}
fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_name_counts_where_it_points_back() {
    let dns = Dns::start();
    dns.ptr("192.0.2.7", &["liar.example.", "mail.example."]).a("liar.example", "198.51.100.1").a("mail.example", "192.0.2.7");
    dns.ptr("192.0.2.8", &["liar.example."]);
    let resolver = resolver(dns.address());
    for _ in 0..2 {
        assert_eq!(resolver.confirmed_name(ip("192.0.2.7")).await.unwrap().as_deref(), Some("mail.example"));
    }
    assert_eq!(resolver.confirmed_name(ip("::ffff:192.0.2.7")).await.unwrap().as_deref(), Some("mail.example"));
    assert_eq!(resolver.confirmed_name(ip("192.0.2.8")).await.unwrap(), None, "it points elsewhere");
    assert_eq!(resolver.confirmed_name(ip("192.0.2.9")).await.unwrap(), None, "it points nowhere");
    let asked = dns.asked();
    assert_eq!(asked.iter().filter(|name| *name == "mail.example").count(), 1, "{asked:?}");
}

#[tokio::test]
async fn what_is_not_known_is_an_error_in_time() {
    let dns = Dns::start();
    let reverse = |last: u8| format!("{last}.2.0.192.in-addr.arpa");
    for (last, answer) in [(1, Answer::Failure), (2, Answer::Silence), (3, Answer::Garbage)] {
        dns.tell(&reverse(last), RecordType::PTR, answer);
    }
    dns.ptr("192.0.2.4", &["lost.example."]).tell("lost.example", RecordType::A, Answer::Failure);
    let resolver = resolver(dns.address());
    let started = Instant::now();
    for last in 1..=4 {
        assert!(resolver.confirmed_name(ip(&format!("192.0.2.{last}"))).await.is_err(), "{last}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    dns.a("lost.example", "192.0.2.4");
    assert_eq!(resolver.confirmed_name(ip("192.0.2.4")).await.unwrap().as_deref(), Some("lost.example"), "a failure is not remembered");
}

/// As the gate has it: a runtime for each worker. When one ends, it may take a lookup of another with
/// it, and no more than that.
#[test]
fn runtimes_share_a_resolver_and_may_end() {
    let dns = Dns::start();
    for last in 1..=40 {
        let name = format!("n{last}.example");
        dns.ptr(&format!("192.0.2.{last}"), &[&format!("{name}.")]).a(&name, &format!("192.0.2.{last}"));
    }
    let resolver = resolver(dns.address());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let resolver = &resolver;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                for round in 0..10 {
                    let last = worker * 10 + round + 1;
                    let address = ip(&format!("192.0.2.{last}"));
                    let tries = (0..4).map(|_| runtime.block_on(resolver.confirmed_name(address)));
                    let found = tries.filter_map(Result::ok).next().expect("an answer");
                    assert_eq!(found, Some(format!("n{last}.example").into()));
                }
            });
        }
    });
}

#[test]
fn settings_have_defaults_and_mistakes() {
    let read = |text: &str| {
        let (table, _) = DeTable::parse_recoverable(text);
        let problems = Problems::default();
        let settings = Settings::read(&mut Section::root(&table, problems.clone()));
        (settings, problems.take().into_iter().map(|problem| problem.text).collect::<Vec<_>>())
    };
    assert_eq!(read(""), (Settings::default(), vec![]));
    let (settings, mistakes) = read("resolvers = [\"127.0.0.1:5353\", \"[::1]:53\"]\ntimeout = \"1s\"\nattempts = 0\ncache = 0\n");
    assert_eq!((settings.resolvers.len(), settings.timeout.as_secs(), mistakes.len()), (2, 1, 0));
    assert_eq!(read("resolvers = [\"localhost\"]\ntimeout = \"0s\"\n").1.len(), 2);
}

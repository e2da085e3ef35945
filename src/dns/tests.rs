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
use server::{Dns, Mood};
use std::{net::UdpSocket, sync::mpsc, time::Instant};
#[allow(dead_code, unreachable_pub, reason = "other tests need the rest")]
mod server;
fn resolver(dns: &Dns) -> Resolver {
    let settings = Settings { resolvers: vec![dns.address], timeout: Duration::from_millis(400), ..Settings::default() };
    Resolver::new(&settings)
fn address(text: &str) -> IpAddr {
async fn name(resolver: &Resolver, of: &str) -> Option<Box<str>> {
    resolver.confirmed_name(address(of)).await.unwrap()
async fn a_name_counts_only_if_it_points_back() {
    dns.pointer("192.0.2.1", "Mail.example.org").address("mail.example.org", "192.0.2.1");
    dns.pointer("192.0.2.2", "mail.example.org");
    dns.pointer("192.0.2.3", "nowhere.example.org");
    dns.pointer("192.0.2.4", "nowhere.example.org").pointer("192.0.2.4", "four.example.org").address("four.example.org", "192.0.2.4");
    dns.pointer("2001:db8::1", "six.example.org").address("six.example.org", "192.0.2.6").address("six.example.org", "2001:db8::1");
    let resolver = resolver(&dns);
    assert_eq!(name(&resolver, "192.0.2.1").await.as_deref(), Some("mail.example.org"));
    assert_eq!(name(&resolver, "::ffff:192.0.2.1").await.as_deref(), Some("mail.example.org"), "IPv4 in an IPv6 socket");
    assert_eq!(name(&resolver, "192.0.2.2").await, None, "a name that others have");
    assert_eq!(name(&resolver, "192.0.2.3").await, None, "a name that has no address");
    assert_eq!(name(&resolver, "192.0.2.4").await.as_deref(), Some("four.example.org"), "the second of two");
    assert_eq!(name(&resolver, "2001:db8::1").await.as_deref(), Some("six.example.org"));
    assert_eq!(name(&resolver, "192.0.2.9").await, None, "NXDOMAIN");
async fn what_is_known_is_not_asked_again() {
    dns.pointer("192.0.2.1", "mail.example.org").address("mail.example.org", "192.0.2.1");
    let resolver = resolver(&dns);
    for _ in 0..3 {
        assert!(name(&resolver.clone(), "192.0.2.1").await.is_some());
    assert_eq!(dns.asked(), ["PTR 1.2.0.192.in-addr.arpa", "A mail.example.org"]);
async fn failures_are_no_answers_and_take_their_time_only() {
    let resolver = resolver(&dns);
    for mood in [Mood::ServFail, Mood::Refused, Mood::Silent, Mood::Garbage, Mood::Beside] {
        dns.mood(mood);
        let begun = Instant::now();
        let answer = resolver.confirmed_name(address("192.0.2.1")).await;
        assert!(answer.is_err(), "{mood:?}: {answer:?}");
        assert!(begun.elapsed() < resolver.patience() * 5, "{mood:?} took {:?}", begun.elapsed());
    // And it recovers: a failure is not remembered.
    dns.mood(Mood::Answer).pointer("192.0.2.1", "mail.example.org").address("mail.example.org", "192.0.2.1");
    assert!(name(&resolver, "192.0.2.1").await.is_some());
async fn a_name_that_cannot_be_looked_up_hides_no_other() {
    dns.pointer("192.0.2.1", "broken.example.org").mood_of("broken.example.org", Mood::ServFail);
    let resolver = resolver(&dns);
    assert!(resolver.confirmed_name(address("192.0.2.1")).await.is_err());
    dns.pointer("192.0.2.2", "broken.example.org").pointer("192.0.2.2", "two.example.org").address("two.example.org", "192.0.2.2");
    assert_eq!(name(&resolver, "192.0.2.2").await.as_deref(), Some("two.example.org"));
async fn long_answers_come_over_tcp() {
    dns.mood(Mood::Truncated).pointer("192.0.2.1", "mail.example.org").address("mail.example.org", "192.0.2.1");
    assert!(name(&resolver(&dns), "192.0.2.1").await.is_some());
async fn a_server_that_is_not_there_is_an_error_and_another_one_is_asked() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    dns.pointer("192.0.2.1", "mail.example.org").address("mail.example.org", "192.0.2.1");
    let alone = Settings { resolvers: vec![nobody], timeout: Duration::from_millis(200), ..Settings::default() };
    assert!(Resolver::new(&alone).confirmed_name(address("192.0.2.1")).await.is_err());
    let both = Settings { resolvers: vec![nobody, dns.address], ..Settings::default() };
    assert!(name(&Resolver::new(&both), "192.0.2.1").await.is_some());
/// Two workers, one of which drains while the other goes on asking; then a third one comes.
fn workers_need_each_other_for_nothing() {
    dns.pointer("192.0.2.1", "mail.example.org").address("mail.example.org", "192.0.2.1");
    let settings = Settings { resolvers: vec![dns.address], cache: 0, ..Settings::default() };
    let shared = Resolver::new(&settings);
    let worker = |questions: usize| {
        let resolver = shared.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let all = async {
                let ask = (0..questions).map(|_| async { name(&resolver, "192.0.2.1").await });
                futures_util::future::join_all(ask).await
            };
            runtime.block_on(all).into_iter().flatten().count()
        })
    let (first, second) = (worker(20), worker(200));
    assert_eq!(first.join().unwrap(), 20);
    assert_eq!(worker(50).join().unwrap(), 50, "after one event loop has gone");
    assert_eq!(second.join().unwrap(), 200);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(HERE.with_borrow(Vec::len)).unwrap());
    assert_eq!(receiver.recv().unwrap(), 0, "nothing is shared between threads");
async fn resolvers_of_old_configurations_go() {
    let old = resolver(&dns);
    assert!(old.here().is_ok());
    drop(old);
    let new = resolver(&dns);
    assert!(new.here().is_ok() && new.clone().here().is_ok());
    assert_eq!(HERE.with_borrow(Vec::len), 1);
}

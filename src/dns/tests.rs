use super::*;
use server::{Dns, Mood};
use std::{net::UdpSocket, sync::mpsc, time::Instant};

fn resolver(dns: &Dns) -> Resolver {
    let settings = Settings { resolvers: vec![dns.address], timeout: Duration::from_millis(400), ..Settings::default() };
    Resolver::new(&settings)
}
fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
async fn name(resolver: &Resolver, of: &str) -> Option<Box<str>> {
    resolver.confirmed_name(address(of)).await.unwrap()
}

#[tokio::test]
async fn a_name_counts_only_if_it_points_back() {
    let dns = Dns::start();
    dns.pointer("192.0.2.1", "Mail.example.org").address("mail.example.org", "192.0.2.1");
    dns.pointer("192.0.2.2", "mail.example.org");
    dns.pointer("192.0.2.3", "nowhere.example.org");
    dns.pointer("192.0.2.4", "nowhere.example.org").pointer("192.0.2.4", "four.example.org").address("four.example.org", "192.0.2.4");
    dns.pointer("2001:db8::1", "six.example.org").address("six.example.org", "192.0.2.6").address("six.example.org", "2001:db8::1");
    dns.pointer("192.0.2.7", "a);b\r\n.example.org").address("a);b\r\n.example.org", "192.0.2.7");
    let resolver = resolver(&dns);
    assert_eq!(name(&resolver, "192.0.2.1").await.as_deref(), Some("mail.example.org"));
    assert_eq!(name(&resolver, "192.0.2.7").await, None, "what is no host name");
    assert_eq!(name(&resolver, "::ffff:192.0.2.1").await.as_deref(), Some("mail.example.org"), "IPv4 in an IPv6 socket");
    assert_eq!(name(&resolver, "192.0.2.2").await, None, "a name that others have");
    assert_eq!(name(&resolver, "192.0.2.3").await, None, "a name that has no address");
    assert_eq!(name(&resolver, "192.0.2.4").await.as_deref(), Some("four.example.org"), "the second of two");
    assert_eq!(name(&resolver, "2001:db8::1").await.as_deref(), Some("six.example.org"));
    assert_eq!(name(&resolver, "192.0.2.9").await, None, "NXDOMAIN");
}

#[tokio::test]
async fn what_is_known_is_not_asked_again() {
    let dns = Dns::start();
    dns.pointer("192.0.2.1", "mail.example.org").address("mail.example.org", "192.0.2.1");
    let resolver = resolver(&dns);
    for _ in 0..3 {
        assert!(name(&resolver.clone(), "192.0.2.1").await.is_some());
    }
    assert_eq!(dns.asked(), ["PTR 1.2.0.192.in-addr.arpa", "A mail.example.org"]);
}

#[tokio::test]
async fn failures_are_no_answers_and_take_their_time_only() {
    let dns = Dns::start();
    let resolver = resolver(&dns);
    for mood in [Mood::ServFail, Mood::Refused, Mood::Silent, Mood::Garbage, Mood::Beside] {
        dns.mood(mood);
        let begun = Instant::now();
        let answer = resolver.confirmed_name(address("192.0.2.1")).await;
        assert!(answer.is_err(), "{mood:?}: {answer:?}");
        assert!(begun.elapsed() < resolver.patience() * 5, "{mood:?} took {:?}", begun.elapsed());
    }
    // And it recovers: a failure is not remembered.
    dns.mood(Mood::Answer).pointer("192.0.2.1", "mail.example.org").address("mail.example.org", "192.0.2.1");
    assert!(name(&resolver, "192.0.2.1").await.is_some());
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_hides_no_other() {
    let dns = Dns::start();
    dns.pointer("192.0.2.1", "broken.example.org").mood_of("broken.example.org", Mood::ServFail);
    let resolver = resolver(&dns);
    assert!(resolver.confirmed_name(address("192.0.2.1")).await.is_err());
    dns.pointer("192.0.2.2", "broken.example.org").pointer("192.0.2.2", "two.example.org").address("two.example.org", "192.0.2.2");
    assert_eq!(name(&resolver, "192.0.2.2").await.as_deref(), Some("two.example.org"));
}

#[tokio::test]
async fn long_answers_come_over_tcp() {
    let dns = Dns::start();
    dns.mood(Mood::Truncated).pointer("192.0.2.1", "mail.example.org").address("mail.example.org", "192.0.2.1");
    assert!(name(&resolver(&dns), "192.0.2.1").await.is_some());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_and_another_one_is_asked() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dns = Dns::start();
    dns.pointer("192.0.2.1", "mail.example.org").address("mail.example.org", "192.0.2.1");
    let alone = Settings { resolvers: vec![nobody], timeout: Duration::from_millis(200), ..Settings::default() };
    assert!(Resolver::new(&alone).confirmed_name(address("192.0.2.1")).await.is_err());
    let both = Settings { resolvers: vec![nobody, dns.address], ..Settings::default() };
    assert!(name(&Resolver::new(&both), "192.0.2.1").await.is_some());
}

/// Two workers, one of which drains while the other goes on asking; then a third one comes.
#[test]
fn workers_need_each_other_for_nothing() {
    let dns = Dns::start();
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
    };
    let (first, second) = (worker(20), worker(200));
    assert_eq!(first.join().unwrap(), 20);
    assert_eq!(worker(50).join().unwrap(), 50, "after one event loop has gone");
    assert_eq!(second.join().unwrap(), 200);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(HERE.with_borrow(Vec::len)).unwrap());
    assert_eq!(receiver.recv().unwrap(), 0, "nothing is shared between threads");
}

#[tokio::test]
async fn resolvers_of_old_configurations_go() {
    let dns = Dns::start();
    let old = resolver(&dns);
    assert!(old.here().is_ok());
    drop(old);
    let new = resolver(&dns);
    assert!(new.here().is_ok() && new.clone().here().is_ok());
    assert_eq!(HERE.with_borrow(Vec::len), 1);
}

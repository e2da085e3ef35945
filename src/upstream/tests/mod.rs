//! Against a scripted MTA on loopback: every fault, and what must come of it.
mod auth;
mod faults;
mod identity;
mod mta;
mod pool;
mod settings;
mod tls;
mod transaction;

use super::{Answer, Body, Endpoint, Outgoing, Seat, Settings, Shared, Timeouts, Transaction, UpstreamError, Upstreams};
use crate::message::{Client, Content};
use crate::smtp::{Address, Custody, Domain, Mail, Recipient, Reply, ReversePath};
use crate::telemetry::Metrics;
use mta::Mta;
use std::{sync::Arc, time::Duration};

/// An upstream `default`, as one worker sees it.
struct Gate {
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    upstreams: Upstreams,
    seat: Seat,
    client: Arc<Client>,
}

/// Short enough for a test to see it pass, long enough for a loaded machine.
const SHORT: Duration = Duration::from_millis(400);

fn patient() -> Timeouts {
    let minute = Duration::from_secs(60);
    Timeouts { connect: minute, command: minute, end_of_data: minute }
}

impl Gate {
    fn of(settings: Settings, timeouts: Timeouts) -> Self {
        let metrics = Metrics::new().unwrap();
        let shared = Shared::new(vec![settings], &[], timeouts, &"octroi.test".into(), &metrics);
        let upstreams = Upstreams::for_worker(&shared);
        Self { metrics, shared, upstreams, seat: Seat::default(), client: client("192.0.2.7:41000") }
    }
    fn before(mtas: &[&Mta]) -> Self {
        Self::of(Settings::plain(mtas.iter().map(|mta| mta.endpoint.clone()).collect()), patient())
    }
    /// MAIL, and one RCPT for each.
    async fn begin(&self, recipients: &[&str]) -> Result<Answer<(Transaction, Answer<Reply>)>, UpstreamError> {
        self.upstreams.default_route().begin(&self.seat, &self.client, &sender(), &recipient(recipients[0])).await
    }
    /// One more RCPT, for a transaction that has `accepted` already.
    async fn add(&self, held: &mut Option<Transaction>, accepted: &[&str], next: &str) -> Result<Answer<String>, UpstreamError> {
        let accepted: Vec<_> = accepted.iter().map(|address| recipient(address)).collect();
        let route = self.upstreams.default_route();
        let answer = route.recipient(held, &self.seat, &self.client, &sender(), &accepted, &recipient(next)).await?;
        Ok(match answer {
            Answer::Yes(reply) => Answer::Yes(reply.to_string()),
            Answer::No(refusal) => Answer::No(refusal),
        })
    }
    async fn open(&self) -> Transaction {
        match self.begin(&["r@example.com"]).await.unwrap() {
            Answer::Yes((transaction, Answer::Yes(_))) => transaction,
            other => panic!("{other:?}"),
        }
    }
    /// One message from MAIL to the reply.
    async fn send(&self, message: &'static str) -> Result<Answer<String>, UpstreamError> {
        deliver(self.open().await, outgoing(message)).await
    }
    /// A series of the metrics.
    fn count(&self, series: &str) -> i64 {
        let text = String::from_utf8(self.metrics.render()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    }
    fn faults(&self, kind: &str) -> i64 {
        self.count(&format!("octroi_upstream_errors_total{{kind=\"{kind}\",upstream=\"default\"}}"))
    }
    fn reused(&self) -> i64 {
        self.count("octroi_upstream_connections_total{source=\"pool\",upstream=\"default\"}")
    }
    fn open_connections(&self) -> (i64, i64) {
        let state = |state| self.count(&format!("octroi_upstream_connections_open{{state=\"{state}\",upstream=\"default\"}}"));
        (state("busy"), state("idle"))
    }
    fn idle(&self) -> usize {
        self.upstreams.default_route().pool.idle()
    }
    /// What was dropped is reset in a task of its own.
    async fn until_idle(&self, connections: usize) {
        eventually(|| self.idle() == connections).await;
    }
}

async fn eventually(mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.expect("it never came to be");
}

async fn deliver(transaction: Transaction, outgoing: Outgoing) -> Result<Answer<String>, UpstreamError> {
    Ok(match transaction.deliver(outgoing).await? {
        Answer::Yes(accepted) => Answer::Yes(accepted.reply().to_string()),
        Answer::No(refusal) => Answer::No(refusal),
    })
}

/// Header section and body.
fn outgoing(message: &'static str) -> Outgoing {
    let split = message.find("\r\n\r\n").map_or(0, |at| at + 4);
    let content = Content::from_bytes(message.as_bytes());
    Outgoing {
        prefix: vec!["Received: by octroi\r\n".into(), message.as_bytes()[..split].into()],
        leading_dot: message[split..].starts_with('.') || message[split..].contains("\n."),
        body: Body::Content { content, from: split as u64 },
    }
}

fn client(address: &str) -> Arc<Client> {
    Arc::new(Client {
        listener: "mx".into(),
        address: address.parse().unwrap(),
        local: "198.51.100.1:25".parse().unwrap(),
        tls: None,
        hello: Some((Domain::parse("client.example").unwrap(), true)),
        account: None,
        mechanism: None,
    })
}
fn sender() -> Mail {
    Mail::new(ReversePath(Some(Address::parse("s@example.org", false).unwrap())))
}
fn recipient(address: &str) -> Recipient {
    Recipient::new(Address::parse(address, true).unwrap())
}

fn yes(answer: Result<Answer<String>, UpstreamError>) -> String {
    match answer.unwrap() {
        Answer::Yes(reply) => reply,
        Answer::No(refusal) => panic!("refused: {refusal}"),
    }
}
fn no<T>(answer: Result<Answer<T>, UpstreamError>) -> String {
    match answer.unwrap() {
        Answer::Yes(_) => panic!("not refused"),
        Answer::No(refusal) => refusal.to_string(),
    }
}

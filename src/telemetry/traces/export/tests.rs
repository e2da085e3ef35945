//! Receivers that do wrong, under a clock that does not have to be waited for.
use super::*;
use crate::remote::http::Url;
use crate::telemetry::traces::{Chance, Kind, Span, Trace, Traced, Traces};
use hyper::{HeaderMap, StatusCode};
use std::time::SystemTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

#[derive(Debug)]
struct Told;

impl Traced for Told {
    fn weight(&self) -> usize {
        1
    }
    fn trace(self: Box<Self>) -> Trace {
        let span = || Span::new("message", Kind::Server, SystemTime::now(), SystemTime::now());
        Trace { id: [1; 16], chance: Chance::ALWAYS, root: span(), children: vec![span()] }
    }
}

/// A receiver that says the next of `answers` to each request, and then nothing any more.
async fn receiver(answers: Vec<&'static str>) -> (Endpoint, tokio::task::JoinHandle<Vec<Instant>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/v1/traces", listener.local_addr().unwrap())).unwrap();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            asked.push(Instant::now());
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (Endpoint { url, ca: None, headers: Vec::new() }, asked)
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
const REST: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 40\r\nContent-Length: 0\r\n\r\n";
const NO: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

/// What `messages` that wait come to, where the end is told after `end`.
async fn export(endpoint: &Endpoint, messages: usize, end: Option<Duration>) -> Vec<String> {
    let metrics = Metrics::new().unwrap();
    let (traces, waiting) = Traces::queue(Chance::ALWAYS, &metrics);
    (0..messages).for_each(|_| traces.push(Box::new(Told)));
    let resource = Resource { service: "octroi", instance: "mx.example.org" };
    let ended = CancellationToken::new();
    let exporter = Exporter::new(endpoint, Duration::from_secs(10), &resource, &metrics, ended.clone()).unwrap();
    let running = tokio::spawn(exporter.run(waiting));
    match end {
        Some(end) => {
            sleep(end).await;
            ended.cancel();
        }
        None => drop(traces),
    }
    running.await.unwrap();
    let text = String::from_utf8(metrics.render()).unwrap();
    let counted = text.lines().filter(|line| line.starts_with("octroi_traces_") && !line.ends_with(" 0"));
    counted.map(|line| line.trim_start_matches("octroi_traces_").to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_sent_again_with_pauses() {
    let (endpoint, asked) = receiver(vec![BUSY, BUSY, REST, TAKEN]).await;
    assert_eq!(export(&endpoint, 3, None).await, ["exported_total 3"]);
    let asked = asked.await.unwrap();
    let pauses: Vec<_> = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert!((0.5..=1.1).contains(&pauses[0]) && (1.0..=2.1).contains(&pauses[1]), "{pauses:?}");
    assert!((40.0..=41.0).contains(&pauses[2]), "as it asked: {pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_takes_is_given_up_after_a_minute_and_counted() {
    let (endpoint, asked) = receiver(vec![]).await;
    asked.await.unwrap();
    let begun = Instant::now();
    assert_eq!(export(&endpoint, 700, None).await, ["dropped_total{reason=\"not_sent\"} 700"]);
    let took = begun.elapsed();
    assert!(took > 2 * PATIENCE && took < 4 * PATIENCE, "two batches, a minute each: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_sent_again() {
    let (endpoint, asked) = receiver(vec![NO, TAKEN]).await;
    assert_eq!(export(&endpoint, BATCH + 1, None).await, ["dropped_total{reason=\"refused\"} 500", "exported_total 1"]);
    assert_eq!(asked.await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_waits_is_tried_once_and_the_rest_counted() {
    let (endpoint, _asked) = receiver(vec![TAKEN]).await;
    assert_eq!(export(&endpoint, 2, Some(Duration::from_millis(1))).await, ["exported_total 2"]);

    // One that takes the request and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/v1/traces", listener.local_addr().unwrap())).unwrap();
    let endpoint = Endpoint { url, ca: None, headers: Vec::new() };
    let begun = Instant::now();
    assert_eq!(export(&endpoint, 700, Some(Duration::from_millis(1))).await, ["dropped_total{reason=\"not_sent\"} 700"]);
    assert!(begun.elapsed() < LAST + Duration::from_secs(1), "{:?}", begun.elapsed());
}

fn answer(status: u16, retry_after: Option<&'static str>, body: &[u8]) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(value) = retry_after {
        headers.insert("Retry-After", value.parse().unwrap());
    }
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::copy_from_slice(body) }
}

#[test]
fn answers_are_read_as_the_specification_has_them() {
    let taken = |rejected, why: &str| Said::Taken { rejected, why: why.to_owned() };
    let partial = |rejected_spans, why: &str| {
        ExportResponse { partial_success: Some(PartialSuccess { rejected_spans, error_message: why.to_owned() }) }.encode_to_vec()
    };
    assert_eq!(Said::of(&answer(200, None, b"")), taken(0, ""));
    assert_eq!(Said::of(&answer(200, None, &partial(2, "too old"))), taken(2, "too old"));
    assert_eq!(Said::of(&answer(200, None, &partial(0, "old SDK"))), taken(0, "old SDK"), "a warning is none");
    assert_eq!(Said::of(&answer(200, None, &partial(-1, ""))), taken(0, ""));
    let Said::Taken { rejected: 0, why } = Said::of(&answer(200, None, b"{}")) else { panic!("taken is taken") };
    assert!(why.contains("no OTLP"), "{why}");
    for (status, after, rest) in [
        (429, Some("7"), Some(7)),
        (503, Some(" 9 "), Some(9)),
        (502, None, None),
        (504, Some("Fri, 31 Dec 1999 23:59:59 GMT"), None),
        (429, Some("-1"), None),
    ] {
        let said = Said::of(&answer(status, after, b""));
        assert!(matches!(&said, Said::Again(found, _) if *found == rest.map(Duration::from_secs)), "{status} {said:?}");
    }
    for status in [301, 400, 401, 403, 404, 413, 500, 501] {
        assert!(matches!(Said::of(&answer(status, Some("7"), b"")), Said::No(_)), "{status}");
    }
}

#[test]
fn pauses_differ_and_are_bounded() {
    for _ in 0..100 {
        let pause = jittered(Duration::from_secs(4));
        assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&pause), "{pause:?}");
    }
}

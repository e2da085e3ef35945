//! ClamAV's own daemon behind the stage `clamd`, and daemons that misbehave.

use crate::support::{Client, Gate, Mta, Setup, client::message, partners::clamd::Clamd, places, wait};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const MARKER: &str = "octroi-test-marker-0123456789";

fn stage(address: &str, lines: &str) -> String {
    format!("[[stage]]\nname = \"clamav\"\ntype = \"clamd\"\naddress = \"{address}\"\n{lines}\n")
}
fn clamd() -> Option<Clamd> {
    Clamd::start(&[("Octroi.Test.Marker", MARKER.as_bytes())])
}
fn infected(subject: &str) -> Vec<u8> {
    let mut content = message(subject);
    content.extend_from_slice(format!("{MARKER}\r\n").as_bytes());
    content
}
fn send(gate: &Gate, content: &[u8]) -> crate::support::Reply {
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], content)
}

#[test]
fn a_signature_is_refused_and_everything_else_arrives_untouched() {
    let Some(clamd) = clamd() else { return };
    let mta = Mta::start();
    for address in [format!("inet:{}", clamd.address()), format!("unix:{}", clamd.socket())] {
        let gate = Setup::before(mta.address()).mx().and(&stage(&address, "")).start();
        let reply = send(&gate, &infected("bad"));
        assert_eq!((reply.code, &*reply.text()), (550, "5.7.1 malware found: Octroi.Test.Marker.UNOFFICIAL"));
        gate.log_line(&["verdict=rejected", "stage=clamav", "findings=clamd.signature=Octroi.Test.Marker.UNOFFICIAL"]);
        let mut large = message("large");
        large.extend(b"0123456789abcdef\r\n".repeat(300_000));
        for content in [message("good"), large] {
            send(&gate, &content).must(250);
            let kept = mta.kept().pop().unwrap();
            assert!(kept.original() == content, "{} octets became {}", content.len(), kept.original().len());
        }
        let mut large_and_bad = message("large and bad");
        large_and_bad.extend(b"0123456789abcdef\r\n".repeat(300_000));
        large_and_bad.extend(MARKER.as_bytes());
        large_and_bad.extend(b"\r\n");
        send(&gate, &large_and_bad).must(550);
        assert!(!gate.log().iter().any(|line| line.contains("panic")));
    }
    assert_eq!(mta.kept().len(), 4);
}

#[test]
fn a_part_that_programs_read_in_two_ways_is_scanned_in_both() {
    let Some(clamd) = Clamd::start(&[("Octroi.Test.Start", b"AT THE START: octroi-test-marker")]) else { return };
    let mta = Mta::start();
    // The first encoding says it is not encoded; readers that take the last one find the marker.
    let content = b"Subject: two\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=x.bin\r\n\
        Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\nQVQgVEhFIFNUQVJUOiBvY3Ryb2ktdGVzdC1tYXJrZXIK\r\n";
    let gate = Setup::before(mta.address()).mx().and(&stage(&format!("inet:{}", clamd.address()), "")).start();
    send(&gate, content).must(550);
}

#[test]
fn more_than_clamd_takes_is_never_a_silent_pass() {
    let Some(clamd) = Clamd::with("Octroi.Test.None:0:*:00112233445566778899\n", "StreamMaxLength 1M") else { return };
    let mta = Mta::start();
    let lines = "on_error = \"accept\"";
    let gate = Setup::before(mta.address()).mx().and(&stage(&format!("inet:{}", clamd.address()), lines)).start();
    let mut content = message("too large");
    content.extend(b"0123456789abcdef\r\n".repeat(200_000));
    send(&gate, &content).must(250);
    let kept = String::from_utf8_lossy(&mta.only().content).into_owned();
    let said = kept.lines().find(|line| line.starts_with("X-Octroi-Incomplete:")).expect("the message says so").to_owned();
    assert_eq!(said, "X-Octroi-Incomplete: clamav (too_large)");
    gate.log_line(&["verdict=delivered", "stage.incomplete=clamav:"]);
    let metrics = gate.metrics();
    assert!(metrics.sum("octroi_stage_incomplete_total", "stage=\"clamav\"") >= 1.0);
}

#[test]
fn a_client_that_takes_longer_than_clamd_waits_costs_no_scan() {
    let Some(clamd) = Clamd::with(
        &format!("Octroi.Test.Marker:0:*:{}\n", MARKER.bytes().map(|octet| format!("{octet:02x}")).collect::<String>()),
        "CommandReadTimeout 1\nReadTimeout 1",
    ) else {
        return;
    };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and(&stage(&format!("inet:{}", clamd.address()), "")).start();
    let line = "0123456789abcdef\r\n";
    // Nothing was sent yet when the client pauses; some of it was.
    for before in [1, 10_000] {
        let mut client = Client::greeted(gate.mx());
        for (end, code) in [("", 250), (MARKER, 550)] {
            client.begin_data("a@example.net", &["b@example.org"]);
            client.send(message("slow")).send(line.repeat(before));
            wait::pause(Duration::from_secs(3));
            client.send(line.repeat(10_000)).send(end).ask("\r\n.").must(code);
        }
    }
    assert_eq!(mta.kept().len(), 2);
    assert!(mta.kept().iter().all(|kept| !String::from_utf8_lossy(&kept.content).contains("X-Octroi-Incomplete")));
    assert_eq!(gate.metrics().sum("octroi_stage_incomplete_total", "stage=\"clamav\""), 0.0);
}

#[test]
fn a_daemon_that_is_absent_hangs_or_talks_nonsense_fails_as_configured() {
    let nonsense = TcpListener::bind((places::home(), 0)).unwrap();
    let address = nonsense.local_addr().unwrap();
    thread::spawn(move || {
        for stream in nonsense.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 1000]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nstream: OK\0");
            });
        }
    });
    let silent = TcpListener::bind((places::home(), 0)).unwrap();
    let mta = Mta::start();
    for address in [places::free(), address, silent.local_addr().unwrap()] {
        for (on_error, code) in [("tempfail", 451), ("reject", 554), ("accept", 250)] {
            let lines = format!("timeout = \"1s\"\non_error = \"{on_error}\"\nbreaker_failures = 0");
            let gate = Setup::before(mta.address()).mx().and(&stage(&format!("inet:{address}"), &lines)).start();
            send(&gate, &message("x")).must(code);
            // The gate goes on.
            send(&gate, &message("y")).must(code);
        }
    }
    assert_eq!(mta.kept().len(), 6);
    assert!(mta.kept().iter().all(|kept| String::from_utf8_lossy(&kept.content).contains("X-Octroi-Incomplete: clamav (")));
}

#[test]
fn a_daemon_that_dies_under_load_is_never_a_pass() {
    let Some(mut clamd) = clamd() else { return };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and(&stage(&format!("inet:{}", clamd.address()), "timeout = \"5s\"")).start();
    let (sent, killed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let [refused, deferred] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::greeted(gate.mx());
                for n in 0..40 {
                    // Once the breaker is open MAIL is answered already.
                    let mut code = client.ask("MAIL FROM:<a@example.net>").code;
                    if code == 250 {
                        client.ask("RCPT TO:<b@example.org>").must(250);
                        client.ask("DATA").must(354);
                        client.send(infected(&format!("{n}")));
                        code = client.ask(".").code;
                    }
                    let count = match code {
                        550 => &refused,
                        451 => &deferred,
                        other => panic!("{other} for an infected message"),
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait::until("half of the load", || (sent.load(Ordering::Relaxed) > 100).then_some(()));
        clamd.kill();
        killed.store(true, Ordering::Relaxed);
    });
    assert!(refused.into_inner() > 0 && deferred.into_inner() > 0 && killed.into_inner());
    assert_eq!(mta.kept().len(), 0);
    // The breaker has opened: nobody waits for the dead one.
    assert_eq!(gate.metrics().get("octroi_stage_breaker_open{stage=\"clamav\"}"), 1.0);
    gate.log_line(&["circuit breaker open", "stage=clamav"]);
}

/// Answers every stream with "clean" after a while.
fn slow_daemon(pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind((places::home(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move |mut stream: TcpStream| {
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while !read.ends_with(&[0, 0, 0, 0]) {
            let Ok(length @ 1..) = stream.read(&mut buffer) else { return };
            read.extend_from_slice(&buffer[..length]);
        }
        wait::pause(pause);
        let _ = stream.write_all(b"stream: OK\0");
    };
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

#[test]
fn slow_scanners_cost_the_slowest_ones_time_and_not_the_sum() {
    let mta = Mta::start();
    let stages: String = (0..8)
        .map(|n| stage(&format!("inet:{}", slow_daemon(Duration::from_secs(2))), "").replace("\"clamav\"", &format!("\"slow{n}\"")))
        .collect();
    let gate = Setup::before(mta.address()).mx().and(&stages).start();
    let mut client = Client::greeted(gate.mx());
    let started = Instant::now();
    client.deliver("a@example.net", &["b@example.org"], &message("slow")).must(250);
    // Eight of two seconds each would be sixteen.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

//! A restart that nobody notices: systemd holds the socket, one octroi drains, the next begins, and
//! clients go on sending all the while.

use crate::support::{Client, Gate, Mta, Setup, wait};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

const CLIENTS: usize = 8;
const RESTARTS: usize = 5;
/// Between two restarts, over all clients.
const MESSAGES: usize = 60;

/// What the clients have seen together.
#[derive(Default)]
struct Seen {
    next: AtomicUsize,
    acknowledged: Mutex<Vec<usize>>,
    /// Told 421 between two transactions, which is a server's right (RFC 5321 §3.8).
    turned_away: AtomicUsize,
    enough: AtomicBool,
}

/// Ends the clients also where the one who drives them panics.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One session with up to three messages, as a mail server holds it; 421 ends it where it comes. Any
/// other end of a connection, and one that is refused, is an error.
fn session(to: SocketAddr, seen: &Seen) -> io::Result<()> {
    let mut client = Client::try_connect(to)?;
    let mut ask = |line: String, wanted: u16| -> io::Result<bool> {
        if !line.is_empty() {
            // Written into a connection that has just got its 421 it is lost, but the 421 is not.
            let _ = client.wire().send(format!("{line}\r\n").as_bytes());
        }
        match client.try_reply()?.code {
            421 => {
                seen.turned_away.fetch_add(1, Ordering::SeqCst);
                Ok(false)
            }
            code if code == wanted => Ok(true),
            code => Err(io::Error::other(format!("{line:?} was answered {code}"))),
        }
    };
    if !(ask(String::new(), 220)? && ask("EHLO client.example.net".into(), 250)?) {
        return Ok(());
    }
    for _ in 0..3 {
        let id = seen.next.fetch_add(1, Ordering::SeqCst);
        let content = format!("X-Number: {id}\r\n\r\nmessage {id}\r\n.");
        let steps =
            [("MAIL FROM:<a@example.net>".into(), 250), ("RCPT TO:<b@example.org>".into(), 250), ("DATA".into(), 354), (content, 250)];
        for (line, wanted) in steps {
            if !ask(line, wanted)? {
                return Ok(());
            }
        }
        seen.acknowledged.lock().unwrap().push(id);
    }
    ask("QUIT".into(), 221)?;
    Ok(())
}

fn number(content: &[u8]) -> usize {
    let text = String::from_utf8_lossy(content);
    text.lines().find_map(|line| line.strip_prefix("X-Number: ")).unwrap().parse().unwrap()
}

/// `socket` stays open here while one process after the other answers it, as systemd does.
fn restart(gate: &mut Gate, socket: &TcpListener) {
    gate.signal(Signal::TERM);
    assert!(gate.wait_exit().success(), "it did not end as it should");
    gate.run_activated(socket, "smtp");
    gate.wait_ready();
}

#[test]
fn a_restart_refuses_nobody_and_loses_nothing() {
    let mta = Mta::start();
    let limits = "[limits]\nconnections_per_client = 1000\n[timeouts]\nclient_command = \"30s\"\n";
    let mut gate = Setup::before(mta.address()).mx().and(limits).prepare();
    gate.reconfigure(&format!("address = \"{}\"", gate.mx()), "address = \"systemd:smtp\"");
    let socket = TcpListener::bind(gate.mx()).unwrap();
    gate.run_activated(&socket, "smtp");
    gate.wait_ready();
    let (to, seen) = (gate.mx(), Seen::default());
    let acknowledged = |seen: &Seen| seen.acknowledged.lock().unwrap().len();
    thread::scope(|scope| {
        let enough = Enough(&seen.enough);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    while !seen.enough.load(Ordering::SeqCst) {
                        session(to, &seen)?;
                    }
                    Ok::<_, io::Error>(())
                })
            })
            .collect();
        for _ in 0..RESTARTS {
            let due = acknowledged(&seen) + MESSAGES;
            wait::until("messages to flow", || {
                (acknowledged(&seen) >= due || clients.iter().any(|client| client.is_finished())).then_some(())
            });
            restart(&mut gate, &socket);
        }
        drop(enough);
        for client in clients {
            client.join().unwrap().expect("a client met with something other than 421");
        }
    });
    let mut copies = BTreeMap::new();
    for message in mta.kept() {
        *copies.entry(number(message.original())).or_insert(0) += 1;
    }
    let seen_acknowledged = seen.acknowledged.into_inner().unwrap();
    assert!(seen_acknowledged.len() >= RESTARTS * MESSAGES);
    for id in seen_acknowledged {
        assert_eq!(copies.remove(&id), Some(1), "message {id}");
    }
    assert!(copies.is_empty(), "these were delivered and not acknowledged: {copies:?}");
    assert!(seen.turned_away.load(Ordering::SeqCst) > 0, "no restart met a session");
}

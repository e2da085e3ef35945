//! No queue, so nothing to lose: ten thousand messages to a real Postfix while octroi, and Postfix,
//! are killed (`kill -9`) and started again in the middle of it. None that was acknowledged is
//! lost, and none is there twice, except where an answer to the final dot got lost on the way: the
//! client's, or the one octroi waited for.

use crate::support::{Client, Setup, postfix::Postfix, wait};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const MESSAGES: usize = 10_000;
const CLIENTS: usize = 12;
/// Kills of octroi and of Postfix in turn, spread evenly over the messages.
const KILLS: usize = 12;

/// How an attempt to send one message ended.
#[derive(Debug)]
enum Attempt {
    Acknowledged,
    /// Refused, at whatever point.
    Refused {
        after_the_dot: bool,
    },
    /// The connection broke before the final dot was out.
    Broken,
    /// The final dot was out, and no answer came.
    NoAnswer,
}

/// What a real client remembers of a message.
#[derive(Debug, Default, Clone, Copy)]
struct Fate {
    acknowledged: bool,
    /// Attempts after which the message may be there although nobody said so.
    doubts: usize,
}

/// What all clients share.
struct Load {
    to: SocketAddr,
    next: AtomicUsize,
    acknowledged: AtomicUsize,
    fates: Mutex<Vec<Fate>>,
    /// The test has failed already: nobody need go on.
    over: AtomicBool,
    /// Odd while Postfix is being killed and restarted: an answer of its may get lost then.
    upheavals: AtomicUsize,
}

/// Ends the load when the one who drives it panics, who waits for it else.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(thread::panicking(), Ordering::SeqCst);
    }
}

fn attempt(client: &mut Client, id: usize) -> io::Result<Attempt> {
    let send = |client: &mut Client, octets: &[u8]| client.wire().send(octets);
    send(client, b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")?;
    let mut codes = [0; 3];
    for code in &mut codes {
        *code = client.try_reply()?.code;
    }
    if codes != [250, 250, 354] {
        // What began is undone; where DATA got its 354 nobody would send nothing.
        assert_ne!(codes[2], 354, "DATA was accepted after {codes:?}");
        client.ask("RSET");
        return Ok(Attempt::Refused { after_the_dot: false });
    }
    let content = format!("Subject: {id}\r\nX-Number: {id}\r\n\r\nmessage {id}\r\n.\r\n");
    send(client, content.as_bytes())?;
    let Ok(reply) = client.try_reply() else { return Ok(Attempt::NoAnswer) };
    Ok(match reply.code {
        250 => Attempt::Acknowledged,
        400..=499 => Attempt::Refused { after_the_dot: true },
        _ => panic!("message {id}: {reply:?}"),
    })
}

fn connected(to: SocketAddr) -> Client {
    wait::until("a session", || {
        let mut client = Client::try_connect(to).ok()?;
        (client.try_reply().ok()?.code == 220).then_some(())?;
        client.wire().send(b"EHLO client.example.net\r\n").ok()?;
        (client.try_reply().ok()?.code == 250).then_some(client)
    })
}

/// Sends messages until there are none left, each until it is acknowledged, as a real client would.
fn send_all(load: &Load) {
    let mut client = connected(load.to);
    loop {
        let id = load.next.fetch_add(1, Ordering::SeqCst);
        if id >= MESSAGES {
            return;
        }
        loop {
            if load.over.load(Ordering::SeqCst) {
                return;
            }
            let upheaval = load.upheavals.load(Ordering::SeqCst);
            let ended = attempt(&mut client, id).unwrap_or(Attempt::Broken);
            let calm = upheaval.is_multiple_of(2) && upheaval == load.upheavals.load(Ordering::SeqCst);
            let mut fates = load.fates.lock().unwrap();
            match ended {
                Attempt::Acknowledged => {
                    fates[id].acknowledged = true;
                    load.acknowledged.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                Attempt::NoAnswer => fates[id].doubts += 1,
                // Postfix may have taken it and died before it said so.
                Attempt::Refused { after_the_dot: true } if !calm => fates[id].doubts += 1,
                Attempt::Refused { .. } | Attempt::Broken => {}
            }
            drop(fates);
            match ended {
                Attempt::Refused { .. } => wait::pause(Duration::from_millis(20)),
                _ => client = connected(load.to),
            }
        }
    }
}

#[test]
fn ten_thousand_messages_and_kill_nine() {
    let Some(postfix) = Postfix::start("in_flow_delay = 0\n") else { return };
    let timeouts = "[timeouts]\nupstream_connect = \"2s\"\nupstream_command = \"5s\"\nupstream_final = \"10s\"\n";
    let mut gate = Setup::before_lines(&format!("addresses = [\"{}\"]\ntls = \"off\"", postfix.address())).mx().and(timeouts).start();
    let load = Load {
        to: gate.mx(),
        next: AtomicUsize::new(0),
        acknowledged: AtomicUsize::new(0),
        fates: Mutex::new(vec![Fate::default(); MESSAGES]),
        over: AtomicBool::new(false),
        upheavals: AtomicUsize::new(0),
    };
    thread::scope(|scope| {
        let _over = Over(&load.over);
        for _ in 0..CLIENTS {
            scope.spawn(|| send_all(&load));
        }
        for kill in 1..=KILLS {
            let due = MESSAGES * kill / (KILLS + 1);
            wait::until_within(Duration::from_secs(240), &format!("{due} acknowledged messages"), || {
                (load.acknowledged.load(Ordering::SeqCst) >= due).then_some(())
            });
            if kill % 3 == 0 {
                load.upheavals.fetch_add(1, Ordering::SeqCst);
                postfix.kill();
                postfix.run();
                load.upheavals.fetch_add(1, Ordering::SeqCst);
            } else {
                gate.kill();
                gate.run();
            }
        }
    });
    let fates = load.fates.into_inner().unwrap();
    assert!(fates.iter().all(|fate| fate.acknowledged));
    assert!(fates.iter().any(|fate| fate.doubts > 0), "no kill met a message between its dot and its answer");

    postfix.flush();
    let copies = wait::until_within(Duration::from_secs(120), "the queue of Postfix to be empty", || {
        (postfix.delivered_count() >= MESSAGES && postfix.queued() == 0).then(|| copies(&postfix))
    });
    let mut wrong = Vec::new();
    for (id, fate) in fates.iter().enumerate() {
        let times = copies.get(&id).map_or(0, BTreeSet::len);
        if times == 0 {
            wrong.push(format!("message {id} was acknowledged and is lost"));
        } else if times > 1 + fate.doubts {
            wrong.push(format!("message {id} is there {times} times, after {} lost answers", fate.doubts));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The queue ids under which Postfix took each message. What it delivered twice itself, because it
/// was killed between a delivery and the note of it, has one queue id.
fn copies(postfix: &Postfix) -> BTreeMap<usize, BTreeSet<String>> {
    let mut all: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for message in postfix.delivered() {
        let text = String::from_utf8(message).unwrap();
        let number = text.lines().find_map(|line| line.strip_prefix("X-Number: ")).unwrap().parse().unwrap();
        let id = text.split(" id ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        all.entry(number).or_default().insert(id);
    }
    all
}

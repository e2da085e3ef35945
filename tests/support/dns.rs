//! A DNS server with a script: records from a table, `NXDOMAIN` for all else, and failures on demand.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

/// What becomes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// As the table has it.
    Answer,
    ServFail,
    Refused,
    /// No answer at all.
    Silent,
    /// Octets that are no DNS.
    Garbage,
    /// The answer to another question.
    Beside,
    /// Over UDP: too long, ask over TCP.
    Truncated,
    /// An answer, but only after this time.
    Late(Duration),
}

/// On loopback, over UDP and TCP; gone when dropped.
pub struct Dns {
    pub address: SocketAddr,
    script: Arc<Mutex<Script>>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Script {
    records: BTreeMap<(String, u16), Vec<Vec<u8>>>,
    /// Names that exist, with whatever stands below them.
    names: BTreeSet<String>,
    mood: Option<Mood>,
    moods: BTreeMap<String, Mood>,
    asked: Vec<String>,
    closed: bool,
}

const A: u16 = 1;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;

impl Dns {
    pub fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            // The port may be in use over TCP.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let script = Arc::<Mutex<Script>>::default();
        let over_tcp = Arc::clone(&script);
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                if over_tcp.lock().unwrap_or_else(PoisonError::into_inner).closed {
                    break;
                }
                let script = Arc::clone(&over_tcp);
                std::thread::spawn(move || stream.map(|stream| serve_stream(stream, &script)));
            }
        });
        let over_udp = Arc::clone(&script);
        let serving = std::thread::spawn(move || serve_datagrams(&udp, &over_udp));
        Self { address, script, serving: Some(serving) }
    }

    pub fn txt(&self, name: &str, text: &str) -> &Self {
        let strings = text.as_bytes().chunks(255).flat_map(|chunk| [&[u8::try_from(chunk.len()).unwrap()], chunk].concat());
        self.add(name, TXT, strings.collect())
    }
    pub fn address(&self, name: &str, address: &str) -> &Self {
        match address.parse().unwrap() {
            IpAddr::V4(v4) => self.add(name, A, v4.octets().to_vec()),
            IpAddr::V6(v6) => self.add(name, AAAA, v6.octets().to_vec()),
        }
    }
    pub fn mx(&self, name: &str, exchange: &str) -> &Self {
        self.add(name, MX, [&[0, 10], encoded(exchange).as_slice()].concat())
    }
    pub fn pointer(&self, address: &str, name: &str) -> &Self {
        self.add(&reverse(address), PTR, encoded(name))
    }
    /// What the server does from now on.
    pub fn mood(&self, mood: Mood) -> &Self {
        self.script().mood = Some(mood);
        self
    }
    /// What it does when this name is asked for.
    pub fn mood_of(&self, name: &str, mood: Mood) -> &Self {
        self.script().moods.insert(name.to_ascii_lowercase(), mood);
        self
    }
    /// Nothing is left of `name`.
    pub fn forget(&self, name: &str) -> &Self {
        self.script().records.retain(|(known, _), _| known != name);
        self
    }
    /// All questions so far, such as `TXT example.org`, once for each time they came.
    pub fn asked(&self) -> Vec<String> {
        self.script().asked.clone()
    }

    fn add(&self, name: &str, kind: u16, data: Vec<u8>) -> &Self {
        let name = name.to_ascii_lowercase();
        let mut script = self.script();
        let above = name.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| name[at + 1..].to_owned());
        let names: Vec<_> = above.chain([name.clone()]).collect();
        script.names.extend(names);
        script.records.entry((name, kind)).or_default().push(data);
        drop(script);
        self
    }
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.script().closed = true;
        // Both wake up and see that it is over.
        let _ = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"", self.address));
        let _ = TcpStream::connect(self.address);
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

/// The name that an address's pointer stands under.
pub fn reverse(address: &str) -> String {
    match address.parse().unwrap() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

fn serve_datagrams(socket: &UdpSocket, script: &Mutex<Script>) {
    let mut octets = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut octets) else { continue };
        if script.lock().unwrap_or_else(PoisonError::into_inner).closed {
            return;
        }
        let Some((answer, wait)) = answer(&octets[..length], script, true) else { continue };
        if wait.is_zero() {
            let _ = socket.send_to(&answer, peer);
        } else if let Ok(socket) = socket.try_clone() {
            std::thread::spawn(move || {
                pause(wait);
                let _ = socket.send_to(&answer, peer);
            });
        }
    }
}

fn serve_stream(mut stream: TcpStream, script: &Mutex<Script>) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut question).is_err() {
            return;
        }
        let Some((answer, wait)) = answer(&question, script, false) else { continue };
        pause(wait);
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        if stream.write_all(&[&length, answer.as_slice()].concat()).is_err() {
            return;
        }
    }
}

/// The answer to a question, and how long it takes.
fn answer(question: &[u8], script: &Mutex<Script>, datagram: bool) -> Option<(Vec<u8>, Duration)> {
    let (name, end) = decoded(question, 12)?;
    let kind = u16::from_be_bytes(question.get(end..end + 2)?.try_into().ok()?);
    let asked = &question[12..end + 4];
    let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
    let called = match kind {
        A => "A".to_owned(),
        PTR => "PTR".to_owned(),
        MX => "MX".to_owned(),
        TXT => "TXT".to_owned(),
        AAAA => "AAAA".to_owned(),
        other => format!("TYPE{other}"),
    };
    script.asked.push(format!("{called} {name}"));
    let mood = script.moods.get(&name).copied().or(script.mood).unwrap_or(Mood::Answer);
    let none = Vec::new();
    let records = script.records.get(&(name.clone(), kind)).unwrap_or(&none);
    let (code, truncated, records) = match mood {
        Mood::ServFail => (2, false, &none),
        Mood::Refused => (5, false, &none),
        Mood::Truncated if datagram => (0, true, &none),
        Mood::Silent => return None,
        Mood::Garbage => return Some((b"\xffgarbage that nobody can read".to_vec(), Duration::ZERO)),
        _ if records.is_empty() && !script.names.contains(&name) => (3, false, &none),
        _ => (0, false, records),
    };
    let mut out = question[..2].to_vec();
    out.extend([0x85 | if truncated { 2 } else { 0 }, 0x80 | code, 0, 1]);
    out.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    out.extend([0; 4]);
    match mood {
        Mood::Beside => out.extend([encoded("somebody.else.example"), vec![0, 1, 0, 1]].concat()),
        _ => out.extend_from_slice(asked),
    }
    for data in records {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 1, 44]);
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend_from_slice(data);
    }
    Some((out, if let Mood::Late(wait) = mood { wait } else { Duration::ZERO }))
}

#[expect(clippy::disallowed_methods, reason = "a thread of the server's own")]
fn pause(pause: Duration) {
    std::thread::sleep(pause);
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut out: Vec<u8> = labels.flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
    out.push(0);
    out
}

/// The name at `at`, in lower case, and where it ends; questions are not compressed.
fn decoded(octets: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*octets.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(octets.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}

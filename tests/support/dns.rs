//! A name server of the test's own, on a UDP port of loopback: what it is told, and nothing else.

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{PTR, SOA, TXT},
    },
};
use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How it behaves when it is asked for a name.
#[derive(Debug, Clone)]
pub enum Answer {
    Records(Vec<RData>),
    /// `SERVFAIL`.
    Failure,
    /// Nothing comes back.
    Silence,
    /// Octets that are no answer.
    Garbage,
}

type Zone = Arc<Mutex<HashMap<(String, RecordType), Answer>>>;

/// Stops when dropped. A name that it was told nothing of does not exist.
pub struct Dns {
    address: SocketAddr,
    zone: Zone,
    /// Names that were asked for, in order.
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (zone, asked, stop) = (Zone::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
        let address = socket.local_addr().unwrap();
        let (of_thread, also, until) = (Arc::clone(&zone), Arc::clone(&asked), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !until.load(Ordering::Relaxed) {
                let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
                if let Some(reply) = reply(&buffer[..length], &of_thread, &also) {
                    let _ = socket.send_to(&reply, peer);
                }
            }
        });
        Self { address, zone, asked, stop, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is said of `name` from now on.
    pub fn tell(&self, name: &str, kind: RecordType, answer: Answer) -> &Self {
        self.zone.lock().unwrap().insert((name.trim_end_matches('.').to_ascii_lowercase(), kind), answer);
        self
    }
    pub fn txt(&self, name: &str, text: &str) -> &Self {
        // A string of a TXT record has at most 255 octets.
        let strings = text.as_bytes().chunks(255).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect();
        self.tell(name, RecordType::TXT, Answer::Records(vec![RData::TXT(TXT::new(strings))]))
    }
    pub fn a(&self, name: &str, address: &str) -> &Self {
        self.tell(name, RecordType::A, Answer::Records(vec![RData::A(address.parse().unwrap())]))
    }
    pub fn ptr(&self, address: &str, names: &[&str]) -> &Self {
        let reverse = Name::from(address.parse::<std::net::IpAddr>().unwrap()).to_ascii();
        let names = names.iter().map(|name| RData::PTR(PTR(Name::from_str(name).unwrap())));
        self.tell(&reverse, RecordType::PTR, Answer::Records(names.collect()))
    }
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn reply(query: &[u8], zone: &Zone, asked: &Mutex<Vec<String>>) -> Option<Vec<u8>> {
    let message = Message::from_vec(query).ok()?;
    let question = message.queries.first()?.clone();
    let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    asked.lock().unwrap().push(name.clone());
    let zone = zone.lock().unwrap();
    let answer = zone.get(&(name.clone(), question.query_type())).cloned();
    let known = zone.keys().any(|(own, _)| *own == name);
    let mut response = message.into_response();
    match answer {
        Some(Answer::Records(records)) => {
            response.add_answers(records.into_iter().map(|data| Record::from_rdata(question.name().clone(), 60, data)));
        }
        Some(Answer::Failure) => response.metadata.response_code = ResponseCode::ServFail,
        Some(Answer::Silence) => return None,
        Some(Answer::Garbage) => return Some(b"this is no answer".to_vec()),
        None => {
            if !known {
                response.metadata.response_code = ResponseCode::NXDomain;
            }
            // Without it nobody remembers that there is nothing (RFC 2308 §5).
            let root = Name::root();
            let soa = SOA::new(root.clone(), root.clone(), 1, 60, 60, 60, 60);
            response.add_authority(Record::from_rdata(root, 60, RData::SOA(soa)));
        }
    }
    response.to_vec().ok()
}

//! What the fuzz target `server` does: a client that says anything, and a driver that answers as
//! the seed has it.
use bytes::BytesMut;
use octroi::smtp::client::Replies;
use octroi::smtp::server::{Event, Session, Settings, Verb};
use octroi::smtp::{Custody, Offer, Refusal, Reply};
use std::sync::Arc;

/// Octets of a message that are allowed.
const SIZE: u64 = 4096;

struct Kept;
impl Custody for Kept {
    fn reply(&self) -> Reply {
        Reply::new(250, "2.0.0 kept")
    }
}

/// The driver: its answers come out of `seed`, bit by bit.
struct Driver {
    session: Session,
    seed: u32,
    tls: bool,
    /// A message is under way, and its octets so far.
    recipients: u32,
    body: u64,
    /// It was given up.
    spoilt: bool,
}

impl Driver {
    fn yes(&mut self) -> bool {
        self.seed = self.seed.rotate_left(1);
        self.seed & 1 == 0
    }

    fn handle(&mut self, event: Event) {
        let no = Refusal::permanent(50, "7.1", "no");
        match event {
            Event::Hello { extended, owed, .. } if self.yes() => self.session.welcome(owed, extended, offer(self.tls)),
            Event::Hello { owed, .. } => self.session.refuse(owed, &no),
            Event::Mail { mail, owed } if self.yes() => self.session.accept_mail(owed, &mail),
            Event::Mail { owed, .. } => self.session.refuse(owed, &no),
            Event::Recipient { owed, .. } if self.yes() => {
                self.recipients += 1;
                self.session.accept_recipient(owed, &Reply::new(250, "2.1.5 yes"));
            }
            Event::Recipient { owed, .. } => self.session.refuse(owed, &no),
            Event::Body(octets) => {
                assert!(self.recipients > 0, "a message to nobody");
                assert!(!octets.is_empty());
                self.body += octets.len() as u64;
                assert!(self.body <= SIZE, "more than was offered");
                assert!(!self.spoilt, "octets of a message that is given up");
                if self.seed % 64 == 63 {
                    self.spoilt = true;
                    self.session.spoil(Refusal::temporary(52, "3.1", "no room"));
                }
            }
            Event::EndOfData { owed, .. } => {
                assert!(self.recipients > 0, "a message to nobody");
                assert!(!self.spoilt, "the end of a message that is given up");
                (self.recipients, self.body) = (0, 0);
                if self.yes() { self.session.acknowledge(owed, &Kept) } else { self.session.refuse(owed, &no) }
            }
            Event::StartTls { owed } => {
                assert!(!self.tls, "TLS inside TLS");
                let spare = Session::new(settings(), true);
                let (clear, session) = std::mem::replace(&mut self.session, spare).into_tls(owed);
                assert!(clear.ends_with(b"220 2.0.0 go ahead\r\n"));
                (self.session, self.tls) = (session, true);
            }
            Event::Auth { owed, .. } | Event::AuthResponse { owed, .. } => {
                assert!(self.tls, "AUTH in clear text");
                match (self.yes(), self.yes()) {
                    (true, true) => self.session.authenticated(owed, &Reply::new(235, "2.7.0 yes")),
                    (true, false) => self.session.challenge(owed, &Reply::new(334, "")),
                    (false, _) => self.session.refuse(owed, &no),
                }
            }
            Event::Reset { .. } => (self.recipients, self.body, self.spoilt) = (0, 0, false),
            Event::Refused { verb, address, refusal } => {
                assert!(matches!(verb, Verb::Mail | Verb::Rcpt) && address.len() <= 320 && refusal.reply().code() >= 400);
            }
            Event::Spoilt | Event::AuthAborted | Event::Offence(_) | Event::Quit => {}
        }
    }
}

/// Whatever a client says, in whatever pieces: replies are replies, a message has recipients and
/// keeps to its size, nothing is asked of the driver that TLS should have come before, what is
/// closed stays so, and no more is held than a command line.
pub(crate) fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>, seed: u32) {
    let mut driver = Driver { session: Session::new(settings(), false), seed, tls: false, recipients: 0, body: 0, spoilt: false };
    let mut replies = Replies::default();
    for piece in pieces {
        let closed = driver.session.is_closed();
        driver.session.receive(BytesMut::from(piece));
        while let Some(event) = driver.session.next_event() {
            assert!(!closed, "an event after the end");
            driver.handle(event);
        }
        let out = driver.session.transmit().split();
        assert!(!closed || out.is_empty(), "a word after the last");
        replies.input().extend_from_slice(&out);
        while let Some(reply) = replies.next() {
            reply.expect("a reply");
        }
        assert!(replies.is_empty(), "half a reply");
    }
}

fn settings() -> Arc<Settings> {
    Arc::new(Settings { hostname: "mx.example.org".into(), errors: 20, require_tls: false })
}

fn offer(tls: bool) -> Arc<Offer> {
    Arc::new(Offer {
        size: SIZE,
        recipients: 3,
        eight_bit: true,
        utf8: true,
        binary: true,
        dsn: true,
        enhanced_codes: true,
        starttls: !tls,
        require_tls: tls,
        auth: if tls { vec!["PLAIN".into()] } else { Vec::new() },
        ..Offer::basic("mx.example.org".into())
    })
}

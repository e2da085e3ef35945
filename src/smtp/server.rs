//! One SMTP session as the server sees it (RFC 5321 §4.1.4, RFC 2920, RFC 3030, RFC 3207, RFC 4954).
//!
//! ```text
//!             EHLO               MAIL             RCPT               DATA
//!  Connected ──────▶ Ready ────────────▶ Mail ──────────▶ Recipients ─────▶ Data ──┐ CRLF . CRLF
//!                      ▲ ▲                │ RSET, EHLO      │   │ BDAT             │
//!                      │ └────────────────┴─────────────────┘   └──────▶ Chunks ──┤ LAST
//!                      └───────────────── acknowledge · refuse ◀──────────────────┘
//! ```
//!
//! Octets come in by [`Session::receive`], events go out of [`Session::next_event`], octets for the
//! client out of [`Session::transmit`]. An event that asks something carries an [`Owed`], and the
//! session reads no further until it has been paid: by a method that consumes it, so that nothing
//! is answered twice or not at all.

mod answers;
mod commands;
mod content;
mod heard;
mod tally;
#[cfg(test)]
mod tests;

use super::data::{ChunkDecoder, Decoder, Stains};
use super::{Domain, Mail, Offer, Recipient, Refusal, Reply};
use bytes::{Bytes, BytesMut};
use heard::Heard;
use std::{collections::VecDeque, marker::PhantomData, sync::Arc};

pub use answers::Refusable;
pub use tally::{Tally, Verb};

/// An answer the session owes the client. Neither cloned nor made anywhere but here.
#[must_use = "the client waits for this answer"]
#[derive(Debug)]
pub struct Owed<Question>(PhantomData<Question>);

/// The questions an [`Owed`] can stand for.
#[derive(Debug)]
pub enum AboutHello {}
#[derive(Debug)]
pub enum AboutTls {}
#[derive(Debug)]
pub enum AboutAuth {}
#[derive(Debug)]
pub enum AboutMail {}
#[derive(Debug)]
pub enum AboutRecipient {}
#[derive(Debug)]
pub enum AboutMessage {}

#[derive(Debug)]
pub enum Event {
    Hello {
        domain: Domain,
        extended: bool,
        owed: Owed<AboutHello>,
    },
    StartTls {
        owed: Owed<AboutTls>,
    },
    /// AUTH; the octets are secrets.
    Auth {
        mechanism: Box<str>,
        initial: Option<Bytes>,
        owed: Owed<AboutAuth>,
    },
    /// A line of the exchange, without CRLF; the octets are secrets.
    AuthResponse {
        line: BytesMut,
        owed: Owed<AboutAuth>,
    },
    Mail {
        mail: Box<Mail>,
        owed: Owed<AboutMail>,
    },
    Recipient {
        recipient: Box<Recipient>,
        owed: Owed<AboutRecipient>,
    },
    /// Message octets, in order; line ends canonical, dot-stuffing removed.
    Body(Bytes),
    EndOfData {
        ending: Ending,
        owed: Owed<AboutMessage>,
    },
    /// The transaction is over without a message: RSET, EHLO, or a message that was given up, and
    /// what the client was told of it.
    Reset {
        refused: Option<Refusal>,
    },
    /// The session itself has given the message under way up: its rest is read and dropped, and a
    /// [`Reset`](Self::Reset) follows where its answer is due. Whatever is held for it can go.
    Spoilt,
    /// The AUTH exchange under way is over: its last line was none, and has been answered.
    AuthAborted,
    /// MAIL or RCPT that the session has refused itself, as it could not be understood or is not
    /// allowed here.
    Refused {
        /// [`Verb::Mail`] or [`Verb::Rcpt`].
        verb: Verb,
        /// As the client wrote it, whatever it is.
        address: Box<str>,
        refusal: Refusal,
    },
    /// Something no mail client does; the session has answered it already.
    Offence(Offence),
    Quit,
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    pub stains: Stains,
    /// A line of the content begins with a dot.
    pub leading_dot: bool,
}

/// What a client did wrong, for the metrics and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offence {
    UnknownCommand,
    ForbiddenCommand,
    BadSyntax,
    BadSequence,
    BareNewline,
    LineTooLong,
    /// Octets behind a command whose answer has to be waited for (RFC 2920 §3.1).
    Pipelining,
    /// The same behind STARTTLS: somebody may have put them there (CVE-2011-0411).
    CommandInjection,
    TooManyErrors,
}

/// What has to be known of the server to run a session.
#[derive(Debug, Clone)]
pub struct Settings {
    pub hostname: Arc<str>,
    /// Mistakes after which the session ends; commands that get nowhere count as one in ten. What
    /// was counted is cleared by a message that is acknowledged.
    pub errors: u32,
    /// Nothing but EHLO, NOOP, STARTTLS and QUIT in clear text (RFC 3207 §4).
    pub require_tls: bool,
}

/// What the driver waits for when it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    Command,
    /// The rest of a message or chunk.
    Data,
}

#[derive(Debug)]
enum State {
    /// Nobody has said hello.
    Connected,
    Ready,
    Mail,
    Recipients,
    Data(Decoder),
    /// A message by BDAT: inside a chunk while `remaining` is not 0; at the end of one while its
    /// answer is `due`; else between two.
    Chunks {
        decoder: ChunkDecoder,
        remaining: u64,
        last: bool,
        due: bool,
    },
    /// Octets of a chunk that is refused already (RFC 3030 §2: "accept and discard").
    Discard {
        remaining: u64,
        refusal: Refusal,
    },
    /// Inside AUTH.
    Auth,
    Closed,
}

/// The machine.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    offer: Arc<Offer>,
    state: State,
    /// An [`Owed`] is out.
    owing: bool,
    input: BytesMut,
    output: BytesMut,
    events: VecDeque<Event>,
    tally: Tally,
    heard: Heard,
    tls: bool,
    authenticated: bool,
    /// The transaction is SMTPUTF8, or BINARYMIME.
    utf8: bool,
    binary: bool,
    recipients: u32,
    /// Octets of the message so far.
    size: u64,
    /// The same as they came over the wire, dots and NULs and all.
    raw: u64,
    /// Why the message is given up; its octets are read and dropped.
    spoilt: Option<Refusal>,
    errors: u32,
    idle_commands: u32,
    /// The command line is over-long and its end has not come yet.
    overlong: bool,
    /// A chunk of the last transaction was refused; those pipelined behind it are no new mistake.
    chunk_refused: bool,
}

impl Session {
    /// A session whose greeting is ready to be sent. `tls`: the connection began with a handshake.
    #[must_use]
    pub fn new(settings: Arc<Settings>, tls: bool) -> Self {
        let mut session = Self::silent(settings, tls);
        let hostname = &session.settings.hostname;
        session.output.reserve(hostname.len() + 16);
        session.output.extend_from_slice(b"220 ");
        session.output.extend_from_slice(hostname.as_bytes());
        session.output.extend_from_slice(b" ESMTP\r\n");
        session
    }

    fn silent(settings: Arc<Settings>, tls: bool) -> Self {
        let offer = Arc::new(Offer::basic(Arc::clone(&settings.hostname)));
        Self {
            settings,
            offer,
            state: State::Connected,
            owing: false,
            input: BytesMut::new(),
            output: BytesMut::new(),
            events: VecDeque::new(),
            tally: Tally::default(),
            heard: Heard::default(),
            tls,
            authenticated: false,
            utf8: false,
            binary: false,
            recipients: 0,
            size: 0,
            raw: 0,
            spoilt: None,
            errors: 0,
            idle_commands: 0,
            overlong: false,
            chunk_refused: false,
        }
    }

    /// Takes what the client sent. The buffer is kept as it is where nothing was waiting before it,
    /// and message octets leave it as slices: nothing is copied.
    pub fn receive(&mut self, octets: BytesMut) {
        if self.input.is_empty() {
            self.input = octets;
        } else {
            self.input.unsplit(octets);
        }
    }

    /// What is to be sent; the driver empties it.
    pub fn transmit(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Nothing more will be read; what [`transmit`](Self::transmit) holds is the last word.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Between two messages: a draining server may close now.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Connected | State::Ready) && !self.owing && self.input.is_empty()
    }

    #[must_use]
    pub fn waiting(&self) -> Waiting {
        match self.state {
            State::Data(_) | State::Discard { .. } => Waiting::Data,
            State::Chunks { remaining, .. } if remaining > 0 => Waiting::Data,
            _ => Waiting::Command,
        }
    }

    /// Commands and replies since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// What the client has said since the last call, lines ended by LF, as evidence: without secrets,
    /// and without messages, of which it has the sizes.
    pub fn take_heard(&mut self) -> Vec<u8> {
        self.heard.take()
    }

    /// Ends the session with a last word (421: RFC 5321 §3.8).
    pub fn close(&mut self, refusal: &Refusal) {
        self.say(refusal.reply());
        self.state = State::Closed;
    }

    /// The next event; `None` while more input is needed or an answer is owed.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.owing {
                return None;
            }
            let event = match &mut self.state {
                State::Closed => return None,
                State::Data(_) => self.data()?,
                State::Chunks { remaining, .. } if *remaining > 0 => self.chunk()?,
                State::Chunks { due: true, .. } => self.end_of_chunk(),
                State::Discard { .. } => self.discard()?,
                _ => self.line()?,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Back to where MAIL may come.
    fn forget(&mut self) {
        self.utf8 = false;
        self.binary = false;
        self.recipients = 0;
        self.size = 0;
        self.raw = 0;
        self.spoilt = None;
        if !matches!(self.state, State::Connected | State::Closed) {
            self.state = State::Ready;
        }
    }

    fn ask<Question>(&mut self, event: impl FnOnce(Owed<Question>) -> Event) -> Option<Event> {
        self.owing = true;
        Some(event(Owed(PhantomData)))
    }

    fn mistake(&mut self, offence: Offence, refusal: &Refusal) {
        self.events.push_back(Event::Offence(offence));
        if !self.one_error_more() {
            self.say(refusal.reply());
        }
    }

    /// Whether it was one too many; the session is closed then.
    fn one_error_more(&mut self) -> bool {
        self.errors += 1;
        if self.errors <= self.settings.errors {
            return false;
        }
        self.events.push_back(Event::Offence(Offence::TooManyErrors));
        self.close(&Refusal::temporary(21, "7.0", "too many errors"));
        true
    }

    fn count(&mut self, verb: Verb) {
        if let Some(counter) = self.tally.commands.get_mut(verb as usize) {
            *counter += 1;
        }
    }

    fn say(&mut self, reply: &Reply) {
        if let Some(counter) = self.tally.replies.get_mut(usize::from(reply.code() / 100).saturating_sub(2)) {
            *counter += 1;
        }
        reply.write_to(&mut self.output);
    }
}

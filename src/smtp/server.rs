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

use super::data::{ChunkDecoder, Decoder, Piece, Stains};
use super::{Command, Custody, Domain, Mail, Mistake, Offer, Recipient, Refusal, Reply};
use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use std::{collections::VecDeque, marker::PhantomData, sync::Arc};

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

/// Commands and replies by kind since the last look.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// By [`Verb`].
    pub commands: [u32; Verb::COUNT],
    /// By the first digit, 2 to 5.
    pub replies: [u32; 4],
}

/// A command as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Helo,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Vrfy,
    Expn,
    Help,
    Quit,
    StartTls,
    Auth,
    Unknown,
}

impl Verb {
    pub const COUNT: usize = 15;
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

/// RFC 5321 §4.5.3.1.4 has 512, to which the parameters of the extensions add (AUTH= alone 500,
/// ORCPT= 500, ENVID= 100); RFC 4954 §4 wants 12288 for AUTH, its initial response (a token, say) included.
const COMMAND_LINE: usize = 2048;
const AUTH_LINE: usize = 12288;
/// Commands that get nowhere (NOOP, RSET, VRFY …) for each of which ten make one error, so that a
/// client cannot keep a session busy for ever (Postfix: `smtpd_junk_command_limit`).
const IDLE_COMMANDS_PER_ERROR: u32 = 10;

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

    // ── content ─────────────────────────────────────────────────────────────────────────────────
    // Each of these gives `None` where input is missing and `Some(None)` where the loop goes on.

    // An event that ends a message never waits behind one of its octets: between the two the driver
    // may find that it cannot keep them, and then the message has not been received.

    fn data(&mut self) -> Option<Option<Event>> {
        let State::Data(decoder) = &mut self.state else { return Some(None) };
        let before = self.input.len();
        let piece = decoder.next(&mut self.input);
        let ending = Ending { stains: decoder.stains(), leading_dot: decoder.has_leading_dot() };
        self.raw += (before - self.input.len()) as u64;
        match piece {
            // NULs, say, which leave nothing behind.
            Piece::More if self.raw > self.patience() => Some(self.lose_patience()),
            Piece::More => None,
            Piece::Body(octets) => Some(self.body(octets)),
            Piece::End => Some(self.end(ending)),
        }
    }

    fn chunk(&mut self) -> Option<Option<Event>> {
        let State::Chunks { decoder, remaining, .. } = &mut self.state else { return Some(None) };
        if self.input.is_empty() {
            return None;
        }
        let before = self.input.len();
        let octets = decoder.next(&mut self.input, remaining);
        self.raw += (before - self.input.len()) as u64;
        Some(self.body(octets))
    }

    fn end_of_chunk(&mut self) -> Option<Event> {
        let State::Chunks { decoder, last, due, .. } = &mut self.state else { return None };
        if !*last {
            *due = false;
            match self.spoilt.take() {
                Some(refusal) => self.give_up(&refusal),
                None => self.say(&Reply::new(250, format!("2.0.0 {} octets so far", self.size))),
            }
            return None;
        }
        if let Some(rest) = decoder.finish() {
            return self.body(rest);
        }
        *due = false;
        let ending = Ending { stains: decoder.stains(), leading_dot: decoder.has_leading_dot() };
        self.end(ending)
    }

    fn discard(&mut self) -> Option<Option<Event>> {
        let State::Discard { remaining, refusal } = &mut self.state else { return Some(None) };
        let here = (*remaining).min(self.input.len() as u64);
        self.input.advance(usize::try_from(here).unwrap_or(usize::MAX));
        *remaining -= here;
        if *remaining > 0 {
            return None;
        }
        let refusal = refusal.clone();
        self.give_up(&refusal);
        Some(None)
    }

    /// Message octets: on to the driver, unless the message is given up.
    fn body(&mut self, octets: Bytes) -> Option<Event> {
        self.size = self.size.saturating_add(octets.len() as u64);
        if self.raw > self.patience() {
            return self.lose_patience();
        }
        if self.size > self.offer.size && self.spoilt.is_none() {
            self.spoilt = Some(too_big());
            return Some(Event::Spoilt);
        }
        (self.spoilt.is_none() && !octets.is_empty()).then_some(Event::Body(octets))
    }

    /// Octets of a message beyond which nobody can be waiting for an answer.
    fn patience(&self) -> u64 {
        self.offer.size.saturating_mul(2).saturating_add(1 << 20)
    }

    fn lose_patience(&mut self) -> Option<Event> {
        self.close(&too_big());
        Some(Event::Reset { refused: Some(too_big()) })
    }

    fn end(&mut self, ending: Ending) -> Option<Event> {
        if self.is_closed() {
            return None;
        }
        if let Some(refusal) = self.spoilt.take() {
            self.give_up(&refusal);
            return None;
        }
        self.owing = true;
        Some(Event::EndOfData { ending, owed: Owed(PhantomData) })
    }

    /// A message under way is refused by the session itself; the transaction is over.
    fn give_up(&mut self, refusal: &Refusal) {
        self.say(refusal.reply());
        self.forget();
        self.events.push_back(Event::Reset { refused: Some(refusal.clone()) });
        if refusal.closes() {
            self.state = State::Closed;
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

    /// Gives the message under way up: the rest of it is read and dropped, and `refusal` is said
    /// where its answer is due. An [`Event::Reset`] follows then.
    pub fn spoil(&mut self, refusal: Refusal) {
        self.spoilt.get_or_insert(refusal);
    }

    // ── commands ────────────────────────────────────────────────────────────────────────────────

    fn line(&mut self) -> Option<Option<Event>> {
        let in_auth = matches!(self.state, State::Auth);
        let begins_auth = || !self.offer.auth.is_empty() && self.input.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "));
        let limit = if in_auth || begins_auth() { AUTH_LINE } else { COMMAND_LINE };
        let Some(lf) = memchr(b'\n', &self.input) else {
            if self.input.len() > limit {
                if is_bdat(&self.input) && !in_auth {
                    return Some(self.untrusted_chunk());
                }
                // The line is dropped while it comes, so that it costs no memory; its answer waits
                // for its end, so that the dialogue stays in step.
                self.input.clear();
                self.overlong = true;
            }
            return None;
        };
        let mut line = self.input.split_to(lf + 1);
        let overlong = std::mem::take(&mut self.overlong) || line.len() > limit;
        let canonical = line.ends_with(b"\r\n");
        line.truncate(line.len() - 1 - usize::from(canonical));
        if (overlong || !canonical) && is_bdat(&line) && !in_auth {
            return Some(self.untrusted_chunk());
        }
        if (overlong || !canonical) && in_auth {
            self.state = State::Ready;
            self.events.push_back(Event::AuthAborted);
        }
        if overlong {
            self.mistake(Offence::LineTooLong, &Refusal::permanent(0, "5.2", "line too long"));
            return Some(None);
        }
        if !canonical {
            // A bare LF ends no line of ours; read on behind it all the same, or a client that
            // knows no CR would wait for ever.
            self.mistake(Offence::BareNewline, &Refusal::permanent(0, "5.2", "a line ends with CR LF"));
            return Some(None);
        }
        if in_auth {
            return Some(self.ask(|owed| Event::AuthResponse { line, owed }));
        }
        match Command::parse(&line, &self.offer, self.utf8) {
            Ok(command) => Some(self.command(command)),
            Err(mistake) => {
                self.misunderstood(&line, &mistake);
                Some(None)
            }
        }
    }

    fn misunderstood(&mut self, line: &[u8], mistake: &Mistake) {
        self.count(Verb::Unknown);
        let offence = match mistake {
            Mistake::UnknownVerb => Offence::UnknownCommand,
            Mistake::Forbidden => Offence::ForbiddenCommand,
            Mistake::BadOctet => Offence::BareNewline,
            // Asked for by a client that does nothing wrong.
            Mistake::TooBig | Mistake::NeedsUtf8 { .. } => {
                if !self.got_nowhere() {
                    self.say(mistake.refusal().reply());
                }
                return;
            }
            Mistake::Syntax(_) | Mistake::Path { .. } | Mistake::Parameter(_) => Offence::BadSyntax,
        };
        self.mistake(offence, &mistake.refusal());
        if *mistake == Mistake::Forbidden {
            self.state = State::Closed;
        }
        if is_bdat(line) {
            self.state = State::Closed;
        }
    }

    /// A chunk's octets follow its command whatever we think of it; where its size cannot be read
    /// they could only be taken for commands (CVE-2020-28019 is of that family).
    fn untrusted_chunk(&mut self) -> Option<Event> {
        self.input.clear();
        self.mistake(Offence::BadSyntax, &Refusal::permanent(1, "5.4", "no size of a chunk"));
        self.state = State::Closed;
        None
    }

    /// Counts a command that gets nowhere; whether it was one too many, and the session is closed.
    fn got_nowhere(&mut self) -> bool {
        self.idle_commands += 1;
        self.idle_commands.is_multiple_of(IDLE_COMMANDS_PER_ERROR) && self.one_error_more()
    }

    fn command(&mut self, command: Command) -> Option<Event> {
        let verb = Verb::of(&command);
        self.count(verb);
        if self.settings.require_tls && !self.tls && !matches!(verb, Verb::Ehlo | Verb::Noop | Verb::StartTls | Verb::Quit) {
            if let Command::Bdat { size, .. } = command {
                return self.refuse_chunk(size, must_start_tls());
            }
            self.mistake(Offence::BadSequence, &must_start_tls());
            return None;
        }
        let idle = matches!(verb, Verb::Noop | Verb::Rset | Verb::Vrfy | Verb::Expn | Verb::Help | Verb::Helo | Verb::Ehlo);
        if idle && self.got_nowhere() {
            return None;
        }
        self.chunk_refused &= verb == Verb::Bdat;
        // RFC 2920 §3.1: these end a group; whoever sends more without our answer is not listening.
        if matches!(verb, Verb::Helo | Verb::Ehlo | Verb::Data | Verb::Auth | Verb::StartTls) && !self.input.is_empty() {
            let offence = if verb == Verb::StartTls { Offence::CommandInjection } else { Offence::Pipelining };
            self.events.push_back(Event::Offence(offence));
            self.input.clear();
            self.close(&Refusal::permanent(54, "5.0", "you did not wait for the answer"));
            return None;
        }
        match command {
            Command::Helo(domain) => self.hello(domain, false),
            Command::Ehlo(domain) => self.hello(domain, true),
            Command::StartTls => self.start_tls(),
            Command::Auth { mechanism, initial } => self.auth(mechanism, initial),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(recipient) => self.recipient(recipient),
            Command::Data => self.begin_data(),
            Command::Bdat { size, last } => self.begin_chunk(size, last),
            Command::Rset => {
                self.forget();
                self.say(&Reply::new(250, "2.0.0 forgotten"));
                Some(Event::Reset { refused: None })
            }
            Command::Noop => {
                self.say(&Reply::new(250, "2.0.0 done"));
                None
            }
            Command::Vrfy(_) => {
                self.say(&Reply::new(252, "2.5.2 cannot verify, but will take a message and try"));
                None
            }
            Command::Expn => {
                self.say(&Reply::new(502, "5.5.1 no lists are shown here"));
                None
            }
            Command::Help => {
                self.say(&Reply::new(214, "2.0.0 see RFC 5321"));
                None
            }
            Command::Quit => {
                self.say(&Reply::new(221, "2.0.0 goodbye"));
                self.state = State::Closed;
                Some(Event::Quit)
            }
        }
    }

    fn hello(&mut self, domain: Domain, extended: bool) -> Option<Event> {
        // RFC 5321 §4.1.4: a second EHLO is a RSET as well.
        if !matches!(self.state, State::Connected) {
            self.forget();
            self.events.push_back(Event::Reset { refused: None });
        }
        let ask = self.ask(|owed| Event::Hello { domain, extended, owed });
        self.events.extend(ask);
        None
    }

    fn start_tls(&mut self) -> Option<Event> {
        if self.tls {
            return self.out_of_order("TLS is running already");
        }
        if !self.offer.starttls {
            self.mistake(Offence::BadSequence, &Refusal::permanent(2, "5.1", "no TLS here"));
            return None;
        }
        if !matches!(self.state, State::Ready) {
            return self.out_of_order("say EHLO, and STARTTLS before MAIL");
        }
        self.ask(|owed| Event::StartTls { owed })
    }

    fn auth(&mut self, mechanism: Box<str>, initial: Option<Bytes>) -> Option<Event> {
        if self.offer.auth.is_empty() {
            let refusal = if self.tls {
                Refusal::permanent(2, "5.1", "no AUTH here")
            } else {
                Refusal::permanent(38, "7.11", "encryption is required for AUTH")
            };
            self.mistake(Offence::BadSequence, &refusal);
            return None;
        }
        if self.authenticated || !matches!(self.state, State::Ready) {
            return self.out_of_order("AUTH once, and before MAIL");
        }
        if !self.offer.auth.contains(&mechanism) {
            self.mistake(Offence::BadSyntax, &Refusal::permanent(4, "5.4", "mechanism not offered"));
            return None;
        }
        self.ask(|owed| Event::Auth { mechanism, initial, owed })
    }

    fn mail(&mut self, mail: Box<Mail>) -> Option<Event> {
        match self.state {
            State::Ready => self.ask(|owed| Event::Mail { mail, owed }),
            State::Connected => self.out_of_order("say EHLO first"),
            _ => self.out_of_order("a transaction is under way"),
        }
    }

    fn recipient(&mut self, recipient: Box<Recipient>) -> Option<Event> {
        if !matches!(self.state, State::Mail | State::Recipients) {
            return self.out_of_order("MAIL comes before RCPT");
        }
        if self.recipients >= self.offer.recipients {
            // RFC 5321 §4.5.3.1.10; the client sends the rest in another transaction.
            if !self.got_nowhere() {
                self.say(Refusal::temporary(52, "5.3", "too many recipients, send the rest in another transaction").reply());
            }
            return None;
        }
        self.ask(|owed| Event::Recipient { recipient, owed })
    }

    fn begin_data(&mut self) -> Option<Event> {
        match self.state {
            // BINARYMIME goes with BDAT only (RFC 3030 §3).
            State::Recipients if self.binary => self.out_of_order("BINARYMIME is sent by BDAT"),
            State::Recipients => {
                self.state = State::Data(Decoder::new());
                self.say(&Reply::new(354, "send the message, end it with CR LF . CR LF"));
                None
            }
            State::Mail => {
                self.say(Refusal::permanent(54, "5.1", "no valid recipients").reply());
                None
            }
            _ => self.out_of_order("RCPT comes before DATA"),
        }
    }

    fn begin_chunk(&mut self, size: u64, last: bool) -> Option<Event> {
        match &mut self.state {
            State::Recipients => {
                let decoder = ChunkDecoder::new(self.binary);
                self.state = State::Chunks { decoder, remaining: size, last, due: true };
            }
            State::Chunks { remaining, last: was_last, due, .. } => (*remaining, *was_last, *due) = (size, last, true),
            State::Mail => return self.refuse_chunk(size, Refusal::permanent(54, "5.1", "no valid recipients")),
            _ => return self.refuse_chunk(size, Refusal::permanent(3, "5.1", "RCPT comes before BDAT")),
        }
        if size > self.offer.size.saturating_sub(self.size) {
            return self.refuse_chunk(size, too_big());
        }
        None
    }

    /// The octets of a refused chunk come all the same; they are no commands (RFC 3030 §2).
    fn refuse_chunk(&mut self, size: u64, refusal: Refusal) -> Option<Event> {
        if size > self.patience() || matches!(self.state, State::Connected) {
            // Nobody waits for that many; and discarding ends in Ready, which only EHLO may open.
            self.close(&refusal);
            return Some(Event::Reset { refused: Some(refusal) });
        }
        // Chunks are pipelined with the recipients, and with each other: those behind a refusal
        // were sent before it could be read.
        let unasked = matches!(self.state, State::Ready) && !self.chunk_refused;
        if unasked && self.one_error_more() {
            return None;
        }
        self.chunk_refused = true;
        self.state = State::Discard { remaining: size, refusal };
        (!unasked).then_some(Event::Spoilt)
    }

    fn out_of_order(&mut self, why: &'static str) -> Option<Event> {
        self.mistake(Offence::BadSequence, &Refusal::permanent(3, "5.1", why));
        None
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

    // ── answers ─────────────────────────────────────────────────────────────────────────────────

    /// Yes to HELO or EHLO, with what is offered from now on.
    pub fn welcome(&mut self, owed: Owed<AboutHello>, extended: bool, offer: Arc<Offer>) {
        self.paid(owed);
        self.state = State::Ready;
        self.tally_positive();
        if extended {
            offer.write_to(&mut self.output);
            self.offer = offer;
        } else {
            self.output.extend_from_slice(b"250 ");
            self.output.extend_from_slice(offer.hostname.as_bytes());
            self.output.extend_from_slice(b"\r\n");
            // HELO knows no extension (RFC 5321 §3.2), but the limits hold.
            self.offer = Arc::new(Offer { size: offer.size, recipients: offer.recipients, ..Offer::basic(Arc::clone(&offer.hostname)) });
        }
    }

    pub fn accept_mail(&mut self, owed: Owed<AboutMail>, mail: &Mail) {
        self.paid(owed);
        self.utf8 = mail.utf8;
        self.binary = mail.body == Some(super::BodyType::BinaryMime);
        self.state = State::Mail;
        self.tally_positive();
        self.output.extend_from_slice(b"250 2.1.0 sender ok\r\n");
    }

    /// `reply` is the upstream's, or ours.
    pub fn accept_recipient(&mut self, owed: Owed<AboutRecipient>, reply: &Reply) {
        self.paid(owed);
        self.recipients += 1;
        self.state = State::Recipients;
        self.say(reply);
    }

    /// The message is in other hands.
    pub fn acknowledge(&mut self, owed: Owed<AboutMessage>, custody: &dyn Custody) {
        self.paid(owed);
        self.say(&custody.reply());
        (self.errors, self.idle_commands) = (0, 0);
        self.forget();
    }

    /// The AUTH exchange goes on: `reply` is the 334.
    pub fn challenge(&mut self, owed: Owed<AboutAuth>, reply: &Reply) {
        self.paid(owed);
        self.state = State::Auth;
        self.say(reply);
    }

    /// AUTH succeeded: `reply` is the 235.
    pub fn authenticated(&mut self, owed: Owed<AboutAuth>, reply: &Reply) {
        self.paid(owed);
        self.authenticated = true;
        self.state = State::Ready;
        self.say(reply);
    }

    /// No, to whatever was asked. A 421 or 521 ends the session.
    pub fn refuse<Question: Refusable>(&mut self, owed: Owed<Question>, refusal: &Refusal) {
        self.paid(owed);
        self.say(refusal.reply());
        Question::refused(self);
        if Question::COUNTS && refusal.is_permanent() && !refusal.closes() {
            self.one_error_more();
        }
        if refusal.closes() {
            self.state = State::Closed;
        }
    }

    /// The answer in clear text that has to be sent before the handshake, and the session that
    /// begins after it: nothing said before survives (RFC 3207 §4.2).
    #[must_use]
    pub fn into_tls(self, owed: Owed<AboutTls>) -> (Bytes, Self) {
        let Owed(PhantomData) = owed;
        let mut session = Self::silent(self.settings, true);
        session.errors = self.errors;
        session.tally = self.tally;
        let mut output = self.output;
        output.extend_from_slice(b"220 2.0.0 go ahead\r\n");
        (output.freeze(), session)
    }

    fn paid<Question>(&mut self, owed: Owed<Question>) {
        let Owed(PhantomData) = owed;
        self.owing = false;
    }

    fn tally_positive(&mut self) {
        if let Some(counter) = self.tally.replies.first_mut() {
            *counter += 1;
        }
    }
}

/// What a "no" leaves behind.
pub trait Refusable {
    /// A permanent one is an error of the client's, of which it may make only so many: guessing
    /// addresses and passwords ends like everything else.
    #[doc(hidden)]
    const COUNTS: bool = false;
    #[doc(hidden)]
    fn refused(session: &mut Session);
}
impl Refusable for AboutHello {
    fn refused(session: &mut Session) {
        session.state = State::Connected;
    }
}
impl Refusable for AboutTls {
    fn refused(_: &mut Session) {}
}
impl Refusable for AboutMail {
    const COUNTS: bool = true;
    fn refused(_: &mut Session) {}
}
impl Refusable for AboutRecipient {
    const COUNTS: bool = true;
    fn refused(_: &mut Session) {}
}
impl Refusable for AboutAuth {
    const COUNTS: bool = true;
    fn refused(session: &mut Session) {
        session.state = State::Ready;
    }
}
impl Refusable for AboutMessage {
    fn refused(session: &mut Session) {
        session.forget();
    }
}

impl Verb {
    fn of(command: &Command) -> Self {
        match command {
            Command::Helo(_) => Self::Helo,
            Command::Ehlo(_) => Self::Ehlo,
            Command::Mail(_) => Self::Mail,
            Command::Rcpt(_) => Self::Rcpt,
            Command::Data => Self::Data,
            Command::Bdat { .. } => Self::Bdat,
            Command::Rset => Self::Rset,
            Command::Noop => Self::Noop,
            Command::Vrfy(_) => Self::Vrfy,
            Command::Expn => Self::Expn,
            Command::Help => Self::Help,
            Command::Quit => Self::Quit,
            Command::StartTls => Self::StartTls,
            Command::Auth { .. } => Self::Auth,
        }
    }
}

fn is_bdat(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

fn too_big() -> Refusal {
    Refusal::permanent(52, "3.4", "the message is too big")
}

fn must_start_tls() -> Refusal {
    Refusal::permanent(30, "7.0", "say STARTTLS first")
}

#[cfg(test)]
mod tests;

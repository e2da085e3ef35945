//! Drives one session: between its stream, the protocol machine, the chain and the upstream.
//!
//! What belongs to one message is in [`super::mailing`]; here stands what outlives it.
use super::{
    account,
    dialogue::Dialogue,
    mailing::Mailing,
    stream::{Line, Read, Stream},
    tls,
    worker::{Accepted, Worker, shutting_down},
};
use crate::chain::{Decision, Inspections, runner::Question};
use crate::journal::{self, By, Phase};
use crate::message::Client;
use crate::smtp::{
    Domain, Mail, Refusal, Reply,
    server::{self, AboutAuth, AboutHello, AboutMail, Event, Offence, Owed, Tally, Waiting},
};
use crate::telemetry::Violation;
use crate::upstream::{Exchange, Seat, UpstreamError};
use crate::value::Id;
use bytes::BytesMut;
use std::{io, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How a session goes on after an event.
type Step = Result<(), Broken>;

/// Why a session ends other than by QUIT or a reply that closes it.
#[derive(Debug)]
pub(super) enum Broken {
    /// The client closed, or the connection broke.
    Lost(io::Error),
    /// It was slow, or silent.
    TimedOut,
    /// No TLS, so nothing more can be said.
    Handshake(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Lost(error),
        }
    }
}

/// An AUTH exchange under way.
struct Underway {
    exchange: Exchange,
    mechanism: Box<str>,
    account: Option<Arc<str>>,
    /// A line of the client has been passed on already.
    answered: bool,
}

/// One client's session.
pub(super) struct Session {
    pub(super) worker: Arc<Worker>,
    pub(super) accepted: Accepted,
    pub(super) record: journal::Session,
    line: Line,
    pub(super) smtp: server::Session,
    pub(super) client: Arc<Client>,
    pub(super) inspections: Inspections,
    pub(super) seat: Seat,
    auth: Option<Underway>,
    pub(super) mailing: Option<Mailing>,
    pub(super) dialogue: Dialogue,
    received: u64,
    sent: u64,
    /// Since when the client owes us a command.
    waiting: Option<Instant>,
    /// Content that is coming in: since when, and how many octets of it.
    content: Option<(Instant, u64)>,
}

/// Runs a connection from its banner to its end.
///
/// Ten thousand sessions wait for their clients at once, and each is as large as the largest thing
/// it could be waiting for; so what is large and short-lived (a message's end, a handshake) is
/// boxed.
pub(super) async fn run(worker: Arc<Worker>, accepted: Accepted, record: journal::Session, stream: Stream, client: Arc<Client>) {
    let timeouts = &accepted.generation.settings.timeouts;
    let tls = matches!(stream, Stream::Tls(_));
    let line = Line::new(stream, worker.drain.clone().cancelled_owned(), Instant::now() + timeouts.client_command);
    let settings = Arc::clone(&accepted.listener.session);
    let inspections = Box::pin(Inspections::begin(&accepted.generation.chain, &client)).await;
    let mut session = Session {
        worker,
        record,
        line,
        smtp: server::Session::new(settings, tls),
        client,
        inspections,
        seat: Seat::default(),
        auth: None,
        mailing: None,
        dialogue: Dialogue::new(),
        received: 0,
        sent: 0,
        waiting: None,
        content: None,
        accepted,
    };
    let broken = session.converse().await.err();
    Box::pin(session.finish(broken)).await;
}

impl Session {
    async fn converse(&mut self) -> Step {
        Box::pin(self.greet()).await?;
        loop {
            while let Some(event) = self.smtp.next_event() {
                self.waiting = None;
                self.handle(event).await?;
            }
            self.flush().await?;
            if self.smtp.is_closed() {
                return Ok(());
            }
            if let Some(octets) = self.read().await? {
                self.received += octets.len() as u64;
                self.smtp.receive(octets);
            }
        }
    }

    async fn greet(&mut self) -> Step {
        let pause = self.accepted.generation.settings.smtp.greet_pause;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        // RFC 5321 §4.3.1: the client waits for the greeting. One that does not is a machine that
        // talks without listening.
        if self.line.has_early_octets() {
            self.record.violation(Violation::Pregreeting, &"octets before the greeting");
            self.smtp = server::Session::new(Arc::clone(&self.accepted.listener.session), true);
            self.smtp.transmit().clear();
            self.smtp.close(&Refusal::permanent(54, "5.0", "you spoke before you were greeted"));
            return Ok(());
        }
        if !self.inspections.is_empty()
            && let (Decision::Refuse(refusal), stage) = self.inspections.ask(Question::Connect(&self.client)).await
        {
            self.smtp.transmit().clear();
            self.record.refused(Phase::Connect, &refusal, by(stage.as_deref()), None, None);
            self.smtp.close(&refusal);
        }
        Ok(())
    }

    /// Sends what there is to send, in one write.
    async fn flush(&mut self) -> Step {
        self.dialogue.heard(&self.smtp.take_heard());
        let out = self.smtp.transmit();
        if out.is_empty() {
            return Ok(());
        }
        self.dialogue.said(out);
        self.sent += out.len() as u64;
        // Whatever it was, it has been answered; the client's time for the next begins.
        self.waiting = None;
        // RFC 5321 §4.5.3.2 has no word on how long a server waits for its reply to be read.
        Ok(self.line.write(out, self.accepted.generation.settings.timeouts.client_command).await?)
    }

    /// The next octets; `None` where something else has happened that is dealt with.
    async fn read(&mut self) -> Result<Option<BytesMut>, Broken> {
        let timeouts = &self.accepted.generation.settings.timeouts;
        let now = Instant::now();
        let in_data = self.smtp.waiting() == Waiting::Data;
        // A body may take its time between two pieces; a command has to be there, whole, by then,
        // or a client could hold the session with an octet every now and then. And while the client
        // is slow the upstream is not held, but for the time it takes to see that it is; commands
        // that are not for the upstream do not prolong it.
        let held = self.mailing.as_ref().and_then(Mailing::holds_upstream);
        let (mut deadline, release) = if in_data {
            let (since, _) = *self.content.get_or_insert((now, 0));
            (now + timeouts.client_data, held.map(|_| since + timeouts.hold))
        } else {
            self.content = None;
            let since = *self.waiting.get_or_insert(now);
            (since + timeouts.client_command, held.map(|used| used + timeouts.hold.max(COMMAND_HOLD)))
        };
        if let Some(release) = release {
            deadline = deadline.min(release);
        }
        match self.line.read(deadline, self.smtp.is_idle()).await? {
            Read::Octets(octets) => {
                if let Some((since, sum)) = &mut self.content {
                    *sum += octets.len() as u64;
                    let (elapsed, sum) = (since.elapsed(), *sum);
                    let least = self.accepted.generation.settings.limits.minimum_rate;
                    if elapsed > RATE_AFTER && sum < least.saturating_mul(elapsed.as_secs()) {
                        self.record.violation(Violation::TooSlow, &format_args!("{sum} octets in {} seconds", elapsed.as_secs()));
                        Box::pin(self.end_with(Refusal::temporary(21, "4.2", "too slow"))).await;
                        return Ok(None);
                    }
                }
                Ok(Some(octets))
            }
            Read::End => Err(Broken::Lost(io::ErrorKind::UnexpectedEof.into())),
            Read::TimedOut if release.is_some_and(|release| release <= deadline) => {
                if let Some(mailing) = &mut self.mailing {
                    Box::pin(mailing.release()).await;
                }
                Ok(None)
            }
            Read::TimedOut => Err(Broken::TimedOut),
            Read::Cancelled => {
                self.record.end(journal::End::Drained);
                self.smtp.close(&shutting_down());
                Ok(None)
            }
        }
    }

    async fn handle(&mut self, event: Event) -> Step {
        match event {
            Event::Hello { domain, extended, owed } => Box::pin(self.hello(domain, extended, owed)).await,
            Event::StartTls { owed } => return Box::pin(self.start_tls(owed)).await,
            Event::Auth { mechanism, initial, owed } => Box::pin(self.auth(mechanism, initial.as_deref(), owed)).await,
            Event::AuthResponse { line, owed } => Box::pin(self.auth_response(line, owed)).await,
            Event::Mail { mail, owed } => Box::pin(self.mail(mail, owed)).await,
            Event::Recipient { recipient, owed } => Box::pin(self.recipient(recipient, owed)).await,
            Event::Body(chunk) => Box::pin(self.body(chunk)).await,
            Event::EndOfData { ending, owed } => {
                self.record.message();
                Box::pin(self.end_of_data(ending, owed)).await;
                self.count();
                // At once: what was pipelined behind it may take its time, and a client that has
                // not heard of this message would send it again.
                self.flush().await?;
            }
            Event::Spoilt => Box::pin(self.abandon()).await,
            Event::AuthAborted => self.auth_aborted(),
            Event::Reset { refused } => Box::pin(self.reset(refused.as_ref())).await,
            Event::Refused { verb, address, refusal } => self.refused(verb, &address, &refusal),
            Event::Offence(offence) => self.offence(offence),
            Event::Quit => {
                self.record.end(journal::End::Quit);
                Box::pin(self.reset(None)).await;
            }
        }
        Ok(())
    }

    /// More is known of who is on the line.
    fn know(&mut self, client: Client) {
        self.client = Arc::new(client);
        self.record.client(&self.client);
    }

    async fn hello(&mut self, domain: Domain, extended: bool, owed: Owed<AboutHello>) {
        self.know(Client { hello: Some((domain, extended)), ..Client::clone(&self.client) });
        if !self.inspections.is_empty()
            && let (Decision::Refuse(refusal), stage) = self.inspections.ask(Question::Hello(&self.client)).await
        {
            self.record.refused(Phase::Hello, &refusal, by(stage.as_deref()), None, None);
            return self.smtp.refuse(owed, &refusal);
        }
        let offer = self.accepted.offer(&self.worker, self.client.tls.is_some());
        self.smtp.welcome(owed, extended, offer);
    }

    async fn start_tls(&mut self, owed: Owed<server::AboutTls>) -> Step {
        let generation = Arc::clone(&self.accepted.generation);
        let Some(config) = generation.tls.config(&self.accepted.listener.settings) else {
            self.smtp.refuse(owed, &Refusal::temporary(54, "7.0", "TLS is not available now"));
            return Ok(());
        };
        let timeouts = &generation.settings.timeouts;
        let placeholder = server::Session::new(Arc::clone(&self.accepted.listener.session), true);
        let heard = self.smtp.take_heard();
        let (go_ahead, fresh) = std::mem::replace(&mut self.smtp, placeholder).into_tls(owed);
        self.smtp = fresh;
        self.dialogue.heard(&heard);
        self.dialogue.said(&go_ahead);
        let mut go_ahead = BytesMut::from(go_ahead);
        self.line.write(&mut go_ahead, timeouts.client_command).await?;
        let stream = self.line.take_plain().ok_or_else(|| Broken::Lost(io::ErrorKind::NotConnected.into()))?;
        let accepted = tls::accept(Arc::clone(config), stream, timeouts.tls_handshake, self.accepted.metrics()).await;
        let (stream, facts) = accepted.map_err(|error| Broken::Handshake(error.to_string()))?;
        self.dialogue.happened(&format!("{} with {}", facts.version, facts.cipher));
        self.line.put(Stream::Tls(stream));
        // RFC 3207 §4.2: nothing the client said in clear text is known any more.
        self.know(Client { tls: Some(Arc::new(facts)), hello: None, account: None, mechanism: None, ..Client::clone(&self.client) });
        self.inspections = Inspections::begin(&generation.chain, &self.client).await;
        self.seat = Seat::default();
        Ok(())
    }

    async fn mail(&mut self, mail: Box<Mail>, owed: Owed<AboutMail>) {
        // The line of MAIL is the last that was heard.
        let heard = self.smtp.take_heard();
        let line = heard.trim_ascii_end().iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        let (before, line) = heard.split_at_checked(line).unwrap_or((&heard, b""));
        self.dialogue.heard(before);
        self.dialogue.begin();
        self.dialogue.heard(line);
        let id = Id::generate();
        if !self.inspections.is_empty()
            && let (Decision::Refuse(refusal), stage) = self.inspections.ask(Question::Mail(&self.client, &mail, id)).await
        {
            self.record.refused(Phase::Mail, &refusal, by(stage.as_deref()), Some(&mail), None);
            return self.smtp.refuse(owed, &refusal);
        }
        self.smtp.accept_mail(owed, &mail);
        self.mailing = Some(Mailing::new(&self.record, id, mail));
    }

    /// A last word to the client, for whatever it had under way as well.
    pub(super) async fn end_with(&mut self, refusal: Refusal) {
        self.reset(Some(&refusal)).await;
        self.smtp.close(&refusal);
    }

    /// What is held for a message that is given up already can go.
    async fn abandon(&mut self) {
        if let Some(mailing) = &mut self.mailing {
            self.inspections.abort();
            mailing.abandon().await;
        }
    }

    /// The transaction is over without a message that anybody answers for.
    async fn reset(&mut self, refused: Option<&Refusal>) {
        if let Some(mailing) = self.mailing.take() {
            if refused.is_some() {
                self.record.message();
            }
            self.inspections.abort();
            mailing.give_up(refused).await;
        }
    }

    // ── AUTH: the upstream's business, line by line (RFC 4954) ──────────────────────────────────

    async fn auth(&mut self, mechanism: Box<str>, initial: Option<&[u8]>, owed: Owed<AboutAuth>) {
        let upstream = self.accepted.upstreams(&self.worker).default_route();
        match upstream.authenticate(&self.client, &mechanism, initial).await {
            Ok((exchange, reply)) => {
                let account = initial.and_then(|initial| account::shown(&mechanism, initial));
                self.auth = Some(Underway { exchange, mechanism, account, answered: initial.is_some() });
                self.auth_answer(&reply, owed);
            }
            Err(error) => self.auth_failed(&error, owed),
        }
    }

    async fn auth_response(&mut self, mut line: BytesMut, owed: Owed<AboutAuth>) {
        let Some(underway) = &mut self.auth else {
            return self.smtp.refuse(owed, &Refusal::permanent(3, "5.1", "no AUTH is under way"));
        };
        // Only the first line can show a name; in LOGIN the second is the password.
        if !std::mem::replace(&mut underway.answered, true) {
            underway.account = account::shown(&underway.mechanism, &line);
        }
        let answer = underway.exchange.respond(&line).await;
        line.fill(0);
        match answer {
            Ok(reply) => self.auth_answer(&reply, owed),
            Err(error) => self.auth_failed(&error, owed),
        }
    }

    fn auth_answer(&mut self, reply: &Reply, owed: Owed<AboutAuth>) {
        if reply.code() == 334 {
            return self.smtp.challenge(owed, reply);
        }
        let Some(Underway { exchange, mechanism, account, .. }) = self.auth.take() else {
            return self.smtp.refuse(owed, &Refusal::temporary(54, "7.0", "try again"));
        };
        self.record.authentication(&mechanism, account.as_deref(), reply);
        let metrics = self.accepted.metrics();
        if let Some(refusal) = Refusal::from_reply(reply.clone()) {
            metrics.auth_failed.inc();
            return self.smtp.refuse(owed, &refusal);
        }
        metrics.auth_succeeded.inc();
        self.seat = exchange.into_seat();
        let (account, mechanism) = (Some(account.unwrap_or_else(|| "".into())), Some(mechanism.to_ascii_uppercase().into()));
        self.know(Client { account, mechanism, ..Client::clone(&self.client) });
        self.smtp.authenticated(owed, reply);
    }

    /// The client's line was none; with the exchange its connection to the upstream goes.
    fn auth_aborted(&mut self) {
        if self.auth.take().is_some() {
            self.accepted.metrics().auth_failed.inc();
        }
    }

    fn auth_failed(&mut self, error: &UpstreamError, owed: Owed<AboutAuth>) {
        self.auth = None;
        self.accepted.metrics().auth_failed.inc();
        let refusal = Refusal::temporary(54, "7.0", "cannot authenticate now, try again later");
        self.record.refused(Phase::Auth, &refusal, By::Upstream(&error.upstream), None, None);
        tracing::warn!(id = %self.record.id(), "AUTH could not be forwarded: {error}");
        self.smtp.refuse(owed, &refusal);
    }

    // ── telling ─────────────────────────────────────────────────────────────────────────────────

    fn offence(&mut self, offence: Offence) {
        let (violation, detail) = violation(offence);
        self.record.violation(violation, &detail);
    }

    /// What has been counted so far, to the record and the metrics.
    fn count(&mut self) {
        let Tally { commands, replies } = self.smtp.take_tally();
        self.record.count(&commands, &replies);
        self.record.octets(std::mem::take(&mut self.received), std::mem::take(&mut self.sent));
    }

    async fn finish(mut self, broken: Option<Broken>) {
        let it_is_we = !matches!(broken, Some(Broken::Lost(_) | Broken::Handshake(_))) && self.record.is_open();
        match broken {
            None if self.record.is_open() => self.record.end(journal::End::Closed),
            None => {}
            Some(Broken::Lost(error)) => {
                self.record.end(journal::End::Lost);
                if error.kind() != io::ErrorKind::UnexpectedEof {
                    self.record.error(&error);
                }
            }
            Some(Broken::Handshake(error)) => {
                self.record.end(journal::End::HandshakeFailed);
                self.record.error(&error);
            }
            Some(Broken::TimedOut) => {
                self.record.end(journal::End::TimedOut);
                self.record.violation(Violation::TimedOut, &"nothing came in time");
                let refusal = Refusal::temporary(21, "4.2", "nothing came in time");
                self.smtp.close(&refusal);
                let mut last = self.smtp.transmit().split();
                let _ = self.line.write(&mut last, LAST_WORD).await;
            }
        }
        self.count();
        if let Some(mailing) = self.mailing.take() {
            self.inspections.abort();
            mailing.lost().await;
        }
        drop(self.record);
        self.line.close(LAST_WORD, it_is_we).await;
    }
}

/// A rate is measured over no less than this, so that a pause is not taken for slowness.
const RATE_AFTER: Duration = Duration::from_secs(60);
/// How long the upstream is held for a client that is silent between two commands, where
/// `timeouts.hold` is not longer: a recipient that comes later has all the others said again.
const COMMAND_HOLD: Duration = Duration::from_secs(20);
/// How long a client that is given up may take to read why.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Who refused before there was a message: a stage, or the gate.
pub(super) fn by(stage: Option<&str>) -> By<'_> {
    stage.map_or(By::Gate, By::Stage)
}

/// As the metrics count it, and what the log says of it.
fn violation(offence: Offence) -> (Violation, &'static str) {
    match offence {
        Offence::UnknownCommand => (Violation::UnknownCommand, "a command that is none"),
        Offence::ForbiddenCommand => (Violation::ForbiddenCommand, "a command of another protocol, or of a trusted peer"),
        Offence::BadSyntax => (Violation::BadSyntax, "a command with arguments that are none"),
        Offence::BadSequence => (Violation::BadSequence, "a command out of order"),
        Offence::BareNewline => (Violation::BareNewline, "a command line with a bare LF, CR or NUL"),
        Offence::LineTooLong => (Violation::LineTooLong, "a command line that is too long"),
        Offence::Pipelining => (Violation::Pipelining, "octets behind a command whose answer has to be waited for"),
        Offence::CommandInjection => (Violation::CommandInjection, "octets behind STARTTLS in clear text"),
        Offence::TooManyErrors => (Violation::TooManyErrors, "one error too many"),
    }
}

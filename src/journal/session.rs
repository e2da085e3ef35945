//! The record of one session.
use super::{Bracketed, Entry, Journal, NOQUEUE, entry::Seconds, record::Record, row::Kind};
use crate::message::Client;
use crate::smtp::{Mail, Recipient, Refusal, Reply};
use crate::telemetry::{CommandWord, ConnectionResult, Outcome, ReplyClass, Violation};
use crate::value::Id;
use std::{fmt, sync::Arc, time::Instant};
use tracing::field::display;

/// At what point of a session something was refused; as Postfix writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Connect,
    Hello,
    StartTls,
    Auth,
    Mail,
    Recipient,
    Data,
}

/// Who refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By<'a> {
    /// The gate itself, or the protocol.
    Gate,
    /// A stage, by its name.
    Stage(&'a str),
    /// An upstream, by its name.
    Upstream(&'a str),
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was dropped without a word: the task was, or it panicked.
    Aborted,
    Quit,
    /// The client went without QUIT.
    Lost,
    TimedOut,
    /// We closed it, with a 421 or after too many errors.
    Closed,
    /// No TLS, so nothing could be said.
    HandshakeFailed,
    /// The process ends.
    Drained,
}

const COMMANDS: usize = CommandWord::ALL.len();

/// The record of one session, from accept to its end. Its line is in Postfix's words:
/// `disconnect from [192.0.2.1]:4711 ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5`.
#[derive(Debug)]
pub struct Session {
    journal: Arc<Journal>,
    id: Id,
    client: Arc<Client>,
    begun: Instant,
    commands: [u32; COMMANDS],
    messages: u32,
    violations: u32,
    received: u64,
    sent: u64,
    end: End,
    error: Option<String>,
}

impl Session {
    /// A connection that was accepted; counted.
    #[must_use]
    pub fn open(journal: &Arc<Journal>, client: &Arc<Client>, now: Instant) -> Self {
        journal.listener.connection(ConnectionResult::Accepted);
        journal.listener.active.inc();
        let id = Id::generate();
        tracing::debug!(id = display(id), listener = &*client.listener, "connect from {}", Bracketed(client.address));
        Self {
            journal: Arc::clone(journal),
            id,
            client: Arc::clone(client),
            begun: now,
            commands: [0; COMMANDS],
            messages: 0,
            violations: 0,
            received: 0,
            sent: 0,
            end: End::Aborted,
            error: None,
        }
    }

    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// More is known of who is on the line.
    pub fn client(&mut self, client: &Arc<Client>) {
        self.client = Arc::clone(client);
    }

    /// MAIL was accepted.
    #[must_use]
    pub fn begin(&self, id: Id, mail: &Mail, now: Instant) -> Entry {
        Entry::begin(&self.journal, self.id, &self.client, id, mail, now)
    }

    /// A message was answered, whatever the answer was.
    pub fn message(&mut self) {
        self.messages += 1;
    }

    /// Commands since the last call, in the order of [`CommandWord`], and replies by their first
    /// digit, 2 to 5.
    pub fn count(&mut self, commands: &[u32; COMMANDS], replies: &[u32; 4]) {
        for ((total, word), by) in self.commands.iter_mut().zip(CommandWord::ALL).zip(commands) {
            if *by > 0 {
                *total += by;
                self.journal.listener.commands(*word, u64::from(*by));
            }
        }
        for (class, by) in ReplyClass::ALL.iter().zip(replies) {
            if *by > 0 {
                self.journal.listener.replies(*class, u64::from(*by));
            }
        }
    }

    /// Octets over the wire since the last call, under TLS those inside it.
    pub fn octets(&mut self, received: u64, sent: u64) {
        self.received += received;
        self.sent += sent;
        self.journal.listener.received_bytes.inc_by(received);
        self.journal.listener.sent_bytes.inc_by(sent);
    }

    /// Something was refused before there was a message:
    /// `NOQUEUE: reject: RCPT from [192.0.2.1]:4711: 550 5.1.1 …; from=<…> to=<…> proto=ESMTP helo=<…>`.
    pub fn refused(&self, phase: Phase, refusal: &Refusal, by: By<'_>, mail: Option<&Mail>, recipient: Option<&Recipient>) {
        let from = mail.map(|mail| mail.reverse_path.as_str());
        let to = recipient.map(|recipient| recipient.address.as_str());
        self.refused_before(phase, refusal, by, mail.is_some_and(|mail| mail.utf8), from, to);
    }

    /// The same for a command that was refused for what it says, with what stood where its address
    /// should.
    pub fn refused_as_written(&self, phase: Phase, refusal: &Refusal, from: Option<&str>, to: Option<&str>) {
        self.refused_before(phase, refusal, By::Gate, false, from, to);
    }

    fn refused_before(&self, phase: Phase, refusal: &Refusal, by: By<'_>, utf8: bool, from: Option<&str>, to: Option<&str>) {
        let (stage, upstream) = match by {
            By::Gate => (None, None),
            By::Stage(name) => (Some(name), None),
            By::Upstream(name) => (None, Some(name)),
        };
        let protocol = self.client.protocol(utf8);
        tracing::info!(
            id = NOQUEUE,
            from,
            to,
            proto = protocol,
            helo = self.client.hello.as_ref().map(|(domain, _)| domain.as_str()),
            stage,
            upstream,
            session = display(self.id),
            listener = &*self.client.listener,
            "reject: {phase} from {}: {refusal};",
            Bracketed(self.client.address),
        );
        let Some(book) = &self.journal.book else { return };
        let outcome = if refusal.is_permanent() { Outcome::Rejected } else { Outcome::Deferred };
        book.push(Record {
            session: Some(self.id),
            phase: Some(phase),
            sender: from.map(Box::from),
            recipients: to.map(|to| to.replace('\n', " ")).unwrap_or_default(),
            nrcpt: usize::from(to.is_some()),
            verdict: Some(outcome),
            decided_by: stage.map(Box::from),
            upstream: upstream.map(Arc::from),
            reply: Some(refusal.reply().clone()),
            ..Record::new(Kind::Command, &self.client, protocol)
        });
    }

    /// The client did something no mail client does, and it is not of a message under way.
    pub fn violation(&mut self, violation: Violation, detail: &dyn fmt::Display) {
        self.violation_in_message(violation, detail);
        let Some(book) = &self.journal.book else { return };
        book.push(Record {
            session: Some(self.id),
            violations: vec![violation],
            error: Some(detail.to_string()),
            ..Record::new(Kind::Violation, &self.client, self.client.protocol(false))
        });
    }

    /// The same of a message whose own record [tells of it](Entry::violation): it has no row of its
    /// own. What is an attack is a warning.
    pub fn violation_in_message(&mut self, violation: Violation, detail: &dyn fmt::Display) {
        self.violations += 1;
        self.journal.listener.violation(violation);
        let (id, client) = (display(self.id), Bracketed(self.client.address));
        if matches!(violation, Violation::Smuggling | Violation::CommandInjection | Violation::ForbiddenCommand | Violation::ForgedResults)
        {
            tracing::warn!(id, violation = violation.as_str(), "attack from {client}: {detail};");
        } else {
            tracing::info!(id, violation = violation.as_str(), "violation from {client}: {detail};");
        }
    }

    /// An AUTH exchange came to its end; all that is known of it is its mechanism, the upstream's
    /// reply and, where the mechanism shows it, the account.
    pub fn authentication(&self, mechanism: &str, account: Option<&str>, reply: &Reply) {
        let outcome = if reply.is_positive() { "succeeded" } else { "failed" };
        tracing::info!(
            id = display(self.id),
            mechanism,
            account,
            reply = display(reply),
            "authentication {outcome} from {};",
            Bracketed(self.client.address)
        );
    }

    /// Nothing has been said yet of how it ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.end == End::Aborted
    }

    /// How it ended; the last word counts.
    pub fn end(&mut self, end: End) {
        self.end = end;
    }

    /// What broke it, for the log.
    pub fn error(&mut self, error: &dyn fmt::Display) {
        self.error = Some(error.to_string());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.journal.listener.active.dec();
        let count = |word: CommandWord| self.commands.get(word as usize).copied().filter(|n| *n > 0);
        let tls = self.client.tls.as_deref();
        tracing::info!(
            id = display(self.id),
            helo_count = count(CommandWord::Helo),
            ehlo = count(CommandWord::Ehlo),
            starttls = count(CommandWord::StartTls),
            auth = count(CommandWord::Auth),
            mail = count(CommandWord::Mail),
            rcpt = count(CommandWord::Rcpt),
            data = count(CommandWord::Data),
            bdat = count(CommandWord::Bdat),
            rset = count(CommandWord::Rset),
            noop = count(CommandWord::Noop),
            vrfy = count(CommandWord::Vrfy),
            expn = count(CommandWord::Expn),
            help = count(CommandWord::Help),
            unknown = count(CommandWord::Unknown),
            quit = count(CommandWord::Quit),
            commands = self.commands.iter().sum::<u32>(),
            messages = self.messages,
            violations = (self.violations > 0).then_some(self.violations),
            listener = &*self.client.listener,
            tls = tls.map(|facts| facts.version),
            received = self.received,
            sent = self.sent,
            end = display(self.end),
            error = self.error.as_deref(),
            duration = display(Seconds(self.begun.elapsed())),
            "disconnect from {}",
            Bracketed(self.client.address),
        );
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Recipient => "RCPT",
            Self::Data => "DATA",
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted => "aborted",
            Self::Quit => "quit",
            Self::Lost => "lost",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::HandshakeFailed => "handshake_failed",
            Self::Drained => "drained",
        })
    }
}

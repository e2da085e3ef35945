//! Command lines, what is legal where (RFC 5321 §4.1.4, §4.3.2), and what is answered here.
use super::{Event, Offence, Session, State, Verb, content::is_bdat};
use crate::smtp::{Command, Domain, Mail, Mistake, Recipient, Refusal, Reply};
use bytes::Bytes;
use memchr::memchr;

/// RFC 5321 §4.5.3.1.4 has 512, to which the parameters of the extensions add (AUTH= alone 500,
/// ORCPT= 500, ENVID= 100); RFC 4954 §4 wants 12288 for AUTH, its initial response (a token, say) included.
pub(super) const COMMAND_LINE: usize = 2048;
const AUTH_LINE: usize = 12288;
/// Commands that get nowhere (NOOP, RSET, VRFY …) for each of which ten make one error, so that a
/// client cannot keep a session busy for ever (Postfix: `smtpd_junk_command_limit`).
const IDLE_COMMANDS_PER_ERROR: u32 = 10;

impl Session {
    pub(super) fn line(&mut self) -> Option<Option<Event>> {
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
        if in_auth || overlong {
            self.heard.octets(line.len() as u64);
        } else {
            self.heard.command(&line);
        }
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
        match envelope_command(line) {
            // Nobody could be told of by a line that is not one.
            Some((verb, address)) if *mistake != Mistake::BadOctet => {
                self.count(verb);
                self.events.push_back(Event::Refused { verb, address, refusal: mistake.refusal() });
            }
            _ => self.count(Verb::Unknown),
        }
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
            let refused = match &command {
                Command::Mail(mail) => mail.reverse_path.0.as_ref().map(|address| (verb, address.as_str().into())),
                Command::Rcpt(recipient) => Some((verb, recipient.address.as_str().into())),
                _ => None,
            };
            if let Some((verb, address)) = refused {
                self.events.push_back(Event::Refused { verb, address, refusal: must_start_tls() });
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

    pub(super) fn out_of_order(&mut self, why: &'static str) -> Option<Event> {
        self.mistake(Offence::BadSequence, &Refusal::permanent(3, "5.1", why));
        None
    }
}

fn must_start_tls() -> Refusal {
    Refusal::permanent(30, "7.0", "say STARTTLS first")
}

/// Octets of an address that is none; a path has 256 (RFC 5321 §4.5.3.1.3).
const ADDRESS: usize = 320;

/// Whether a line is MAIL or RCPT, and what stands where its address should: inside of angle brackets,
/// or else the first word behind the colon.
fn envelope_command(line: &[u8]) -> Option<(Verb, Box<str>)> {
    let (name, rest) = line.split_at_checked(4)?;
    let verb = match () {
        () if name.eq_ignore_ascii_case(b"MAIL") => Verb::Mail,
        () if name.eq_ignore_ascii_case(b"RCPT") => Verb::Rcpt,
        () => return None,
    };
    if !rest.first().is_none_or(u8::is_ascii_whitespace) {
        return None;
    }
    let rest = String::from_utf8_lossy(rest.get(..rest.len().min(ADDRESS * 2)).unwrap_or_default());
    let argument = rest.split_once(':').map_or(&*rest, |(_, argument)| argument).trim_ascii_start();
    let address = match argument.strip_prefix('<') {
        Some(path) => path.split_once('>').map_or(path, |(path, _)| path),
        None => argument.split(' ').next().unwrap_or_default(),
    };
    let end = address.floor_char_boundary(ADDRESS);
    Some((verb, address.get(..end).unwrap_or_default().into()))
}

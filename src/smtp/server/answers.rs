//! The driver's answers: each pays what is owed by moving it.
use super::{AboutAuth, AboutHello, AboutMail, AboutMessage, AboutRecipient, AboutTls, Owed, Session, State};
use crate::smtp::{BodyType, Custody, Mail, Offer, Refusal, Reply};
use bytes::Bytes;
use std::{marker::PhantomData, sync::Arc};

impl Session {
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
        self.binary = mail.body == Some(BodyType::BinaryMime);
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

//! A milter's view of one session: a connection of its own, which lives as long as the session.
use super::{
    Milter,
    answer::{self, Said},
    changes::Changes,
    macros::{self, Step, Values},
    negotiation::{self, Agreed, Steps},
    wire::{CHUNK, Wire, put_text},
};
use crate::{
    chain::{Decision, Inspection, Report, StageError, Verdict},
    message::{Client, HeaderBlock, Message},
    smtp::{
        Mail, Recipient,
        client::{mail_arguments, recipient_arguments},
    },
    value::Id,
};
use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use std::{net::IpAddr, sync::Arc};
use tokio::time::timeout;

/// A milter watching a session.
pub(super) struct Session {
    milter: Arc<Milter>,
    client: Arc<Client>,
    /// Its confirmed name, or `unknown`; looked up once.
    name: Option<Box<str>>,
    line: Option<Line>,
    message: Transaction,
}

/// A connection on which options stand.
struct Line {
    wire: Wire,
    agreed: Agreed,
}

/// What is known of the message under way.
#[derive(Default)]
struct Transaction {
    id: Option<Id>,
    mail: Option<Mail>,
    /// The filter was told of it, and would have to be told of its end.
    open: bool,
    /// The filter wants nothing more of it, and answers nothing more: it accepted, discarded or refused
    /// it early.
    settled: Option<Verdict>,
}

impl Session {
    pub(super) fn new(milter: Arc<Milter>, client: Arc<Client>) -> Self {
        Self { milter, client, name: None, line: None, message: Transaction::default() }
    }

    fn line(&mut self) -> Result<&mut Line, StageError> {
        self.line.as_mut().ok_or_else(|| StageError::Failed("there is no connection".into()))
    }

    /// Opens the connection where there is none yet: after STARTTLS nothing of the session before
    /// counts, and nobody asks at connect again. What the filter says to the client then is the
    /// answer to the command that comes next.
    async fn ensure(&mut self) -> Result<Said, StageError> {
        if self.line.is_some() { Ok(Said::Continue) } else { self.open().await }
    }

    async fn open(&mut self) -> Result<Said, StageError> {
        let endpoint = &self.milter.endpoint;
        let connected = self.within(endpoint.connect()).await?;
        let stream = connected.map_err(|error| StageError::Failed(format!("{endpoint}: {error}").into()))?;
        let mut wire = Wire::new(stream);
        let agreed = self.within(negotiation::negotiate(&mut wire, self.milter.read_only)).await??;
        self.line = Some(Line { wire, agreed });
        if self.name.is_none() {
            // What cannot be found out in time is not known, which is what a filter is told.
            let name = self.milter.dns.confirmed_name(self.client.address.ip()).await.ok().flatten();
            self.name = Some(name.unwrap_or_else(|| "unknown".into()));
        }
        let (address, port) = (self.client.address.ip().to_canonical(), self.client.address.port());
        let name = self.name.clone().unwrap_or_default();
        let silent = Steps::SILENT_CONNECT;
        self.ask(macros::CONNECT, Steps::NO_CONNECT, silent, None, |out| {
            put_text(out, &*name);
            out.put_u8(if address.is_ipv4() { b'4' } else { b'6' });
            out.put_u16(port);
            match address {
                IpAddr::V4(address) => put_text(out, address.to_string()),
                // As Postfix writes it, without the tag that SMTP has for it.
                IpAddr::V6(address) => put_text(out, address.to_string()),
            }
        })
        .await
    }

    /// Something of the filter, within the time it has for one answer.
    async fn within<T>(&self, answer: impl Future<Output = T> + Send) -> Result<T, StageError> {
        timeout(self.milter.timeout, answer).await.map_err(|_elapsed| StageError::Late)
    }

    /// A command with its macros, and the answer; nothing is sent of a step that the filter does
    /// not want, and nothing waited for that it does not answer.
    async fn ask(
        &mut self,
        step: Step,
        unwanted: Steps,
        silent: Steps,
        recipient: Option<&Recipient>,
        data: impl FnOnce(&mut BytesMut) + Send,
    ) -> Result<Said, StageError> {
        let milter = Arc::clone(&self.milter);
        let client = Arc::clone(&self.client);
        let name = self.name.clone().unwrap_or_else(|| "unknown".into());
        let (id, mail) = (self.message.id, self.message.mail.clone());
        let line = self.line()?;
        if line.agreed.steps.has(unwanted) {
            return Ok(Said::Continue);
        }
        let values = Values { hostname: &milter.hostname, client: &client, name: &name, id, mail: mail.as_ref(), recipient };
        macros::put(&mut line.wire, &line.agreed, step, &values);
        line.wire.put(step.command(), data);
        if line.agreed.steps.has(silent) {
            return line.settle().await;
        }
        self.answer().await
    }

    /// The answer to a command; whoever says that it is under way gets its time again.
    async fn answer(&mut self) -> Result<Said, StageError> {
        let time = self.milter.timeout;
        let line = self.line()?;
        loop {
            let packet = timeout(time, line.wire.next()).await.map_err(|_elapsed| StageError::Late)??;
            if let Some(said) = answer::said(&packet)? {
                return Ok(said);
            }
        }
    }

    /// What an answer in the middle of a transaction comes to.
    fn decide(&mut self, said: Said) -> Decision {
        match said {
            Said::Continue | Said::Skip => Decision::Go,
            // libmilter does not even answer what else comes of such a message, and it does come where
            // the stage only observes.
            Said::Refuse(refusal) => {
                self.message.settled = Some(Verdict::Refuse(refusal.clone()));
                Decision::Refuse(refusal)
            }
            // The end of the message is when that can be said.
            Said::Accept => {
                self.message.settled = Some(Verdict::Deliver);
                Decision::Go
            }
            Said::Discard => {
                self.message.settled = Some(Verdict::Discard);
                Decision::Go
            }
        }
    }

    /// The last transaction is over for the filter as well. A connection that ended since is given up
    /// for a new one: a filter that is restarted should cost no client its next message.
    async fn close(&mut self) -> Result<(), StageError> {
        if self.line.as_mut().is_some_and(|line| line.wire.is_stale()) {
            self.line = None;
        }
        if std::mem::take(&mut self.message).open
            && let Some(line) = &mut self.line
        {
            line.wire.put(ABORT, |_| {});
            line.settle().await?;
        }
        Ok(())
    }

    /// The header section, field by field.
    async fn fields(&mut self, headers: &HeaderBlock) -> Result<Said, StageError> {
        for field in headers.fields().filter(|field| !field.name.is_empty()) {
            let line = self.line()?;
            if line.agreed.steps.has(Steps::NO_HEADERS) {
                break;
            }
            let value = value(field.value, line.agreed.steps.has(Steps::LEADING_SPACE));
            line.wire.put(HEADER, |out| {
                put_text(out, field.name);
                put_text(out, value);
            });
            if line.agreed.steps.has(Steps::SILENT_HEADER) {
                line.settle().await?;
                continue;
            }
            match self.answer().await? {
                Said::Continue => {}
                // Of fields, that is; their end is told.
                Said::Skip => break,
                other => return Ok(other),
            }
        }
        Ok(Said::Continue)
    }

    async fn greet(&mut self) -> Result<Decision, StageError> {
        let hello = self.client.hello.as_ref().map(|(domain, _)| domain.as_str().to_owned()).unwrap_or_default();
        of_session(self.ask(macros::HELO, Steps::NO_HELO, Steps::SILENT_HELO, None, |out| put_text(out, hello)).await?)
    }
}

const ABORT: u8 = b'A';
const HEADER: u8 = b'L';
const BODY: u8 = b'B';

impl Line {
    /// Nothing is waited for; what was gathered is written once it is much.
    async fn settle(&mut self) -> Result<Said, StageError> {
        if self.wire.is_full() {
            self.wire.flush().await?;
        }
        Ok(Said::Continue)
    }
}

/// What an answer before MAIL comes to.
///
/// # Errors
/// There is nothing yet that could be discarded.
fn of_session(said: Said) -> Result<Decision, StageError> {
    Ok(match said {
        Said::Refuse(refusal) => Decision::Refuse(refusal),
        // Of the whole session nothing more is wanted.
        Said::Accept => Decision::Done,
        Said::Continue | Said::Skip => Decision::Go,
        Said::Discard => return Err(StageError::Failed("it discards what is no message yet".into())),
    })
}

/// A value as filters get it: without the line end, folded with LF alone, and without the blank
/// after the colon unless that was agreed upon.
fn value(value: &[u8], leading_space: bool) -> Vec<u8> {
    let value = value.strip_suffix(b"\r\n").unwrap_or(value);
    let value = if leading_space { value } else { value.strip_prefix(b" ").unwrap_or(value) };
    value.iter().copied().filter(|octet| *octet != b'\r').collect()
}

#[async_trait]
impl Inspection for Session {
    async fn connect(&mut self, client: &Arc<Client>) -> Result<Decision, StageError> {
        self.client = Arc::clone(client);
        of_session(self.open().await?)
    }

    async fn hello(&mut self, client: &Arc<Client>) -> Result<Decision, StageError> {
        self.client = Arc::clone(client);
        self.close().await?;
        let opened = of_session(self.ensure().await?)?;
        if opened != Decision::Go {
            return Ok(opened);
        }
        self.greet().await
    }

    async fn mail(&mut self, client: &Arc<Client>, mail: &Mail, id: Id) -> Result<Decision, StageError> {
        self.client = Arc::clone(client);
        self.close().await?;
        if self.line.is_none() {
            let opened = of_session(self.open().await?)?;
            let greeted = if opened == Decision::Go { self.greet().await? } else { opened };
            if greeted != Decision::Go {
                return Ok(greeted);
            }
        }
        self.message = Transaction { id: Some(id), mail: Some(mail.clone()), open: true, settled: None };
        let arguments = mail_arguments(mail);
        let put = |out: &mut BytesMut| arguments.iter().for_each(|argument| put_text(out, argument));
        let said = self.ask(macros::MAIL, Steps::NO_MAIL, Steps::SILENT_MAIL, None, put).await?;
        Ok(self.decide(said))
    }

    async fn recipient(&mut self, recipient: &Recipient) -> Result<Decision, StageError> {
        if self.message.settled.is_some() {
            return Ok(Decision::Go);
        }
        let arguments = recipient_arguments(recipient);
        let put = |out: &mut BytesMut| arguments.iter().for_each(|argument| put_text(out, argument));
        let said = self.ask(macros::RCPT, Steps::NO_RCPT, Steps::SILENT_RCPT, Some(recipient), put).await?;
        // Of this recipient only.
        if let Said::Refuse(refusal) = said { Ok(Decision::Refuse(refusal)) } else { Ok(self.decide(said)) }
    }

    async fn headers(&mut self, headers: &HeaderBlock) -> Result<Decision, StageError> {
        if self.message.settled.is_some() {
            return Ok(Decision::Go);
        }
        let mut said = self.ask(macros::DATA, Steps::NO_DATA, Steps::SILENT_DATA, None, |_| {}).await?;
        if let Said::Continue = said {
            said = self.fields(headers).await?;
        }
        if let Said::Continue = said {
            let (unwanted, silent) = (Steps::NO_END_OF_HEADER, Steps::SILENT_END_OF_HEADER);
            said = self.ask(macros::END_OF_HEADER, unwanted, silent, None, |_| {}).await?;
        }
        Ok(self.decide(said))
    }

    async fn body(&mut self, chunk: &Bytes) -> Result<Decision, StageError> {
        if self.message.settled.is_some() || self.line()?.agreed.steps.has(Steps::NO_BODY) {
            return Ok(Decision::Done);
        }
        for piece in chunk.chunks(CHUNK) {
            let line = self.line()?;
            line.wire.put(BODY, |out| out.put_slice(piece));
            if line.agreed.steps.has(Steps::SILENT_BODY) {
                line.settle().await?;
                continue;
            }
            match self.answer().await? {
                Said::Continue => {}
                Said::Skip => return Ok(Decision::Done),
                other => return Ok(self.decide(other)),
            }
        }
        Ok(if self.message.settled.is_some() { Decision::Done } else { Decision::Go })
    }

    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        if let Some(verdict) = self.message.settled.take() {
            return Ok(Report { verdict, ..Report::default() });
        }
        let milter = Arc::clone(&self.milter);
        let (name, client) = (self.name.clone().unwrap_or_default(), Arc::clone(&self.client));
        let (id, mail) = (self.message.id, self.message.mail.clone());
        let line = self.line()?;
        let values = Values { hostname: &milter.hostname, client: &client, name: &name, id, mail: mail.as_ref(), recipient: None };
        macros::put(&mut line.wire, &line.agreed, macros::END_OF_MESSAGE, &values);
        line.wire.put(macros::END_OF_MESSAGE.command(), |_| {});
        let mut changes = Changes::new(line.agreed.actions, milter.max_body, message.content.memory());
        let said = loop {
            let packet = timeout(milter.timeout, line.wire.next()).await.map_err(|_elapsed| StageError::Late)??;
            if let Some(said) = answer::said_at_end(&packet, &mut changes)? {
                break said;
            }
        };
        // It is over for the filter too: it waits for the next MAIL.
        self.message = Transaction::default();
        Ok(answer::report(said, changes))
    }

    fn abort(&mut self) {
        // The filter hears of it with the next command: this must not wait.
        self.message.settled = None;
    }
}

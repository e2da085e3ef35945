//! Opens a transaction: a connection, who the client is, MAIL and RCPT.
use super::{
    Answer, Seat, Upstream, UpstreamError,
    connection::Connection,
    dial::Opening,
    fault::Fault,
    identity::{self, Identity},
    proxy,
    settings::IdentityMode,
    transaction::{Home, Transaction},
};
use crate::message::Client;
use crate::smtp::{
    BodyType, Capabilities, Mail, Recipient, Refusal, Reply,
    client::{write_mail, write_recipient},
};
use crate::telemetry::{Phase, UpstreamFault};
use std::{slice, sync::Arc};
use tokio::time::Instant;

/// RCPTs of one write. Their replies fit what is read ahead, whatever the server says.
const BATCH: usize = 100;

/// What the server said to MAIL and to every RCPT.
enum Opened {
    Mail(Refusal),
    Recipients(Vec<Answer<Reply>>),
}

impl Upstream {
    /// Opens a transaction: MAIL and the first RCPT in one write. `No` where MAIL was refused (no
    /// transaction stands then); the inner answer is the one to RCPT.
    ///
    /// # Errors
    /// No server of it could be asked; the connection is gone.
    pub async fn begin(
        self: &Arc<Self>,
        seat: &Seat,
        client: &Arc<Client>,
        mail: &Mail,
        first: &Recipient,
    ) -> Result<Answer<(Transaction, Answer<Reply>)>, UpstreamError> {
        let (mut transaction, opened) = self.open(seat, client, mail, slice::from_ref(first)).await?;
        Ok(match opened {
            Opened::Mail(refusal) => Answer::No(refusal),
            Opened::Recipients(mut answers) => match answers.pop() {
                Some(answer) => Answer::Yes((transaction, answer)),
                None => return Err(transaction.fail(Fault::closed())),
            },
        })
    }

    /// One more RCPT in the transaction `held`, which has the recipients in `accepted` already; opens
    /// it where it is not open (any more).
    ///
    /// A connection that ends under it, in silence or by a 421 (which speaks of the service and not
    /// of the recipient, RFC 5321 §3.8), was often about to end anyway. Nothing of the envelope has
    /// been accepted for good, so all of it is said again on another connection, once.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); `held` is `None` then.
    pub async fn recipient(
        self: &Arc<Self>,
        held: &mut Option<Transaction>,
        seat: &Seat,
        client: &Arc<Client>,
        mail: &Mail,
        accepted: &[Recipient],
        next: &Recipient,
    ) -> Result<Answer<Reply>, UpstreamError> {
        if let Some(transaction) = held {
            match transaction.ask(next).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => {
                    let another_may_do = fault.is_disconnect();
                    let error = transaction.fail(fault);
                    *held = None;
                    if !another_may_do {
                        return Err(error);
                    }
                    tracing::info!("{error}; the envelope is said again on another connection");
                }
            }
        }
        if accepted.is_empty() {
            return Ok(match self.begin(seat, client, mail, next).await? {
                Answer::Yes((transaction, answer)) => {
                    *held = Some(transaction);
                    answer
                }
                Answer::No(refusal) => Answer::No(refusal),
            });
        }
        match self.replay(seat, client, mail, accepted).await? {
            Answer::Yes(mut transaction) => {
                let answer = transaction.ask(next).await.map_err(|fault| transaction.fail(fault))?;
                *held = Some(transaction);
                Ok(answer)
            }
            Answer::No(refusal) => Ok(Answer::No(refusal)),
        }
    }

    /// Opens a transaction again for an envelope that was accepted before, all of it pipelined.
    /// `No` where anything of it is refused now: the refusal, if it is the only recipient's or
    /// MAIL's; a 4yz if only some recipients are refused, so that nothing is half delivered.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn replay(
        self: &Arc<Self>,
        seat: &Seat,
        client: &Arc<Client>,
        mail: &Mail,
        recipients: &[Recipient],
    ) -> Result<Answer<Transaction>, UpstreamError> {
        let (transaction, opened) = self.open(seat, client, mail, recipients).await?;
        let answers = match opened {
            Opened::Mail(refusal) => return Ok(Answer::No(refusal)),
            Opened::Recipients(answers) => answers,
        };
        let all = answers.len();
        let mut refusals = answers.into_iter().filter_map(|answer| match answer {
            Answer::No(refusal) => Some(refusal),
            Answer::Yes(_) => None,
        });
        Ok(match refusals.next() {
            None => Answer::Yes(transaction),
            Some(only) if all == 1 => Answer::No(only),
            Some(refusal) => {
                tracing::info!(
                    upstream = &**self.name(),
                    "refuses {} of {all} recipients that it accepted before: {refusal}",
                    refusals.count() + 1
                );
                Answer::No(Refusal::temporary(51, "3.0", "not all recipients are accepted any more, try again later"))
            }
        })
    }

    async fn open(
        self: &Arc<Self>,
        seat: &Seat,
        client: &Arc<Client>,
        mail: &Mail,
        recipients: &[Recipient],
    ) -> Result<(Transaction, Opened), UpstreamError> {
        let mut fresh = false;
        loop {
            let (connection, home) = match self.obtain(seat, client, fresh).await {
                Ok(obtained) => obtained,
                Err(fault) => {
                    let session_over = seat.is_authenticated(&self.target);
                    return self.refused(fault).map_err(|error| UpstreamError { session_over, ..error });
                }
            };
            let metrics = &self.target.metrics;
            if connection.reused {
                metrics.reused.inc()
            } else {
                metrics.connects.inc()
            }
            let reused = connection.reused;
            let authenticated = connection.authenticated;
            let mut transaction = Transaction::new(connection, home);
            let started = Instant::now();
            let fault = match transaction.open(client, mail, recipients).await {
                Ok(opened) => {
                    transaction.bind(seat);
                    metrics.latency(Phase::Envelope, started.elapsed().as_secs_f64());
                    return Ok((transaction, opened));
                }
                Err(fault) => fault,
            };
            if authenticated {
                return Err(UpstreamError { session_over: true, ..transaction.fail(fault) });
            }
            // It had been idle, and the server had ended it. Nothing of this transaction has been
            // accepted for good, so that another connection may have it; once, lest a server that
            // ends every connection is asked for ever.
            if reused && !fresh && fault.is_disconnect() {
                fresh = true;
                transaction.fail(fault);
                continue;
            }
            if fault.refusal.is_some() {
                return self.refused(fault);
            }
            return Err(transaction.fail(fault));
        }
    }

    /// Where the MTA refuses the client as such, it is as if MAIL had been refused.
    fn refused(&self, mut fault: Fault) -> Result<(Transaction, Opened), UpstreamError> {
        match fault.refusal.take() {
            Some(refusal) => Ok((Transaction::over(&self.target), Opened::Mail(refusal))),
            None => Err(self.target.error(None, fault)),
        }
    }

    /// A connection that may speak for `client`, and where it belongs.
    async fn obtain(self: &Arc<Self>, seat: &Seat, client: &Client, fresh: bool) -> Result<(Connection, Home), Fault> {
        match seat.take(&self.target).filter(|_| !fresh) {
            Some(connection) if may_serve(&connection, client) => return Ok((connection, Home::Seat(seat.way_back()))),
            // The session is somebody else since it said EHLO again.
            Some(connection) => connection.quit(),
            None => {}
        }
        if seat.is_authenticated(&self.target) {
            // Another one would be a stranger to the MTA, and be refused for good.
            let fault = Fault::new(UpstreamFault::Closed, "the connection that AUTH went through is gone");
            fault.count(&self.target.metrics);
            return Err(fault);
        }
        if self.target.identity == IdentityMode::ProxyV2 {
            return Ok((self.own_connection(client).await?, Home::Seat(seat.way_back())));
        }
        Ok((self.pool.obtain(fresh).await?, Home::Pool(Arc::clone(&self.pool))))
    }

    /// A new connection for `client` alone.
    pub(super) async fn own_connection(&self, client: &Client) -> Result<Connection, Fault> {
        let opening = match self.target.identity {
            IdentityMode::ProxyV2 => {
                let header = proxy::header(client).map_err(|e| Fault::new(UpstreamFault::Io, format!("PROXY header: {e}")))?;
                let hello = client.hello.as_ref().map(|(domain, _)| domain.as_str().into());
                Opening { header: Some(header), hello, for_client: true }
            }
            IdentityMode::Xclient | IdentityMode::None => Opening::default(),
        };
        self.pool.dedicated(&opening).await
    }
}

/// What the server behind `connection` is to be told of `client`; `None` where it takes us for the
/// client, or knows already and for good.
fn wanted(connection: &Connection, client: &Client) -> Option<Identity> {
    match connection.target().identity {
        // XCLIENT after AUTH may undo it.
        _ if connection.authenticated => None,
        IdentityMode::None => None,
        IdentityMode::Xclient => Some(Identity::by_xclient(client, &connection.offered)),
        IdentityMode::ProxyV2 => Some(Identity::by_hello(client)),
    }
}

fn may_serve(connection: &Connection, client: &Client) -> bool {
    !connection.bound || wanted(connection, client).is_none_or(|wanted| wanted == connection.identity)
}

/// Makes the server know who the client is, if it is to know and does not.
pub(super) async fn introduce(connection: &mut Connection, client: &Client) -> Result<(), Fault> {
    let Some(wanted) = wanted(connection, client) else { return Ok(()) };
    let patience = connection.target().timeouts.command;
    identity::assume(connection, wanted, patience).await
}

impl Transaction {
    async fn open(&mut self, client: &Client, mail: &Mail, recipients: &[Recipient]) -> Result<Opened, Fault> {
        let connection = self.connection().ok_or_else(Fault::closed)?;
        let patience = connection.target().timeouts.command;
        connection.reset(patience).await?;
        introduce(connection, client).await?;
        if let Some(lacking) = unkept(connection, mail, recipients) {
            tracing::warn!(connection = ?connection, "lacks {lacking}, which the client was offered");
            return Ok(Opened::Mail(not_now()));
        }
        connection.binary = mail.body == Some(BodyType::BinaryMime);
        envelope(connection, mail, recipients).await
    }
}

/// What the client has asked for and this server cannot do, so that it would be lost on the way.
fn unkept(connection: &Connection, mail: &Mail, recipients: &[Recipient]) -> Option<&'static str> {
    let Capabilities { eight_bit, utf8, chunking, binary, dsn, require_tls, .. } = *connection.capabilities;
    let wants_dsn = mail.ret.is_some() || mail.envid.is_some() || recipients.iter().any(wants_dsn);
    [
        (mail.body == Some(BodyType::EightBitMime) && !eight_bit, "8BITMIME"),
        (mail.body == Some(BodyType::BinaryMime) && !(binary && chunking), "BINARYMIME"),
        (mail.utf8 && !utf8, "SMTPUTF8"),
        (wants_dsn && !dsn, "DSN"),
        // RFC 8689 §4.2.1: only to a server that keeps it, over TLS that has been verified.
        (mail.require_tls && !(require_tls && connection.verified), "REQUIRETLS"),
    ]
    .into_iter()
    .find_map(|(lacks, what)| lacks.then_some(what))
}

pub(super) fn wants_dsn(recipient: &Recipient) -> bool {
    recipient.notify.is_some() || recipient.orcpt.is_some()
}

/// It was offered because all servers seemed to have it; soon it will not be offered any more.
pub(super) fn not_now() -> Refusal {
    Refusal::temporary(51, "3.3", "the mail server behind this one cannot do what was asked for, try again later")
}

async fn envelope(connection: &mut Connection, mail: &Mail, recipients: &[Recipient]) -> Result<Opened, Fault> {
    let patience = connection.target().timeouts.command;
    let Connection { wire, capabilities, in_transaction, .. } = connection;
    let batch = if capabilities.pipelining { BATCH } else { 1 };
    let mut batches = recipients.chunks(batch);
    write_mail(wire.out(), mail, mail.size, capabilities);
    // From here on, whoever gives up has to reset.
    *in_transaction = true;
    let mut sent: &[Recipient] = &[];
    if capabilities.pipelining {
        sent = batches.next().unwrap_or_default();
        sent.iter().for_each(|recipient| write_recipient(wire.out(), recipient, capabilities));
    }
    wire.send(1 + sent.len(), patience).await?;
    let refusal = match answer(wire.reply(patience).await?, "MAIL")? {
        Answer::Yes(_) => None,
        Answer::No(refusal) => Some(refusal),
    };
    let mut answers = Vec::with_capacity(recipients.len());
    loop {
        for _ in sent {
            let reply = wire.reply(patience).await?;
            if refusal.is_none() {
                answers.push(answer(reply, "RCPT")?);
            }
        }
        if let Some(refusal) = refusal {
            *in_transaction = false;
            return Ok(Opened::Mail(refusal));
        }
        sent = match batches.next() {
            Some(batch) => batch,
            None => return Ok(Opened::Recipients(answers)),
        };
        sent.iter().for_each(|recipient| write_recipient(wire.out(), recipient, capabilities));
        wire.send(sent.len(), patience).await?;
    }
}

/// A 2yz or a refusal; nothing else answers MAIL or RCPT.
pub(super) fn answer(reply: Reply, command: &str) -> Result<Answer<Reply>, Fault> {
    if reply.is_positive() {
        return Ok(Answer::Yes(reply));
    }
    let unexpected = Fault::unexpected(command, &reply);
    Refusal::from_reply(reply).map(Answer::No).ok_or(unexpected)
}

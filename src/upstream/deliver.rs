//! Hands a message over: BDAT (RFC 3030) where the server has it, else DATA.
use super::{
    Accepted, Answer, UpstreamError,
    connection::Connection,
    fault::Fault,
    pieces::Pieces,
    transaction::{Body, Outgoing, Transaction, fail},
};
use crate::message::Reader;
use crate::smtp::{
    Refusal, Reply,
    data::{ChunkDecoder, Stuffer},
};
use crate::telemetry::{Phase, UpstreamFault};
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

/// What became of it.
enum End {
    Accepted(Reply),
    Refused(Refusal),
    /// Refused before all of it was sent: what the server would take for the rest is anybody's guess.
    CutShort(Refusal),
}

impl Transaction {
    /// Hands the message over: BDAT where the server has CHUNKING, else DATA with fresh
    /// dot-stuffing. The connection goes back when the reply is there.
    ///
    /// # Errors
    /// The connection broke or the server did not answer; whether it has the message is unknown
    /// only where all of it had been sent (RFC 5321 §4.5.4, RFC 1047).
    pub async fn deliver(mut self, outgoing: Outgoing) -> Result<Answer<Accepted>, UpstreamError> {
        let Some((mut connection, home)) = self.take() else {
            return Err(self.fail(Fault::new(UpstreamFault::Closed, "the connection is gone")));
        };
        // Whoever stops waiting from here on drops the connection: what the server has of the
        // message is unknown then, and no RSET undoes it.
        match hand_over(&mut connection, outgoing).await {
            Ok(End::Accepted(reply)) => {
                connection.settle(true);
                if connection.wire.is_at_rest() {
                    home.put(connection);
                } else {
                    Fault::surplus().count(&connection.target().metrics);
                }
                Ok(Answer::Yes(Accepted { reply }))
            }
            Ok(End::Refused(refusal)) => {
                home.put(connection);
                Ok(Answer::No(refusal))
            }
            Ok(End::CutShort(refusal)) => Ok(Answer::No(refusal)),
            Err(fault) => {
                let error = fail(&connection, fault);
                Err(UpstreamError { session_over: connection.authenticated, ..error })
            }
        }
    }
}

async fn hand_over(connection: &mut Connection, Outgoing { prefix, body, leading_dot }: Outgoing) -> Result<End, Fault> {
    let timeouts = connection.target().timeouts;
    let patience = timeouts.command;
    let wire = &mut connection.wire;
    let mut source = Source::new(body, leading_dot, connection.binary);
    let mut pieces = Pieces::default();
    let mut stuffer = if connection.capabilities.chunking {
        wire.check_silence()?;
        let size = prefix.iter().map(|piece| piece.len() as u64).sum::<u64>() + source.len;
        pieces.push(format!("BDAT {size} LAST\r\n").into());
        None
    } else {
        let reply = wire.command("DATA", patience).await?;
        if reply.code() != 354 {
            let unexpected = Fault::unexpected("DATA", &reply);
            // Such as `554 no valid recipients`.
            return Refusal::from_reply(reply).map(End::Refused).ok_or(unexpected);
        }
        Some(Stuffer::default())
    };
    wire.expect_reply();
    // The header block may have been edited: nobody has vouched for it.
    prefix.into_iter().for_each(|piece| feed(&mut stuffer, piece, true, &mut pieces));
    loop {
        let dots = source.leading_dot;
        let whole = source.read_into(|piece| feed(&mut stuffer, piece, dots, &mut pieces)).await?;
        if whole && let Some(stuffer) = stuffer.take() {
            pieces.push(Bytes::from_static(stuffer.end()));
        }
        if let Some(refusal) = wire.send_body(&mut pieces, patience).await? {
            return Ok(End::CutShort(refusal));
        }
        if whole {
            break;
        }
    }
    let sent = Instant::now();
    let reply = wire.reply(timeouts.end_of_data).await?;
    connection.target().metrics.latency(Phase::FinalReply, sent.elapsed().as_secs_f64());
    if reply.is_positive() {
        return Ok(End::Accepted(reply));
    }
    // After DATA the transaction is over (RFC 5321 §4.1.1.4); after BDAT it is to be reset (RFC 3030 §2).
    if !connection.capabilities.chunking {
        connection.settle(false);
    }
    let unexpected = Fault::unexpected("the end of data", &reply);
    Refusal::from_reply(reply).map(End::Refused).ok_or(unexpected)
}

/// Adds a piece as it goes over the wire: with `dots`, one in which a line may begin with a dot.
fn feed(stuffer: &mut Option<Stuffer>, piece: Bytes, dots: bool, out: &mut Pieces) {
    match stuffer {
        // The splitting is lazy: what is not asked for is not looked for.
        Some(stuffer) if dots => stuffer.split(&piece).for_each(|slice| out.push(piece.slice_ref(slice))),
        Some(stuffer) => {
            drop(stuffer.split(&piece));
            out.push(piece);
        }
        None => out.push(piece),
    }
}

/// Where a body comes from.
struct Source {
    len: u64,
    /// Read at one go: what is in memory already.
    ready: Vec<Bytes>,
    /// Read piece by piece.
    reader: Option<Reader>,
    leading_dot: bool,
}

impl Source {
    fn new(body: Body, leading_dot: bool, binary: bool) -> Self {
        let (content, from) = match body {
            Body::Content { content, from } => (content, from),
            Body::Replaced(body) => return Self::replaced(body, binary),
        };
        let len = content.len().saturating_sub(from);
        match content.in_memory() {
            Some(pieces) => Self { len, ready: skip(pieces, from), reader: None, leading_dot },
            None => Self { len, ready: Vec::new(), reader: Some(content.reader(from)), leading_dot },
        }
    }

    /// What a stage has made has not come through a decoder, and gets canonical line ends here.
    fn replaced(body: Bytes, binary: bool) -> Self {
        let mut decoder = ChunkDecoder::new(binary);
        let (mut input, mut remaining) = (BytesMut::from(body), u64::MAX);
        let mut ready = Vec::new();
        while !input.is_empty() {
            ready.push(decoder.next(&mut input, &mut remaining));
        }
        ready.extend(decoder.finish());
        let len = ready.iter().map(|piece| piece.len() as u64).sum();
        Self { len, ready, reader: None, leading_dot: decoder.has_leading_dot() }
    }

    /// What can be had at once, or the next piece; `true` at the end.
    async fn read_into(&mut self, mut feed: impl FnMut(Bytes)) -> Result<bool, Fault> {
        std::mem::take(&mut self.ready).into_iter().for_each(&mut feed);
        let Some(reader) = &mut self.reader else { return Ok(true) };
        let next = reader.next().await.map_err(|e| Fault::new(UpstreamFault::Io, format!("the message cannot be read back: {e}")))?;
        let whole = next.is_none();
        next.into_iter().for_each(feed);
        Ok(whole)
    }
}

/// All but the first `from` octets.
fn skip(pieces: &[Bytes], mut from: u64) -> Vec<Bytes> {
    let mut rest = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let skipped = usize::try_from(from).unwrap_or(usize::MAX).min(piece.len());
        from -= skipped as u64;
        if skipped < piece.len() {
            rest.push(piece.slice(skipped..));
        }
    }
    rest
}

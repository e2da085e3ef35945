//! Content: DATA and chunks, from the command that begins them to the event that ends them; and what
//! is read and dropped because it is refused already.
use super::{Ending, Event, Offence, Session, State};
use crate::smtp::data::{ChunkDecoder, Decoder, Piece};
use crate::smtp::{Refusal, Reply};
use bytes::{Buf, Bytes};

impl Session {
    pub(super) fn begin_data(&mut self) -> Option<Event> {
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

    pub(super) fn begin_chunk(&mut self, size: u64, last: bool) -> Option<Event> {
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
    pub(super) fn refuse_chunk(&mut self, size: u64, refusal: Refusal) -> Option<Event> {
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

    /// A chunk's octets follow its command whatever we think of it; where its size cannot be read
    /// they could only be taken for commands (CVE-2020-28019 is of that family).
    pub(super) fn untrusted_chunk(&mut self) -> Option<Event> {
        self.input.clear();
        self.mistake(Offence::BadSyntax, &Refusal::permanent(1, "5.4", "no size of a chunk"));
        self.state = State::Closed;
        None
    }

    // Each of these gives `None` where input is missing and `Some(None)` where the loop goes on.
    //
    // An event that ends a message never waits behind one of its octets: between the two the driver
    // may find that it cannot keep them, and then the message has not been received.

    pub(super) fn data(&mut self) -> Option<Option<Event>> {
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

    pub(super) fn chunk(&mut self) -> Option<Option<Event>> {
        let State::Chunks { decoder, remaining, .. } = &mut self.state else { return Some(None) };
        if self.input.is_empty() {
            return None;
        }
        let before = self.input.len();
        let octets = decoder.next(&mut self.input, remaining);
        self.raw += (before - self.input.len()) as u64;
        Some(self.body(octets))
    }

    pub(super) fn end_of_chunk(&mut self) -> Option<Event> {
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

    pub(super) fn discard(&mut self) -> Option<Option<Event>> {
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
        self.heard.octets(self.raw);
        if let Some(refusal) = self.spoilt.take() {
            self.give_up(&refusal);
            return None;
        }
        self.ask(|owed| Event::EndOfData { ending, owed })
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

    /// Gives the message under way up: the rest of it is read and dropped, and `refusal` is said
    /// where its answer is due. An [`Event::Reset`] follows then.
    pub fn spoil(&mut self, refusal: Refusal) {
        self.spoilt.get_or_insert(refusal);
    }
}

pub(super) fn is_bdat(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

fn too_big() -> Refusal {
    Refusal::permanent(52, "3.4", "the message is too big")
}

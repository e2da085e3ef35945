//! Makes lines of events.
use super::{Format, Settings, escape, sink::Sink};
use crate::value::rfc3339;
use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    subscriber::Interest,
};
use tracing_subscriber::layer::{Context, Layer};

/// The layer of `tracing` that writes the log. Two fields of an event are special: `id` stands in
/// front (`NOQUEUE` where there is no message yet), and `message` comes before the other fields,
/// which then are divided by a blank as in Postfix's `reject:` lines; it may end in `;` for the
/// same reason.
pub(super) struct Lines {
    settings: Settings,
    journald: bool,
    sink: Arc<Sink>,
}

/// Buffers of one thread, kept so that a line allocates nothing.
#[derive(Default)]
struct Scratch {
    head: String,
    id: String,
    message: String,
    fields: String,
    /// A value whose text is not known beforehand.
    value: String,
    clock: Clock,
}

/// Writes the time; all but the microseconds is made anew only once a second.
#[derive(Default)]
struct Clock {
    second: u64,
    text: String,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Lines {
    pub(super) fn new(settings: Settings, journald: bool, sink: Arc<Sink>) -> Self {
        Self { settings, journald, sink }
    }

    fn write(&self, event: &Event<'_>, scratch: &mut Scratch) {
        scratch.clear();
        let metadata = event.metadata();
        let separator = if metadata.fields().field("message").is_some() { " " } else { ", " };
        let mut visitor = Visitor { scratch, format: self.settings.format, separator };
        event.record(&mut visitor);
        match self.settings.format {
            Format::Text => self.write_text(*metadata.level(), scratch),
            Format::Json => self.write_json(*metadata.level(), scratch),
        }
    }

    fn write_text(&self, level: Level, scratch: &mut Scratch) {
        let Scratch { head, id, message, fields, clock, .. } = scratch;
        if self.journald {
            head.push_str(priority(level));
        } else {
            clock.push(head);
            head.push(' ');
            head.push_str(name(level));
            head.push(' ');
        }
        let colon = if id.is_empty() { "" } else { ": " };
        let blank = if message.is_empty() || fields.is_empty() { "" } else { " " };
        let pieces = [&**head, id, colon, message, blank, fields, "\n"];
        self.sink.append(&pieces.map(str::as_bytes));
    }

    fn write_json(&self, level: Level, scratch: &mut Scratch) {
        let Scratch { head, id, message, fields, clock, .. } = scratch;
        if self.journald {
            head.push_str(priority(level));
        }
        head.push_str("{\"time\":\"");
        clock.push(head);
        head.push_str("\",\"level\":\"");
        head.push_str(name(level));
        head.push('"');
        let pieces = [&**head, id, message, fields, "}\n"];
        self.sink.append(&pieces.map(str::as_bytes));
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.takes(metadata) { Interest::always() } else { Interest::never() }
    }
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.takes(metadata)
    }
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.settings.level)
    }
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // A `Display` that logs, or panics, comes here while the buffers are in use.
        let _ = SCRATCH.try_with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => self.write(event, &mut scratch),
            Err(_) => self.write(event, &mut Scratch::default()),
        });
    }
}

impl Lines {
    /// Events of this level; other people's only where they warn. Spans are nobody's here.
    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with(env!("CARGO_PKG_NAME"));
        let level = if ours { self.settings.level } else { self.settings.level.min(LevelFilter::WARN) };
        metadata.is_event() && *metadata.level() <= level
    }
}

impl Scratch {
    fn clear(&mut self) {
        for buffer in [&mut self.head, &mut self.id, &mut self.message, &mut self.fields, &mut self.value] {
            buffer.clear();
        }
    }
}

impl Clock {
    fn push(&mut self, out: &mut String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.text.is_empty() || self.second != now.as_secs() {
            self.second = now.as_secs();
            self.text = rfc3339(UNIX_EPOCH + Duration::from_secs(self.second));
        }
        // `2026-11-25T02:22:22.` of `2026-11-25T02:22:22.000000Z`.
        out.push_str(self.text.get(..20).unwrap_or_default());
        let _ = write!(out, "{:06}Z", now.subsec_micros());
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// sd-daemon(3).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// Where a value goes, by the name of its field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Id,
    Message,
    /// An address, or what looks like one: in angle brackets in text.
    Angled,
    /// Addresses divided by LF: a list.
    List,
    /// Seconds, as their `Display` has them: a number, also for who computes with the lines.
    Number,
    Other,
}

impl Place {
    fn of(name: &str) -> Self {
        match name {
            "id" => Self::Id,
            "message" => Self::Message,
            "from" | "helo" | "message_id" => Self::Angled,
            "to" => Self::List,
            "delay" | "duration" => Self::Number,
            _ => Self::Other,
        }
    }
}

struct Visitor<'s> {
    scratch: &'s mut Scratch,
    format: Format,
    separator: &'static str,
}

impl Visitor<'_> {
    /// Writes the name of a field that is not special, and what comes before it.
    fn key(&mut self, name: &str) {
        let fields = &mut self.scratch.fields;
        match self.format {
            Format::Text => {
                if !fields.is_empty() {
                    fields.push_str(self.separator);
                }
                // Postfix writes them so. The count of HELO has a name of its own for those who index
                // fields, and want one kind of value in each: `helo` is a name elsewhere.
                fields.push_str(match name {
                    "message_id" => "message-id",
                    "helo_count" => "helo",
                    name => name,
                });
                fields.push('=');
            }
            Format::Json => {
                fields.push_str(",\"");
                fields.push_str(name);
                fields.push_str("\":");
            }
        }
    }

    fn text(&mut self, field: &Field, value: &str) {
        let place = Place::of(field.name());
        match (place, self.format) {
            (Place::Id, Format::Text) => escape::push_message(&mut self.scratch.id, value),
            (Place::Id, Format::Json) => {
                self.scratch.id.push_str(",\"id\":");
                escape::push_json(&mut self.scratch.id, value);
            }
            (Place::Message, Format::Text) => escape::push_message(&mut self.scratch.message, value),
            (Place::Message, Format::Json) => {
                self.scratch.message.push_str(",\"message\":");
                escape::push_json(&mut self.scratch.message, value.strip_suffix(';').unwrap_or(value));
            }
            (Place::Number, _) if value.bytes().all(|b| b.is_ascii_digit() || b == b'.') && !value.is_empty() => {
                self.key(field.name());
                self.scratch.fields.push_str(value);
            }
            (Place::Angled | Place::List | Place::Number | Place::Other, format) => {
                self.key(field.name());
                let fields = &mut self.scratch.fields;
                match (place, format) {
                    (Place::List, _) => push_list(fields, value, format),
                    (_, Format::Json) => escape::push_json(fields, value),
                    (Place::Angled, Format::Text) => escape::push_angled(fields, value),
                    (_, Format::Text) => escape::push_text(fields, value),
                }
            }
        }
    }

    /// Numbers and the like, which need no quotes in either format.
    fn literal(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if matches!(Place::of(field.name()), Place::Other | Place::Number) {
            self.key(field.name());
            let _ = self.scratch.fields.write_fmt(value);
        } else {
            self.display(field, value);
        }
    }

    fn display(&mut self, field: &Field, value: impl fmt::Display) {
        let mut text = std::mem::take(&mut self.scratch.value);
        text.clear();
        let _ = write!(escape::Bounded::new(&mut text), "{value}");
        self.text(field, &text);
        self.scratch.value = text;
    }
}

fn push_list(out: &mut String, value: &str, format: Format) {
    if format == Format::Json {
        out.push('[');
    }
    for (n, item) in value.split('\n').enumerate() {
        if n > 0 {
            out.push(',');
        }
        match format {
            Format::Text => escape::push_angled(out, item),
            Format::Json => escape::push_json(out, item),
        }
    }
    if format == Format::Json {
        out.push(']');
    }
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.literal(field, format_args!("{value}"));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.literal(field, format_args!("{value}"));
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        self.literal(field, format_args!("{value}"));
    }
    fn record_i128(&mut self, field: &Field, value: i128) {
        self.literal(field, format_args!("{value}"));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.literal(field, format_args!("{value}"));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no other numbers (RFC 8259 §6); a thousandth is as fine as times are told.
        if value.is_finite() {
            self.literal(field, format_args!("{value:.3}"));
        }
    }
    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        self.display(field, error);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.display(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::capture::capture;
    use super::*;

    fn story() {
        tracing::info!(
            id = "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            from = "a@example.org",
            to = "b@example.com\nc@example.com",
            size = 289,
            ok = true
        );
        tracing::warn!(id = "NOQUEUE", from = "", helo = "a\r\nfake", "reject: RCPT from [192.0.2.1]: {};", "550 5.7.1 no");
        tracing::error!(delay = 0.25, missing = None::<&str>, reply = %"250 2.0.0 ok\nqueued", "text\nnew line");
        tracing::debug!("not at this level");
        tracing::info!(target: "elsewhere", "not ours");
    }

    #[test]
    fn text_is_in_postfix_habit() {
        assert_eq!(
            capture(Format::Text, true, story),
            "<6>01ARZ3NDEKTSV4RRFFQ69G5FAV: from=<a@example.org>, to=<b@example.com>,<c@example.com>, size=289, ok=true\n\
             <4>NOQUEUE: reject: RCPT from [192.0.2.1]: 550 5.7.1 no; from=<> helo=<a\\x0d\\x0afake>\n\
             <3>text\\x0anew line delay=0.250 reply=\"250 2.0.0 ok\\x0aqueued\"\n"
        );
    }

    #[test]
    fn text_has_time_and_level_where_nobody_else_adds_them() {
        let text = capture(Format::Text, false, || tracing::info!("hello"));
        let (time, rest) = text.split_once(' ').unwrap();
        assert_eq!(rest, "info hello\n");
        let pattern: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(pattern, "0000-00-00T00:00:00.000000Z");
    }

    #[test]
    fn numbers_are_numbers_and_no_name_has_two_kinds() {
        let line = || tracing::info!(helo_count = 2_u32, duration = %"0.25", delay = %"\",\"x\":1", "disconnect");
        assert_eq!(capture(Format::Text, true, line), "<6>disconnect helo=2 duration=0.25 delay=\"\\\",\\\"x\\\":1\"\n");
        let json = capture(Format::Json, true, line);
        assert!(json.contains(r#","helo_count":2,"duration":0.25,"delay":"\",\"x\":1"}"#), "{json}");
    }

    #[test]
    fn json_has_the_same_fields() {
        let text = capture(Format::Json, false, story);
        let without_time: Vec<_> = text.lines().map(|line| line.split_once("\",").unwrap().1).collect();
        assert_eq!(
            without_time,
            [
                r#""level":"info","id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","from":"a@example.org","to":["b@example.com","c@example.com"],"size":289,"ok":true}"#,
                r#""level":"warn","id":"NOQUEUE","message":"reject: RCPT from [192.0.2.1]: 550 5.7.1 no","from":"","helo":"a\u000d\u000afake"}"#,
                r#""level":"error","message":"text\u000anew line","delay":0.250,"reply":"250 2.0.0 ok\u000aqueued"}"#,
            ]
        );
    }
}

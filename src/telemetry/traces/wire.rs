//! OTLP's messages, as far as traces need them (`opentelemetry-proto`, `trace.proto`,
//! `trace_service.proto`; stable since 1.0.0).
use super::{Chance, Kind, Span, Trace, Value};
use prost::Message;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<WireResource>,
    #[prost(message, repeated, tag = "2")]
    pub(super) scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireResource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub(super) spans: Vec<WireSpan>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Scope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireSpan {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    pub(super) status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    pub(super) flags: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "OneValue", tags = "1, 2, 3, 4, 5")]
    pub(super) value: Option<OneValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum OneValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(int64, tag = "3")]
    Whole(i64),
    #[prost(double, tag = "4")]
    Real(f64),
    #[prost(message, tag = "5")]
    List(List),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct List {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<AnyValue>,
}

/// What a receiver answers that took it, or some of it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

/// `STATUS_CODE_ERROR`; nothing is ever called `OK`, which is for those who know better than we do.
const ERROR: i32 = 2;
/// Sampled, of an id whose last 56 bits are random; and that the parent is none of another process's is
/// known (`SpanFlags`; W3C Trace Context §3.2.2.5).
const FLAGS: u32 = 0x103;

impl Trace {
    /// The spans, the whole before its parts.
    pub(super) fn wire(self) -> impl Iterator<Item = WireSpan> {
        let Self { id, chance, root, children } = self;
        let own = root_id(id);
        let parent = own.to_be_bytes().to_vec();
        let root = wire_span(id, own, Vec::new(), chance, root);
        let child = move |(n, span)| wire_span(id, following(own, n), parent.clone(), chance, span);
        std::iter::once(root).chain(children.into_iter().zip(1..).map(|(span, n)| (n, span)).map(child))
    }
}

/// The id of a trace's root: the random half of the trace's own, which is of no other trace; never 0.
fn root_id(trace: [u8; 16]) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = trace;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
}

/// The id of its `n`-th child.
fn following(root: u64, n: u64) -> u64 {
    match root.wrapping_add(n) {
        // Past the end it begins again, without 0 (which is none) and so without meeting itself.
        id if id < root => id + 1,
        id => id,
    }
}

fn wire_span(trace: [u8; 16], id: u64, parent: Vec<u8>, chance: Chance, span: Span) -> WireSpan {
    let kind = match span.kind {
        Kind::Internal => 1,
        Kind::Server => 2,
        Kind::Client => 3,
    };
    WireSpan {
        trace_id: trace.to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        trace_state: chance.trace_state(),
        parent_span_id: parent,
        name: span.name.into_owned(),
        kind,
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.end),
        attributes: span.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        status: span.failure.map(|failure| Status { message: failure.text, code: ERROR }),
        flags: FLAGS,
    }
}

pub(super) fn attribute(key: &str, value: impl Into<Value>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(wire_value(value.into())) }
}

fn wire_value(value: Value) -> AnyValue {
    let value = match value {
        Value::Text(text) => OneValue::Text(text),
        Value::Texts(texts) => OneValue::List(List { values: texts.into_iter().map(Value::Text).map(wire_value).collect() }),
        Value::Whole(number) => OneValue::Whole(number),
        Value::Real(number) => OneValue::Real(number),
        Value::Flag(flag) => OneValue::Flag(flag),
    };
    AnyValue { value: Some(value) }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ids_of_a_trace_are_unlike_each_other_and_never_zero(
            id in prop_oneof![any::<[u8; 16]>(), Just([0; 16]), Just([255; 16]), (0_u8..9).prop_map(|n| { let mut id = [255; 16]; id[15] -= n; id })],
        ) {
            let span = || Span::new("x", Kind::Internal, UNIX_EPOCH, UNIX_EPOCH);
            let trace = Trace { id, chance: Chance::ALWAYS, root: span(), children: (0..20).map(|_| span()).collect() };
            let spans: Vec<_> = trace.wire().collect();
            let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
            prop_assert_eq!(ids.len(), 21);
            prop_assert!(ids.iter().all(|id| id.len() == 8 && id.iter().any(|octet| *octet > 0)));
            prop_assert!(spans[0].parent_span_id.is_empty() && spans[1..].iter().all(|span| span.parent_span_id == spans[0].span_id));
        }
    }
}

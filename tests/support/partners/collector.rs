//! A receiver of traces that takes nothing but what the protocol allows; `collector.py` beside this.

use super::super::{places, wait};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Killed when dropped.
pub struct Collector {
    place: SocketAddr,
    control: SocketAddr,
    child: Child,
}

/// A span that came.
#[derive(Debug, Clone)]
pub struct Span(pub Value);

impl Span {
    pub fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }
    pub fn attribute(&self, name: &str) -> &Value {
        &self.0["attributes"][name]
    }
    /// Nanoseconds since 1970.
    pub fn times(&self) -> (u64, u64) {
        (self.0["start"].as_u64().unwrap(), self.0["end"].as_u64().unwrap())
    }
    pub fn has_failed(&self) -> bool {
        self.text("status") == "STATUS_CODE_ERROR"
    }
}

impl Collector {
    /// `None`, with a word, where OpenTelemetry's classes or Python are missing.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Over TLS, with a certificate and its key.
    pub fn start_with(identity: &[PathBuf]) -> Option<Self> {
        let (python, classes) = (super::find("python3")?, super::unpacked("opentelemetry")?);
        let (place, control) = (places::free(), places::free());
        let mut command = Command::new(python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/partners/collector.py"));
        command.args([place.ip().to_string(), place.port().to_string(), control.port().to_string()]).args(identity);
        command.env("PYTHONPATH", fs::canonicalize(classes).unwrap()).env("PYTHONDONTWRITEBYTECODE", "1");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut collector = Self { place, control, child };
        wait::until("the collector to listen", || {
            assert!(collector.child.try_wait().unwrap().is_none(), "the collector has ended");
            TcpStream::connect(control).ok().and_then(|_| TcpStream::connect(place).ok())
        });
        Some(collector)
    }

    pub fn place(&self) -> SocketAddr {
        self.place
    }

    /// The section of the configuration that leads here.
    pub fn section(&self) -> String {
        format!("[traces]\nendpoint = \"http://{}\"\n", self.place)
    }

    fn ask(&self, method: &str, body: &str) -> String {
        let mut tcp = TcpStream::connect(self.control).unwrap();
        tcp.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        write!(tcp, "{method} / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// What to do with the next requests, one after the other; `{}`: as usual.
    pub fn behave(&self, acts: &Value) {
        self.ask("POST", &acts.to_string());
    }

    /// `spans`, `requests` (each with `at`, in seconds, and `headers`), `faults`.
    pub fn came(&self) -> Value {
        let came: Value = serde_json::from_str(&self.ask("GET", "")).unwrap();
        assert_eq!(came["faults"], serde_json::json!([]), "that is no OTLP");
        came
    }

    pub fn requests(&self) -> Vec<Value> {
        self.came()["requests"].as_array().unwrap().clone()
    }

    pub fn spans(&self) -> Vec<Span> {
        self.came()["spans"].as_array().unwrap().iter().cloned().map(Span).collect()
    }

    /// The spans of the message whose line has this trace: the whole, and its parts by their names.
    pub fn trace(&self, id: &str) -> (Span, Vec<Span>) {
        let mut spans = wait::until(&format!("the trace {id}"), || {
            let spans: Vec<_> = self.spans().into_iter().filter(|span| span.text("trace_id") == id).collect();
            (!spans.is_empty()).then_some(spans)
        });
        let root = spans.iter().position(|span| span.text("parent").is_empty()).expect("nothing is the whole");
        let root = spans.remove(root);
        assert!(spans.iter().all(|span| span.text("parent") == root.text("span_id")), "{spans:?}");
        (root, spans)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

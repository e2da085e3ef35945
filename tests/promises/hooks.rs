//! Hooks over HTTP: one as somebody would write it with Python's own server, and every way in which
//! one can be wrong.

use crate::support::{
    Authority, Client, Gate, Mta, Reply, Setup,
    client::message,
    partners::{
        self,
        scripted::{Scripted, read_until},
    },
    places, wait,
};
use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Listens at a port (over TLS where it is given a certificate) and at a socket. Wants a token, knows its recipients, and goes by the subject.
const HOOK: &str = r#"
import http.server, json, socket, ssl, sys, threading

def answer(asked):
    context, envelope = asked["context"], asked.get("envelope")
    reject = lambda **response: {"action": "reject", "response": response}
    if context["stage"] == "ehlo" and context["client"]["helo"] == "bad.example.net":
        return reject(status=550, message="we do not know you", disconnect=True)
    if context["stage"] == "rcpt" and envelope["to"][-1]["address"].startswith("nobody@"):
        return reject(status=550, enhancedStatus="5.1.1", message="nobody of that name")
    if context["stage"] == "mail" and envelope["from"]["address"].startswith("void@"):
        return {"action": "discard"}
    if context["stage"] != "data":
        return {"action": "accept"}
    message = asked["message"]
    subject = [value.strip() for name, value in message["headers"] if name == "Subject"][0]
    if subject == "bad":
        return reject(status=451, enhancedStatus="4.7.1", message="not now")
    said = "%s %s %d %d %s" % (envelope["from"]["address"], " ".join(to["address"] for to in envelope["to"]),
        message["size"], len(message["contents"]), context["queue"]["id"])
    changes = [{"type": "addHeader", "name": "X-Hook", "value": said}]
    if subject == "change":
        changes += [
            {"type": "changeHeader", "index": 1, "name": "Subject", "value": "changed"},
            {"type": "replaceContents", "value": "all new\n.\n"},
            {"type": "changeFrom", "value": "new@example.net", "parameters": {}},
            {"type": "addRecipient", "value": "d@example.org", "parameters": None},
            {"type": "deleteRecipient", "value": "b@example.org"},
        ]
    return {"action": "accept", "response": {"message": "seen"}, "modifications": changes}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        known = self.headers["Authorization"] == "Bearer sesame" and self.path == "/hook"
        said = json.dumps(answer(json.loads(body))).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def log_message(self, *args):
        pass
    def address_string(self):
        return "client"

class OnSocket(http.server.ThreadingHTTPServer):
    address_family = socket.AF_UNIX
    def server_bind(self):
        self.socket.bind(self.server_address)

threading.Thread(target=OnSocket(sys.argv[3], Handler).serve_forever, daemon=True).start()
class OnPort(http.server.ThreadingHTTPServer):
    def get_request(self):
        stream, address = super().get_request()
        return (tls.wrap_socket(stream, server_side=True, do_handshake_on_connect=False) if tls else stream), address

tls = None
if len(sys.argv) > 4:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[4], sys.argv[5])
OnPort((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"#;

/// A running hook; killed when dropped.
struct Hook {
    dir: TempDir,
    place: SocketAddr,
    child: Child,
}

impl Hook {
    /// `None`, with a word, where there is no Python.
    fn start() -> Option<Self> {
        Self::start_with(|_| vec![])
    }

    /// `certificate` may write files into a directory and name them.
    fn start_with(certificate: impl Fn(&TempDir) -> Vec<PathBuf>) -> Option<Self> {
        let python = partners::find("python3")?;
        let (dir, place) = (tempfile::tempdir().unwrap(), places::free());
        fs::write(dir.path().join("hook.py"), HOOK).unwrap();
        fs::write(dir.path().join("token"), "sesame\n").unwrap();
        let mut command = Command::new(python);
        command.arg(dir.path().join("hook.py")).args([place.ip().to_string(), place.port().to_string()]).arg(dir.path().join("socket"));
        command.args(certificate(&dir)).stderr(Stdio::null());
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let hook = Self { dir, place, child };
        wait::until("the hook to listen", || TcpStream::connect(place).ok());
        wait::until("the hook to listen on its socket", || UnixStream::connect(hook.socket()).ok());
        Some(hook)
    }

    fn socket(&self) -> String {
        self.dir.path().join("socket").display().to_string()
    }

    fn stage(&self, url: &str, settings: &str) -> String {
        let token = self.dir.path().join("token");
        format!("[[stage]]\nname = \"hook\"\ntype = \"http\"\nurl = \"{url}\"\ntoken = {{ file = \"{}\" }}\n{settings}\n", token.display())
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gate(mta: &Mta, stage: &str) -> Gate {
    Setup::before(mta.address()).mx().and(stage).start()
}

fn deliver(gate: &Gate, content: &[u8]) -> Reply {
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org", "c@example.org"], content)
}

#[test]
fn a_hook_decides_at_every_event_and_changes_messages() {
    let Some(hook) = Hook::start() else { return };
    let mta = Mta::start();
    let url = format!("http://{}/hook", hook.place);
    let gate = gate(&mta, &hook.stage(&url, "events = [\"ehlo\", \"mail\", \"rcpt\", \"data\"]\ntimeout = \"60s\""));

    let mut client = Client::connect(gate.mx());
    client.banner();
    let reply = client.ask("EHLO bad.example.net").must(521);
    assert_eq!(reply.text(), "5.7.1 we do not know you");
    assert!(client.closed().is_empty());

    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    let reply = client.ask("RCPT TO:<nobody@example.org>").must(550);
    assert_eq!(reply.text(), "5.1.1 nobody of that name");
    client.ask("RSET").must(250);
    let plain = message("plain");
    client.deliver("a@example.net", &["b@example.org", "c@example.org"], &plain).must(250);
    let arrived = mta.only();
    let arrived = String::from_utf8(arrived.original().to_vec()).unwrap();
    let contents = plain.len() - memchr::memmem::find(&plain, b"\r\n\r\n").unwrap() - 4;
    let expected = format!("X-Hook: a@example.net b@example.org c@example.org {} {contents} ", plain.len());
    let (said, rest) = arrived.split_once("\r\n").unwrap();
    let id = said.strip_prefix(&expected).unwrap_or_else(|| panic!("{said} does not begin with {expected}"));
    assert_eq!(rest.as_bytes(), plain);
    let line = gate.log_line(&["verdict=delivered", "http.action=accept", "http.message=seen"]);
    assert!(line.contains(id), "{line}");

    assert_eq!(client.deliver("a@example.net", &["b@example.org"], &message("bad")).must(451).text(), "4.7.1 not now");
    client.deliver("void@example.net", &["b@example.org"], &plain).must(250);
    assert_eq!(mta.kept().len(), 1, "what is discarded does not arrive");
    gate.log_line(&["verdict=discarded", "http.action=discard"]);

    deliver(&gate, &message("change")).must(250);
    let changed = mta.kept().pop().unwrap();
    let text = String::from_utf8(changed.original().to_vec()).unwrap();
    assert!(text.contains("\r\nSubject: changed\r\n") && text.ends_with("\r\n\r\nall new\r\n.\r\n"), "{text}");
    let lines = mta.lines().join("\n");
    assert!(lines.contains("MAIL FROM:<new@example.net>") && lines.contains("RCPT TO:<d@example.org>"), "{lines}");
}

/// Larger than what is kept in memory, and not all of it text.
#[test]
fn a_large_message_reaches_a_hook_on_a_socket_whole() {
    let Some(hook) = Hook::start() else { return };
    let mta = Mta::start();
    let gate = gate(&mta, &hook.stage(&format!("http://unix:{}:/hook", hook.socket()), "timeout = \"60s\""));
    let large = [&message("large")[..], &"0123456789 é \u{1} \"quoted\"\r\n".repeat(200_000).into_bytes()].concat();
    deliver(&gate, &large).must(250);
    let arrived = mta.only();
    let contents = String::from_utf8(large.clone()).unwrap();
    let characters = contents.split_once("\r\n\r\n").unwrap().1.chars().count();
    let expected = format!("X-Hook: a@example.net b@example.org c@example.org {} {characters} ", large.len());
    let start = String::from_utf8_lossy(&arrived.original()[..200]).into_owned();
    assert!(start.starts_with(&expected), "{start} does not begin with {expected}");
    assert!(arrived.original().ends_with(&large));
}

/// Not there, of another opinion about who we are, late, dying, babbling: each is treated as
/// configured, and the gate goes on.
#[test]
fn a_hook_that_fails_passes_nothing() {
    let says = |text: String| {
        Scripted::start(move |mut stream| {
            read_until(&mut stream, b"\"}}")?;
            stream.write_all(text.as_bytes())
        })
    };
    let huge = format!("HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n{}", " ".repeat(8 << 20));
    for (what, server) in [
        ("refuses us", Some(says("HTTP/1.1 401 Unauthorized\r\nContent-Length: 21\r\n\r\n{\"action\": \"accept\"}  ".to_owned()))),
        ("speaks no JSON", Some(says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned()))),
        ("speaks no HTTP", Some(says("220 mx.example.org ESMTP\r\n".to_owned()))),
        ("answers without end", Some(says(huge))),
        ("dies in the middle of its answer", Some(says("HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"action\"".to_owned()))),
        ("dies in the middle of the message", Some(Scripted::start(|mut stream| read_until(&mut stream, b"context").map(drop)))),
        ("is late", Some(Scripted::start(|mut stream| read_until(&mut stream, b"never").map(drop)))),
        ("is not there", None),
    ] {
        let url = server.as_ref().map_or_else(|| places::free().to_string(), |server| server.address().replace("inet:", ""));
        let stage = format!(
            "[[stage]]\nname = \"hook\"\ntype = \"http\"\nurl = \"http://{url}/\"\ntimeout = \"3s\"\nbreaker_failures = 0\npoison_after = 0\n"
        );
        let mta = Mta::start();
        let strict = gate(&mta, &stage);
        deliver(&strict, &message("strict")).must_be(451, "4.7.1");
        assert!(mta.kept().is_empty(), "{what}");
        let lenient = gate(&mta, &format!("{stage}on_error = \"accept\"\n"));
        deliver(&lenient, &message("lenient")).must(250);
        assert!(mta.only().original().starts_with(b"X-Octroi-Incomplete: hook ("), "{what}");
    }
}

#[test]
fn a_hook_over_tls_is_asked_only_where_it_is_the_one_that_was_named() {
    let (ours, other) = (Authority::new("hooks"), Authority::new("somebody else"));
    let of = |authority: &Authority, dir: &TempDir, name: &str| {
        let (chain, key) = authority.identity(&[name]).write(dir.path(), "hook");
        fs::write(dir.path().join("ca.pem"), ours.pem()).unwrap();
        vec![chain, key]
    };
    let here = places::home().to_string();
    for (authority, name, code) in [(&ours, &*here, 250), (&ours, "hooks.example.org", 451), (&other, &*here, 451)] {
        let Some(hook) = Hook::start_with(|dir| of(authority, dir, name)) else { return };
        let mta = Mta::start();
        let ca = hook.dir.path().join("ca.pem");
        let settings = format!("ca = \"{}\"\ntimeout = \"60s\"", ca.display());
        let gate = gate(&mta, &hook.stage(&format!("https://{}/hook", hook.place), &settings));
        deliver(&gate, &message("plain")).must(code);
        match code {
            250 => assert!(mta.only().original().starts_with(b"X-Hook: a@example.net")),
            _ => drop(gate.log_line(&["stage did not answer", "TLS: ", "ertificate"])),
        }
    }
}

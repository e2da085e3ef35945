//! The stage `http` with a hook that somebody would write: a few lines of Python.

use crate::support::{Client, Gate, Mta, Setup, client::message, partners, places, wait};
use std::{
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
};

const HOOK: &str = r#"
import http.server, json, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        ask = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        say = {"action": "accept"}
        stage = ask["context"]["stage"]
        if self.headers.get("Authorization") != "Bearer t0ken":
            self.send_response(401); self.end_headers(); return
        if stage == "RCPT" and ask["envelope"]["to"][-1]["address"].startswith("nobody@"):
            say = {"action": "reject", "response": {"status": 550, "enhancedStatus": "5.1.1", "message": "no such user"}}
        if stage == "DATA":
            subject = [value.strip() for name, value in ask["message"]["headers"] if name.lower() == "subject"][0]
            if subject == "die":
                sys.exit(1)
            if subject == "nonsense":
                say = ["?"]
            else:
                say["modifications"] = [
                    {"type": "addHeader", "name": "X-Hook", "value": "%d octets of %s" % (ask["message"]["size"], subject)},
                    {"type": "changeHeader", "index": 1, "name": "Subject", "value": "seen: " + subject},
                ]
        body = json.dumps(say).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Hook).serve_forever()
"#;

struct Hook {
    child: Child,
    place: SocketAddr,
}

impl Hook {
    fn start() -> Option<Self> {
        let python = partners::find("python3")?;
        let place = places::free();
        let mut command = Command::new(python);
        command.args(["-c", HOOK, &place.ip().to_string(), &place.port().to_string()]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait::until("the hook", || TcpStream::connect(place).ok());
        Some(Self { child, place })
    }
    fn gate(&self, mta: &Mta, lines: &str) -> Gate {
        let stage = format!("[[stage]]\nname = \"hook\"\ntype = \"http\"\nurl = \"http://{}/x\"\ntimeout = \"5s\"\n{lines}\n", self.place);
        Setup::before(mta.address()).mx().and(&stage).start()
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_hook_refuses_recipients_and_changes_messages() {
    let Some(hook) = Hook::start() else { return };
    let mta = Mta::start();
    let gate = hook.gate(&mta, "events = [\"rcpt\", \"data\"]\ntoken = \"t0ken\"");
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    let reply = client.ask("RCPT TO:<nobody@example.org>");
    assert_eq!((reply.code, &*reply.text()), (550, "5.1.1 no such user"));
    client.ask("RSET").must(250);
    client.deliver("a@example.net", &["b@example.org"], &message("hello")).must(250);
    let kept = String::from_utf8(mta.only().content).unwrap();
    assert!(kept.contains("\r\nSubject: seen: hello\r\n") && kept.contains(" octets of hello\r\n"), "{kept}");
}

#[test]
fn a_hook_that_fails_fails_as_configured() {
    let Some(hook) = Hook::start() else { return };
    let mta = Mta::start();
    let strict = hook.gate(&mta, "token = \"t0ken\"");
    let lenient = hook.gate(&mta, "token = \"t0ken\"\non_error = \"accept\"");
    let stranger = hook.gate(&mta, "token = \"another\"");
    for subject in ["nonsense", "die"] {
        let send = |gate: &Gate| Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message(subject));
        send(&strict).must(451);
        send(&lenient).must(250);
        let kept = String::from_utf8(mta.kept().pop().unwrap().content).unwrap();
        assert!(kept.contains("X-Octroi-Incomplete: hook (failed)"), "{kept}");
    }
    Client::greeted(stranger.mx()).deliver("a@example.net", &["b@example.org"], &message("x")).must(451);
    assert_eq!(mta.kept().len(), 2);
}

//! Every file in `tests/dialogues/` is a test against the real binary: what a client says and must
//! hear, octet for octet. Its first line says what it shows. The other lines:
//!
//! | line | means |
//! | --- | --- |
//! | `%% listener LINE` | a line of the listener's configuration; default: `tls = "starttls"` |
//! | `%% config LINE` | a line of the configuration, tables and all |
//! | `%% offers WORDS` | what the upstream's EHLO says, divided by `,` |
//! | `C: text` | sent with CRLF; a `|` cuts it into two segments, each read on its own |
//! | `C~ text` | sent raw, with `\r \n \0 \\ \xNN` and `\*N{text}` for N times text |
//! | `S: text` | the next line must be this; `*` at its end matches the rest |
//! | `S* 250` | a whole reply with that code, of however many lines |
//! | `TLS` | the handshake |
//! | `EOF` | the server closes now, and has said nothing more |
//! | `FIN` | the client closes its side |
//! | `KEPT n` | so many messages the upstream has taken by now |
//! | `GOT text` | the last of them has that text (escapes as above), octet for octet |
//! | `SAW text` | the upstream was told a line that begins so |
//! | `COUNT series n` | a metric has that value |

use crate::support::{Client, Gate, Mta, Setup, gate, mta, wait};
use std::{fs, panic, path::Path, sync::Mutex, thread};

/// Escapes as in the table above.
fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let (escape, after) = rest[at + 1..].split_at(1);
        rest = after;
        match escape {
            "r" => out.push(b'\r'),
            "n" => out.push(b'\n'),
            "0" => out.push(0),
            "\\" => out.push(b'\\'),
            "|" => out.push(b'|'),
            "x" => {
                out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            "*" => {
                let (times, after) = rest.split_once('{').unwrap();
                let (text, after) = after.split_once('}').unwrap();
                out.extend(octets(text).repeat(times.parse().unwrap()));
                rest = after;
            }
            other => panic!("no escape \\{other}"),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// The octets of `text` in segments, cut at every `|` that no backslash precedes.
fn segments(text: &str) -> Vec<Vec<u8>> {
    let mut cut = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '|' if !escaped => cut.push(String::new()),
            _ => cut.last_mut().unwrap().push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    cut.iter().map(|piece| octets(piece)).collect()
}

fn stage(script: &str) -> (Gate, Mta) {
    let mut listener = String::new();
    let mut config = String::new();
    let mta = Mta::start();
    for directive in script.lines().filter_map(|line| line.strip_prefix("%% ")) {
        match directive.split_once(' ').unwrap() {
            ("listener", line) => listener.push_str(&format!("{line}\n")),
            ("config", line) => config.push_str(&format!("{line}\n")),
            ("offers", words) => mta.offer(&words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>()),
            (other, _) => panic!("no directive {other}"),
        }
    }
    if !listener.contains("tls =") {
        listener.push_str("tls = \"starttls\"\n");
    }
    let gate = Setup::before(mta.address()).listener("mx", &listener).and(&config).start();
    (gate, mta)
}

fn play(script: &str) {
    assert!(script.starts_with("# "), "the first line says what it shows");
    let (gate, mta) = stage(script);
    let mut client = Client::connect(gate.mx());
    if script.contains("tls = \"implicit\"") {
        client.start_tls(&gate::authority().client(), "mx.example.org").unwrap();
    }
    for (number, line) in script.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') || line.starts_with("%% ") {
            continue;
        }
        step(line, &mut client, &gate, &mta).unwrap_or_else(|wrong| panic!("line {}: {line}\n{wrong}", number + 1));
    }
}

/// One line of a dialogue; what is wrong if something is.
fn step(line: &str, client: &mut Client, gate: &Gate, mta: &Mta) -> Result<(), String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "C:" | "C~" => {
            let end = if verb == "C:" { "\\r\\n" } else { "" };
            for (nth, segment) in segments(&format!("{rest}{end}")).into_iter().enumerate() {
                if nth > 0 {
                    client.settle();
                }
                client.wire().send(&segment).map_err(|e| e.to_string())?;
            }
        }
        "S:" => {
            let got = client.wire().line().map_err(|e| e.to_string())?.ok_or("the connection was closed")?;
            let got = String::from_utf8_lossy(&got).into_owned();
            let fits = rest.strip_suffix('*').map_or(got == rest, |head| got.starts_with(head));
            if !fits {
                return Err(format!("got {got}"));
            }
        }
        "S*" => {
            let reply = client.try_reply().map_err(|e| e.to_string())?;
            if reply.code.to_string() != rest {
                return Err(format!("got {reply:?}"));
            }
        }
        "TLS" => client.start_tls(&gate::authority().client(), "mx.example.org").map_err(|e| e.to_string())?,
        "EOF" => {
            let rest = client.closed();
            if !rest.is_empty() {
                return Err(format!("more came: {}", String::from_utf8_lossy(&rest)));
            }
        }
        "FIN" => client.wire().tcp().shutdown(std::net::Shutdown::Write).map_err(|e| e.to_string())?,
        "KEPT" => {
            let kept = mta.kept();
            if kept.len().to_string() != rest {
                return Err(format!("the upstream has {kept:?}"));
            }
        }
        "GOT" => {
            let kept = mta.kept();
            let content = &kept.last().ok_or("the upstream has nothing")?.content;
            if memchr::memmem::find(content, &octets(rest)).is_none() {
                return Err(format!("the upstream has {:?}", String::from_utf8_lossy(content)));
            }
        }
        "SAW" => {
            let lines = mta.lines();
            if !lines.iter().any(|line| line.starts_with(rest)) {
                return Err(format!("the upstream was told {lines:?}"));
            }
        }
        "COUNT" => {
            let (series, value) = rest.rsplit_once(' ').unwrap();
            gate.wait_metric(series, value.parse().unwrap());
        }
        other => return Err(format!("no such line: {other}")),
    }
    Ok(())
}

#[test]
fn every_dialogue_goes_as_it_is_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 30, "the dialogues were not found");
    let (queue, failed) = (Mutex::new(files), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(path) = queue.lock().unwrap().pop() else { return };
                    let script = fs::read_to_string(&path).unwrap();
                    if let Err(wrong) = panic::catch_unwind(|| play(&script)) {
                        let wrong = wrong.downcast::<String>().map_or_else(|_| "panicked".to_owned(), |text| *text);
                        failed.lock().unwrap().push(format!("{}: {wrong}", path.file_name().unwrap().display()));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} dialogues went otherwise:\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn the_upstream_of_the_dialogues_is_strict() {
    let mta = Mta::offering(mta::EXTENSIONS);
    let mut client = Client::greeted(mta.address());
    client.deliver("a@example.net", &["b@example.org"], b"one\n.\r\ntwo\r\n.\r\nthree\r\n").must(250);
    client.deliver_chunked("a@example.net", &["b@example.org"], b"one\n.\r\ntwo\r\n.\r\nthree\r\n").must(250);
    wait::until("both messages", || (mta.kept().len() == 2).then_some(()));
    assert!(mta.kept().iter().all(|message| message.content == b"one\n.\r\ntwo\r\n.\r\nthree\r\n"));
}

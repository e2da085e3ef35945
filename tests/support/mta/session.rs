//! One connection of the scripted server.

use super::{Act, Connection, Received, Shared, Step};
use crate::support::{wait, wire::Wire};
use std::{io, net::TcpStream, sync::atomic::Ordering, time::Duration};

/// How a connection ends.
struct Over;
type Flow<T = ()> = Result<T, Over>;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

struct Session<'a> {
    shared: &'a Shared,
    number: usize,
    wire: Wire,
    mail: Option<String>,
    recipients: Vec<String>,
    content: Vec<u8>,
    chunks: usize,
    xclient: Vec<String>,
}

pub(super) fn run(shared: &Shared, tcp: TcpStream) {
    let Ok(wire) = Wire::new(tcp) else { return };
    // Pooled connections idle for as long as octroi likes.
    wire.set_patience(Duration::from_secs(600));
    let number = {
        let mut all = shared.connections.lock().unwrap();
        all.push(Connection { is_open: true, ..Connection::default() });
        all.len() - 1
    };
    shared.open.fetch_add(1, Ordering::SeqCst);
    let mut session =
        Session { shared, number, wire, mail: None, recipients: Vec::new(), content: Vec::new(), chunks: 0, xclient: Vec::new() };
    let _ = session.converse();
    // A socket is closed when nobody holds it any more.
    let peer = session.wire.tcp().peer_addr().ok();
    shared.sockets.lock().unwrap().retain(|socket| socket.peer_addr().ok() != peer);
    drop(session);
    shared.open.fetch_sub(1, Ordering::SeqCst);
    shared.connections.lock().unwrap()[number].is_open = false;
}

impl Session<'_> {
    fn converse(&mut self) -> Flow {
        if self.shared.proxy {
            self.read_proxy_header()?;
        }
        self.say(Step::Greeting, "220 mta.example ESMTP")?;
        loop {
            let line = self.line()?;
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.hello()?,
                "HELO" => {
                    self.forget();
                    self.say(Step::Hello, "250 mta.example")?;
                }
                "STARTTLS" => self.start_tls()?,
                "XCLIENT" => {
                    self.xclient.push(line);
                    self.forget();
                    self.say(Step::Xclient, "220 mta.example ESMTP")?;
                }
                "AUTH" => self.auth(&line)?,
                "MAIL" => {
                    self.forget();
                    self.mail = Some(line);
                    if !self.say(Step::Mail, "250 2.1.0 Ok")? {
                        self.mail = None;
                    }
                }
                "RCPT" => self.recipient(line)?,
                "DATA" => self.data()?,
                "BDAT" => self.chunk(&line)?,
                "RSET" => {
                    self.forget();
                    self.say(Step::Rset, "250 2.0.0 Ok")?;
                }
                "NOOP" => {
                    self.say(Step::Noop, "250 2.0.0 Ok")?;
                }
                "QUIT" => {
                    self.say(Step::Quit, "221 2.0.0 Bye")?;
                    return Err(Over);
                }
                _ => self.wire.send(b"502 5.5.2 Error: command not recognized\r\n")?,
            }
        }
    }

    /// Says the usual, or does what the script has for this step; whether the peer was told 2yz or
    /// 3yz.
    fn say(&mut self, step: Step, usual: &str) -> Flow<bool> {
        self.say_recording(step, usual, |_| ())
    }

    /// As [`say`](Self::say); `record` learns what the peer is told before it is told.
    fn say_recording(&mut self, step: Step, usual: &str, mut record: impl FnMut(Option<&str>)) -> Flow<bool> {
        let act = {
            let mut acts = self.shared.acts.lock().unwrap();
            acts.iter_mut().find(|(at, _, left)| *at == step && *left > 0).map(|(_, act, left)| {
                *left -= 1;
                act.clone()
            })
        };
        let is_yes = |text: &str| text.starts_with(['2', '3']);
        match act {
            None => {
                record(Some(usual));
                self.wire.send(format!("{usual}\r\n").as_bytes())?;
                Ok(is_yes(usual))
            }
            Some(Act::Say(text)) => {
                record(Some(&text));
                self.wire.send(format!("{text}\r\n").as_bytes())?;
                Ok(is_yes(&text))
            }
            Some(Act::SayAndClose(text)) => {
                record(Some(&text));
                self.wire.send(format!("{text}\r\n").as_bytes())?;
                Err(Over)
            }
            Some(Act::Raw(octets)) => {
                record(Some(&String::from_utf8_lossy(&octets)));
                self.wire.send(&octets)?;
                Ok(is_yes(&String::from_utf8_lossy(&octets)))
            }
            Some(Act::RawAndClose(octets)) => {
                record(None);
                self.wire.send(&octets)?;
                Err(Over)
            }
            Some(Act::Close) => {
                record(None);
                Err(Over)
            }
            Some(Act::Abort) => {
                record(None);
                socket2::SockRef::from(self.wire.tcp()).set_linger(Some(Duration::ZERO))?;
                Err(Over)
            }
            Some(Act::Hang) => {
                record(None);
                self.hang()
            }
            Some(Act::Late(pause)) => {
                record(Some(usual));
                wait::pause(pause);
                self.wire.send(format!("{usual}\r\n").as_bytes())?;
                Ok(is_yes(usual))
            }
            Some(Act::When(flag, text)) => {
                record(Some(&text));
                while !flag.load(Ordering::SeqCst) && !self.shared.stopped.load(Ordering::SeqCst) {
                    wait::pause(Duration::from_millis(3));
                }
                self.wire.send(format!("{text}\r\n").as_bytes())?;
                Ok(is_yes(&text))
            }
            Some(Act::Drip(pause)) => {
                record(Some(usual));
                for octet in format!("{usual}\r\n").bytes() {
                    self.wire.send(&[octet])?;
                    wait::pause(pause);
                }
                Ok(is_yes(usual))
            }
        }
    }

    /// Until the server stops; whatever the peer says is not even read.
    fn hang<T>(&mut self) -> Flow<T> {
        while !self.shared.stopped.load(Ordering::SeqCst) {
            wait::pause(Duration::from_millis(20));
        }
        Err(Over)
    }

    fn line(&mut self) -> Flow<String> {
        let line = self.wire.line()?.ok_or(Over)?;
        let line = String::from_utf8_lossy(&line).into_owned();
        self.shared.connections.lock().unwrap()[self.number].lines.push(line.clone());
        Ok(line)
    }

    fn forget(&mut self) {
        self.mail = None;
        self.recipients.clear();
        self.content.clear();
        self.chunks = 0;
    }

    fn hello(&mut self) -> Flow {
        self.forget();
        let tls = self.shared.connections.lock().unwrap()[self.number].tls;
        let mut words = self.shared.extensions.lock().unwrap().clone();
        if self.shared.tls.is_some() && !tls {
            words.push("STARTTLS".to_owned());
        }
        let mut lines = vec!["mta.example".to_owned()];
        lines.append(&mut words);
        let last = lines.pop().unwrap_or_default();
        let mut reply: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        reply.push_str(&format!("250 {last}"));
        self.say(Step::Hello, &reply).map(drop)
    }

    fn start_tls(&mut self) -> Flow {
        let Some(tls) = self.shared.tls.clone() else {
            return Ok(self.wire.send(b"502 5.5.1 no TLS here\r\n")?);
        };
        if self.say(Step::StartTls, "220 2.0.0 Ready")? {
            self.wire.accept_tls(&tls)?;
            self.shared.connections.lock().unwrap()[self.number].tls = true;
            self.forget();
        }
        Ok(())
    }

    /// Takes any password but "wrong".
    fn auth(&mut self, line: &str) -> Flow {
        let mut words = line.split(' ').skip(1);
        let mechanism = words.next().unwrap_or_default().to_ascii_uppercase();
        let mut secrets: Vec<String> = words.map(str::to_owned).collect();
        let wanted = if mechanism == "LOGIN" { 2 } else { 1 };
        while secrets.len() < wanted {
            if !self.say(Step::Auth, "334 VXNlcm5hbWU6")? {
                return Ok(());
            }
            let answer = self.line()?;
            if answer == "*" {
                return Ok(self.wire.send(b"501 5.7.0 cancelled\r\n")?);
            }
            secrets.push(answer);
        }
        // "wrong", and "\0wrong" at the end of what PLAIN says.
        let refused = secrets.iter().any(|secret| secret.ends_with("d3Jvbmc=") || secret.ends_with("AHdyb25n"));
        let usual = if refused { "535 5.7.8 Error: authentication failed" } else { "235 2.7.0 Authentication successful" };
        self.say(Step::Auth, usual).map(drop)
    }

    /// `nobody@` is never known, `later@` not yet, everybody else always.
    fn recipient(&mut self, line: String) -> Flow {
        if self.mail.is_none() {
            return Ok(self.wire.send(b"503 5.5.1 Error: need MAIL command\r\n")?);
        }
        let usual = if line.contains("<nobody@") {
            "550 5.1.1 <nobody>: Recipient address rejected: User unknown"
        } else if line.contains("<later@") {
            "450 4.2.1 <later>: Recipient address rejected: greylisted"
        } else {
            "250 2.1.5 Ok"
        };
        if self.say(Step::Rcpt, usual)? {
            self.recipients.push(line);
        }
        Ok(())
    }

    fn data(&mut self) -> Flow {
        if self.recipients.is_empty() {
            return Ok(self.wire.send(b"554 5.5.1 Error: no valid recipients\r\n")?);
        }
        if !self.say(Step::Data, "354 End data with <CR><LF>.<CR><LF>")? {
            return Ok(());
        }
        let keep = !self.shared.forgetful.load(Ordering::SeqCst);
        let mut asked = false;
        loop {
            let line = self.wire.line()?.ok_or(Over)?;
            if line == b"." {
                break;
            }
            if !std::mem::replace(&mut asked, true) {
                self.inside()?;
            }
            if keep {
                let unstuffed = if line.first() == Some(&b'.') { &line[1..] } else { &line[..] };
                self.content.extend_from_slice(unstuffed);
                self.content.extend_from_slice(b"\r\n");
            }
        }
        self.finish()
    }

    /// The script's moment inside the content; nothing is said there as a rule.
    fn inside(&mut self) -> Flow {
        let scripted = self.shared.acts.lock().unwrap().iter().any(|(at, _, left)| *at == Step::Body && *left > 0);
        if scripted { self.say(Step::Body, "").map(drop) } else { Ok(()) }
    }

    fn chunk(&mut self, line: &str) -> Flow {
        let mut words = line.split(' ').skip(1);
        let size: usize = words.next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let half = self.wire.exactly(size / 2)?.ok_or(Over)?;
        self.inside()?;
        let rest = self.wire.exactly(size - size / 2)?.ok_or(Over)?;
        if self.recipients.is_empty() {
            return Ok(self.wire.send(b"554 5.5.1 Error: no valid recipients\r\n")?);
        }
        if !self.shared.forgetful.load(Ordering::SeqCst) {
            self.content.extend([half, rest].concat());
        }
        self.chunks += 1;
        if last {
            return self.finish();
        }
        if !self.say(Step::Chunk, "250 2.0.0 Ok")? {
            self.forget();
        }
        Ok(())
    }

    fn finish(&mut self) -> Flow {
        let received = Received {
            session: self.number,
            mail: self.mail.take().unwrap_or_default(),
            recipients: std::mem::take(&mut self.recipients),
            content: std::mem::take(&mut self.content),
            chunks: std::mem::take(&mut self.chunks),
            answer: None,
            xclient: self.xclient.clone(),
        };
        let at = {
            let mut all = self.shared.received.lock().unwrap();
            all.push(received);
            all.len() - 1
        };
        let shared = self.shared;
        let usual = format!("250 2.0.0 Ok: queued as Q{at:05}");
        self.say_recording(Step::Final, &usual, |told| {
            shared.received.lock().unwrap()[at].answer = told.map(str::to_owned);
        })
        .map(drop)
    }

    fn read_proxy_header(&mut self) -> Flow {
        let mut header = self.wire.exactly(16)?.ok_or(Over)?;
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        header.extend(self.wire.exactly(length)?.ok_or(Over)?);
        self.shared.connections.lock().unwrap()[self.number].proxy = header;
        Ok(())
    }
}

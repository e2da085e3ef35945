//! A program of one's own behind HTTP: asked in JSON, in the shape of MTA Hooks as Stalwart speaks
//! them (<https://stalw.art/docs/api/mta-hooks/overview>; draft-degennaro-mta-hooks-00).
//!
//! ```toml
//! [[stage]]
//! name   = "policy"
//! type   = "http"
//! url    = "http://127.0.0.1:8080/hook"
//! events = ["rcpt", "data"]
//! token  = { file = "/etc/octroi/hook.token" }
//! ```

mod request;
mod response;
#[cfg(test)]
mod tests;

use super::{
    Kind, Surroundings, documented,
    remote::{Endpoint, http::Post},
};
use crate::{
    chain::{Decision, Finding, Inspection, Known, Report, Stage, StageError, Type, Verdict, Wants},
    dns::Resolver,
    message::{Client, Message},
    smtp::{Mail, Recipient, Refusal},
    value::{
        ByteSize, Id, Secret,
        settings::{Placed, Section},
    },
};
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use request::Session;
use response::{Action, Response};
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "http",
    summary: "asks a program of yours over HTTP, in the shape of MTA Hooks",
    settings: &[
        documented("url", "where it listens: \"http://127.0.0.1:8080/hook\"; in clear, so on this host or a network of yours"),
        documented(
            "events",
            "what it is asked at: \"connect\", \"ehlo\", \"mail\", \"rcpt\", \"data\" (the end of the message; alone the default)",
        ),
        documented("token", "a bearer token it wants to see; { file = … } or { env = … }"),
        documented("user", "a name for HTTP's basic authentication; with `password`"),
        documented("password", "and its password"),
        documented("contents", "whether it gets the body of the message (true), or its header fields alone"),
        documented("read_only", "whether it may change nothing (false): then it runs at the same time as its neighbours"),
        documented("max_size", "octets of a message whose body it gets (10MiB); for more the stage fails"),
    ],
    findings: &[Known::new("http.action", Type::Text, "what it wanted done at the end: accept, discard, reject, quarantine")],
    build,
};

const MAX_SIZE: ByteSize = ByteSize(10 << 20);

const EVENTS: &[(&str, Wants)] = &[
    ("connect", Wants::CONNECT),
    ("ehlo", Wants::HELLO),
    ("mail", Wants::MAIL),
    ("rcpt", Wants::RECIPIENT),
    ("data", Wants::END_OF_MESSAGE),
];

struct Hook {
    endpoint: Endpoint,
    path: Box<str>,
    events: Wants,
    authorization: Option<Secret>,
    contents: bool,
    read_only: bool,
    max_size: u64,
    hostname: Arc<str>,
    dns: Resolver,
}

fn build(section: &mut Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Stage>> {
    let url = section.require_placed::<String>("url").and_then(|Placed { value, span }| {
        let complain = |why| section.complain_at(span, format!("`{}`: {why}", section.path("url")));
        read_url(&value).map_err(complain).ok()
    });
    let events = read_events(section);
    let authorization = read_authorization(section);
    let contents = section.take_or("contents", true);
    let read_only = section.take_or("read_only", false);
    let max_size = section.take_or("max_size", MAX_SIZE).0;
    let Surroundings { hostname, dns, .. } = surroundings.clone();
    let (endpoint, path) = url?;
    Some(Box::new(Arc::new(Hook { endpoint, path, events, authorization, contents, read_only, max_size, hostname, dns })))
}

/// `http://HOST[:PORT][/PATH]`.
fn read_url(text: &str) -> Result<(Endpoint, Box<str>), String> {
    let Some(rest) = text.strip_prefix("http://") else {
        let https = if text.starts_with("https://") { "https is not in this version; put a proxy or a tunnel on this host" } else { "" };
        return Err(if https.is_empty() { format!("`{text}` is no URL: write \"http://HOST:PORT/PATH\"") } else { https.to_owned() });
    };
    let (authority, path) = rest.find('/').and_then(|slash| rest.split_at_checked(slash)).unwrap_or((rest, "/"));
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|octet| octet.is_ascii_digit()));
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let endpoint =
        Endpoint::parse(&format!("inet:{authority}")).map_err(|_| format!("`{text}` is no URL: write \"http://HOST:PORT/PATH\""))?;
    if !path.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(format!("`{path}` is no path: other characters are written as %20"));
    }
    Ok((endpoint, path.into()))
}

fn read_events(section: &mut Section<'_>) -> Wants {
    let Some(events) = section.take_placed::<Vec<Placed<String>>>("events") else { return Wants::END_OF_MESSAGE };
    if events.value.is_empty() {
        section.complain_at(events.span, format!("`{}`: it would never be asked", section.path("events")));
    }
    let mut wants = Wants::NOTHING;
    for Placed { value, span } in events.value {
        match EVENTS.iter().find(|(name, _)| *name == value) {
            Some((_, event)) => wants = wants | *event,
            None => {
                let known: Vec<_> = EVENTS.iter().map(|(name, _)| format!("\"{name}\"")).collect();
                section.complain_at(span, format!("`{}`: `{value}` is none of {}", section.path("events"), known.join(", ")));
            }
        }
    }
    wants
}

/// The value of `Authorization`.
fn read_authorization(section: &mut Section<'_>) -> Option<Secret> {
    let token = section.take_placed::<Secret>("token");
    let user = section.take_placed::<String>("user");
    let password = section.take_placed::<Secret>("password");
    match (token, user, password) {
        (Some(token), None, None) => Some(Secret::from(format!("Bearer {}", token.value.reveal()))),
        (None, Some(user), Some(password)) => {
            let both = format!("{}:{}", user.value, password.value.reveal());
            Some(Secret::from(format!("Basic {}", BASE64_STANDARD.encode(both))))
        }
        (None, None, None) => None,
        _ => {
            section.complain("give it `token`, or `user` and `password`, or none of them");
            None
        }
    }
}

impl Hook {
    async fn ask(&self, body: Vec<u8>) -> Result<Response, StageError> {
        let authorization = self.authorization.as_ref().map(Secret::reveal);
        let post = Post::octets(&self.path, body.into()).header("Content-Type", "application/json").maybe("Authorization", authorization);
        let answer = post.send(&self.endpoint).await?;
        let failed = |why: String| StageError::Failed(format!("{}: {why}", self.endpoint).into());
        if !answer.status.is_success() {
            return Err(failed(format!("it answered {}", answer.status)));
        }
        Response::parse(&answer.body).map_err(failed)
    }
}

#[async_trait]
impl Stage for Arc<Hook> {
    fn may_edit(&self) -> bool {
        !self.read_only && self.events.any(Wants::END_OF_MESSAGE)
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn wants(&self) -> Wants {
        // What it is not asked at it has to have seen, to tell of it later.
        self.events | Wants::MAIL | Wants::RECIPIENT
    }
    async fn begin(&self, client: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Asking { hook: Self::clone(self), session: Session::new(client), discard: false }))
    }
}

struct Asking {
    hook: Arc<Hook>,
    session: Session,
    /// It wanted the message gone before the message was there.
    discard: bool,
}

impl Asking {
    async fn command(&mut self, event: Wants, stage: &'static str) -> Result<Decision, StageError> {
        if !self.hook.events.any(event) {
            return Ok(Decision::Go);
        }
        self.session.find_name(&self.hook.dns).await;
        let response = self.hook.ask(self.session.request(stage, &self.hook.hostname, None)).await?;
        Ok(match response.action {
            Action::Accept => Decision::Go,
            Action::Reject => Decision::Refuse(response.refusal()),
            Action::Discard => {
                self.discard = true;
                Decision::Go
            }
            Action::Quarantine => return Err(StageError::Failed(format!("there is nothing to hold at {stage}").into())),
        })
    }
}

#[async_trait]
impl Inspection for Asking {
    async fn connect(&mut self, client: &Arc<Client>) -> Result<Decision, StageError> {
        self.session.client = Arc::clone(client);
        self.command(Wants::CONNECT, "CONNECT").await
    }
    async fn hello(&mut self, client: &Arc<Client>) -> Result<Decision, StageError> {
        self.session.client = Arc::clone(client);
        self.command(Wants::HELLO, "EHLO").await
    }
    async fn mail(&mut self, client: &Arc<Client>, mail: &Mail, id: Id) -> Result<Decision, StageError> {
        self.session.begin(client, mail, id);
        self.discard = false;
        self.command(Wants::MAIL, "MAIL").await
    }
    async fn recipient(&mut self, recipient: &Recipient) -> Result<Decision, StageError> {
        self.session.recipients.push(recipient.clone());
        let decision = self.command(Wants::RECIPIENT, "RCPT").await?;
        if matches!(decision, Decision::Refuse(_)) {
            self.session.recipients.pop();
        }
        Ok(decision)
    }
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        if std::mem::take(&mut self.discard) {
            return Ok(Report { verdict: Verdict::Discard, ..Report::default() });
        }
        let hook = &self.hook;
        if !hook.events.any(Wants::END_OF_MESSAGE) {
            return Ok(Report::default());
        }
        if hook.contents && message.content.len() > hook.max_size {
            return Err(StageError::TooLarge(format!("more than {} octets", hook.max_size).into()));
        }
        // Quoted as JSON, text takes up to twice as much; what takes more is rare, and short.
        let mut share = message.content.memory().share();
        if hook.contents && !share.grow(message.content.len().saturating_mul(3)) {
            return Err(StageError::Failed("no memory left".into()));
        }
        let body = if hook.contents { Some(message.whole().await.map_err(|error| StageError::Failed(error.into()))?) } else { None };
        // Those the MTA refused are not in it.
        self.session.recipients.clone_from(&message.envelope.recipients);
        self.session.find_name(&hook.dns).await;
        let response = hook.ask(self.session.request("DATA", &hook.hostname, Some((message, body.as_ref())))).await?;
        let mut report = Report { findings: vec![Finding::text("http.action", response.action.as_str())], ..Report::default() };
        report.verdict = match response.action {
            Action::Accept => Verdict::Deliver,
            Action::Discard => Verdict::Discard,
            Action::Quarantine => response.hold(),
            Action::Reject => Verdict::Refuse(response.refusal()),
        };
        if !hook.read_only {
            report.edits = response.edits;
        }
        Ok(report)
    }
}

/// What a hook says to the client that refuses without words of its own.
fn usual() -> Refusal {
    Refusal::permanent(50, "7.1", "message refused")
}

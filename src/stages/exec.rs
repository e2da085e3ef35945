//! Runs a program of the administrator's own with every message.
//!
//! ```toml
//! [[stage]]
//! name      = "check"
//! type      = "exec"
//! command   = ["/usr/local/bin/check-mail", "--strict"]
//! edit      = true
//! processes = 4
//! reject    = [10]
//! memory    = "256MiB"
//! cpu       = "10s"
//! ```
//!
//! The program is started without a shell when the message is whole: one that ran while it arrives
//! could be kept from ending by any client that is slow. It has
//!
//! - the message on standard input, octet for octet (lines end with CRLF); it need not read it;
//! - an environment of `PATH`, `PWD` (which is `/`), `OCTROI_HOSTNAME`, `OCTROI_LISTENER`, `OCTROI_ID`,
//!   `OCTROI_CLIENT_ADDRESS`, `OCTROI_CLIENT_PORT`, `OCTROI_HELO`, `OCTROI_ACCOUNT`, `OCTROI_TLS`
//!   (a version, or empty), `OCTROI_SENDER` (empty for `<>`) and `OCTROI_RECIPIENTS` (one a line);
//! - a process group of its own, which is killed as a whole when the program ends or its time is up.
//!
//! Its exit code is the verdict: 0 deliver, 10 reject, 11 tempfail, 12 quarantine, 13 discard, unless
//! the settings of those names list other codes. Any other code, or a signal, is a failure. On
//! standard output it may say more, in the lines that [`said`] has; anything else there is a failure
//! too. Standard error goes to the log.
use super::{Documented, Kind, Surroundings, documented};
use crate::{
    chain::{Decision, Finding, Hold, HoldClass, Inspection, Known, Report, Stage, StageError, Type, Verdict, Wants},
    message::{Client, Edit, Message, NewField},
    smtp::{Mail, Refusal},
    value::{
        ByteSize, Id,
        settings::{Placed, Section},
    },
};
use async_trait::async_trait;
use process::{Fault, Program};
use said::Said;
use std::{fmt::Write as _, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

mod process;
mod said;

const SETTINGS: &[Documented] = &[
    documented("command", "the program by its whole path, and its arguments; no shell reads them"),
    documented("edit", "whether it may add header fields (false)"),
    documented("processes", "how many run at once (8); messages beyond wait for one, within their time"),
    documented("memory", "octets of address space that each of its processes may have (1GiB)"),
    documented("cpu", "processor time that each of its processes may have (1m)"),
    documented("class", "what its quarantine counts as: \"malware\", \"phishing\", \"spam\" or \"policy\" (the default)"),
    documented("deliver", "exit codes that let the message pass ([0])"),
    documented("reject", "exit codes that refuse it ([10])"),
    documented("tempfail", "exit codes that refuse it for now ([11])"),
    documented("quarantine", "exit codes that hold it for a person ([12])"),
    documented("discard", "exit codes that take it and throw it away ([13])"),
];

pub(super) const KIND: Kind = Kind {
    name: "exec",
    summary: "runs a program with the message on its standard input",
    settings: SETTINGS,
    findings: &[
        Known::new("exec.exit", Type::Number, "the program's exit code"),
        Known::new("exec.score", Type::Real, "what it said with \"score NUMBER\""),
        Known::new("exec.finding", Type::Texts, "what it said with \"finding NAME VALUE\", as \"NAME=VALUE\""),
    ],
    build,
};

const PROCESSES: u32 = 8;
const MEMORY: ByteSize = ByteSize(1 << 30);
const CPU: Duration = Duration::from_secs(60);
/// Octets of all recipients together. The kernel takes 128 KiB in one variable.
const RECIPIENTS: usize = 100 << 10;

/// What an exit code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Deliver,
    Reject,
    Tempfail,
    Quarantine,
    Discard,
}

struct Exec {
    program: Program,
    edit: bool,
    class: HoldClass,
    codes: Vec<(i32, Act)>,
    hostname: Arc<str>,
}

fn build(section: &mut Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Stage>> {
    let command = command(section);
    let edit = section.take_or("edit", false);
    let processes = section.take_placed_unless("processes", &PROCESSES);
    if let Some(wrong) = processes.as_ref().filter(|processes| !(1..=10_000).contains(&processes.value)) {
        section.complain_at(wrong.span.clone(), format!("`{}` must be 1 to 10000", section.path("processes")));
    }
    let processes = processes.map_or(PROCESSES, |processes| processes.value);
    let memory = section.take_or("memory", MEMORY).0;
    let cpu = section.take_or("cpu", CPU);
    let classes =
        [("malware", HoldClass::Malware), ("phishing", HoldClass::Phishing), ("spam", HoldClass::Spam), ("policy", HoldClass::Policy)];
    let class = section.choice("class", &classes, HoldClass::Policy);
    let codes = codes(section);
    let program = Program::new(command?, processes, memory, cpu);
    let hostname = Arc::clone(&surroundings.hostname);
    Some(Box::new(Arc::new(Exec { program, edit, class, codes, hostname })))
}

fn command(section: &mut Section<'_>) -> Option<Vec<String>> {
    let words: Vec<Placed<String>> = section.require("command")?;
    let complain = |span, why| section.complain_at(span, format!("`{}`: {why}", section.path("command")));
    let Some(program) = words.first() else {
        section.complain(format!("`{}`: an empty list is no program", section.path("command")));
        return None;
    };
    let path = &program.value;
    if !path.starts_with('/') {
        complain(program.span.clone(), format!("`{path}`: write the whole path of the program, such as \"/usr/bin/env\""));
    } else if !std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0) {
        complain(program.span.clone(), format!("`{path}` is no program that can be run"));
    }
    if let Some(wrong) = words.iter().find(|word| word.value.contains('\0')) {
        complain(wrong.span.clone(), "an argument cannot have NUL in it".into());
    }
    Some(words.into_iter().map(|word| word.value).collect())
}

fn codes(section: &mut Section<'_>) -> Vec<(i32, Act)> {
    let mut said: Vec<(i32, Act)> = Vec::new();
    let keys = [
        ("deliver", Act::Deliver, 0),
        ("reject", Act::Reject, 10),
        ("tempfail", Act::Tempfail, 11),
        ("quarantine", Act::Quarantine, 12),
        ("discard", Act::Discard, 13),
    ];
    let (there, absent): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(key, ..)| section.has(key));
    for (key, act, default) in there {
        for Placed { value, span } in section.take_or(key, vec![Placed::nowhere(default)]) {
            let complain = |why: &str| section.complain_at(span, format!("`{}`: {why}", section.path(key)));
            match i32::try_from(value) {
                Ok(code @ 0..=255) if said.iter().any(|(other, _)| *other == code) => complain("this code has a meaning already"),
                Ok(code @ 0..=255) => said.push((code, act)),
                _ => complain("an exit code is 0 to 255"),
            }
        }
    }
    // A default gives way to whatever was said of its code.
    for (key, act, default) in absent {
        let usual = i32::try_from(default).ok().filter(|code| !said.iter().any(|(other, _)| other == code));
        section.holds_without(key, &usual.map(|_| default).into_iter().collect::<Vec<u32>>());
        said.extend(usual.map(|code| (code, act)));
    }
    said
}

#[async_trait]
impl Stage for Arc<Exec> {
    fn may_edit(&self) -> bool {
        self.edit
    }
    fn wants(&self) -> Wants {
        Wants::MAIL | Wants::END_OF_MESSAGE
    }
    fn is_remote(&self) -> bool {
        true
    }
    // Not `reads_content_only`: nobody knows what a program makes of its environment.
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Running { exec: Self::clone(self), sender: None }))
    }
}

struct Running {
    exec: Arc<Exec>,
    /// Of the transaction under way.
    sender: Option<(Arc<Client>, Id)>,
}

#[async_trait]
impl Inspection for Running {
    async fn mail(&mut self, client: &Arc<Client>, _: &Mail, id: Id) -> Result<Decision, StageError> {
        self.sender = Some((Arc::clone(client), id));
        Ok(Decision::Go)
    }
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        let environment = environment(&self.exec.hostname, self.sender.as_ref(), message)?;
        let failed = |fault: Fault| StageError::Failed(fault.into());
        // Dropped at the deadline, and all processes with it.
        let (code, output) = self.exec.program.run(environment, &message.content).await.map_err(failed)?;
        let act = self.exec.codes.iter().find(|(known, _)| *known == code).map(|(_, act)| *act);
        let act = act.ok_or_else(|| failed(Fault::Code(code)))?;
        let said = Said::read(&output).map_err(|line| failed(Fault::Said(line)))?;
        Ok(self.exec.report(code, act, said))
    }
}

/// What the program learns besides the message.
fn environment(hostname: &str, sender: Option<&(Arc<Client>, Id)>, message: &Message) -> Result<Vec<(&'static str, String)>, StageError> {
    let mut recipients = String::new();
    for recipient in &message.envelope.recipients {
        // Writing to a String does not fail.
        let _ = writeln!(recipients, "{}", recipient.address.as_str());
    }
    if recipients.len() > RECIPIENTS {
        return Err(StageError::TooLarge(format!("{} octets of recipients", recipients.len()).into()));
    }
    let reverse_path = message.envelope.mail.reverse_path.as_str();
    let mut environment = vec![
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("OCTROI_HOSTNAME", hostname.to_owned()),
        ("OCTROI_SENDER", reverse_path.to_owned()),
        ("OCTROI_RECIPIENTS", recipients.trim_end().to_owned()),
    ];
    if let Some((client, id)) = sender {
        environment.extend([
            ("OCTROI_ID", id.to_string()),
            ("OCTROI_LISTENER", client.listener.to_string()),
            ("OCTROI_CLIENT_ADDRESS", client.address.ip().to_canonical().to_string()),
            ("OCTROI_CLIENT_PORT", client.address.port().to_string()),
            ("OCTROI_HELO", client.hello.as_ref().map_or_else(String::new, |(domain, _)| domain.to_string())),
            ("OCTROI_ACCOUNT", client.account.as_deref().unwrap_or_default().to_owned()),
            ("OCTROI_TLS", client.tls.as_ref().map_or("", |tls| tls.version).to_owned()),
        ]);
    }
    Ok(environment)
}

impl Exec {
    fn report(&self, code: i32, act: Act, said: Said) -> Report {
        let verdict = match act {
            Act::Deliver => Verdict::Deliver,
            Act::Discard => Verdict::Discard,
            Act::Reject => Verdict::Refuse(Refusal::permanent(50, "7.1", said.reply.as_deref().unwrap_or("message refused by policy"))),
            Act::Tempfail => {
                Verdict::Refuse(Refusal::temporary(51, "7.1", said.reply.as_deref().unwrap_or("message refused for now, try again later")))
            }
            Act::Quarantine => {
                let reason = said.reason.unwrap_or_else(|| format!("{} ended with {code}", self.program.name()).into());
                Verdict::Quarantine(Hold { class: self.class, reason })
            }
        };
        let mut findings = vec![Finding::number("exec.exit", code)];
        findings.extend(said.findings);
        // Above all other fields: no signature covers them there.
        let fields = said.fields.into_iter().enumerate();
        let edits = fields.map(|(at, NewField { name, value })| Edit::InsertHeader { at, name, value: value.into() }).collect();
        Report { verdict, findings, edits, ..Report::default() }
    }
}

#[cfg(test)]
mod tests;

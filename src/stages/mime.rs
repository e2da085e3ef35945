//! The parser-differential guard: what two programs could read differently in a message is said, and
//! what no honest program writes is refused.
//!
//! ```toml
//! [[stage]]
//! name       = "mime"
//! type       = "mime"
//! anomalies  = "reject"                     # what becomes of the grave ones
//! reject     = ["charset_utf7"]             # these too
//! quarantine = ["partial"]
//! report     = ["name_conflict"]            # and these are only said
//! ```
//!
//! The stages that look into messages see every reading of them, whatever this one does
//! ([`Message::readings`]); it is for what hides from people, and from scanners that read for
//! themselves. The anomalies there are: [`Anomaly`].
use super::{Kind, Surroundings, documented};
use crate::{
    chain::{Finding, Hold, HoldClass, Inspection, Known, Report, Stage, StageError, Type, Verdict, Wants},
    message::{Anomaly, Client, Message, MimeError},
    smtp::Refusal,
    value::settings::{Placed, Section, nearest},
};
use async_trait::async_trait;
use std::{collections::BTreeMap, sync::Arc};

pub(super) const KIND: Kind = Kind {
    name: "mime",
    summary: "refuses mail whose structure programs read in different ways",
    settings: &[
        documented("anomalies", "what becomes of mail with grave anomalies: \"reject\" (the default), \"quarantine\" or \"report\""),
        documented("reject", "names of anomalies that are refused, grave or not"),
        documented("quarantine", "names of anomalies that are held for a person to look at"),
        documented("report", "names of anomalies that are only reported"),
    ],
    findings: &[
        Known::new("mime.anomaly", Type::Texts, "what programs could differ in, by name, such as `boundary_conflict`"),
        Known::new("mime.place", Type::Texts, "where each was first met: \"boundary_conflict at octet 312\""),
        Known::new("mime.parts", Type::Number, "parts in the standards' reading, containers and nested messages counted"),
        Known::new("mime.readings", Type::Number, "readings of all parts together"),
        Known::new("mime.differing", Type::Number, "those of them that a reader by the standards would not have"),
    ],
    build,
};

/// What becomes of a message with an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Report,
    Quarantine,
    Refuse,
}

#[derive(Debug)]
struct Guard {
    grave: Action,
    listed: BTreeMap<Anomaly, Action>,
}

fn build(section: &mut Section<'_>, _: &Surroundings) -> Option<Box<dyn Stage>> {
    let words = [("reject", Action::Refuse), ("quarantine", Action::Quarantine), ("report", Action::Report)];
    let mut guard = Guard { grave: section.choice("anomalies", &words, Action::Refuse), listed: BTreeMap::new() };
    for (key, action) in words {
        for item in section.take_or::<Vec<Placed<String>>>(key, Vec::new()) {
            if let Err(why) = guard.list(&item.value, action) {
                section.complain_at(item.span, format!("`{}`: {why}", section.path(key)));
            }
        }
    }
    Some(Box::new(Arc::new(guard)))
}

impl Guard {
    fn list(&mut self, name: &str, action: Action) -> Result<(), String> {
        let Some(anomaly) = Anomaly::named(name) else {
            let known: Vec<_> = Anomaly::ALL.iter().map(|anomaly| anomaly.as_str()).collect();
            let hint =
                nearest(name, &known).map_or_else(|| format!("there are: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
            return Err(format!("there is no anomaly `{name}`; {hint}"));
        };
        match self.listed.insert(anomaly, action) {
            Some(other) if other != action => Err(format!("`{name}` is in two lists")),
            _ => Ok(()),
        }
    }

    fn action(&self, anomaly: Anomaly) -> Action {
        let usual = if anomaly.is_grave() { self.grave } else { Action::Report };
        self.listed.get(&anomaly).copied().unwrap_or(usual)
    }

    /// By the strictest of its anomalies; of those, the first met.
    fn verdict(&self, anomalies: impl Iterator<Item = Anomaly>) -> Verdict {
        let mut strictest = None;
        for anomaly in anomalies {
            let action = self.action(anomaly);
            if strictest.is_none_or(|(other, _)| action > other) {
                strictest = Some((action, anomaly));
            }
        }
        match strictest {
            None | Some((Action::Report, _)) => Verdict::Deliver,
            Some((Action::Quarantine, anomaly)) => {
                let reason = format!("malformed, mail programs may read it in different ways: {}", anomaly.meaning());
                Verdict::Quarantine(Hold { class: HoldClass::Policy, reason: reason.into() })
            }
            // RFC 3463 §3.7: X.6.0, other or undefined media error.
            Some((Action::Refuse, anomaly)) => {
                Verdict::Refuse(Refusal::permanent(54, "6.0", &format!("malformed MIME structure ({})", anomaly.as_str())))
            }
        }
    }

    async fn message(&self, message: &Message) -> Result<Report, StageError> {
        let readings = match message.readings().await {
            Ok(readings) => readings,
            Err(MimeError::TooComplex(why)) => {
                let anomaly = Anomaly::TooComplex;
                let findings = vec![
                    Finding::text("mime.anomaly", anomaly.as_str()),
                    Finding::text("mime.place", format!("{}: {why}", anomaly.as_str())),
                ];
                return Ok(Report { verdict: self.verdict([anomaly].into_iter()), findings, ..Report::default() });
            }
            Err(error) => return Err(error.into()),
        };
        let differing = readings.all().iter().filter(|reading| !reading.plain).count() as u64;
        let mut findings = vec![
            Finding::number("mime.parts", readings.parts()),
            Finding::number("mime.readings", readings.all().len() as u64),
            Finding::number("mime.differing", differing),
        ];
        for found in readings.anomalies() {
            findings.push(Finding::text("mime.anomaly", found.anomaly.as_str()));
            findings.push(Finding::text("mime.place", format!("{} at octet {}", found.anomaly.as_str(), found.at)));
        }
        let verdict = self.verdict(readings.anomalies().iter().map(|found| found.anomaly));
        Ok(Report { verdict, findings, ..Report::default() })
    }
}

#[async_trait]
impl Stage for Arc<Guard> {
    fn wants(&self) -> Wants {
        Wants::END_OF_MESSAGE
    }
    fn reads_content_only(&self) -> bool {
        true
    }
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Reading(Self::clone(self))))
    }
}

struct Reading(Arc<Guard>);

#[async_trait]
impl Inspection for Reading {
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        self.0.message(message).await
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        chain::{Report, Value, Verdict},
        message::Anomaly,
        stages::tests::{client, message, read},
    };
    use std::collections::BTreeSet;

    const CONFLICT: &str = "Content-Type: multipart/mixed; boundary=a; boundary=b\r\n";
    const BODY: &str = "--a\r\n\r\none\r\n--a--\r\n";

    async fn report(settings: &str, headers: &str, body: &str) -> Report {
        let (stages, found) = read(&format!("[[stage]]\ntype = \"mime\"\n{settings}"));
        assert_eq!(found, Vec::<(String, String)>::new());
        let mut inspection = stages[0].stage.begin(&client()).await.unwrap();
        inspection.end_of_message(&message(headers, body)).await.unwrap()
    }
    fn found(report: &Report, name: &str) -> Vec<String> {
        report.findings.iter().filter(|finding| finding.name == name).map(|finding| finding.value.to_string()).collect()
    }

    #[tokio::test]
    async fn a_well_formed_message_is_counted_and_passes() {
        let report = report("", "Content-Type: multipart/mixed; boundary=a\r\n", BODY).await;
        assert_eq!(report.verdict, Verdict::Deliver);
        assert_eq!((found(&report, "mime.parts"), found(&report, "mime.readings")), (vec!["2".into()], vec!["1".into()]));
        assert_eq!(found(&report, "mime.anomaly"), Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_becomes_of_an_anomaly_is_configured() {
        let refused = |report: &Report| matches!(&report.verdict, Verdict::Refuse(refusal) if refusal.is_permanent());
        let held = |report: &Report| matches!(&report.verdict, Verdict::Quarantine(_));
        let grave = report("", CONFLICT, BODY).await;
        assert!(refused(&grave), "{grave:?}");
        assert_eq!(found(&grave, "mime.anomaly"), ["boundary_conflict"]);
        assert_eq!(found(&grave, "mime.place"), ["boundary_conflict at octet 0"]);
        assert!(held(&report("anomalies = \"quarantine\"", CONFLICT, BODY).await));
        assert_eq!(report("anomalies = \"report\"", CONFLICT, BODY).await.verdict, Verdict::Deliver);
        assert_eq!(report("report = [\"boundary_conflict\"]", CONFLICT, BODY).await.verdict, Verdict::Deliver);
        assert!(held(&report("quarantine = [\"boundary_conflict\"]", CONFLICT, BODY).await));

        let text = ("Content-Type: text/html; charset=utf-7\r\n", "hello");
        assert_eq!(report("", text.0, text.1).await.verdict, Verdict::Deliver);
        assert!(refused(&report("anomalies = \"report\"\nreject = [\"charset_utf7\"]", text.0, text.1).await));
    }

    #[tokio::test]
    async fn what_has_no_readings_is_an_anomaly_too() {
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(300);
        let report = report("", "A: b\r\nContent-Type: message/rfc822\r\n", &nested).await;
        assert!(matches!(report.verdict, Verdict::Refuse(_)));
        assert_eq!(report.findings[0].value, Value::Text("too_complex".into()));
    }

    #[test]
    fn the_reference_has_every_anomaly_where_it_belongs() {
        let reference = include_str!("../../deploy/octroi.toml");
        let (_, list) = reference.split_once("#   grave ").unwrap();
        let (grave, rest) = list.split_once("#   reported ").unwrap();
        let (reported, _) = rest.split_once("type = \"mime\"").unwrap();
        let words = |text: &'static str| text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        for (text, is_grave) in [(grave, true), (reported, false)] {
            let expected: BTreeSet<_> = Anomaly::ALL.iter().filter(|a| a.is_grave() == is_grave).map(|a| a.as_str()).collect();
            assert_eq!(words(text).collect::<BTreeSet<_>>(), expected);
        }
    }

    #[test]
    fn mistakes_are_told_with_their_places() {
        for (settings, place, text) in [
            ("reject = [\"partial\", \"base64_jnk\"]", "\"base64_jnk\"", "did you mean `base64_junk`?"),
            ("reject = [\"partial\"]\nreport = [\"partial\"]", "\"partial\"", "`stage.report`: `partial` is in two lists"),
            ("anomalies = \"drop\"", "\"drop\"", "is none of"),
        ] {
            let (_, found) = read(&format!("[[stage]]\ntype = \"mime\"\n{settings}"));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].0 == place && found[0].1.contains(text), "{found:?}");
        }
    }
}

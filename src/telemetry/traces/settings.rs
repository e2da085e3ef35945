//! `[traces]`.
use crate::{
    remote::http::{self, Url},
    value::{
        Secret,
        settings::{Placed, Section},
    },
};
use std::{path::PathBuf, time::Duration};

/// Whether this program was built to export traces at all.
const IS_BUILT_IN: bool = cfg!(feature = "otlp");
/// Where the protocol has traces, below the endpoint (OTLP, *OTLP/HTTP Request*).
const PATH: &str = "/v1/traces";
const TIMEOUT: Duration = Duration::from_secs(10);
const SERVICE: &str = "octroi";
/// Header fields that are ours to write.
const OURS: [&str; 5] = ["host", "content-type", "content-length", "connection", "transfer-encoding"];

/// What is exported, and to whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where it goes; `None`: nowhere.
    pub endpoint: Option<Endpoint>,
    /// Of the messages with which nothing went wrong, from 0 to 1.
    pub sample: f64,
    /// For one request, from the connection to the end of the answer.
    pub timeout: Duration,
    /// `service.name`
    pub service: Box<str>,
    /// `service.instance.id`; `None`: the gate's own name.
    pub instance: Option<Box<str>>,
}

/// A receiver of OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// With the path for traces.
    pub url: Url,
    /// Its certificate leads to one of these; `None`: to one that the system trusts.
    pub ca: Option<PathBuf>,
    /// Sent with every request.
    pub headers: Vec<(Box<str>, Secret)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { endpoint: None, sample: 1.0, timeout: TIMEOUT, service: SERVICE.into(), instance: None }
    }
}

impl Settings {
    /// Reads `[traces]`.
    #[must_use]
    pub fn read(section: &mut Section<'_>) -> Self {
        section.otherwise("endpoint", "nowhere");
        section.otherwise("ca", "those that the system trusts");
        section.otherwise("instance", "`hostname`");
        let endpoint = endpoint(section);
        let default = Self::default();
        let sample = section.take_placed_unless("sample", &default.sample);
        if let Some(Placed { value, span }) = &sample
            && !(0.0..=1.0).contains(value)
        {
            section.complain_at(span.clone(), format!("`{}`: a share, from 0 (none) to 1 (all)", section.path("sample")));
        }
        let timeout = section.take_placed_unless("timeout", &default.timeout);
        if let Some(Placed { value: Duration::ZERO, span }) = &timeout {
            section.complain_at(span.clone(), format!("`{}`: nothing is that fast", section.path("timeout")));
        }
        Self {
            endpoint,
            sample: sample.map_or(default.sample, |sample| sample.value),
            timeout: timeout.map_or(default.timeout, |timeout| timeout.value),
            service: section.take_or("service_name", default.service),
            instance: section.take("instance"),
        }
    }
}

/// `None` where there is none, and where a mistake was reported.
fn endpoint(section: &mut Section<'_>) -> Option<Endpoint> {
    let given = section.take_placed::<String>("endpoint");
    let headers = headers(section);
    let url = given.as_ref().and_then(|Placed { value, span }| {
        let complain = |why: &str| section.complain_at(span.clone(), format!("`{}`: {why}", section.path("endpoint")));
        if !IS_BUILT_IN {
            complain(
                "this octroi was built without traces; take one that was built with `cargo build --release --features otlp`, \
                 as packages and images are, or leave `endpoint` out",
            );
        }
        if value.contains('?') {
            complain("no query belongs here: what it says goes into a `[[traces.header]]`");
        }
        Url::parse(value).map_err(|why| complain(&why)).ok()
    });
    let ca = section.take_placed::<PathBuf>("ca");
    match (&given, &ca) {
        (Some(_), _) => drop(http::trusted(section, "endpoint", url.as_ref(), ca.as_ref())?),
        (None, Some(ca)) => {
            section.complain_at(ca.span.clone(), format!("`{}`: of whose certificate? there is no `endpoint`", section.path("ca")))
        }
        (None, None) => {}
    }
    let url = url.map(|url| Url { path: path(&url.path), ..url });
    Some(Endpoint { url: url?, ca: ca.map(|ca| ca.value), headers })
}

/// Of traces, where an endpoint's own path is this one.
fn path(base: &str) -> Box<str> {
    let base = base.trim_end_matches('/');
    if base.ends_with(PATH) { base.into() } else { format!("{base}{PATH}").into() }
}

fn headers(section: &mut Section<'_>) -> Vec<(Box<str>, Secret)> {
    let mut headers = Vec::new();
    for mut header in section.sections("header") {
        let name = header.require_placed::<Box<str>>("name");
        let value = header.require_placed::<Secret>("value");
        if let Some(Placed { value: name, span }) = &name {
            let path = header.path("name");
            // RFC 9110 §5.6.2
            let is_token = |name: &str| {
                !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet))
            };
            if !is_token(name) {
                header.complain_at(span.clone(), format!("`{path}`: `{name}` is no name of a header field"));
            } else if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
                header.complain_at(span.clone(), format!("`{path}`: `{name}` is written by octroi itself"));
            }
        }
        if let Some(Placed { value, span }) = &value
            && value.reveal().contains(|c: char| c.is_control() || !c.is_ascii())
        {
            header.complain_at(span.clone(), format!("`{}`: one line of ASCII, as header fields are", header.path("value")));
        }
        headers.extend(name.zip(value).map(|(name, value)| (name.value, value.value)));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::settings::Problems;
    use toml::de::DeTable;

    fn read(text: &str) -> (Settings, Vec<String>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let problems = Problems::default();
        let settings = Settings::read(&mut Section::root(&table, problems.clone()));
        (settings, problems.take().into_iter().map(|problem| problem.text).collect())
    }

    #[test]
    fn nothing_is_exported_unless_somebody_says_where() {
        assert_eq!(read(""), (Settings::default(), vec![]));
        assert_eq!(Settings::default().endpoint, None);
    }

    #[test]
    fn the_path_of_traces_is_found_below_the_endpoint() {
        for (endpoint, wanted) in [
            ("http://127.0.0.1:4318", "/v1/traces"),
            ("http://127.0.0.1:4318/", "/v1/traces"),
            ("http://127.0.0.1:4318/otlp", "/otlp/v1/traces"),
            ("http://127.0.0.1:4318/otlp/v1/traces", "/otlp/v1/traces"),
            ("http://unix:/run/collector.sock", "/v1/traces"),
        ] {
            let (settings, _) = read(&format!("endpoint = \"{endpoint}\""));
            assert_eq!(&*settings.endpoint.unwrap().url.path, wanted, "{endpoint}");
        }
    }

    #[test]
    fn whoever_was_built_without_says_so() {
        let (_, mistakes) = read("endpoint = \"http://127.0.0.1:4318\"");
        let said = mistakes.iter().any(|mistake| mistake.contains("--features otlp"));
        assert_eq!(said, !cfg!(feature = "otlp"), "{mistakes:?}");
    }

    #[test]
    fn what_cannot_be_is_answered_with_what_would_be_right() {
        let told = |text: &str, wanted: &str| {
            let (_, mistakes) = read(text);
            assert!(mistakes.iter().any(|mistake| mistake.contains(wanted)), "{text}: {mistakes:?}");
        };
        told("endpoint = \"localhost:4318\"", "is no URL");
        told("endpoint = \"http://a/?tenant=1\"", "no query");
        told("endpoint = \"http://a/\"\nca = \"/etc/ssl/a.pem\"", "only a server at \"https://…\" has a certificate");
        told("sample = 1.5", "from 0 (none) to 1 (all)");
        told("timeout = \"0s\"", "nothing is that fast");
        told("[[header]]\nname = \"X Y\"\nvalue = \"z\"", "is no name of a header field");
        told("[[header]]\nname = \"Content-Type\"\nvalue = \"z\"", "written by octroi itself");
        told("[[header]]\nname = \"X\"\nvalue = \"z\\ny\"", "one line of ASCII");
        told("[[header]]\nname = \"X\"", "`header.value` is missing");
    }
}

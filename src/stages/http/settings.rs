//! What is configured of a hook.
use super::{Event, Hook, Surroundings};
use crate::{
    chain::{HoldClass, Stage},
    remote::http::{self, Url},
    value::{
        ByteSize, Secret,
        settings::{Placed, Section},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{path::PathBuf, sync::Arc};

const MAX_SIZE: ByteSize = ByteSize(10 << 20);

/// How a hook knows us (RFC 6750 §2.1, RFC 7617).
pub(super) enum Authorization {
    Bearer(Secret),
    Basic(Box<str>, Secret),
}

impl Authorization {
    /// The value of the header field.
    pub(super) fn value(&self) -> String {
        match self {
            Self::Bearer(token) => format!("Bearer {}", token.reveal()),
            Self::Basic(user, password) => format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))),
        }
    }
}

pub(super) fn build(section: &mut Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Stage>> {
    let url = Url::require(section, "url");
    section.otherwise("ca", "those that the system trusts");
    let ca = section.take_placed::<PathBuf>("ca");
    let tls = http::trusted(section, "url", url.as_ref(), ca.as_ref());
    let events = events(section);
    let authorization = authorization(section);
    let contents = section.take_or("contents", true);
    let max_size = section.take_or("max_size", MAX_SIZE).0;
    let read_only = section.take_or("read_only", false);
    let classes =
        [("malware", HoldClass::Malware), ("phishing", HoldClass::Phishing), ("spam", HoldClass::Spam), ("policy", HoldClass::Policy)];
    let class = section.choice("class", &classes, HoldClass::Policy);
    let Surroundings { hostname, dns, .. } = surroundings.clone();
    let hook =
        Hook { url: url?, tls: tls?, events: events?, authorization: authorization?, contents, max_size, read_only, class, hostname, dns };
    Some(Box::new(Arc::new(hook)))
}

fn events(section: &mut Section<'_>) -> Option<Vec<Event>> {
    let usual = vec![Placed::nowhere(Event::Data.as_str().to_owned())];
    let there = section.place("events");
    let given = section.take_placed_unless("events", &usual);
    let Some(span) = there else { return Some(vec![Event::Data]) };
    let words = given?.value;
    let path = section.path("events");
    if words.is_empty() {
        section.complain_at(span, format!("`{path}`: a hook that is never asked does nothing"));
        return None;
    }
    let known: Vec<_> = Event::ALL.iter().map(|event| format!("\"{}\"", event.as_str())).collect();
    let read = |Placed { value, span }: &Placed<String>| {
        let event = Event::ALL.iter().copied().find(|event| event.as_str() == value);
        if event.is_none() {
            section.complain_at(span.clone(), format!("`{path}`: `{value}` is none of {}", known.join(", ")));
        }
        event
    };
    words.iter().map(read).collect::<Vec<_>>().into_iter().collect()
}

/// The outer one is `None` where a mistake was reported.
fn authorization(section: &mut Section<'_>) -> Option<Option<Authorization>> {
    let token = section.take_placed::<Secret>("token");
    let user = section.take_placed::<Box<str>>("user");
    let password = section.take_placed::<Secret>("password");
    let wrong = |span, key, why| {
        section.complain_at(span, format!("`{}`: {why}", section.path(key)));
        None
    };
    match (token, user, password) {
        (None, None, None) => Some(None),
        (Some(token), None, None) => Some(Some(Authorization::Bearer(token.value))),
        (None, Some(user), _) if user.value.contains(':') => wrong(user.span, "user", "the name cannot have a colon (RFC 7617 §2)"),
        (None, Some(user), Some(password)) => Some(Some(Authorization::Basic(user.value, password.value))),
        (None, Some(user), None) => wrong(user.span, "user", "a name needs a `password`"),
        (None, None, Some(password)) => wrong(password.span, "password", "a password needs a `user`"),
        (Some(token), ..) => wrong(token.span, "token", "either a token, or a name and a password"),
    }
}

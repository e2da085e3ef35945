//! What the layers below refuse, as the console answers it: the status, and the sentence in the
//! reader's language. What is ours to mend is in the log only.
use super::{error::Error, said::Said};
use crate::accounts::{AccountError, Refused, WeakPassword};
use crate::audit::Broken;
use crate::evidence::EvidenceError;
use crate::gate::release::NotReleased;
use crate::preview::PreviewError;
use crate::quarantine::{Conflict, QuarantineError, Wrong};
use crate::storage::StorageError;

/// Where the texts of a set of reasons stand.
const CONFLICT: &str = "quarantine.conflict";
const WRONG: &str = "quarantine.wrong";
const REFUSED: &str = "accounts.refused";

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full(_) => Self::Full(error.to_string()),
            StorageError::TooBroad(_) => Self::TooBroad,
            StorageError::Busy | StorageError::Crowded => Self::Busy,
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<&Conflict> for Said {
    fn from(why: &Conflict) -> Self {
        Self::why(CONFLICT, why.code(), why.values())
    }
}

impl From<&Wrong> for Said {
    fn from(why: &Wrong) -> Self {
        Self::why(WRONG, why.code(), why.values())
    }
}

impl From<&Refused> for Said {
    fn from(why: &Refused) -> Self {
        Self::why(REFUSED, why.code(), why.values())
    }
}

impl From<WeakPassword> for Said {
    fn from(weak: WeakPassword) -> Self {
        Self::of(match weak {
            WeakPassword::Short => "password.short",
            WeakPassword::Long => "password.long",
            WeakPassword::Monotonous => "password.monotonous",
            WeakPassword::Name => "password.name",
        })
    }
}

impl From<QuarantineError> for Error {
    fn from(error: QuarantineError) -> Self {
        match &error {
            QuarantineError::NoEntry(_) | QuarantineError::NoAllowance(_) => Self::NotFound,
            QuarantineError::Conflict(why) => Self::Conflict(why.into()),
            QuarantineError::Wrong(why) => Self::Bad(why.into()),
            QuarantineError::NeedsSecond(_) => Self::Conflict(Said::of("quarantine.error.needs_second")),
            QuarantineError::Altered(_) => {
                tracing::error!("{error}");
                Self::Conflict(Said::of("quarantine.error.altered"))
            }
            QuarantineError::Spool(_) => {
                tracing::warn!("{error}");
                Self::Conflict(Said::of("quarantine.error.no_room"))
            }
            QuarantineError::Storage(why) => why.clone().into(),
            QuarantineError::NoRoom(_) | QuarantineError::Late => Self::Internal(error.to_string()),
        }
    }
}

impl From<AccountError> for Error {
    fn from(error: AccountError) -> Self {
        match &error {
            AccountError::NoAccount(_) => Self::NotFound,
            AccountError::Exists(name) => Self::Conflict(Said::of("accounts.exists").and("name", name)),
            AccountError::Refused(why) => Self::Conflict(why.into()),
            AccountError::Weak(weak) => Self::Conflict((*weak).into()),
            AccountError::Busy => Self::Throttled(10),
            AccountError::Storage(why) => why.clone().into(),
            AccountError::NoRandomness | AccountError::Failed(_) => Self::Internal(error.to_string()),
        }
    }
}

/// Why a message cannot be shown: hostile ones are made so that they cannot.
impl From<PreviewError> for Error {
    fn from(error: PreviewError) -> Self {
        match &error {
            PreviewError::Headers(_) => Self::Conflict(Said::of("quarantine.error.headers")),
            PreviewError::Structure(_) => Self::Conflict(Said::of("quarantine.error.structure")),
            PreviewError::Io(_) => {
                tracing::warn!("{error}");
                Self::Conflict(Said::of("quarantine.error.no_room"))
            }
        }
    }
}

impl From<EvidenceError> for Error {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Quarantine(error) => error.into(),
            EvidenceError::TooLarge => Self::Conflict(Said::of("quarantine.error.export_too_large")),
            other => Self::Internal(other.to_string()),
        }
    }
}

/// Why somebody does not have what was released: servers are quoted.
impl From<&NotReleased> for Said {
    fn from(why: &NotReleased) -> Self {
        match why {
            NotReleased::Refused(reply) => Self::of("quarantine.error.refused").and("why", reply),
            NotReleased::Unanswered(why) => Self::of("quarantine.error.unanswered").and("why", why),
            NotReleased::Unknown(why) => Self::of("quarantine.error.unknown").and("why", why),
        }
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::Conflict(match broken {
            Broken::Missing { expected, found } => Said::of("audit.missing").and("expected", expected).and("found", found),
            Broken::Unchained(row) => Said::of("audit.unchained").and("row", row),
            Broken::Altered(row) => Said::of("audit.altered").and("row", row),
            Broken::HeadMissing(head) => Said::of("audit.head_missing").and("head", head),
            Broken::Storage(error) => return error.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::text::Language, *};

    /// A reason without its text, or with other values in it, is one that somebody forgot.
    #[test]
    fn every_reason_has_its_sentence_in_every_language() {
        let sets = [(CONFLICT, Conflict::ALL), (WRONG, Wrong::ALL), (REFUSED, Refused::ALL)];
        let mut seen = 0;
        for (table, (code, values)) in sets.iter().flat_map(|(table, all)| all.iter().map(move |reason| (table, reason))) {
            let mut sentences = Vec::new();
            for (language, _) in Language::ALL {
                let key = format!("{table}.{code}");
                let text = language.t(&key);
                assert_ne!(text, "…", "no text `{key}` in {}", language.code());
                for value in *values {
                    assert!(text.contains(&format!("{{{value}}}")), "{key} in {}: no {{{value}}}", language.code());
                }
                assert!(text.ends_with('.'), "{key} in {} is no sentence", language.code());
                sentences.push(text);
            }
            assert_ne!(sentences[0], sentences[1], "{table}.{code}");
            seen += 1;
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn what_is_refused_below_is_said_in_the_readers_language_with_its_values() {
        let error = QuarantineError::Conflict(Conflict::HasIt { address: "b@example.org".into(), by: "anna".into() });
        let Error::Conflict(said) = Error::from(error) else { panic!() };
        assert_eq!(said.to(Language::French), "b@example.org l’a déjà reçu, libéré par anna. « Libérer de nouveau » le répète.");
        let Error::Conflict(said) = Error::from(AccountError::Exists("anna".into())) else { panic!() };
        assert_eq!(said.to(Language::French), "Un compte anna existe déjà.");
        assert!(matches!(Error::from(AccountError::Failed("secret detail".into())), Error::Internal(_)));
    }
}

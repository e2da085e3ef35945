//! What it means that a stage has found something, in the words of the configuration.

/// From mild to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// It is left as a finding.
    Report,
    Discard,
    Quarantine,
    Tempfail,
    Reject,
}

impl Act {
    pub(super) const WORDS: &[(&str, Self)] = &[
        ("reject", Self::Reject),
        ("quarantine", Self::Quarantine),
        ("tempfail", Self::Tempfail),
        ("discard", Self::Discard),
        ("report", Self::Report),
    ];
}

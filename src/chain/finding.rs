use std::fmt;

/// A name that stages leave findings under, as rules and the reference know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// `kind.what`, such as `limits.parts`.
    pub name: &'static str,
    pub kind: Type,
    pub meaning: &'static str,
}

/// What rules may do with a finding. Where no stage left it, a rule sees the empty value: `""`, no
/// texts, `0`, `0.0`, `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Text,
    /// May be left more than once; rules see a list.
    Texts,
    Number,
    Real,
    Flag,
}

/// Findings that any stage may leave, whatever its kind.
pub const FINDINGS: &[Known] = &[
    Known::new(
        INCOMPLETE,
        Type::Texts,
        "a stage that did not finish, and why: \"name: late\", or `failed`, `panicked`, `too_large`, `breaker_open`, `poisoned`",
    ),
    Known::new(RULE, Type::Texts, "a rule that held"),
    Known::new(OBSERVED, Type::Texts, "a stage or rule that only observes, and what it would have done: \"name: refuse: …\""),
];
pub(super) const RULE: &str = "rule.matched";
pub(super) const INCOMPLETE: &str = "stage.incomplete";
pub(super) const OBSERVED: &str = "stage.observed";

impl Known {
    #[must_use]
    pub const fn new(name: &'static str, kind: Type, meaning: &'static str) -> Self {
        Self { name, kind, meaning }
    }
}

/// Something a stage found out, under a documented name such as `limits.parts`. Text may be what a
/// sender wrote: bounded, by whoever finds it, and escaped where it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub name: &'static str,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(Box<str>),
    Number(i64),
    Real(f64),
    Flag(bool),
}

impl Finding {
    #[must_use]
    pub fn text(name: &'static str, text: impl Into<Box<str>>) -> Self {
        Self { name, value: Value::Text(text.into()) }
    }
    #[must_use]
    pub fn number(name: &'static str, number: impl TryInto<i64>) -> Self {
        Self { name, value: Value::Number(number.try_into().unwrap_or(i64::MAX)) }
    }
    #[must_use]
    pub fn real(name: &'static str, real: f64) -> Self {
        Self { name, value: Value::Real(real) }
    }
    #[must_use]
    pub fn flag(name: &'static str, flag: bool) -> Self {
        Self { name, value: Value::Flag(flag) }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Real(real) => real.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

use std::fmt;

/// Findings that any stage may leave, whatever its kind: name and meaning.
pub const FINDINGS: &[(&str, &str)] = &[
    (INCOMPLETE, "a stage did not finish: its name, and `late`, `panicked` or `failed`"),
    (OBSERVED, "a stage that only observes: its name, and what it would have done"),
];
pub(super) const INCOMPLETE: &str = "stage.incomplete";
pub(super) const OBSERVED: &str = "stage.observed";

/// Something a stage found out, under a documented name such as `limits.parts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub name: &'static str,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(Box<str>),
    Number(i64),
    Flag(bool),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Text(text) => write!(f, "{}={text}", self.name),
            Value::Number(number) => write!(f, "{}={number}", self.name),
            Value::Flag(flag) => write!(f, "{}={flag}", self.name),
        }
    }
}

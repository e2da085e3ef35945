//! Conditions in the Common Expression Language (<https://cel.dev>): compiled and type-checked when
//! the configuration is read, evaluated over what is known of a message. The crate `cel` is named in
//! this folder and nowhere else.
//!
//! A condition cannot loop without end, cannot call anything, and has no side effects; what it may
//! speak of is in a [`Vocabulary`].

mod check;
mod vocabulary;

pub use vocabulary::{Facts, Vocabulary};

use cel::{Context, Env, ExecutionError, Program, Value, extractors::This};
use regex::Regex;
use std::{
    collections::HashMap,
    net::IpAddr,
    ops::Range,
    sync::{Arc, LazyLock},
};

/// A condition that can be evaluated.
#[derive(Debug)]
pub struct Expression {
    program: Program,
    text: Box<str>,
    /// Every name it speaks of, such as `auth.dmarc`.
    names: Vec<Box<str>>,
    /// The header fields it looks at, as written.
    fields: Vec<Box<str>>,
    /// What `matches` looks for, compiled, by its text.
    patterns: Arc<HashMap<String, Regex>>,
}

/// What is wrong with a condition, and where in it (octets).
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    pub span: Range<usize>,
    pub text: String,
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // `lowerAscii` and its kin; it fails where a name is declared twice, which a test would see.
    let _ = env.add_extension(cel::extensions::strings);
    Arc::new(env)
});

/// The function that CEL does not have: whether an address is in a network.
const IN_NETWORK: &str = "inNetwork";
/// CEL's own would compile its pattern each time.
const MATCHES: &str = "matches";

impl Expression {
    /// # Errors
    /// Everything that is wrong with it: syntax, names that are not in the vocabulary, types that do
    /// not fit, a result that is neither true nor false.
    pub fn compile(text: &str, vocabulary: &Vocabulary) -> Result<Self, Vec<Mistake>> {
        let program = ENV.compile(text).map_err(|errors| syntax(text, &errors))?;
        let checked = check::check(&program, text, vocabulary)?;
        let check::Checked { names, fields, patterns } = checked;
        Ok(Self { program, text: text.into(), names, fields, patterns: Arc::new(patterns) })
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it speaks of `name`.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        self.names.iter().any(|own| &**own == name)
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// What went wrong in evaluating it, such as a division by zero: then nobody knows.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_function(IN_NETWORK, in_network).map_err(|error| error.to_string())?;
        if !self.patterns.is_empty() {
            let patterns = Arc::clone(&self.patterns);
            let matches = move |This(text): This<Arc<String>>, pattern: Arc<String>| match patterns.get(&*pattern) {
                Some(pattern) => Ok(pattern.is_match(&text)),
                None => Err(ExecutionError::function_error(MATCHES, "a pattern that was not compiled")),
            };
            context.add_function(MATCHES, matches).map_err(|error| error.to_string())?;
        }
        for name in &self.names {
            if name.starts_with(vocabulary::HEADER) {
                continue;
            }
            context.add_variable_from_value(&**name, facts.value(name));
        }
        facts.headers(&self.fields, &mut context);
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("it is neither true nor false, but {other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// `inNetwork(client.ip, "192.0.2.0/24")`; what is no address is in no network. An IPv4 address
/// written as IPv6 is the IPv4 address.
fn in_network(address: Arc<String>, network: Arc<String>) -> bool {
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    network.parse::<ipnet::IpNet>().is_ok_and(|network| network.contains(&address.to_canonical()))
}

fn syntax(text: &str, errors: &cel::ParseErrors) -> Vec<Mistake> {
    let mistake = |error: &cel::ParseError| {
        let (line, column) = error.pos;
        let line = usize::try_from(line).unwrap_or(1).max(1);
        let column = usize::try_from(column).unwrap_or(1).max(1);
        let before: usize = text.split_inclusive('\n').take(line - 1).map(|line| line.chars().count()).sum();
        let at = u32::try_from(before + column - 1).unwrap_or(u32::MAX);
        Mistake { span: check::octets(text, at, at), text: error.msg.clone() }
    };
    errors.errors.iter().map(mistake).collect()
}

#[cfg(test)]
mod tests;

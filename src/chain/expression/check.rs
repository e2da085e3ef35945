//! Types and names of a condition, checked before the first message comes: CEL itself would only
//! say at run time that a name does not exist.
use super::{IN_NETWORK, MATCHES, Mistake, vocabulary};
use crate::{
    chain::{Type, Vocabulary},
    value::settings::nearest,
};
use cel::{
    Context, Program, Value,
    common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators},
};
use regex::Regex;
use std::{collections::HashMap, fmt, ops::Range};

/// What a condition turned out to speak of.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub names: Vec<Box<str>>,
    pub fields: Vec<Box<str>>,
    pub patterns: HashMap<String, Regex>,
}

/// The type of an expression, as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Real,
    Flag,
    List(Box<Self>),
    Map,
    /// Not known, or wrong already: nothing more is said of it.
    Any,
}

/// Functions of one text that are called as `text.f(other)`.
const OF_TEXTS: &[&str] = &["contains", "startsWith", "endsWith", MATCHES];
/// Functions from a text to a text, `text.f()`.
const TO_TEXT: &[&str] = &["lowerAscii", "upperAscii", "trim"];
const CONVERSIONS: &[(&str, Kind)] = &[("string", Kind::Text), ("int", Kind::Number), ("double", Kind::Real)];

struct Checker<'a> {
    program: &'a Program,
    text: &'a str,
    vocabulary: &'a Vocabulary,
    /// Variables of the macros around (`exists`, `all`, `filter`, `map`).
    scope: Vec<(&'a str, Kind)>,
    checked: Checked,
    mistakes: Vec<Mistake>,
}

/// # Errors
/// All mistakes.
pub(super) fn check(program: &Program, text: &str, vocabulary: &Vocabulary) -> Result<Checked, Vec<Mistake>> {
    let mut checker = Checker { program, text, vocabulary, scope: Vec::new(), checked: Checked::default(), mistakes: Vec::new() };
    let kind = checker.kind(program.expression());
    if checker.mistakes.is_empty() && !matches!(kind, Kind::Flag | Kind::Any) {
        checker.complain(program.expression(), format!("a condition must be true or false; this is {kind}"));
    }
    if checker.mistakes.is_empty() { Ok(checker.checked) } else { Err(checker.mistakes) }
}

impl<'a> Checker<'a> {
    fn kind(&mut self, expr: &'a IdedExpr) -> Kind {
        match &expr.expr {
            Expr::Literal(literal) => Kind::of(literal),
            Expr::Ident(_) | Expr::Select(_) => self.name(expr),
            Expr::Call(call) => self.call(expr, call),
            Expr::List(list) => {
                let mut kinds: Vec<_> = list.elements.iter().map(|element| self.kind(element)).collect();
                kinds.dedup();
                match kinds.as_slice() {
                    [one] => Kind::List(Box::new(one.clone())),
                    _ => Kind::List(Box::new(Kind::Any)),
                }
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.complain(expr, "no condition needs this; write comparisons, `in`, `&&`, `||`, `!`".to_owned());
                Kind::Any
            }
        }
    }

    fn name(&mut self, expr: &'a IdedExpr) -> Kind {
        let Some(name) = dotted(expr) else {
            self.complain(
                expr,
                "only names such as `client.ip` have dots; a finding that nobody left is empty, `has` is not needed".to_owned(),
            );
            return Kind::Any;
        };
        if let Some((_, kind)) = self.scope.iter().rev().find(|(own, _)| *own == name) {
            return kind.clone();
        }
        if let Some(known) = self.vocabulary.find(&name) {
            if !self.checked.names.iter().any(|own| **own == *name) {
                self.checked.names.push(name.into());
            }
            return known.kind.into();
        }
        let text = if let Some(kind) = self.vocabulary.kind_of_absent(&name) {
            format!("no stage of type `{kind}` is configured, so nobody would find out `{name}`")
        } else if [vocabulary::HEADER, vocabulary::HEADERS].contains(&&*name) && self.vocabulary.has_headers() {
            format!("write {name}[\"Subject\"]")
        } else {
            self.unknown(&name)
        };
        self.complain(expr, text);
        Kind::Any
    }

    fn unknown(&self, name: &str) -> String {
        let mut all: Vec<&str> = self.vocabulary.names().collect();
        if self.vocabulary.has_headers() {
            all.extend([vocabulary::HEADER, vocabulary::HEADERS]);
        }
        if let Some(near) = nearest(name, &all) {
            return format!("there is no `{name}`; did you mean `{near}`?");
        }
        let root = name.split('.').next().unwrap_or(name);
        if self.vocabulary.is_root(root) {
            all.retain(|known| known.split('.').next() == Some(root));
            return format!("there is no `{name}`; there are: {}", all.join(", "));
        }
        let mut families: Vec<String> =
            all.iter().map(|known| known.split_once('.').map_or_else(|| (*known).to_owned(), |(root, _)| format!("{root}.…"))).collect();
        families.dedup();
        format!("there is no `{name}`; there are: {}", families.join(", "))
    }

    fn call(&mut self, expr: &'a IdedExpr, call: &'a CallExpr) -> Kind {
        if call.func_name == operators::INDEX
            && let Some(kind) = self.header(call)
        {
            return kind;
        }
        let operands: Vec<&'a IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let kinds: Vec<Kind> = operands.iter().map(|operand| self.kind(operand)).collect();
        let function = call.func_name.as_str();
        let (result, fits) = match (function, kinds.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [a, b]) => (Kind::Flag, a.may_be(&Kind::Flag) && b.may_be(&Kind::Flag)),
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [a]) => (Kind::Flag, a.may_be(&Kind::Flag)),
            (operators::CONDITIONAL, [a, b, c]) => (b.clone(), a.may_be(&Kind::Flag) && b.may_be(c)),
            (operators::EQUALS | operators::NOT_EQUALS, [a, b]) => (Kind::Flag, a.may_be(b) || (a.is_numeric() && b.is_numeric())),
            (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS, [a, b]) => {
                (Kind::Flag, (a.is_numeric() && b.is_numeric()) || (a.may_be(&Kind::Text) && b.may_be(&Kind::Text)))
            }
            (operators::ADD, [a, b]) => (a.clone(), a.may_be(b) && !matches!(a, Kind::Flag | Kind::Map)),
            (operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [a, b]) => {
                (a.clone(), a.is_numeric() && a.may_be(b))
            }
            (operators::NEGATE, [a]) => (a.clone(), a.is_numeric()),
            (operators::IN, [a, Kind::List(item)]) => (Kind::Flag, a.may_be(item)),
            (operators::IN, [_, b]) => (Kind::Flag, *b == Kind::Any),
            (operators::INDEX, [Kind::List(item), b]) => ((**item).clone(), b.may_be(&Kind::Number)),
            (operators::INDEX, [a, _]) => (Kind::Any, *a == Kind::Any),
            ("size", [a]) => (Kind::Number, matches!(a, Kind::Text | Kind::List(_) | Kind::Any)),
            (IN_NETWORK, [a, b]) => (Kind::Flag, a.may_be(&Kind::Text) && b.may_be(&Kind::Text)),
            (name, [a, b]) if OF_TEXTS.contains(&name) => (Kind::Flag, a.may_be(&Kind::Text) && b.may_be(&Kind::Text)),
            (name, [a]) if TO_TEXT.contains(&name) => (Kind::Text, a.may_be(&Kind::Text)),
            (name, [a]) if CONVERSIONS.iter().any(|(own, _)| *own == name) => {
                let kind = CONVERSIONS.iter().find(|(own, _)| *own == name).map_or(Kind::Any, |(_, kind)| kind.clone());
                (kind, !matches!(a, Kind::List(_) | Kind::Map))
            }
            (name, kinds) => {
                let text = no_function(name, kinds);
                self.complain(expr, text);
                return Kind::Any;
            }
        };
        if !fits {
            let kinds: Vec<_> = kinds.iter().map(ToString::to_string).collect();
            self.complain(expr, format!("`{}` cannot be used with {}", sign(function), kinds.join(" and ")));
            return Kind::Any;
        }
        self.literal_arguments(function, &operands);
        result
    }

    /// What is wrong with a pattern or a network now would be wrong with every message.
    fn literal_arguments(&mut self, function: &str, operands: &[&'a IdedExpr]) {
        let Some(argument) = operands.get(1) else { return };
        let text = literal_text(argument);
        if function == IN_NETWORK {
            if text.is_some_and(|network| network.parse::<ipnet::IpNet>().is_err()) {
                self.complain(argument, "this is no network: write \"192.0.2.0/24\" or \"2001:db8::/32\"".to_owned());
            }
        } else if function == MATCHES {
            // What a sender writes is no pattern: it would be compiled with every message, and as large
            // as the sender likes.
            let Some(text) = text else {
                return self.complain(argument, "write the regular expression itself, in quotes".to_owned());
            };
            match Regex::new(&text) {
                Ok(pattern) => drop(self.checked.patterns.insert(text, pattern)),
                Err(error) => self.complain(argument, format!("this is no regular expression: {error}")),
            }
        }
    }

    /// `header["Subject"]`, `headers["Received"]`.
    fn header(&mut self, call: &'a CallExpr) -> Option<Kind> {
        let [of, name] = call.args.as_slice() else { return None };
        let Expr::Ident(variable) = &of.expr else { return None };
        let kind = match variable.as_str() {
            vocabulary::HEADER => Kind::Text,
            vocabulary::HEADERS => Kind::List(Box::new(Kind::Text)),
            _ => return None,
        };
        if !self.vocabulary.has_headers() {
            self.complain(of, "the header section is not known yet when this is asked; a rule sees it".to_owned());
            return Some(Kind::Any);
        }
        match literal_text(name) {
            Some(field) if self.checked.fields.iter().any(|own| **own == *field) => {}
            Some(field) => self.checked.fields.push(field.into()),
            None => self.complain(name, format!("write the field's name itself: {variable}[\"Subject\"]")),
        }
        Some(kind)
    }

    fn comprehension(&mut self, comprehension: &'a ComprehensionExpr) -> Kind {
        let item = match self.kind(&comprehension.iter_range) {
            Kind::List(item) => *item,
            Kind::Any => Kind::Any,
            other => {
                self.complain(&comprehension.iter_range, format!("this goes over lists; here is {other}"));
                Kind::Any
            }
        };
        let gathered = match self.kind(&comprehension.accu_init) {
            Kind::List(_) => Kind::List(Box::new(Kind::Any)),
            other => other,
        };
        let outside = self.scope.len();
        self.scope.push((&comprehension.iter_var, item));
        self.scope.extend(comprehension.iter_var2.as_deref().map(|name| (name, Kind::Any)));
        self.scope.push((&comprehension.accu_var, gathered));
        self.kind(&comprehension.loop_cond);
        self.kind(&comprehension.loop_step);
        let result = self.kind(&comprehension.result);
        self.scope.truncate(outside);
        result
    }

    fn complain(&mut self, at: &IdedExpr, text: String) {
        let place = |id| self.program.source_info().offset_for(id).map(|(start, stop)| octets(self.text, start, stop));
        let mut span = place(at.id).unwrap_or(0..self.text.len());
        // The parser places a selection at its dot.
        if let (Some(name), Some(first)) = (dotted(at), place(root(at).id))
            && self.text.get(first.start..).is_some_and(|rest| rest.starts_with(&name))
        {
            span = first.start..first.start + name.len();
        }
        let mistake = Mistake { span, text };
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }
}

impl Kind {
    fn of(literal: &LiteralValue) -> Self {
        match literal {
            LiteralValue::Boolean(_) => Self::Flag,
            LiteralValue::Double(_) => Self::Real,
            LiteralValue::Int(_) | LiteralValue::UInt(_) => Self::Number,
            LiteralValue::String(_) => Self::Text,
            LiteralValue::Bytes(_) | LiteralValue::Null => Self::Map,
        }
    }
    /// Whether the two can be the same type.
    fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(a), Self::List(b)) => a.may_be(b),
            (a, b) => a == b,
        }
    }
    fn is_numeric(&self) -> bool {
        matches!(self, Self::Number | Self::Real | Self::Any)
    }
}

impl From<Type> for Kind {
    fn from(of: Type) -> Self {
        match of {
            Type::Text => Self::Text,
            Type::Texts => Self::List(Box::new(Self::Text)),
            Type::Number => Self::Number,
            Type::Real => Self::Real,
            Type::Flag => Self::Flag,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a text",
            Self::Number => "a whole number",
            Self::Real => "a number with a fraction",
            Self::Flag => "true or false",
            Self::List(item) => return write!(f, "a list of {}", item.plural()),
            Self::Map | Self::Any => "something else",
        })
    }
}

impl Kind {
    fn plural(&self) -> &'static str {
        match self {
            Self::Text => "texts",
            Self::Number | Self::Real => "numbers",
            _ => "things",
        }
    }
}

fn no_function(name: &str, kinds: &[Kind]) -> String {
    let known: Vec<&str> = [&["size", IN_NETWORK][..], OF_TEXTS, TO_TEXT, &["string", "int", "double", "exists", "all"]].concat();
    if known.contains(&name) {
        return format!("`{name}` takes other arguments than these {}", kinds.len());
    }
    match nearest(name, &known) {
        Some(near) => format!("there is no function `{name}`; did you mean `{near}`?"),
        None => format!("there is no function `{}`; there are: {}", sign(name), known.join(", ")),
    }
}

/// An operator as it is written, `==` for CEL's own `_==_`.
fn sign(function: &str) -> &str {
    function.trim_matches(['_', '@'])
}

/// `a.b.c` in one; `None` where it is no such name.
fn dotted(expr: &IdedExpr) -> Option<String> {
    match &expr.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", dotted(&select.operand)?, select.field)),
        _ => None,
    }
}

/// The `a` of `a.b.c`.
fn root(expr: &IdedExpr) -> &IdedExpr {
    match &expr.expr {
        Expr::Select(select) => root(&select.operand),
        _ => expr,
    }
}

fn literal_text(expr: &IdedExpr) -> Option<String> {
    match Value::resolve(expr, &Context::empty()) {
        Ok(Value::String(text)) if matches!(expr.expr, Expr::Literal(_)) => Some(text.to_string()),
        _ => None,
    }
}

/// Characters `start` to `stop`, both included, as octets of `text`.
pub(super) fn octets(text: &str, start: u32, stop: u32) -> Range<usize> {
    let at = |n: u32| text.char_indices().nth(n as usize).map_or(text.len(), |(at, _)| at);
    at(start)..at(stop.saturating_add(1)).max(at(start))
}

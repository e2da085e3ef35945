//! An address list (RFC 5322 §3.4), and what in it two readers could take for two different things.
use super::doubt::Doubt;
use crate::message::words;
use std::collections::BTreeSet;

/// What there is to see in an address list.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Of each mailbox as the grammar has it, in lower case, without a final dot.
    pub domains: Vec<String>,
    /// Of addresses that only some readers see.
    pub hidden: Vec<String>,
    pub doubts: BTreeSet<Doubt>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `atext` and whatever else has no meaning of its own, a domain literal included.
    Word(String),
    /// Without its quotes.
    Quoted(String),
    Comment(String),
    /// One of `<>@,:;`.
    Special(char),
    Space,
}

/// Reads an unfolded address list.
pub(super) fn read(text: &str) -> Reading {
    let mut reading = Reading::default();
    let tokens = tokens(text, &mut reading.doubts);
    let (mut before, mut inside, mut after) = (Vec::new(), None, Vec::new());
    let mut open = false;
    for token in tokens {
        match token {
            Token::Special('<') if open => drop(reading.doubts.insert(Doubt::Unbalanced)),
            Token::Special('<') if inside.is_none() => {
                open = true;
                inside = Some(Vec::new());
            }
            Token::Special('<') => {
                // A second address without a comma: one reader takes the first, another the last.
                reading.doubts.insert(Doubt::TextAfterAddress);
                reading.finish(&std::mem::take(&mut before), inside.take(), &std::mem::take(&mut after));
                open = true;
                inside = Some(Vec::new());
            }
            Token::Special('>') if open => open = false,
            Token::Special('>') => drop(reading.doubts.insert(Doubt::Unbalanced)),
            token if open => inside.get_or_insert_default().push(token),
            Token::Special(',') => reading.finish(&std::mem::take(&mut before), inside.take(), &std::mem::take(&mut after)),
            Token::Special(':' | ';') => {
                // RFC 6854 allows groups here; readers differ in whom they show as the author.
                reading.doubts.insert(Doubt::Group);
                reading.finish(&std::mem::take(&mut before), inside.take(), &std::mem::take(&mut after));
            }
            token if inside.is_some() => after.push(token),
            token => before.push(token),
        }
    }
    if open {
        reading.doubts.insert(Doubt::Unbalanced);
    }
    reading.finish(&before, inside, &after);
    reading
}

impl Reading {
    /// One item of the list: what stands before an address in angle brackets, in them, and after
    /// them; or all of it before, where there are none.
    fn finish(&mut self, before: &[Token], inside: Option<Vec<Token>>, after: &[Token]) {
        if after.iter().any(|token| !matches!(token, Token::Space | Token::Comment(_))) {
            self.doubts.insert(Doubt::TextAfterAddress);
        }
        let domain = match &inside {
            Some(inside) => self.address(inside),
            None => self.bare(before),
        };
        let inside = inside.unwrap_or_default();
        let bare = [before, &inside, after].into_iter().flat_map(bare_domains);
        let bracketed = before.iter().chain(after).flat_map(bracketed_domains);
        for other in bare.chain(bracketed) {
            if domain.as_ref().is_none_or(|domain| !is_related(domain, &other)) {
                self.doubts.insert(Doubt::HiddenAddress);
                self.hidden.push(other);
            }
        }
        for decoded in before.iter().chain(&inside).chain(after).filter_map(text).filter_map(words::decode) {
            if decoded.contains(ends_lines) {
                self.doubts.insert(Doubt::Control);
            }
        }
        self.domains.extend(domain);
    }

    /// The address between angle brackets.
    fn address(&mut self, tokens: &[Token]) -> Option<String> {
        let start = tokens.iter().position(|token| *token != Token::Space)?;
        let end = tokens.iter().rposition(|token| *token != Token::Space)? + 1;
        let tokens = tokens.get(start..end)?;
        if tokens.iter().any(|token| matches!(token, Token::Space | Token::Comment(_))) {
            self.doubts.insert(Doubt::BrokenAddress);
        }
        self.domain(tokens)
    }

    /// An address without angle brackets, perhaps with a comment or words around it.
    fn bare(&mut self, tokens: &[Token]) -> Option<String> {
        let at = tokens.iter().position(|token| *token == Token::Special('@'))?;
        let is_break = |token: &Token| matches!(token, Token::Space | Token::Comment(_));
        let start = tokens.get(..at)?.iter().rposition(is_break).map_or(0, |place| place + 1);
        let end = tokens.get(at..)?.iter().position(is_break).map_or(tokens.len(), |place| at + place);
        if tokens.get(end..)?.contains(&Token::Special('@')) || start == at || end == at + 1 {
            self.doubts.insert(Doubt::BrokenAddress);
        }
        self.domain(tokens.get(start..end)?)
    }

    /// The domain of an address.
    fn domain(&mut self, tokens: &[Token]) -> Option<String> {
        let at = tokens.iter().rposition(|token| *token == Token::Special('@'))?;
        let (local, domain) = (tokens.get(..at)?, tokens.get(at + 1..)?);
        if local.iter().any(|token| matches!(token, Token::Special(_))) {
            // `<@a,@b:c@d>`, `<a@b@c>`: which of them is it?
            self.doubts.insert(Doubt::Route);
        }
        for token in local {
            if let Token::Quoted(inside) = token
                && inside.contains(|c: char| !(c.is_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_' | '+')))
            {
                self.doubts.insert(Doubt::QuotedLocalPart);
            }
        }
        let local = written(local);
        let domain = normal(&written(domain));
        if local.contains("=?") || domain.contains("=?") {
            self.doubts.insert(Doubt::EncodedAddress);
            // A reader that decodes first may stop at what it finds there.
            let decoded = words::decode(&local).into_iter().chain(words::decode(&domain));
            let addresses = decoded.filter_map(|decoded| Some(normal(decoded.rsplit_once('@')?.1)));
            self.hidden.extend(addresses.map(|domain| domain.chars().filter(|c| !c.is_control()).collect()));
        } else if !is_domain(&domain) || local.contains(|c: char| c.is_control() || c == '\u{fffd}') {
            self.doubts.insert(Doubt::Domain);
        }
        Some(domain)
    }
}

/// What ends a line or a string in some reader, once it is decoded. Escapes of ISO 2022 do not: they
/// are gone with the charset.
fn ends_lines(c: char) -> bool {
    matches!(c, '\0' | '\r' | '\n')
}

fn text(token: &Token) -> Option<&str> {
    match token {
        Token::Word(text) | Token::Quoted(text) | Token::Comment(text) => Some(text),
        Token::Special(_) | Token::Space => None,
    }
}

fn written(tokens: &[Token]) -> String {
    let mut out = String::new();
    for token in tokens {
        match token {
            Token::Word(text) => out.push_str(text),
            Token::Quoted(text) => {
                out.push('"');
                out.push_str(text);
                out.push('"');
            }
            Token::Special(c) => out.push(*c),
            Token::Comment(_) | Token::Space => {}
        }
    }
    out
}

/// The domains of what looks like an address among words that are not one.
fn bare_domains(tokens: &[Token]) -> impl Iterator<Item = String> {
    tokens.windows(3).filter_map(|three| match three {
        [Token::Word(_) | Token::Quoted(_), Token::Special('@'), Token::Word(domain)] => Some(normal(domain)),
        _ => None,
    })
}

/// The domains of addresses in angle brackets within what is a name or a comment to the grammar, as
/// written and decoded: a reader that looks for `<` before it looks for quotes takes them.
fn bracketed_domains(token: &Token) -> Vec<String> {
    let Some(text) = text(token) else { return Vec::new() };
    let decoded = words::decode(text);
    let texts = [Some(text), decoded.as_deref()];
    let bracketed = texts.into_iter().flatten().flat_map(|text| text.split('<').skip(1)).filter_map(|rest| rest.split('>').next());
    bracketed.filter_map(|address| address.rsplit_once('@')).map(|(_, domain)| normal(domain)).collect()
}

/// As domains are compared: in lower case, without a final dot.
fn normal(domain: &str) -> String {
    domain.trim().trim_end_matches('.').to_lowercase()
}

/// Whether nobody is fooled who takes one for the other: the same domain, or one above the other.
fn is_related(a: &str, b: &str) -> bool {
    let below = |lower: &str, upper: &str| upper.contains('.') && lower.strip_suffix(upper).is_some_and(|rest| rest.ends_with('.'));
    a == b || below(a, b) || below(b, a)
}

/// A host name (RFC 1123 §2.1; underscores happen), with U-labels (RFC 6532), or an address literal.
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.chars().count())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (!c.is_ascii() && c.is_alphanumeric()))
    };
    let is_literal = domain.strip_prefix('[').is_some_and(|rest| rest.ends_with(']'));
    is_literal || (domain.len() <= 255 && domain.split('.').all(is_label))
}

/// Splits a text into what the grammar knows; reads every character at most twice.
fn tokens(text: &str, doubts: &mut BTreeSet<Doubt>) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    // Once a quote or bracket was never closed, no other is looked for: each would be, to the end.
    let mut closes = true;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let enclosed = match c {
            '"' | '(' | '[' if closes => enclosed(after, c),
            _ => None,
        };
        // What is in an encoded word is text, though §5 of RFC 2047 forbids much of it here.
        let encoded = if c == '=' { words::read(rest).and_then(|(_, length)| rest.split_at_checked(length)) } else { None };
        let (token, left) = match (c, enclosed) {
            ('=', _) if let Some((word, left)) = encoded => (Token::Word(word.to_owned()), left),
            ('"', Some((inside, left))) => (Token::Quoted(inside), left),
            ('(', Some((inside, left))) => (Token::Comment(inside), left),
            ('[', Some((inside, left))) => (Token::Word(format!("[{inside}]")), left),
            ('"' | '(' | '[', None) => {
                closes = false;
                doubts.insert(Doubt::Unbalanced);
                (Token::Space, after)
            }
            ('<' | '>' | '@' | ',' | ':' | ';', _) => (Token::Special(c), after),
            (c, _) if c.is_whitespace() => (Token::Space, after),
            _ => {
                let end = after.find(|c: char| is_special(c) || c.is_whitespace()).unwrap_or(after.len());
                let (word, left) = rest.split_at_checked(c.len_utf8() + end).unwrap_or((rest, ""));
                (Token::Word(word.to_owned()), left)
            }
        };
        if token != Token::Space || tokens.last() != Some(&Token::Space) {
            tokens.push(token);
        }
        rest = left;
    }
    tokens
}

fn is_special(c: char) -> bool {
    matches!(c, '"' | '(' | '[' | '<' | '>' | '@' | ',' | ':' | ';')
}

/// What is enclosed, escapes undone (RFC 5322 §3.2.1), and what follows; comments nest. `None` where
/// it does not end.
fn enclosed(text: &str, opening: char) -> Option<(String, &str)> {
    let closing = match opening {
        '(' => ')',
        '[' => ']',
        _ => '"',
    };
    let (mut inside, mut depth) = (String::new(), 0_usize);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => inside.extend(chars.next().map(|(_, escaped)| escaped)),
            c if c == closing && depth == 0 => return Some((inside, text.get(at + 1..)?)),
            c => {
                if opening == '(' {
                    depth = depth + usize::from(c == '(') - usize::from(c == ')');
                }
                inside.push(c);
            }
        }
    }
    None
}

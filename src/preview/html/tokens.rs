//! HTML taken apart, roughly as browsers do it, in one pass. What it gets wrong is text to it.
use std::borrow::Cow;

/// Attributes of one element that are looked at, and characters of a value.
const ATTRIBUTES: usize = 50;
const VALUE: usize = 4096;
/// Elements whose content is text to browsers, and never shown.
const RAW: [&str; 10] = ["script", "style", "iframe", "noembed", "noframes", "xmp", "template", "svg", "math", "object"];
/// Others that are not shown with what is in them.
const UNSHOWN: [&str; 4] = ["head", "title", "select", "textarea"];

/// A piece of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// With its character references undone.
    Text(Cow<'a, str>),
    Start {
        name: String,
        attributes: Vec<(String, String)>,
    },
    End(String),
    /// Something that is shown to nobody, named by its element: with all that was in it.
    Dropped(String),
}

pub(super) struct Tokens<'a> {
    rest: &'a str,
    /// The head is behind: there is one at most, and looking for the end of each would take long.
    begun: bool,
    /// Elements that do not end any more: to look for that again would take long.
    endless: Vec<String>,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(document: &'a str) -> Self {
        Self { rest: document, begun: false, endless: Vec::new() }
    }

    fn take(&mut self, octets: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(octets).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// To behind the first `end`, or to the end of all.
    fn skip_past(&mut self, end: &str) {
        let at = self.rest.find(end).map_or(self.rest.len(), |at| at + end.len());
        self.take(at);
    }

    /// To behind the end tag of `name`, whatever its case. Where there is none, what browsers take for
    /// raw text is all the rest, and what they do not is nothing.
    fn skip_element(&mut self, name: &str) {
        if self.endless.iter().any(|endless| endless == name) {
            return;
        }
        let mut from = 0;
        while let Some(at) = self.rest.get(from..).and_then(|rest| rest.find("</")).map(|at| from + at) {
            let after = self.rest.get(at + 2..).unwrap_or_default();
            let ends = after.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name))
                && !after.get(name.len()..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
            if ends {
                self.take(at);
                self.skip_past(">");
                return;
            }
            from = at + 2;
        }
        if matches!(name, "script" | "style" | "iframe" | "noembed" | "noframes" | "xmp" | "title" | "textarea") {
            self.rest = "";
        } else {
            self.endless.push(name.to_owned());
        }
    }

    fn tag(&mut self) -> Token<'a> {
        let name: String = self.rest.chars().take_while(|c| !c.is_ascii_whitespace() && !matches!(c, '/' | '>')).take(64).collect();
        self.take(name.len());
        let name = name.to_ascii_lowercase();
        let (attributes, closed) = self.attributes();
        let is_dropped = RAW.contains(&name.as_str()) || UNSHOWN.contains(&name.as_str());
        if name == "head" {
            return self.head();
        }
        // Of HTML's own elements none is closed by a slash.
        if is_dropped && !(closed && matches!(&*name, "svg" | "math")) {
            self.skip_element(&name);
        }
        if is_dropped { Token::Dropped(name) } else { Token::Start { name, attributes } }
    }

    /// A head that is never closed is that of a document without one.
    fn head(&mut self) -> Token<'a> {
        if std::mem::replace(&mut self.begun, true) {
            return Token::Dropped("head".to_owned());
        }
        let lower = self.rest.to_ascii_lowercase();
        let end = ["</head", "<body"].iter().filter_map(|mark| lower.find(mark)).min();
        if let Some(end) = end {
            self.take(end);
        }
        Token::Dropped("head".to_owned())
    }

    /// Up to and with the `>`; whether a slash stood before it.
    fn attributes(&mut self) -> (Vec<(String, String)>, bool) {
        let mut found = Vec::new();
        let mut slash = false;
        loop {
            let blanks = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
            self.take(blanks);
            let Some(c) = self.rest.chars().next() else { return (found, slash) };
            match c {
                '>' => {
                    self.take(1);
                    return (found, slash);
                }
                '/' => {
                    self.take(1);
                    slash = true;
                    continue;
                }
                _ => slash = false,
            }
            // A `=` may begin a name, so that something is taken each time.
            let first = c.len_utf8();
            let length = first
                + self
                    .rest
                    .get(first..)
                    .unwrap_or_default()
                    .find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '/' | '>'))
                    .unwrap_or(self.rest.len() - first);
            let name = self.take(length).to_ascii_lowercase();
            let blanks = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
            let value = if self.rest.get(blanks..).is_some_and(|rest| rest.starts_with('=')) {
                self.take(blanks + 1);
                self.value()
            } else {
                ""
            };
            if found.len() < ATTRIBUTES {
                let value = super::super::text::up_to(value, VALUE);
                found.push((name, unescaped(value).into_owned()));
            }
        }
    }

    fn value(&mut self) -> &'a str {
        let blanks = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
        self.take(blanks);
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                self.take(1);
                let end = self.rest.find(quote).unwrap_or(self.rest.len());
                let value = self.take(end);
                self.take(1);
                value
            }
            _ => {
                let end = self.rest.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(self.rest.len());
                self.take(end)
            }
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let Some(at) = self.rest.find('<') else { return Some(Token::Text(unescaped(self.take(self.rest.len())))) };
            if at > 0 {
                return Some(Token::Text(unescaped(self.take(at))));
            }
            let after = self.rest.get(1..).unwrap_or_default();
            if after.starts_with("!--") {
                self.take(4);
                // `<!-->` and `<!--->` are whole comments.
                if self.rest.starts_with('>') || self.rest.starts_with("->") {
                    self.skip_past(">");
                } else {
                    self.skip_past("-->");
                }
            } else if after.starts_with(['!', '?']) {
                self.skip_past(">");
            } else if let Some(name) = after.strip_prefix('/') {
                if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    self.take(2);
                    let name: String =
                        self.rest.chars().take_while(|c| !c.is_ascii_whitespace() && !matches!(c, '/' | '>')).take(64).collect();
                    self.attributes();
                    return Some(Token::End(name.to_ascii_lowercase()));
                }
                self.skip_past(">");
            } else if after.starts_with(|c: char| c.is_ascii_alphabetic()) {
                self.take(1);
                return Some(self.tag());
            } else {
                return Some(Token::Text(self.take(1).into()));
            }
        }
    }
}

/// Character references undone: numbers, and the names that mail has. Others stay as they are written.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    let mut pieces = text.split('&');
    shown.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let length = piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '#').unwrap_or(piece.len()).min(32);
        let (reference, rest) = piece.split_at_checked(length).unwrap_or((piece, ""));
        match character(reference) {
            Some(c) => {
                shown.push(c);
                shown.push_str(rest.strip_prefix(';').unwrap_or(rest));
            }
            None => {
                shown.push('&');
                shown.push_str(piece);
            }
        }
    }
    shown.into()
}

fn character(reference: &str) -> Option<char> {
    if let Some(number) = reference.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return code.ok().map(|code| char::from_u32(code).unwrap_or('\u{fffd}'));
    }
    Some(match reference {
        "amp" | "AMP" => '&',
        "lt" | "LT" => '<',
        "gt" | "GT" => '>',
        "quot" | "QUOT" => '"',
        "apos" => '\'',
        // As any other blank: what it is for is gone with the layout.
        "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "euro" => '€',
        "pound" => '£',
        "hellip" => '…',
        "mdash" => '—',
        "ndash" => '–',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "laquo" => '«',
        "raquo" => '»',
        "bull" => '•',
        "middot" => '·',
        "rarr" => '→',
        "eacute" => 'é',
        "egrave" => 'è',
        "ecirc" => 'ê',
        "agrave" => 'à',
        "acirc" => 'â',
        "ccedil" => 'ç',
        "ocirc" => 'ô',
        "ugrave" => 'ù',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "szlig" => 'ß',
        "colon" => ':',
        "Tab" => '\t',
        "NewLine" => '\n',
        "lpar" => '(',
        "rpar" => ')',
        "zwnj" => '\u{200c}',
        "zwj" => '\u{200d}',
        "shy" => '\u{ad}',
        _ => return None,
    })
}

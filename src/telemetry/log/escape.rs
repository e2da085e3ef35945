//! How values are written so that nobody but us ends a line or begins a field.
use std::fmt::{self, Write as _};

/// A value longer than this is cut: what clients say has its own bounds, and a line has to be read.
pub(super) const VALUE: usize = 2048;

/// What a value that was cut ends with.
const CUT: &str = "…";

/// A formatter that keeps [`VALUE`] octets, whatever it is fed.
pub(super) struct Bounded<'a> {
    out: &'a mut String,
    left: usize,
}

impl<'a> Bounded<'a> {
    pub(super) fn new(out: &'a mut String) -> Self {
        Self { out, left: VALUE }
    }
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let kept = bounded(text, self.left);
        self.out.push_str(kept);
        if kept.len() < text.len() {
            self.out.push_str(CUT);
            // The only way to stop a `Display`; nobody looks at it.
            return Err(fmt::Error);
        }
        self.left -= kept.len();
        Ok(())
    }
}

/// The first `octets` of `text` or fewer, whole characters.
fn bounded(text: &str, octets: usize) -> &str {
    text.get(..text.floor_char_boundary(octets)).unwrap_or(text)
}

/// What ends a line, moves a cursor or turns the reading direction around. The last is how
/// `gpj.exe` becomes `exe.jpg` in a terminal.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether all octets are printable ASCII from `least` on, and none of `but`. Looks at all of them
/// without a branch, which the compiler turns into vector instructions: this is most of what a line
/// costs.
fn plain<const N: usize>(value: &str, least: u8, but: [u8; N]) -> bool {
    value.bytes().fold(true, |all, b| all & (b >= least) & (b <= b'~') & but.iter().fold(true, |all, other| all & (b != *other)))
}

fn push_hex(out: &mut String, c: char) {
    let code = u32::from(c);
    let _ = if code < 0x80 { write!(out, "\\x{code:02x}") } else { write!(out, "\\u{{{code:x}}}") };
}

/// A value of the text format: bare where it is one word, else in double quotes.
pub(super) fn push_text(out: &mut String, value: &str) {
    if !value.is_empty() && value.len() <= VALUE && plain(value, b'!', [b'"', b',', b';', b'\\']) {
        out.push_str(value);
        return;
    }
    let kept = bounded(value, VALUE);
    out.push('"');
    push_escaped(out, kept, '"');
    if kept.len() < value.len() {
        out.push_str(CUT);
    }
    out.push('"');
}

/// An address, in angle brackets as Postfix has it: `<user@example.org>`.
pub(super) fn push_angled(out: &mut String, value: &str) {
    out.push('<');
    if value.len() <= VALUE && plain(value, b' ', [b'<', b'>', b'\\']) {
        out.push_str(value);
    } else {
        let kept = bounded(value, VALUE);
        push_escaped(out, kept, '>');
        if kept.len() < value.len() {
            out.push_str(CUT);
        }
    }
    out.push('>');
}

/// Free text: only what could do harm is escaped.
pub(super) fn push_message(out: &mut String, text: &str) {
    let kept = bounded(text, VALUE);
    if plain(kept, b' ', []) {
        out.push_str(kept);
    } else {
        for c in kept.chars() {
            if is_unsafe(c) { push_hex(out, c) } else { out.push(c) }
        }
    }
    if kept.len() < text.len() {
        out.push_str(CUT);
    }
}

fn push_escaped(out: &mut String, value: &str, closing: char) {
    for c in value.chars() {
        if c == closing || c == '\\' {
            out.push('\\');
            out.push(c);
        } else if is_unsafe(c) {
            push_hex(out, c);
        } else {
            out.push(c);
        }
    }
}

/// A JSON string with its quotes (RFC 8259 §7). What turns the reading direction around is escaped
/// as well, though JSON does not ask for it: people read these lines too.
pub(super) fn push_json(out: &mut String, value: &str) {
    out.push('"');
    if value.len() <= VALUE && plain(value, b' ', [b'"', b'\\']) {
        out.push_str(value);
    } else {
        let kept = bounded(value, VALUE);
        for c in kept.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                c if is_unsafe(c) => {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        if kept.len() < value.len() {
            out.push_str(CUT);
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(push: fn(&mut String, &str), value: &str) -> String {
        let mut out = String::new();
        push(&mut out, value);
        out
    }

    #[test]
    fn values_cannot_leave_their_place() {
        for (value, text, angled, json) in [
            ("word", "word", "<word>", r#""word""#),
            ("", r#""""#, "<>", r#""""#),
            ("two words", r#""two words""#, "<two words>", r#""two words""#),
            ("a, b=c", r#""a, b=c""#, "<a, b=c>", r#""a, b=c""#),
            ("a\"b", r#""a\"b""#, "<a\"b>", r#""a\"b""#),
            ("a>b", "a>b", r"<a\>b>", r#""a>b""#),
            ("a\\", r#""a\\""#, r"<a\\>", r#""a\\""#),
            ("a\r\nb", r#""a\x0d\x0ab""#, r"<a\x0d\x0ab>", r#""a\u000d\u000ab""#),
            ("\u{1b}[2J", r#""\x1b[2J""#, r"<\x1b[2J>", r#""\u001b[2J""#),
            ("\u{85}", r#""\u{85}""#, r"<\u{85}>", r#""\u0085""#),
            ("\u{2028}\u{202e}", r#""\u{2028}\u{202e}""#, r"<\u{2028}\u{202e}>", r#""\u2028\u202e""#),
            ("Bücher@例え.jp", r#""Bücher@例え.jp""#, "<Bücher@例え.jp>", r#""Bücher@例え.jp""#),
        ] {
            assert_eq!(with(push_text, value), text);
            assert_eq!(with(push_angled, value), angled);
            assert_eq!(with(push_json, value), json);
        }
    }

    #[test]
    fn a_value_is_cut_between_characters() {
        let long = "ü".repeat(VALUE);
        for push in [push_text, push_angled, push_json] {
            let out = with(push, &long);
            assert!(out.len() < VALUE + 10 && out.contains('…'), "{}", out.len());
        }
        let mut out = String::new();
        assert!(write!(Bounded::new(&mut out), "{long}").is_err());
        assert_eq!(out.len(), VALUE + CUT.len());
    }
}

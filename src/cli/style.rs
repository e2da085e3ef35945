//! What commands print: plain where a program reads it, coloured where a person does.
use crate::value::rfc3339;
use std::{
    fmt,
    io::{self, IsTerminal, Write},
    time::SystemTime,
};

/// What a command ends with that could not tell what it was asked, as grep does: its 1 would say
/// "nothing was found".
pub(super) const TROUBLE: u8 = 2;
/// What a shell sees of a command that SIGPIPE has ended.
const PIPE_CLOSED: i32 = 128 + 13;

/// Standard output. A reader that has gone away ends the command without a word, as it does with
/// every other tool; where what it says cannot be written it says that and ends with [`TROUBLE`].
#[derive(Debug)]
pub(super) struct Out {
    coloured: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
}

impl Out {
    /// Colours stand for a terminal whose owner has not asked for none (<https://no-color.org>).
    pub(super) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { coloured: wanted && io::stdout().is_terminal() }
    }

    pub(super) fn line(&self, text: impl fmt::Display) {
        self.octets(format!("{text}\n").as_bytes());
    }

    /// A heading, with a blank line before it.
    pub(super) fn heading(&self, text: &str) {
        self.line(format_args!("\n{}", self.paint(Colour::Bold, text)));
    }

    pub(super) fn octets(&self, octets: &[u8]) {
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(octets).and_then(|()| out.flush()) {
            if error.kind() == io::ErrorKind::BrokenPipe {
                std::process::exit(PIPE_CLOSED);
            }
            complain(&format!("standard output: {error}"));
            std::process::exit(TROUBLE.into());
        }
    }

    /// Whether colours can be set.
    pub(super) fn is_coloured(&self) -> bool {
        self.coloured
    }

    pub(super) fn paint(&self, colour: Colour, text: impl fmt::Display) -> String {
        let code = match colour {
            Colour::Bold => "1",
            Colour::Dim => "2",
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Yellow => "33",
        };
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Says on standard error what went wrong.
pub(super) fn complain(text: &str) {
    // Where this cannot be said there is nobody to say it to.
    let _ = writeln!(io::stderr(), "{text}");
}

/// To the second, and of which zone: `2026-11-25T02:22:22Z`.
pub(super) fn moment(at: SystemTime) -> String {
    let text = rfc3339(at);
    text.get(..19).map_or_else(|| text.clone(), |seconds| format!("{seconds}Z"))
}

/// Breaks `text` at blanks so that no line is wider than `width` characters; a longer word stands
/// alone.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_blanks() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("a-word-that-is-too-long b", 5), ["a-word-that-is-too-long", "b"]);
        assert_eq!(wrap("", 5), [""]);
    }
}

//! Texts with placeholders: `"550 5.7.1 {auth.from_domain} asks us to refuse this"`.
use crate::chain::{Facts, Vocabulary};
use crate::smtp::printable;
use crate::value::settings::nearest;

/// A text in which `{name}` stands for what is known of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Name(Box<str>),
}

/// Characters that one placeholder may become: what a sender chose is not to fill a reply.
const LONGEST: usize = 100;

impl Template {
    /// # Errors
    /// A sentence about a placeholder that the vocabulary does not have, or that is not closed.
    pub fn parse(text: &str, vocabulary: &Vocabulary) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let (name, after) = after.split_once('}').ok_or_else(|| "a `{` without its `}`".to_owned())?;
            if vocabulary.find(name).is_none() {
                let names: Vec<_> = vocabulary.names().collect();
                let hint = nearest(name, &names).map_or_else(String::new, |near| format!("; did you mean `{{{near}}}`?"));
                return Err(format!("there is nothing to put for `{{{name}}}`{hint}"));
            }
            pieces.push(Piece::Name(name.into()));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Ok(Self(pieces))
    }

    /// On one line of printable ASCII, whatever the sender wrote.
    #[must_use]
    pub fn fill(&self, facts: &Facts<'_>) -> String {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Name(name) => {
                    filled.push_str(&printable(&facts.text(name), LONGEST));
                }
            }
        }
        filled
    }
}

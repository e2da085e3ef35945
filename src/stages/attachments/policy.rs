//! What becomes of which file.
use super::{mismatch, names, path, shown};
use crate::{
    message::Files,
    unpack::{File, Flag},
};

/// From the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    Report,
    Tag,
    /// It is taken out, and the original held.
    Strip,
    Quarantine,
    Refuse,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// Kinds, classes, traits and tricks of names, by the word.
    pub(super) types: Vec<(&'static str, Act)>,
    /// In lower case, without the dot.
    pub(super) extensions: Vec<(Box<str>, Act)>,
    pub(super) encrypted: Act,
    pub(super) unreadable: Act,
    pub(super) oversize: Act,
    pub(super) mismatch: Act,
    /// Whom the note in place of what was taken out says to ask.
    pub(super) contact: Box<str>,
}

/// What is to be done about one file, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) act: Act,
    /// In the words of the configuration, for the client too: they are the sender's own file.
    pub(super) what: String,
    /// Fit to be shown.
    pub(super) name: String,
    /// Which part of the message it is, or is in; `None` where that is not known.
    pub(super) part: Option<usize>,
}

impl Policy {
    /// Whether it could ask for a change of the message.
    pub(super) fn edits(&self) -> bool {
        self.has(Act::Tag) || self.strips()
    }

    /// Whether something could be taken out of a message.
    pub(super) fn strips(&self) -> bool {
        self.has(Act::Strip)
    }

    fn has(&self, wanted: Act) -> bool {
        let lists = self.types.iter().map(|(_, act)| act).chain(self.extensions.iter().map(|(_, act)| act));
        lists.chain([&self.encrypted, &self.unreadable, &self.oversize, &self.mismatch]).any(|act| *act == wanted)
    }

    pub(super) fn judge(&self, files: &Files, file: &File, judgements: &mut Vec<Judgement>) {
        let mut strictest: Option<(Act, String)> = None;
        let mut say = |act: Act, what: String| {
            if act > strictest.as_ref().map_or(Act::Report, |(act, _)| *act) {
                strictest = Some((act, what));
            }
        };
        for (word, act) in &self.types {
            // A body is text or HTML in every message; what it does is another matter.
            let is = if file.is_body { file.flags.names().any(|flag| flag == *word) } else { file.words().any(|other| other == *word) };
            if is {
                say(*act, (*word).to_owned());
            }
        }
        if !file.is_part {
            for name in &file.names {
                self.judge_name(name, &mut say);
            }
        }
        if file.flags.has(Flag::Encrypted) {
            say(self.encrypted, "encrypted".to_owned());
        }
        if file.flags.has(Flag::Unreadable) {
            say(self.unreadable, "unreadable".to_owned());
        }
        if self.mismatch > Act::Report
            && !file.is_body
            && let Some(claim) = mismatch::of(file)
        {
            say(self.mismatch, format!("{}, {claim}", file.kind.name()));
        }
        judgements.extend(strictest.map(|(act, what)| Judgement {
            act,
            what: shown(&what),
            name: shown(&path(files, file)),
            part: Some(file.input),
        }));
    }

    fn judge_name(&self, name: &str, say: &mut impl FnMut(Act, String)) {
        let name = names::read(name);
        for (word, act) in self.types.iter().filter(|(word, _)| name.tricks.contains(word)) {
            say(*act, (*word).to_owned());
        }
        for extension in &name.extensions {
            // An extension of this form names a class, which Windows opens it with.
            let class = extension.starts_with('{') && extension.ends_with('}');
            let is = |listed: &str| listed == extension || (class && listed == "{clsid}");
            if let Some((_, act)) = self.extensions.iter().filter(|(listed, _)| is(listed)).max_by_key(|(_, act)| *act) {
                say(*act, format!(".{extension}"));
            }
        }
    }
}

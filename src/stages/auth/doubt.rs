//! Why it is not plain who wrote a message.

/// What leaves two readers with two different authors, or one with none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    NoFrom,
    SeveralFroms,
    DisguisedFrom,
    NoAddress,
    SeveralAuthors,
    Group,
    Control,
    BlankLine,
    Unbalanced,
    Route,
    BrokenAddress,
    QuotedLocalPart,
    EncodedAddress,
    HiddenAddress,
    TextAfterAddress,
    Domain,
    LookAlike,
}

impl Doubt {
    /// As rules and the log have it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoFrom => "no_from",
            Self::SeveralFroms => "several_froms",
            Self::DisguisedFrom => "disguised_from",
            Self::NoAddress => "no_address",
            Self::SeveralAuthors => "several_authors",
            Self::Group => "group",
            Self::Control => "control",
            Self::BlankLine => "blank_line",
            Self::Unbalanced => "unbalanced",
            Self::Route => "route",
            Self::BrokenAddress => "broken_address",
            Self::QuotedLocalPart => "quoted_local_part",
            Self::EncodedAddress => "encoded_address",
            Self::HiddenAddress => "hidden_address",
            Self::TextAfterAddress => "text_after_address",
            Self::Domain => "domain",
            Self::LookAlike => "look_alike",
        }
    }

    /// In plain words, for the client and for whoever reviews the message.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::NoFrom => "it has no From field",
            Self::SeveralFroms => "it has several From fields",
            Self::DisguisedFrom => "it has a line that some programs take for a From field",
            Self::NoAddress => "its From field has no address",
            Self::SeveralAuthors => "it has several authors and nobody who answers for them as Sender",
            Self::Group => "its From field has a group",
            Self::Control => "its From field has control characters",
            Self::BlankLine => "its From field has a blank line",
            Self::Unbalanced => "its From field has quotes or brackets that do not match",
            Self::Route => "its From field has an address with several @",
            Self::BrokenAddress => "its From field has blanks or comments in an address",
            Self::QuotedLocalPart => "its From field has an address with special characters in quotes",
            Self::EncodedAddress => "its From field has an encoded address",
            Self::HiddenAddress => "its From field has another address in the name",
            Self::TextAfterAddress => "its From field has text behind an address",
            Self::Domain => "its From field has an address in no possible domain",
            Self::LookAlike => "it has no return path, and the host's name looks like the author's domain",
        }
    }
}

use crate::smtp::Refusal;

/// An answer before the end of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Go,
    /// The stage needs to see no more: at connect and hello of this session, at a piece of the body
    /// of the body, elsewhere of this transaction. As a milter's `SMFIS_ACCEPT` and `SMFIS_SKIP`.
    Done,
    /// At connect: the session. At hello: the greeting. At mail and recipient: the command. Later:
    /// the message.
    Refuse(Refusal),
}

/// Why a message is to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub class: HoldClass,
    /// One line for the reviewer, in plain words.
    pub reason: Box<str>,
}

/// What kind of finding holds a message; retention, and who may release it, go by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldClass {
    Malware,
    Phishing,
    Spam,
    /// Attachments and forms that policy does not let pass.
    Policy,
    /// A stage could not finish.
    Incomplete,
}

impl HoldClass {
    /// In the order of the declaration.
    pub const ALL: [Self; 5] = [Self::Malware, Self::Phishing, Self::Spam, Self::Policy, Self::Incomplete];

    /// As it stands in the configuration, the log and the quarantine.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malware => "malware",
            Self::Phishing => "phishing",
            Self::Spam => "spam",
            Self::Policy => "policy",
            Self::Incomplete => "incomplete",
        }
    }

    /// The other way round.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

/// What becomes of a message. The strictest of all stages wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Verdict {
    #[default]
    Deliver,
    /// The client is told 250 and nobody gets the message.
    Discard,
    /// It is kept for a person to look at, and the client told 250 once it is on disk. Above
    /// discard: what one stage wants a person to see is not destroyed by another.
    Quarantine(Hold),
    Refuse(Refusal),
}

impl Verdict {
    fn rank(&self) -> u8 {
        match self {
            Self::Deliver => 0,
            Self::Discard => 1,
            Self::Quarantine(_) => 2,
            Self::Refuse(refusal) => 3 + u8::from(refusal.is_permanent()),
        }
    }

    /// Nothing that anybody else could say is stricter.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refuse(refusal) if refusal.is_permanent())
    }

    #[must_use]
    pub fn is_stricter_than(&self, other: &Self) -> bool {
        self.rank() > other.rank()
    }

    /// The stricter of the two; the first said stands where they are equal.
    #[must_use]
    pub fn or_stricter(self, other: Self) -> Self {
        if other.is_stricter_than(&self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_wins_and_the_first_said_stands() {
        let temporary = |text| Verdict::Refuse(Refusal::temporary(51, "7.1", text));
        let permanent = |text| Verdict::Refuse(Refusal::permanent(50, "7.1", text));
        let hold = Verdict::Quarantine(Hold { class: HoldClass::Policy, reason: "a".into() });
        let ascending = [Verdict::Deliver, Verdict::Discard, hold, temporary("a"), permanent("a")];
        for (n, strict) in ascending.iter().enumerate() {
            for mild in ascending.iter().take(n) {
                assert_eq!(&mild.clone().or_stricter(strict.clone()), strict);
                assert_eq!(&strict.clone().or_stricter(mild.clone()), strict);
            }
        }
        assert_eq!(temporary("a").or_stricter(temporary("b")), temporary("a"));
        assert_eq!(permanent("a").or_stricter(permanent("b")), permanent("a"));
        assert!(permanent("a").is_final() && !temporary("a").is_final() && !Verdict::Discard.is_final());
    }
}

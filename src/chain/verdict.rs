use crate::smtp::Refusal;

/// An answer before the end of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Go,
    /// The stage needs to see no more of this transaction.
    Done,
    Refuse(Refusal),
}

/// What becomes of a message. The strictest of all stages wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Verdict {
    #[default]
    Deliver,
    /// The client is told 250 and nobody gets the message.
    Discard,
    Refuse(Refusal),
}

impl Verdict {
    fn rank(&self) -> u8 {
        match self {
            Self::Deliver => 0,
            Self::Discard => 1,
            Self::Refuse(refusal) => 2 + u8::from(refusal.is_permanent()),
        }
    }

    /// The stricter of the two; the first said stands where they are equal.
    #[must_use]
    pub fn or_stricter(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }
}

use std::ops::BitOr;

/// The events a stage wants to be called for. What nobody wants is not even dispatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants(u8);

impl Wants {
    pub const NOTHING: Self = Self(0);
    pub const CONNECT: Self = Self(1);
    pub const HELLO: Self = Self(1 << 1);
    pub const MAIL: Self = Self(1 << 2);
    pub const RECIPIENT: Self = Self(1 << 3);
    pub const HEADERS: Self = Self(1 << 4);
    pub const BODY: Self = Self(1 << 5);
    pub const END_OF_MESSAGE: Self = Self(1 << 6);
    pub const ALL: Self = Self(0x7f);

    /// Whether any of `events` is wanted.
    #[must_use]
    pub fn any(self, events: Self) -> bool {
        self.0 & events.0 != 0
    }
}

impl BitOr for Wants {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

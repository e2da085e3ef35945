use std::fmt;

/// The name of a message or a session in the log, in `Received` and in replies: a ULID, 26
/// characters that sort by time and look like a queue id to the tools people have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(ulid::Ulid);

impl Id {
    /// A new one, unlike all others on all machines.
    #[must_use]
    pub fn generate() -> Self {
        Self(ulid::Ulid::generate())
    }

    /// Its 128 bits: 48 of time, in milliseconds since 1970, and 80 of chance.
    #[must_use]
    pub fn octets(self) -> [u8; 16] {
        self.0.to_bytes()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; ulid::ULID_LEN];
        f.write_str(self.0.array_to_str(&mut buffer))
    }
}

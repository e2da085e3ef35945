//! What is counted of a session, by kind.
use crate::smtp::Command;

/// Commands and replies by kind since the last look.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// By [`Verb`].
    pub commands: [u32; Verb::COUNT],
    /// By the first digit, 2 to 5.
    pub replies: [u32; 4],
}

/// A command as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Helo,
    Ehlo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Vrfy,
    Expn,
    Help,
    Quit,
    StartTls,
    Auth,
    Unknown,
}

impl Verb {
    pub const COUNT: usize = 15;

    pub(super) fn of(command: &Command) -> Self {
        match command {
            Command::Helo(_) => Self::Helo,
            Command::Ehlo(_) => Self::Ehlo,
            Command::Mail(_) => Self::Mail,
            Command::Rcpt(_) => Self::Rcpt,
            Command::Data => Self::Data,
            Command::Bdat { .. } => Self::Bdat,
            Command::Rset => Self::Rset,
            Command::Noop => Self::Noop,
            Command::Vrfy(_) => Self::Vrfy,
            Command::Expn => Self::Expn,
            Command::Help => Self::Help,
            Command::Quit => Self::Quit,
            Command::StartTls => Self::StartTls,
            Command::Auth { .. } => Self::Auth,
        }
    }
}

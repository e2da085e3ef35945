//! Why something could not be done.
use crate::smtp::Refusal;
use crate::storage::StorageError;
use crate::telemetry::QuarantineFailure;
use crate::value::reasons;

/// Why something could not be done with the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuarantineError {
    /// What is held for others is not removed to make room.
    #[error("the quarantine has no room for more of class {0}")]
    NoRoom(&'static str),
    #[error("the quarantine did not store it in {} seconds", super::PATIENCE.as_secs())]
    Late,
    /// The message under way could not be read back.
    #[error("spool: {0}")]
    Spool(Box<str>),
    #[error("there is no entry {0}")]
    NoEntry(Box<str>),
    #[error("there is no allowance {0}")]
    NoAllowance(i64),
    /// Somebody else was there first, or it is not in a state in which this can be done.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Another person has to want it, too.
    #[error("its class ({0}) is released by two people only: one asks, another approves")]
    NeedsSecond(Box<str>),
    /// What is asked for cannot be.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// What is read is not what was stored.
    #[error("the content of {0} is not what was stored: its SHA-256 differs")]
    Altered(Box<str>),
    #[error("quarantine: {0}")]
    Storage(#[from] StorageError),
}

reasons! {
    /// What stands in the way now.
    Conflict {
        LegalHold = "legal_hold": "it is under legal hold",
        Deleted = "deleted": "it is deleted",
        Lost = "lost": "its content is lost",
        /// To all.
        Released = "released": "it is released",
        Releasing = "releasing": "it is being released",
        /// Of two at the same moment.
        First = "first": "somebody else was there first",
        NotFor { address } = "not_for": "it is not held for {address}",
        HasIt { address, by } = "has_it": "it has been released to {address} by {by}; `--again` repeats it",
        MayHaveIt { address, by } = "may_have_it": "it is being released, or nobody knows, to {address} by {by}; `--again` repeats it",
        OneIsEnough = "one_is_enough": "it takes one person to release it: there is nothing to ask",
        AskedAlready = "asked_already": "somebody has asked for its release already",
        OfAnother = "of_another": "it was another whose release was asked for",
        OwnRequest = "own_request": "who has asked does not approve: another has to",
        Decided = "decided": "somebody else has decided already",
        NotesFull { most } = "notes_full": "it has {most} notes already",
        /// Nobody opens the gate for malware, or for what was not looked at.
        NeverAllowed = "never_allowed": "nothing lets malware pass, nor what was not looked at to its end",
        AllowedByTwo = "allowed_by_two": "what takes two people to release is looked at each time",
        NoSender = "no_sender": "it has no sender that could be named",
        ForSomeOnly = "for_some_only": "it was held for some of its recipients only, by a rule of their own",
        AllowanceOver = "allowance_over": "it is over already",
    }
}

reasons! {
    /// What makes no sense.
    Wrong {
        NobodyAsks = "nobody_asks": "it names nobody who wants it, too",
        EmptyNote = "empty_note": "the note says nothing",
        AllowanceTooLong { days } = "allowance_too_long": "an allowance lasts for a day at least and {days} days at most",
        AllowanceForOthers = "allowance_for_others": "an allowance is for recipients of the entry",
    }
}

impl QuarantineError {
    /// What the client is told: nothing about what is full, or broken, here.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::NoRoom(_) | Self::Storage(StorageError::Full(_)) => {
                Refusal::temporary(52, "3.1", "insufficient system storage, try again later")
            }
            _ => Refusal::temporary(51, "3.0", "cannot be kept here, try again later"),
        }
    }

    pub(super) fn failure(&self) -> QuarantineFailure {
        match self {
            Self::NoRoom(_) => QuarantineFailure::NoRoom,
            Self::Storage(StorageError::Full(_)) => QuarantineFailure::DiskFull,
            Self::Storage(StorageError::Busy) | Self::Late => QuarantineFailure::Late,
            _ => QuarantineFailure::Broken,
        }
    }
}

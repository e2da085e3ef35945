//! Results as RFC 8601 §2.7 has them.
use mail_auth::{DkimResult, DmarcResult, Error, SpfResult, dkim::DkimError};

/// Of any method; the words are the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Pass,
    Fail,
    SoftFail,
    Neutral,
    /// Signed, but not in a way that counts here.
    Policy,
    None,
    TempError,
    PermError,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::Policy => "policy",
            Self::None => "none",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }

    /// Of several signatures, which speaks for all: lower is better.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::TempError => 1,
            Self::Policy => 2,
            Self::Fail | Self::SoftFail => 3,
            Self::Neutral => 4,
            Self::PermError => 5,
            Self::None => 6,
        }
    }
}

impl From<SpfResult> for Outcome {
    fn from(result: SpfResult) -> Self {
        match result {
            SpfResult::Pass => Self::Pass,
            SpfResult::Fail => Self::Fail,
            SpfResult::SoftFail => Self::SoftFail,
            SpfResult::Neutral => Self::Neutral,
            SpfResult::TempError => Self::TempError,
            SpfResult::PermError => Self::PermError,
            SpfResult::None => Self::None,
        }
    }
}

impl From<&DkimResult> for Outcome {
    fn from(result: &DkimResult) -> Self {
        match result {
            DkimResult::Pass => Self::Pass,
            // To the library neutral; to RFC 8601 §2.7.1 it "failed the verification test".
            DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch)) | DkimResult::Fail(_) => Self::Fail,
            DkimResult::Neutral(_) => Self::Neutral,
            DkimResult::PermError(_) => Self::PermError,
            DkimResult::TempError(_) => Self::TempError,
            DkimResult::None => Self::None,
        }
    }
}

impl From<&DmarcResult> for Outcome {
    fn from(result: &DmarcResult) -> Self {
        match result {
            DmarcResult::Pass => Self::Pass,
            DmarcResult::Fail(_) => Self::Fail,
            DmarcResult::TempError(_) => Self::TempError,
            DmarcResult::PermError(_) => Self::PermError,
            DmarcResult::None => Self::None,
        }
    }
}

//! The values that labels take: closed sets, so that no client can make a series.

/// A closed set of label values.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($variant),+ }
        impl $name {
            /// In the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// As it stands in the metrics and the log.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

labels! {
    /// What became of a connection at accept.
    ConnectionResult {
        Accepted = "accepted",
        TooMany = "too_many",
        TooManyFromClient = "too_many_from_client",
        Draining = "draining",
        BadProxyHeader = "bad_proxy_header",
    }
}
labels! {
    /// How a TLS handshake ended.
    HandshakeResult { Tls12 = "tlsv1.2", Tls13 = "tlsv1.3", Failed = "failed", TimedOut = "timed_out" }
}
labels! {
    /// What a message came over.
    MessageTls { None = "none", Tls12 = "tlsv1.2", Tls13 = "tlsv1.3" }
}
labels! {
    /// Commands, as counted; whatever is none of them is `unknown`.
    CommandWord {
        Helo = "helo", Ehlo = "ehlo", Mail = "mail", Rcpt = "rcpt", Data = "data", Bdat = "bdat", Rset = "rset",
        Noop = "noop", Vrfy = "vrfy", Expn = "expn", Help = "help", Quit = "quit", StartTls = "starttls", Auth = "auth",
        Unknown = "unknown",
    }
}
labels! {
    /// The first digit of a reply.
    ReplyClass { Positive = "2", Intermediate = "3", Temporary = "4", Permanent = "5" }
}
labels! {
    /// What became of a message.
    Outcome {
        Delivered = "delivered",
        Quarantined = "quarantined",
        Discarded = "discarded",
        Rejected = "rejected",
        Deferred = "deferred",
        Lost = "lost",
    }
}
labels! {
    /// What a client did that no mail client does.
    Violation {
        Smuggling = "smuggling",
        BareNewline = "bare_newline",
        BareCr = "bare_cr",
        Nul = "nul",
        Pregreeting = "pregreeting",
        Pipelining = "pipelining",
        CommandInjection = "command_injection",
        ForbiddenCommand = "forbidden_command",
        UnknownCommand = "unknown_command",
        BadSyntax = "bad_syntax",
        BadSequence = "bad_sequence",
        LineTooLong = "line_too_long",
        TooManyErrors = "too_many_errors",
        TooSlow = "too_slow",
        TimedOut = "timed_out",
        MailLoop = "mail_loop",
        HeaderTooLong = "header_too_long",
        ForgedResults = "forged_results",
    }
}
labels! {
    /// What a call into a stage gave.
    StageResult { Pass = "pass", Refuse = "refuse", Discard = "discard", Quarantine = "quarantine", Edit = "edit", Incomplete = "incomplete" }
}
labels! {
    /// Why a stage did not finish.
    Incomplete {
        Late = "late",
        Panicked = "panicked",
        Failed = "failed",
        TooLarge = "too_large",
        BreakerOpen = "breaker_open",
        Poisoned = "poisoned",
    }
}
labels! {
    /// Why a message that was to be held was not stored.
    QuarantineFailure { NoRoom = "no_room", DiskFull = "disk_full", Late = "late", Broken = "broken" }
}
labels! {
    /// Why an entry of the quarantine was deleted.
    QuarantineDeletion { Reviewer = "reviewer", Age = "age" }
}
labels! {
    /// Why something is not in the journal.
    JournalDrop {
        // The writer does not keep up, or cannot write.
        QueueFull = "queue_full",
        // More refused connections and violations than is worth a row each.
        Rate = "rate",
        NotWritten = "not_written",
    }
}
labels! {
    /// Why the trace of a message was not exported.
    TraceDrop {
        // The exporter does not keep up.
        QueueFull = "queue_full",
        // Nobody took it in time.
        NotSent = "not_sent",
        // The receiver will never take it.
        Refused = "refused",
    }
}
labels! {
    /// A step of a transaction with the upstream.
    Phase { Connect = "connect", Envelope = "envelope", FinalReply = "final_reply", Auth = "auth" }
}
labels! {
    /// What became of an attempt to sign in to the console.
    SignInResult { Done = "done", WrongPassword = "wrong_password", WrongFactor = "wrong_factor", Throttled = "throttled" }
}
labels! {
    /// What an upstream did wrong.
    UpstreamFault {
        Connect = "connect", Tls = "tls", Timeout = "timeout", Closed = "closed", Garbage = "garbage", Shutdown = "shutdown",
        NoneHealthy = "none_healthy", Io = "io",
        // It lacks what it is configured to have (XCLIENT, STARTTLS).
        Capability = "capability",
    }
}

impl HandshakeResult {
    /// Of one that succeeded, by its version, `TLSv1.2` or `TLSv1.3`.
    #[must_use]
    pub fn of(version: &str) -> Self {
        if version == "TLSv1.2" { Self::Tls12 } else { Self::Tls13 }
    }
}

impl MessageTls {
    /// By the version of the session, `TLSv1.2` or `TLSv1.3`; `None`: in clear.
    #[must_use]
    pub fn of(version: Option<&str>) -> Self {
        match version {
            None => Self::None,
            Some("TLSv1.2") => Self::Tls12,
            Some(_) => Self::Tls13,
        }
    }
}

impl ReplyClass {
    /// Of a reply code.
    #[must_use]
    pub fn of(code: u16) -> Self {
        match code {
            500.. => Self::Permanent,
            400..=499 => Self::Temporary,
            300..=399 => Self::Intermediate,
            _ => Self::Positive,
        }
    }
}

use crate::value::words;

words! {
    /// What somebody did. The word stands in rows, so it never gets another meaning.
    Action {
        SignIn = "sign-in",
        /// A wrong password, a wrong code, a disabled account; the detail says which.
        SignInFailed = "sign-in-failed",
        SignOut = "sign-out",
        /// A session was ended by another one, or by an administrator.
        SessionEnd = "session-end",
        AccountAdd = "account-add",
        AccountEnrol = "account-enrol",
        AccountDisable = "account-disable",
        AccountEnable = "account-enable",
        AccountRoles = "account-roles",
        /// Its second factor and its password were taken away, to be set anew.
        AccountReset = "account-reset",
        PasswordChange = "password-change",
        TotpChange = "totp-change",
        PasskeyAdd = "passkey-add",
        PasskeyRemove = "passkey-remove",
        RecoveryCodes = "recovery-codes",
        TokenAdd = "token-add",
        TokenRevoke = "token-revoke",
        /// Content was looked at: text, HTML, source, an attachment.
        View = "view",
        /// Content left the console as a file.
        Download = "download",
        Release = "release",
        ReleaseFailed = "release-failed",
        /// A release that needs a second person was asked for, approved, or denied.
        ReleaseRequest = "release-request",
        ReleaseApprove = "release-approve",
        ReleaseDeny = "release-deny",
        /// A sender's mail passes from now on, for a while.
        Allow = "allow",
        /// That was ended before its time.
        AllowEnd = "allow-end",
        Delete = "delete",
        Hold = "hold",
        HoldLift = "hold-lift",
        Note = "note",
        Assign = "assign",
        /// Evidence was exported.
        Export = "export",
        /// Rows of the journal left the console as a file.
        Search = "search",
        /// What `[quarantine]` and `[console]` say is another than before.
        Settings = "settings",
    }
}

impl Action {
    /// What somebody does who only looks: as often as he likes, and nothing is changed by it.
    pub const LOOKS: [Self; 4] = [Self::View, Self::Download, Self::Export, Self::Search];
}

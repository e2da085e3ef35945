//! Who may do what.
use crate::value::words;

words! {
    /// What somebody is there for. An account may have several.
    Role {
        /// Looks at what is held for his recipient domains, releases it and deletes it.
        Reviewer = "reviewer",
        /// A reviewer who also is the second person where two are needed, and decides about legal hold.
        Senior = "senior",
        /// Reads metadata and the audit; no content, and changes nothing.
        Auditor = "auditor",
        /// Accounts and settings; no message unless he is a reviewer too.
        Administrator = "administrator",
    }
}

words! {
    /// One thing that may be done. Tokens are scoped by these words.
    Permission {
        /// Envelope, header fields shown in lists, findings, history of what is held.
        QuarantineRead = "quarantine.read",
        /// Text, source, attachments.
        QuarantineContent = "quarantine.content",
        QuarantineRelease = "quarantine.release",
        QuarantineDelete = "quarantine.delete",
        /// Notes and assignments.
        QuarantineNote = "quarantine.note",
        /// Being the second of two, where two are needed.
        QuarantineApprove = "quarantine.approve",
        /// Legal hold.
        QuarantineHold = "quarantine.hold",
        /// Evidence as an archive.
        QuarantineExport = "quarantine.export",
        /// What happened to every message.
        MessagesRead = "messages.read",
        /// Numbers and health.
        OverviewRead = "overview.read",
        AuditRead = "audit.read",
        AccountsManage = "accounts.manage",
        SettingsManage = "settings.manage",
    }
}

impl Role {
    /// What it may do.
    #[must_use]
    pub fn permissions(self) -> &'static [Permission] {
        use Permission::*;
        match self {
            Self::Reviewer => {
                &[QuarantineRead, QuarantineContent, QuarantineRelease, QuarantineDelete, QuarantineNote, MessagesRead, OverviewRead]
            }
            Self::Senior => &[
                QuarantineRead,
                QuarantineContent,
                QuarantineRelease,
                QuarantineDelete,
                QuarantineNote,
                QuarantineApprove,
                QuarantineHold,
                QuarantineExport,
                MessagesRead,
                OverviewRead,
            ],
            Self::Auditor => &[QuarantineRead, MessagesRead, OverviewRead, AuditRead],
            Self::Administrator => &[OverviewRead, AuditRead, AccountsManage, SettingsManage],
        }
    }

    /// Whether what it may do ends at the account's recipient domains.
    #[must_use]
    pub fn is_within_domains(self) -> bool {
        matches!(self, Self::Reviewer | Self::Senior)
    }
}

/// Whose mail something may be done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Nobody,
    /// That of recipients in these domains, lower case.
    Domains(Vec<String>),
    Everybody,
}

impl Scope {
    /// Whether it has this recipient's mail.
    #[must_use]
    pub fn covers(&self, address: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Domains(domains) => {
                address.rsplit_once('@').is_some_and(|(_, domain)| domains.iter().any(|ours| ours.eq_ignore_ascii_case(domain)))
            }
        }
    }
}

/// The roles of an account, its domains, and what follows from both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    pub roles: Vec<Role>,
    /// Lower case; `*` stands for all.
    pub domains: Vec<String>,
    /// For a token: nothing beyond these.
    pub only: Option<Vec<Permission>>,
}

impl Rights {
    /// Whether it may do this at all, for whomever.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.scope(permission) != Scope::Nobody
    }

    /// For whom it may do this.
    #[must_use]
    pub fn scope(&self, permission: Permission) -> Scope {
        if self.only.as_ref().is_some_and(|only| !only.contains(&permission)) {
            return Scope::Nobody;
        }
        let mut granting = self.roles.iter().filter(|role| role.permissions().contains(&permission)).peekable();
        if granting.peek().is_none() {
            return Scope::Nobody;
        }
        if granting.any(|role| !role.is_within_domains()) || self.domains.iter().any(|domain| domain == "*") {
            return Scope::Everybody;
        }
        if self.domains.is_empty() { Scope::Nobody } else { Scope::Domains(self.domains.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(roles: &[Role], domains: &[&str]) -> Rights {
        Rights { roles: roles.to_vec(), domains: domains.iter().map(|domain| (*domain).to_owned()).collect(), only: None }
    }

    #[test]
    fn a_reviewer_ends_at_his_domains_and_an_auditor_sees_no_content() {
        let reviewer = rights(&[Role::Reviewer], &["example.org"]);
        let scope = reviewer.scope(Permission::QuarantineContent);
        assert!(scope.covers("bob@EXAMPLE.org") && !scope.covers("bob@example.com") && !scope.covers("bob@sub.example.org"));
        assert!(!reviewer.may(Permission::QuarantineApprove) && !reviewer.may(Permission::AuditRead));
        let auditor = rights(&[Role::Auditor], &[]);
        assert_eq!(auditor.scope(Permission::QuarantineRead), Scope::Everybody);
        assert!(!auditor.may(Permission::QuarantineContent) && !auditor.may(Permission::QuarantineRelease));
        // Metadata of all, content of his own.
        let both = rights(&[Role::Auditor, Role::Reviewer], &["example.org"]);
        assert_eq!(both.scope(Permission::QuarantineRead), Scope::Everybody);
        assert_eq!(both.scope(Permission::QuarantineContent), Scope::Domains(vec!["example.org".into()]));
    }

    #[test]
    fn an_administrator_sees_no_message_and_a_token_no_more_than_its_scopes() {
        let administrator = rights(&[Role::Administrator], &["*"]);
        for permission in Permission::ALL.iter().filter(|permission| permission.as_str().starts_with("quarantine.")) {
            assert!(!administrator.may(*permission), "{permission:?}");
        }
        let mut token = rights(&[Role::Senior], &["*"]);
        token.only = Some(vec![Permission::QuarantineRead, Permission::AccountsManage]);
        assert!(
            token.may(Permission::QuarantineRead) && !token.may(Permission::QuarantineRelease) && !token.may(Permission::AccountsManage)
        );
        assert!(!rights(&[Role::Reviewer], &[]).may(Permission::QuarantineRead));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(*role));
        }
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.as_str()), Some(*permission));
        }
    }
}

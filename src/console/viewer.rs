//! Who is signed in.
use super::{Console, error::Error, visitor::Visitor};
use crate::accounts::{Account, Permission, Scope, Session, Shown, Stage};
use crate::audit::{Action, Actor, Event};
use axum::{extract::FromRequestParts, http::request::Parts};

/// Somebody who is signed in, or a program with a token. An extractor: without one a page answers
/// with the way to sign in, and the API with 401.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub account: Account,
    /// For the audit, and for what stands in rows as "by whom".
    pub actor: Actor,
    /// Of the session; of use to nobody but its forms. Empty for a token, which needs none.
    pub csrf: String,
    /// The session's id; `None` for a token.
    pub session: Option<String>,
}

impl Viewer {
    pub(super) fn of(session: Session, visitor: &Visitor) -> Self {
        let actor = Actor::new(&*session.account.name, Some(visitor.client));
        Self { account: session.account, actor, csrf: session.csrf, session: Some(session.id) }
    }

    pub(super) fn of_token(Shown { token, account }: Shown, visitor: &Visitor) -> Self {
        let actor = Actor { token: Some(token), ..Actor::new(&*account.name, Some(visitor.client)) };
        Self { account, actor, csrf: String::new(), session: None }
    }

    /// The account's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.account.name
    }

    /// Whether he may do this for anybody.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.account.rights.may(permission)
    }

    /// For whose mail he may do this.
    #[must_use]
    pub fn scope(&self, permission: Permission) -> Scope {
        self.account.rights.scope(permission)
    }

    /// The same, and an answer where it is nobody's. To be called before anything is read.
    ///
    /// # Errors
    /// 403.
    pub fn need(&self, permission: Permission) -> Result<Scope, Error> {
        match self.scope(permission) {
            Scope::Nobody => Err(Error::Forbidden),
            scope => Ok(scope),
        }
    }

    /// Something he does, for the audit.
    pub fn did(&self, action: Action) -> Event<'_> {
        Event::of(&self.actor, action)
    }
}

impl FromRequestParts<Console> for Viewer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Console) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or(Error::SignIn)
    }
}

/// Somebody half way: a code or a password was right, more is needed.
#[derive(Debug, Clone)]
pub struct HalfWay(pub Session);

impl FromRequestParts<Console> for HalfWay {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Console) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or(Error::SignIn)
    }
}

impl HalfWay {
    /// The same, where it is at `stage`.
    ///
    /// # Errors
    /// Back to the beginning.
    pub fn at(self, stage: Stage) -> Result<Session, Error> {
        if self.0.stage == stage { Ok(self.0) } else { Err(Error::SignIn) }
    }
}

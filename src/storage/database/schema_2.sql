-- Schema 2: the audit chain, and the console's accounts.

-- Who did what. Each row has the hash of the one before in its own; see the module `audit`.
CREATE TABLE audit (
    sequence     INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    -- The name of an account, or `uid 1000` on the command line, or `octroi` itself.
    actor        TEXT NOT NULL,
    -- Its address, where it came over the network.
    client       TEXT,
    action       TEXT NOT NULL,
    object       TEXT,
    -- JSON object.
    detail       TEXT NOT NULL,
    previous     TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE
) STRICT;
CREATE INDEX audit_by_actor ON audit (actor, sequence);
CREATE INDEX audit_by_action ON audit (action, sequence);
CREATE INDEX audit_by_object ON audit (object, sequence);
-- Against mistakes, not against whoever may write to the file: the chain is for those.
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'audit rows are never changed'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'audit rows are never deleted'); END;

CREATE TABLE account (
    -- Lower case.
    name         TEXT PRIMARY KEY,
    -- What authenticators know it by (WebAuthn user handle); says nothing about the person.
    handle       TEXT NOT NULL UNIQUE,
    -- Words, separated by blanks.
    roles        TEXT NOT NULL,
    -- Recipient domains that a reviewer looks after, separated by blanks; `*`: all.
    domains      TEXT NOT NULL,
    -- A PHC string of argon2id. Without one it waits for its enrolment.
    password     TEXT,
    -- Base32, and the last time step of which a code was taken: none is taken twice.
    totp         TEXT,
    totp_step    INTEGER NOT NULL DEFAULT 0,
    disabled     INTEGER NOT NULL DEFAULT 0,
    language     TEXT,
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    signed_in_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE account_passkey (
    -- The credential's, base64url.
    id           TEXT PRIMARY KEY,
    account      TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    label        TEXT NOT NULL,
    -- JSON: public key and counter.
    credential   TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    used_at      INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX account_passkey_by_account ON account_passkey (account);

-- SHA-256 of codes that were not used yet.
CREATE TABLE account_recovery (
    account      TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    hash         TEXT NOT NULL,
    PRIMARY KEY (account, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE account_session (
    -- SHA-256 of the cookie: whoever reads this table is signed in nowhere.
    id           TEXT PRIMARY KEY,
    account      TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    -- enrolment: password and second factor are still to be set; factor: the password was right;
    -- open: signed in.
    stage        TEXT NOT NULL CHECK (stage IN ('enrolment', 'factor', 'open')),
    created_at   INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    ends_at      INTEGER NOT NULL,
    client       TEXT NOT NULL,
    agent        TEXT NOT NULL,
    -- JSON: what is under way in it, such as the challenge for an authenticator.
    pending      TEXT,
    -- Wrong codes so far.
    attempts     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX account_session_by_account ON account_session (account);

CREATE TABLE account_enrolment (
    -- SHA-256 of the code.
    hash         TEXT PRIMARY KEY,
    account      TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    ends_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account_token (
    -- To speak of it; not what it is shown for.
    id           TEXT PRIMARY KEY,
    -- SHA-256.
    hash         TEXT NOT NULL UNIQUE,
    account      TEXT NOT NULL REFERENCES account (name) ON DELETE CASCADE,
    label        TEXT NOT NULL,
    -- Permissions, separated by blanks; of those only what the account's roles have counts.
    scopes       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    ends_at      INTEGER NOT NULL,
    used_at      INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX account_token_by_account ON account_token (account);

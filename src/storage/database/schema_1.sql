-- Schema 1. A step that was released is never changed; what comes later is another step.

-- Times are milliseconds since 1970, sizes octets.
CREATE TABLE quarantine_entry (
    id           TEXT PRIMARY KEY,
    -- The message's id, where more than one entry was made of it.
    message      TEXT NOT NULL,
    stored_at    INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    class        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    decided_by   TEXT,
    -- held; released: to all its recipients; lost: its content is not there; deleted: by a person, by age.
    state        TEXT NOT NULL CHECK (state IN ('held', 'released', 'lost', 'deleted')),
    changed_at   INTEGER NOT NULL,
    changed_by   TEXT,
    legal_hold   INTEGER NOT NULL DEFAULT 0,
    listener     TEXT NOT NULL,
    -- JSON: address, local address, greeting, protocol, account, TLS.
    client       TEXT NOT NULL,
    sender       TEXT NOT NULL,
    -- What stood behind MAIL FROM: with all parameters.
    mail         TEXT NOT NULL,
    header_from  TEXT,
    subject      TEXT,
    message_id   TEXT,
    size         INTEGER NOT NULL,
    -- On disk.
    stored       INTEGER NOT NULL,
    sha256       TEXT NOT NULL,
    -- JSON lists.
    findings     TEXT NOT NULL,
    timings      TEXT NOT NULL
) STRICT;
CREATE INDEX quarantine_entry_by_state ON quarantine_entry (state, id);
CREATE INDEX quarantine_entry_by_class ON quarantine_entry (class, state, id);
CREATE INDEX quarantine_entry_by_sender ON quarantine_entry (sender, id);

CREATE TABLE quarantine_recipient (
    entry        TEXT NOT NULL REFERENCES quarantine_entry (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    address      TEXT NOT NULL,
    -- What stood behind RCPT TO: with all parameters.
    arguments    TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('held', 'releasing', 'released')),
    -- Claims so far: who releases says which one he saw, and of two only one saw the last.
    attempts     INTEGER NOT NULL DEFAULT 0,
    changed_at   INTEGER NOT NULL,
    changed_by   TEXT,
    -- The MTA's own words to the last attempt, or what went wrong.
    reply        TEXT,
    PRIMARY KEY (entry, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX quarantine_recipient_by_address ON quarantine_recipient (address, entry);

-- What is on disk by class, kept in step with the entries that are not deleted.
CREATE TABLE quarantine_usage (
    class        TEXT PRIMARY KEY,
    entries      INTEGER NOT NULL,
    stored       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO quarantine_usage VALUES ('malware', 0, 0), ('phishing', 0, 0), ('spam', 0, 0), ('policy', 0, 0), ('incomplete', 0, 0);

-- Schema 3: finding what is held among a million, and what people say and decide about it.

-- Who looks at it.
ALTER TABLE quarantine_entry ADD COLUMN assigned TEXT;
CREATE INDEX quarantine_entry_by_assigned ON quarantine_entry (assigned, id) WHERE assigned IS NOT NULL;
CREATE INDEX quarantine_entry_on_hold ON quarantine_entry (id) WHERE legal_hold = 1;
CREATE INDEX quarantine_entry_by_size ON quarantine_entry (state, size, id);
CREATE INDEX quarantine_entry_by_sender_in_state ON quarantine_entry (state, sender, id);

-- Recipients' domains, once for each entry, with its state: what a reviewer for a domain sees is read
-- from here in order. The domain is what follows the last @: a quoted local part may have another.
CREATE TABLE quarantine_domain (
    entry        TEXT NOT NULL REFERENCES quarantine_entry (id) ON DELETE CASCADE,
    domain       TEXT NOT NULL,
    state        TEXT NOT NULL,
    PRIMARY KEY (entry, domain)
) STRICT, WITHOUT ROWID;
CREATE INDEX quarantine_domain_by_state ON quarantine_domain (domain, state, entry);
INSERT OR IGNORE INTO quarantine_domain
    SELECT r.entry, substr(r.address, length(rtrim(r.address, replace(r.address, '@', ''))) + 1), e.state
    FROM quarantine_recipient r JOIN quarantine_entry e ON e.id = r.entry;
CREATE TRIGGER quarantine_domain_new AFTER INSERT ON quarantine_recipient BEGIN
    INSERT OR IGNORE INTO quarantine_domain
        SELECT new.entry, substr(new.address, length(rtrim(new.address, replace(new.address, '@', ''))) + 1), state
        FROM quarantine_entry WHERE id = new.entry;
END;
CREATE TRIGGER quarantine_domain_changed AFTER UPDATE OF state ON quarantine_entry WHEN new.state <> old.state BEGIN
    UPDATE quarantine_domain SET state = new.state WHERE entry = new.id;
END;

-- How many there are, by the day they were stored on (days since 1970).
CREATE TABLE quarantine_tally (
    day          INTEGER NOT NULL,
    class        TEXT NOT NULL,
    state        TEXT NOT NULL,
    entries      INTEGER NOT NULL,
    PRIMARY KEY (day, class, state)
) STRICT, WITHOUT ROWID;
INSERT INTO quarantine_tally SELECT stored_at / 86400000, class, state, count(*) FROM quarantine_entry GROUP BY 1, 2, 3;
CREATE TRIGGER quarantine_tally_new AFTER INSERT ON quarantine_entry BEGIN
    INSERT INTO quarantine_tally VALUES (new.stored_at / 86400000, new.class, new.state, 1)
        ON CONFLICT (day, class, state) DO UPDATE SET entries = entries + 1;
END;
CREATE TRIGGER quarantine_tally_changed AFTER UPDATE OF state ON quarantine_entry WHEN new.state <> old.state BEGIN
    UPDATE quarantine_tally SET entries = entries - 1
        WHERE day = old.stored_at / 86400000 AND class = old.class AND state = old.state;
    INSERT INTO quarantine_tally VALUES (new.stored_at / 86400000, new.class, new.state, 1)
        ON CONFLICT (day, class, state) DO UPDATE SET entries = entries + 1;
END;
CREATE TRIGGER quarantine_tally_gone AFTER DELETE ON quarantine_entry BEGIN
    UPDATE quarantine_tally SET entries = entries - 1
        WHERE day = old.stored_at / 86400000 AND class = old.class AND state = old.state;
    DELETE FROM quarantine_tally WHERE day = old.stored_at / 86400000 AND entries <= 0;
END;

-- Words of subject, author and sender. Rows have numbers of their own: those that SQLite gives may
-- change with a VACUUM.
CREATE TABLE quarantine_text_row (
    number       INTEGER PRIMARY KEY,
    entry        TEXT NOT NULL UNIQUE
) STRICT;
CREATE VIRTUAL TABLE quarantine_text USING fts5 (
    subject, header_from, sender, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO quarantine_text_row (entry) SELECT id FROM quarantine_entry ORDER BY id;
INSERT INTO quarantine_text (rowid, subject, header_from, sender)
    SELECT t.number, e.subject, e.header_from, e.sender FROM quarantine_text_row t JOIN quarantine_entry e ON e.id = t.entry;
CREATE TRIGGER quarantine_text_new AFTER INSERT ON quarantine_entry BEGIN
    INSERT INTO quarantine_text_row (entry) VALUES (new.id);
    INSERT INTO quarantine_text (rowid, subject, header_from, sender)
        SELECT number, new.subject, new.header_from, new.sender FROM quarantine_text_row WHERE entry = new.id;
END;
CREATE TRIGGER quarantine_text_gone AFTER DELETE ON quarantine_entry BEGIN
    DELETE FROM quarantine_text WHERE rowid = (SELECT number FROM quarantine_text_row WHERE entry = old.id);
    DELETE FROM quarantine_text_row WHERE entry = old.id;
END;

-- What reviewers write down; nobody takes a word back.
CREATE TABLE quarantine_note (
    number       INTEGER PRIMARY KEY,
    entry        TEXT NOT NULL REFERENCES quarantine_entry (id) ON DELETE CASCADE,
    at           INTEGER NOT NULL,
    author       TEXT NOT NULL,
    text         TEXT NOT NULL
) STRICT;
CREATE INDEX quarantine_note_by_entry ON quarantine_note (entry, number);
CREATE TRIGGER quarantine_note_stays BEFORE UPDATE ON quarantine_note BEGIN
    SELECT raise(ABORT, 'a note is never changed');
END;

-- Releases that two people have to want.
CREATE TABLE quarantine_request (
    number       INTEGER PRIMARY KEY,
    entry        TEXT NOT NULL REFERENCES quarantine_entry (id) ON DELETE CASCADE,
    asked_at     INTEGER NOT NULL,
    asked_by     TEXT NOT NULL,
    -- JSON list of addresses; empty: all that do not have it.
    recipients   TEXT NOT NULL,
    why          TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied')),
    decided_at   INTEGER,
    decided_by   TEXT,
    -- Whatever a program gets wrong: nobody approves his own.
    CHECK (state <> 'approved' OR (decided_by IS NOT NULL AND decided_by <> asked_by))
) STRICT;
CREATE UNIQUE INDEX quarantine_request_pending ON quarantine_request (entry) WHERE state = 'pending';
CREATE INDEX quarantine_request_by_entry ON quarantine_request (entry, number);

-- What is let through that would be held, narrowly and for a while.
CREATE TABLE quarantine_allowance (
    number       INTEGER PRIMARY KEY,
    -- The entry it was made from, which may be gone by now.
    entry        TEXT NOT NULL,
    -- An address, or with @ in front a domain.
    sender       TEXT NOT NULL,
    recipient    TEXT NOT NULL,
    -- Nothing lets malware pass, nor what nobody has looked at.
    class        TEXT NOT NULL CHECK (class IN ('phishing', 'spam', 'policy')),
    -- The stage, or `rule NAME`.
    decided_by   TEXT NOT NULL,
    -- Only where the sender is who he says, as he was then.
    authenticated INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   INTEGER NOT NULL,
    used         INTEGER NOT NULL DEFAULT 0,
    used_at      INTEGER,
    revoked_at   INTEGER,
    revoked_by   TEXT
) STRICT;
CREATE INDEX quarantine_allowance_by_recipient ON quarantine_allowance (recipient, decided_by, expires_at);

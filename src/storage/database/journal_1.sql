-- Schema 1 of the journal. A step that was released is never changed; what comes later is another step.

-- A row for every message, refused command, connection that was turned away, and violation.
CREATE TABLE journal_row (
    -- When it was settled, milliseconds since 1970, times 4096, and something to tell rows of one
    -- millisecond apart: a range of time is a range of keys, and every list is in their order.
    key          INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('message', 'command', 'connection', 'violation')),
    phase        TEXT,
    listener     TEXT NOT NULL,
    session      TEXT,
    -- Our id.
    message      TEXT,
    client       TEXT NOT NULL,
    port         INTEGER NOT NULL,
    helo         TEXT,
    account      TEXT,
    -- Empty: the null reverse-path.
    sender       TEXT,
    -- Divided by LF.
    recipients   TEXT NOT NULL,
    -- Also those that `recipients` has no room for.
    nrcpt        INTEGER NOT NULL,
    header_from  TEXT,
    subject      TEXT,
    message_id   TEXT,
    size         INTEGER NOT NULL,
    verdict      TEXT,
    decided_by   TEXT,
    violation    TEXT,
    upstream     TEXT,
    reply        TEXT,
    queue_id     TEXT,
    error        TEXT,
    -- JSON: TLS, findings, stages, delays, attachments, hosts: what is shown and not sorted by.
    details      TEXT NOT NULL
) STRICT;

-- What a row is found by: words such as `s:alice@example.org`, divided by blanks. An index of its own
-- for each column would take ten times the time to write (200 µs a row, where this takes 13): an
-- inverted index is written in runs, which are merged now and then, and not all over the file.
CREATE VIRTUAL TABLE journal_term USING fts5 (
    terms, content = '', contentless_delete = 1, detail = none,
    tokenize = "unicode61 remove_diacritics 2 categories 'L* M* N* P* S* Z* C*' separators ' '"
);
-- Merged in bigger steps than the default's 4 and 16: a third less to write, and as fast to search.
INSERT INTO journal_term (journal_term, rank) VALUES ('automerge', 16);
INSERT INTO journal_term (journal_term, rank) VALUES ('crisismerge', 64);

-- How much of what there was in each hour, in step with the rows when they are written; stays when
-- they go for want of room. Values are names of ours or of the configuration, never a client's.
CREATE TABLE journal_hour (
    -- Hours since 1970.
    hour         INTEGER NOT NULL,
    what         TEXT NOT NULL,
    value        TEXT NOT NULL,
    count        INTEGER NOT NULL,
    PRIMARY KEY (hour, what, value)
) STRICT, WITHOUT ROWID;

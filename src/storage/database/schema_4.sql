-- Schema 4: what was said in the session of a message that is held.

-- Beside the entry, and not in it: lists of entries do not need it.
CREATE TABLE quarantine_dialogue (
    entry        TEXT PRIMARY KEY REFERENCES quarantine_entry (id) ON DELETE CASCADE,
    -- A line each: seconds since the session began, who (C, S, or - for neither), what. No secrets, no
    -- message.
    text         TEXT NOT NULL
) STRICT, WITHOUT ROWID;

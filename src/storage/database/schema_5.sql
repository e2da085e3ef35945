-- Schema 5: what is done with entries, counted.

-- By all processes that work on this database: the metrics of the service have what the command line
-- does beside it, and have it once.
CREATE TABLE quarantine_deed (
    -- `released` (recipients), `deleted reviewer`, `deleted age` (entries).
    deed         TEXT PRIMARY KEY,
    count        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO quarantine_deed VALUES ('released', 0), ('deleted reviewer', 0), ('deleted age', 0);

-- Schema 6: what two people have to want, once more.

-- A release that was asked for goes also to those who have it, or perhaps have it.
ALTER TABLE quarantine_request ADD COLUMN again INTEGER NOT NULL DEFAULT 0;

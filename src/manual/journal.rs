//! # The journal: what happened, and how it is found
//!
//! One record is filled as a message goes ([`crate::journal::Entry`]). When it is dropped it becomes a
//! line of the log, its share in the metrics, and a row; the three cannot disagree, and a session that
//! dies half way leaves all three. So does every command that was refused before there was a message,
//! every connection that was turned away, and every violation, each as a row of its own kind.
//!
//! * **A database of its own**, `journal.db`. It is big and may lose its last moment with the power, so
//!   it is not synced at every commit (SQLite's WAL with `synchronous = normal`: whole after a power cut,
//!   complete after `kill -9` but for what was not written yet, some 300 ms). The quarantine's database,
//!   whose commits clients wait for, has neither its pages nor its syncs.
//! * **Off the way.** The session moves the record into a queue, which holds 20,000 of them and 32 MiB,
//!   and goes on. A thread of its own makes rows of them, 1000 in a commit. Where it cannot (a full disk, a
//!   lock) they wait in the queue; what finds no room there is counted (`octroi_journal_dropped_total`).
//!   Half of the queue is for messages alone: a flood of refusals pushes none of them out.
//! * **What is inside** (names and hashes of attachments, hosts of URLs) is looked for by the same thread
//!   once the client has its answer, in every reading of the message that some program could have; what a
//!   stage has taken apart already is not taken apart again, though a stage before it edited the header. In
//!   a message of up to 16 KiB the session itself looks: some microseconds, less than to give it away. A
//!   look at links ends at four times the text, however attributes are nested. What is kept takes room
//!   from those under way, so there is a bound (32 MiB, an eighth of `limits.memory`, ten seconds), and
//!   beyond it the row says `unexamined`.
//! * **One inverted index**, of FTS5, with a word such as `s:alice@example.org` for everything that a row
//!   is found by: a B-tree for each would take ten times the time to write. An exact match, a beginning
//!   (networks and domains are written so that what is below begins alike) and any AND of them are
//!   answered from it. Keys are times, so every list comes in the order of time, and a range of time is a
//!   range of keys.
//! * **A flood costs the flood its rows.** Where the journal is as big as it may be, the oldest rows go; but
//!   first those without a message, which anybody can cause as often as he likes, down to about a quarter
//!   of the room: connections turned away, refused commands, violations. So whoever hammers at the gate
//!   for a week does not push out who got what in it.
//! * **Searches end.** What somebody asks in his own words may be all there is (`a*`), so a search has ten
//!   seconds (`[storage] search_timeout`), then it is ended where it is (SQLite's interrupt), and so it is
//!   when nobody waits for it any more. Two are at it at once, on connections of their own.
//! * **Numbers** by the hour are counted as rows are written, and stay when rows go for want of room.
//! * **Minimisation.** `addresses = "hashed"` puts an HMAC in the place of addresses, accounts and
//!   authors' names, in replies and findings too. Who knows an address finds its rows; a copy of the
//!   journal without `journal.key` gives none away, not even to who guesses.

//! # Attacks, and what excludes each
//!
//! What a mail gate has to stand is known: other people's advisories say it. This page names the
//! attacks we learnt from and, for each, the place in the code that makes it impossible and the
//! test that would fail if it did not.
//!
//! ## SMTP smuggling
//!
//! CVE-2023-51764, -51765, -51766. Two servers disagree on where a message ends, and what one takes
//! for text is a second message, with a sender of the attacker's choice, to the other.
//!
//! * `CRLF . CRLF` is the only end of data. One state machine decides it
//!   ([`smtp::data`](crate::smtp::data)), for DATA and BDAT, fed cut at every place by its tests.
//! * Whatever looks like an end and is none (a dot alone between line breaks of which at least one
//!   is not CRLF, NULs or not) is read on to the real end and then refused with `550 5.5.2`,
//!   counted as `octroi_violations_total{kind="smuggling"}` and logged. Reading on keeps the
//!   dialogue in step: nothing behind the look-alike is ever taken for a command.
//! * What goes to the MTA is written anew: canonical line ends, fresh dot-stuffing, or BDAT with
//!   its length. A bare CR or NUL never passes.
//! * Tests: `tests/promises/smuggling.rs` sends every look-alike cut at every place to the real
//!   binary; the fuzz targets `data` and `bdat` look for disagreement with a slow, obvious reader.
//!
//! ## Commands that are text, text that are commands
//!
//! CVE-2020-28019 (BDAT), CVE-2021-38371 and the NO STARTTLS family.
//!
//! * The octets of a refused chunk are read and dropped, never parsed; a BDAT line whose size
//!   cannot be read ends the connection, since nothing behind it can be trusted
//!   ([`smtp::server`](crate::smtp::server)).
//! * Octets behind STARTTLS in the same segment end the connection with `554`;
//!   [`Session::into_tls`](crate::smtp::server::Session::into_tls) consumes the session, and the one
//!   that begins after the handshake has an empty buffer and no state (RFC 3207 §4.2).
//! * Octets behind EHLO, DATA and AUTH, whose answers have to be waited for (RFC 2920 §3.1), end
//!   the connection too.
//! * Towards the MTA the same holds the other way round: a reply that came before the handshake and
//!   was not asked for ends the attempt ([`upstream`](crate::upstream)).
//! * xtext (ORCPT, ENVID, AUTH=) is checked and passed on as it came; decoding it on the way is how
//!   a CRLF gets into a command (CVE-2020-28026).
//! * HTTP request lines, PROXY headers and XCLIENT from strangers end the connection.
//!
//! ## An acknowledgement that nobody stands for
//!
//! The `250` to the end of data is made from a [`Custody`](crate::smtp::Custody) and from nothing
//! else. Only the files listed in `tests/architecture.rs` can have one, each after the fact: the
//! upstream's own 2yz, or a message that policy discards. Between the two there is no queue, and so
//! nothing to lose; `tests/promises/custody.rs` kills octroi and the MTA in the middle of ten
//! thousand messages and counts.
//!
//! ## Mail that two programs read differently
//!
//! CVE-2024-28054 (Amavis took the last of two boundaries, mail programs take the first), and the
//! hundreds of shapes that "Inbox Invasion" (CCS 2024) and Steffen Ullrich's collections list: two
//! transfer encodings, padding inside base64, boundaries in the form of RFC 2231, parts after the
//! end, a header section that ends where only some see it. The scanner decodes one thing, the
//! recipient opens another.
//!
//! * No reading is chosen. [`message::readings`](crate::message::readings) follows every way that
//!   programs are known to go, and all stages that look into messages are given all of them.
//! * What programs could differ in is an [`Anomaly`](crate::message::Anomaly); the stage `mime`
//!   reports it, and refuses what no honest program writes.
//! * Following every way is bounded in levels, parts, readings, memory and effort; a message beyond
//!   is `too_complex`, which is an anomaly too.
//! * File names are all kept: `filename` and `filename*`, pieces (CVE-2024-39929), encoded words,
//!   what stands before a NUL, what a file system makes of it.
//! * What is whole only at the reader's (`message/partial`) cannot be inspected by anybody, and is
//!   refused; TNEF, BinHex and external bodies are named.
//! * Tests: the shapes of `src/message/readings/shapes.rs`, each with the same payload, are read by
//!   the unit tests and sent to the real binary by `tests/promises/mime.rs`; the fuzz target
//!   `readings` looks for a panic or growth.
//!
//! ## Exhaustion
//!
//! * Slow clients: every read has a deadline that octets trickling in do not move, a body has a
//!   least rate, and while a client is slow no connection to the MTA is held for it.
//! * Big messages: memory up to `limits.message_memory` each and `limits.memory` together, then an
//!   unlinked file up to `limits.spool`, then `452 4.3.1`.
//! * Announced sizes (SIZE=, BDAT, PROXY TLVs) are compared, never allocated.
//! * Over-long lines are dropped while they come and answered at their end.
//! * Connections are counted over all and by IPv4 address or IPv6 /64; commands that get nowhere
//!   count as errors, and errors end the session.
//! * A header section has a limit of its own; the MIME parser runs where its panic is caught.
//!
//! ## Forged trace
//!
//! * `Authentication-Results` in our name is taken out, however it is written (RFC 8601 §5).
//! * A message with too many `Received` goes in circles and is refused (RFC 5321 §6.3).
//! * Log lines are made of fields whose control characters are escaped, so that no client can
//!   write a line of its own.
//!
//! ## Spoofed authors
//!
//! "Composition Kills" (USENIX Security 2020), Mailsploit (CVE-2017-7829), CVE-2024-49040: parts that
//! are each right by themselves read different names, and the reader sees one that nobody checked.
//!
//! * The stage `auth` reads From once, as the grammar has it, and asks what other readers would see:
//!   a second field or one in disguise, a second address, one hidden in a name or a comment or an
//!   encoded word, source routes, groups, broken quotes, control characters, blank lines. Any doubt
//!   is a finding and by default a refusal; where it is only reported, DMARC judges everybody who
//!   could be meant and the worst counts.
//! * The library that verifies is given that reading, not the message: what DMARC judges is what was
//!   read. A domain or selector that is no host name is never asked for (the NUL of attack A3).
//! * A signature that covers a part of the body (`l=`), or one of two fields of which readers show
//!   one, is `policy`, not `pass`; so is SHA-1. From has to be signed.
//! * Without a reverse-path SPF speaks for the host alone; a host name that only looks like the
//!   author's domain is refused.
//! * Signatures, their fields, ARC sets, SPF's look-ups and the time for all of them are bounded.
//! * An ARC chain is believed only as far as everybody in it since is trusted by name.
//! * Tests: `src/stages/auth/tests`, and `tests/promises/auth.rs` with signatures of another program.
//! ## Archives that are bombs, and archives that two programs read differently
//! 42.zip and its nested kin, Fifield's overlapping files (2019), members of gzip without end
//! (CWE-409); directories that do not agree with what is in the archive, two archives in one file,
//! a picture that is an archive as well.
//! * Whatever comes out of an archive goes through one account ([`unpack`](crate::unpack)): octets
//!   held, the windows of decoders included, files, depth, the ratio of out to in, time of a
//!   processor. What meets a bound is told ([`Unpacked::exceeded`](crate::unpack::Unpacked)), and the
//!   stage `attachments` holds or refuses it; it is never passed as clean.
//! * No size that an archive states is believed: nothing is allocated by it, and a decoder runs to
//!   its own end.
//! * Of a zip all directories are read, the last first, and then every local header that none of
//!   them covers; a file has every name that one of its headers gives it, and entries that mean the
//!   same octets are unpacked once.
//! * A reader of archives that panics costs the one archive its contents, and is reported as
//!   `unreadable`.
//! * Tests: `src/unpack/tests/bombs.rs` makes a bomb of every kind and counts what was asked of the
//!   memory; `tests/promises/attachments.rs` sends one to the real binary; the fuzz target `unpack`.

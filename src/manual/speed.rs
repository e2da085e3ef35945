//! # Where the time goes
//!
//! A proxy that only forwards octets makes four system calls for each round trip of the dialogue.
//! Octroi reads the dialogue, so it can make fewer: it answers most commands itself, speaks to the
//! MTA on connections that stay open, says MAIL and RCPT in one write, and hands a message over as
//! one BDAT, in one write with our `Received` in front. What is left is kept small:
//!
//! * **One event loop per core**, with its own listening sockets and upstream connections. No task
//!   moves between threads, so nothing wakes another core.
//! * **One read buffer per core.** A session takes what it got as a slice of it, and a body goes
//!   from there to the spool and the upstream without being copied; an idle session holds nothing.
//! * **One timer per session**, looked at when it fires. A deadline that is met costs nothing.
//! * **One write** for all replies to what came in one read.
//! * **A line costs no allocation.** The end of data is found by a vectorised search for CR, LF and
//!   NUL; text without stuffed dots leaves the decoder as the slice it came in.
//! * **The log** is written by a thread of its own, many lines at a time.
//! * **The journal** is written by two more, a thousand rows at a time. What the stages have found out of a
//!   message it does not find out again; what is small is looked into where it is, since to read it on
//!   another core, and to free there what was allocated here, took as long again.
//!
//! With small messages some two thirds of what is left are the kernel's, most of it in `send` and
//! `recv` over TCP; the rest is flat, no function much above 3 %. Tried and not taken, as neither
//! gained five per cent nor more than the noise of the machine: mimalloc (2 to 4 %, and 24 MiB in place
//! of 10 at the peak), and a timer that is always armed, so that tokio does not wake its own loop when
//! a session arms one that is nearer than all others (0 to 2 %).
//!
//! Of the 12 to 36 µs that the journal takes a message, on three threads, no part is more than a quarter.
//! Tried and not taken, with real mail and the stages that the package installs: rows at once and their
//! index when there is time (33 µs in place of 36, and then the index costs more), another priority for
//! its threads (nothing), mimalloc and jemalloc (nothing, and 20 MiB).
//!
//! `cargo bench --bench load` measures all of it against the direct path, HAProxy and Postfix; the
//! README has the numbers and how to repeat them.

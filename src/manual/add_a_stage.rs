//! # How to add a stage
//!
//! A stage is one file in `src/stages/` and one row in [`stages::KINDS`](crate::stages::KINDS).
//! [`chain`](crate::chain) has the contract. Two objects make a stage: the configured
//! [`Stage`](crate::chain::Stage), shared by all sessions, and an
//! [`Inspection`](crate::chain::Inspection), which watches one session and has a method for each of
//! the milter's events, all optional.
//!
//! 1. **Write what it is for** at the top of the file, for the administrator who reads
//!    `octroi check`.
//! 2. **Read its settings** from the [`Section`](crate::value::settings::Section) of its
//!    `[[stage]]`; a key you do not ask for is an unknown key, and says so. The common keys (`name`,
//!    `timeout`, `on_error`, `mode`, `listeners`) are read for you.
//! 3. **Say whether it may edit.** A stage that may closes its segment of the chain; what follows
//!    sees the message as edited. One that may not runs at the same time as its neighbours, and its
//!    edits are dropped.
//! 4. **Answer early what you can**: a refusal at RCPT costs nobody a body.
//! 5. **Return findings** under documented names; the verdict is a consequence.
//! 6. **Fail honestly**: return a [`StageError`](crate::chain::StageError). What it means is the
//!    administrator's choice (`on_error`), and a deadline or a panic is the same to the chain.
//!    Never return "deliver" for "I do not know".
//! 7. **Do not block.** What computes for milliseconds goes to `tokio::task::spawn_blocking`.
//!
//! `src/stages/limits.rs` is the shortest whole example: it refuses at MAIL and
//! RCPT, and at the end by size and number of parts.

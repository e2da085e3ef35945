//! What octroi promises, tried on the real binary with real partners.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test says what is wrong by failing"
)]

mod dialogues;
mod smuggling;
#[path = "../support/mod.rs"]
mod support;
mod upstream_faults;

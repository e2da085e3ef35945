//! What octroi promises, tried on the real binary with real partners.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a test says what is wrong by failing"
)]

mod auth;
mod bounded;
mod commands;
mod configurations;
mod custody;
mod dialogues;
mod partners;
mod running;
mod slow_clients;
mod smuggling;
mod submission;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod upstream_faults;

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

mod acme;
mod at_the_shell;
mod attachments;
mod auth;
mod bounded;
mod clamd;
mod client_certificates;
mod commands;
mod configurations;
mod console;
mod containers;
mod custody;
mod dialogues;
mod guides;
mod hooks;
mod journal;
mod journal_faults;
mod milters;
mod mime;
mod monitoring;
mod package;
mod partners;
mod programs;
mod quarantine;
mod quarantine_faults;
mod restart;
mod rspamd;
mod running;
mod searches;
mod slow_clients;
mod smuggling;
mod spamassassin;
mod strip;
mod submission;
#[path = "../support/mod.rs"]
mod support;
mod tls;
#[cfg(feature = "otlp")]
mod traces;
mod upstream_faults;
mod whole_chain;

//! # Octroi: an inline SMTP filter proxy
//!
//! The story of a message: the [`gate`] accepts a connection, does TLS and drives an
//! [`smtp::server::Session`], which does no I/O itself. What the session asks (may this host say
//! hello, may this sender, this recipient?) goes to the [`chain`] of stages and then to the
//! [`upstream`], the real MTA, whose own refusal is what the client hears. The body streams into a
//! [`message::spool`] and through the chain while it arrives; at its end the strictest verdict
//! wins, and the client's `250` is made from a [`smtp::Custody`], which only somebody who really
//! answers for the message can give. One [`journal::Entry`] per message becomes its log line, its
//! share in the metrics and its row.
//!
//! The map of the house, from the bottom up (a module names only what stands below it;
//! `tests/architecture.rs` keeps it so):
//!
//! | module | holds |
//! | --- | --- |
//! | [`value`] | units and names, parsed once: sizes, durations, networks, the settings reader |
//! | [`smtp`] | the protocol without I/O: paths, commands, replies, data, server and client |
//! | [`dns`] | one caching resolver |
//! | [`tls`] | certificates, and TLS towards servers that are asked something |
//! | [`remote`] | other programs that are asked something, or told: the way there, and HTTP |
//! | [`telemetry`] | metrics, log, traces |
//! | [`unpack`] | what is inside attachments: kinds by content, archives in archives, within limits |
//! | [`storage`] | rows and contents that last: SQLite and files |
//! | [`message`] | envelope, header block, spool, budget, MIME view, edits |
//! | [`chain`] | the contract of a stage, verdicts, findings, the plan, the runner |
//! | [`stages`] | the table of kinds, and a file per stage |
//! | [`upstream`] | routes, pool, health, identity, transaction |
//! | [`journal`] | the one record of what happened to a message, kept and searched |
//! | [`quarantine`] | messages held for a person, and what became of them |
//! | [`audit`] | who did what, in a chain that shows any change to it |
//! | [`accounts`] | who may sign in to the console, how, and what for |
//! | [`preview`] | what is in a message, harmless to look at |
//! | [`evidence`] | held messages as archives that show any change |
//! | [`acme`] | certificates obtained and renewed without anybody's help |
//! | [`gate`] | listeners, TLS, PROXY, the session's driver, from verdict to custody, draining |
//! | [`console`] | where people review what is held: sign-in, pages, API |
//! | [`config`] | composes every module's own settings; errors with line and column |
//! | [`cli`] | a file per command |
//! | [`manual`] | the book |

pub mod accounts;
pub mod acme;
pub mod audit;
pub mod chain;
pub mod cli;
pub mod config;
pub mod console;
pub mod dns;
pub mod evidence;
pub mod gate;
pub mod journal;
pub mod manual;
pub mod message;
pub mod preview;
pub mod quarantine;
pub mod remote;
pub mod smtp;
pub mod stages;
pub mod storage;
pub mod telemetry;
pub mod tls;
pub mod unpack;
pub mod upstream;
pub mod value;

//! The protocol without I/O (RFC 5321): bytes in, events and owed answers out.
//!
//! Names neither a socket nor a clock, so that a transcript is a test and a fuzzer can hold a
//! hundred thousand dialogues a second.

mod capabilities;
pub mod client;
mod command;
pub mod data;
mod parameters;
mod path;
mod reply;
pub mod server;

pub use capabilities::{Capabilities, Offer};
pub use command::{Command, Mistake};
pub use parameters::{BodyType, Mail, Recipient, Ret};
pub use path::{Address, Domain, ReversePath};
pub use reply::{Custody, Refusal, Reply, is_enhanced, printable};

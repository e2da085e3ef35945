//! Units and names, parsed once, where they come in.
//!
//! A leaf: it names no other module of this crate.

mod duration;
mod hex;
mod id;
mod network;
mod owner;
mod reasons;
mod secret;
pub mod settings;
mod size;
mod time;
mod words;

pub use duration::parse_duration;
pub use hex::hex;
pub use id::Id;
pub use network::network;
pub use owner::with_owner;
pub(crate) use reasons::reasons;
pub use secret::Secret;
pub use size::ByteSize;
pub use time::{millis, rfc3339, rfc5322, time};
pub(crate) use words::words;

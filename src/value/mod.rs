//! Units and names, parsed once, where they come in.
//!
//! A leaf: it names no other module of this crate.

mod duration;
mod id;
mod secret;
pub mod settings;
mod size;
mod time;

pub use duration::parse_duration;
pub use id::Id;
pub use secret::Secret;
pub use size::ByteSize;
pub use time::{rfc3339, rfc5322};

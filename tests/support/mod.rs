//! What the tests stand on: the real binary, the partners around it, and nothing else.
//!
//! Everything is on loopback, in temporary directories, and gone when its handle is dropped.

#[expect(dead_code, reason = "what drives a browser is there for all tests")]
pub mod browser;
pub mod certs;
pub mod client;
pub mod disk;
#[expect(dead_code, reason = "tests of the library need the rest")]
pub mod dns;
pub mod exim;
pub mod gate;
pub mod machine;
pub mod mta;
pub mod partners;
pub mod places;
pub mod postfix;
pub mod signer;
pub mod wait;
#[expect(dead_code, reason = "as with the browser")]
pub mod web;
pub mod wire;

pub use browser::Browser;
pub use certs::Authority;
pub use client::{Client, Reply};
pub use disk::Disk;
pub use gate::{Gate, Setup};
pub use mta::{Act, Mta, Step};
pub use web::{Page, Web};

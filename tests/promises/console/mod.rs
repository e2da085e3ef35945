//! The console, in a browser and without one.

mod allowances;
mod certificate;
mod document;
mod full_disk;
mod headers;
mod languages;
mod messages;
mod pages;
mod people;
mod preview;
mod review;
mod signing_in;
mod trial;

use crate::support::{Gate, Mta, Setup};

/// A gate with a console, and nothing configured of it but its name.
pub fn gate(mta: &Mta) -> Gate {
    gate_with(mta, "")
}

/// The same with more lines in `[console]`.
pub fn gate_with(mta: &Mta, lines: &str) -> Gate {
    Setup::before(mta.address()).mx().console(lines).start()
}

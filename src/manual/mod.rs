//! The book: how octroi is made, and why.
//!
//! * [`attacks`]: the attacks we learnt from, and what in the construction excludes each
//! * [`standards`]: what is spoken, section by section, with every deviation
//! * [`defaults`]: the numbers, and why they are what they are
//! * [`outcomes`]: what the client is told when recipients differ
//! * [`journal`]: what is kept of what happened, and how it is found
//! * [`speed`]: where the time goes, and what was done about it
//! * [`add_a_stage`]: how to write a stage of your own

pub mod add_a_stage;
pub mod attacks;
pub mod defaults;
#[cfg(test)]
mod example;
pub mod journal;
pub mod outcomes;
pub mod speed;
pub mod standards;

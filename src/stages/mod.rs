//! The stages there are. To add one: a file, and its line in [`KINDS`].

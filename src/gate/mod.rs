//! The gate: listeners, TLS, the session's driver, and draining. Joins all modules below it.

pub mod settings;

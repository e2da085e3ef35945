//! The binary: all it does is call [`octroi::cli`].
use std::process::ExitCode;

fn main() -> ExitCode {
    octroi::cli::main()
}

//! A password from somebody at a terminal, or from a program.
use crate::cli::{Failure, style::complain};
use rustix::termios::{self, OptionalActions, Termios};
use std::io::{self, BufRead, IsTerminal};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Asked for at a terminal, without showing it; else the first line of standard input.
pub(super) async fn read() -> Result<String, Failure> {
    let line = || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line.trim_end_matches(['\r', '\n']).to_owned())
    };
    if !io::stdin().is_terminal() {
        return Ok(line()?);
    }
    // Waited for before the terminal is changed: whoever ends us finds it as it was.
    let ended = Ended::new()?;
    let hidden = Hidden::new()?;
    complain("Password, at least 12 characters (it is not shown):");
    let password = tokio::select! {
        password = tokio::task::spawn_blocking(line) => password,
        signal = ended.wait() => {
            drop(hidden);
            complain("");
            // What a shell says of a command that the signal has ended; the thread that reads goes with us.
            std::process::exit(128 + signal.as_raw_value());
        }
    };
    drop(hidden);
    Ok(password??)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> io::Result<Self> {
        let shown = termios::tcgetattr(io::stdin())?;
        let mut hidden = shown.clone();
        hidden.local_modes -= termios::LocalModes::ECHO;
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(shown))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Where it is gone there is nothing to show on it.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Signals that end a command, and would leave the terminal as it is.
struct Ended([Signal; 4]);

impl Ended {
    fn new() -> io::Result<Self> {
        use SignalKind as Kind;
        Ok(Self([signal(Kind::interrupt())?, signal(Kind::terminate())?, signal(Kind::hangup())?, signal(Kind::quit())?]))
    }

    async fn wait(mut self) -> SignalKind {
        let [interrupt, terminate, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
            _ = hangup.recv() => SignalKind::hangup(),
            _ = quit.recv() => SignalKind::quit(),
        }
    }
}

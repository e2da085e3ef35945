//! Where lines go: a bounded buffer, and a thread that writes it out.
use prometheus::IntCounter;
use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Octets that may wait; at four hundred a line, twenty thousand messages.
const BOUND: usize = 8 << 20;
/// How long the writer lets lines gather, so that a burst is one write.
const GATHER: Duration = Duration::from_millis(5);
/// A buffer that grew beyond this is not kept.
const KEEP: usize = 256 << 10;

pub(super) struct Sink {
    state: Mutex<State>,
    /// The buffer is no longer empty, or somebody waits for it to be.
    filled: Condvar,
    written: Condvar,
    dropped: IntCounter,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// Octets the writer has in hand.
    writing: bool,
    /// Threads in [`Sink::flush`].
    flushing: usize,
}

impl Sink {
    /// Starts the thread that writes to `out`; `dropped` counts lines that found no room.
    pub(super) fn start(out: Box<dyn Write + Send>, dropped: IntCounter) -> io::Result<Arc<Self>> {
        let sink = Arc::new(Self { state: Mutex::default(), filled: Condvar::new(), written: Condvar::new(), dropped });
        let writer = Arc::clone(&sink);
        std::thread::Builder::new().name("log".into()).spawn(move || writer.write_out(out))?;
        Ok(sink)
    }

    /// Appends a line, given in pieces.
    pub(super) fn append(&self, pieces: &[&[u8]]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut state = self.lock();
        if state.buffer.len() + length > BOUND {
            drop(state);
            self.dropped.inc();
            return;
        }
        let was_empty = state.buffer.is_empty();
        for piece in pieces {
            state.buffer.extend_from_slice(piece);
        }
        drop(state);
        // Waking is a system call; one a batch is enough.
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Waits until everything appended so far is written, or for `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        state.flushing += 1;
        self.filled.notify_one();
        while state.writing || !state.buffer.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            state = self.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.flushing -= 1;
    }

    fn write_out(&self, mut out: Box<dyn Write + Send>) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            while state.buffer.is_empty() {
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.flushing == 0 {
                let gather = self.filled.wait_timeout_while(state, GATHER, |state| state.flushing == 0);
                state = gather.unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut state.buffer, &mut batch);
            state.writing = true;
            drop(state);
            // A log that cannot be written can be told to nobody.
            let _ = out.write_all(&batch).and_then(|()| out.flush());
            batch.clear();
            batch.shrink_to(KEEP);
            self.lock().writing = false;
            self.written.notify_all();
        }
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What was written, in the order of the writes.
    #[derive(Clone, Default)]
    pub(in super::super) struct Written(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Written {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(octets.to_vec());
            Ok(octets.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        pub(in super::super) fn writes(&self) -> usize {
            self.0.lock().unwrap().len()
        }
        pub(in super::super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().concat()).unwrap()
        }
    }

    /// Takes nothing until its gate is opened.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(octets.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "dropped").unwrap()
    }

    #[test]
    fn a_burst_is_a_few_writes_and_in_order() {
        let written = Written::default();
        let sink = Sink::start(Box::new(written.clone()), counter()).unwrap();
        let lines: Vec<String> = (0..1000).map(|n| format!("line {n}\n")).collect();
        for line in &lines {
            sink.append(&[b"", line.as_bytes()]);
        }
        sink.flush(Duration::from_secs(10));
        assert_eq!(written.text(), lines.concat());
        assert!(written.writes() < 100, "{} writes", written.writes());
    }

    #[test]
    fn a_log_that_nobody_reads_stops_nobody_and_is_bounded() {
        let (open, gate) = std::sync::mpsc::channel();
        let dropped = counter();
        let sink = Sink::start(Box::new(Stuck(gate)), dropped.clone()).unwrap();
        let line = [b'x'; 1 << 10];
        let begun = Instant::now();
        for _ in 0..3 * BOUND / line.len() {
            sink.append(&[&line]);
        }
        sink.flush(Duration::from_millis(1));
        assert!(begun.elapsed() < Duration::from_secs(5));
        let least = (BOUND / line.len()) as u64;
        assert!(dropped.get() >= least, "{} dropped", dropped.get());
        assert!(sink.lock().buffer.len() <= BOUND);
        drop(open);
    }
}

//! A server that says what a test wants said, for every way in which a partner can be wrong.

use crate::support::{places, wait};
use std::{
    io::{self, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// Stops listening when dropped; conversations under way end with their scripts.
pub struct Scripted {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Scripted {
    /// Every connection is handed to `script`, in a thread of its own, and closed when that returns.
    /// What goes wrong in a script (the other side has gone) ends it.
    pub fn start(script: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let address = places::free();
        let listener = TcpListener::bind(address).unwrap();
        let (connections, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stop, script) = (Arc::clone(&connections), Arc::clone(&stopped), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                counter.fetch_add(1, Ordering::SeqCst);
                let script = Arc::clone(&script);
                thread::spawn(move || {
                    stream.set_read_timeout(Some(4 * wait::PATIENCE))?;
                    script(stream)
                });
            }
        });
        Self { address, connections, stopped }
    }

    /// As a stage's `address` has it.
    pub fn address(&self) -> String {
        format!("inet:{}", self.address)
    }

    /// How many came so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // To wake it up; where nobody listens any more there is nothing to wake.
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads until `end` has come, or the other side ends.
pub fn read_until(stream: &mut TcpStream, end: &[u8]) -> io::Result<Vec<u8>> {
    let (mut all, mut piece) = (Vec::new(), [0; 16 << 10]);
    while memchr::memmem::find(&all, end).is_none() {
        match stream.read(&mut piece)? {
            0 => break,
            n => all.extend_from_slice(&piece[..n]),
        }
    }
    Ok(all)
}

/// Reads until the other side has said everything.
pub fn read_all(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    Ok(all)
}

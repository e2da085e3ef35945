//! A filter that does as it is told, in every way there is.
use bytes::{BufMut, BytesMut};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// What the filter answers: commands and data. Nothing: it hangs.
type Script = fn(u8) -> Vec<(u8, &'static [u8])>;
/// What it was sent, as `C data`, with NUL shown as `|`; macros as they come.
pub(super) type Log = Arc<Mutex<Vec<String>>>;

#[derive(Clone)]
pub(super) struct Filter {
    pub(super) version: u32,
    pub(super) actions: u32,
    pub(super) steps: u32,
    pub(super) more: &'static [u8],
    pub(super) script: Script,
}

pub(super) fn agreeable(command: u8) -> Vec<(u8, &'static [u8])> {
    if matches!(command, b'D' | b'A' | b'Q') { vec![] } else { vec![(b'c', b"")] }
}

impl Filter {
    pub(super) fn new(script: Script) -> Self {
        Self { version: 6, actions: 0xff, steps: 0, more: b"", script }
    }

    /// Serves connections until the test ends.
    pub(super) async fn start(self) -> (String, Log) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, log) = (listener.local_addr().unwrap().to_string(), Log::default());
        let of_task = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                of_task.lock().unwrap().push("connection".into());
                while let Ok(length) = stream.read_u32().await {
                    let mut packet = vec![0; length as usize];
                    stream.read_exact(&mut packet).await.unwrap();
                    let (command, data) = packet.split_first().unwrap();
                    let mut out = BytesMut::new();
                    if *command == b'O' {
                        let length = 13 + self.more.len();
                        out.put_u32(length as u32);
                        out.put_u8(b'O');
                        [self.version, self.actions, self.steps].iter().for_each(|number| out.put_u32(*number));
                        out.put_slice(self.more);
                    } else {
                        let data = String::from_utf8_lossy(data).replace('\0', "|");
                        of_task.lock().unwrap().push(format!("{} {data}", char::from(*command)));
                        for (command, data) in (self.script)(*command) {
                            if command == 0 {
                                // Octets as they are; none: the end of the connection.
                                out.put_slice(data);
                                if data.is_empty() {
                                    let _ = stream.write_all(&out.split()).await;
                                    let _ = stream.shutdown().await;
                                }
                                continue;
                            }
                            out.put_u32(data.len() as u32 + 1);
                            out.put_u8(command);
                            out.put_slice(data);
                        }
                    }
                    let _ = stream.write_all(&out).await;
                }
            }
        });
        (address, log)
    }
}

//! The demonstration MTA: takes every message and keeps it in a folder, for `octroi try`.
//!
//! It runs on the same protocol machine as the gate, keeps the same promise (its `250` is made
//! after the file is on disk), and is otherwise no mail server: it knows no users and delivers
//! nothing.
use crate::smtp::{
    Custody, Mail, Offer, Recipient, Refusal, Reply,
    data::BareNewline,
    server::{self, Event, Session},
};
use crate::value::Id;
use bytes::BytesMut;
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Octets of a message it takes. It holds one in memory for each session, and the gate before it
/// has a smaller limit.
const SIZE: u64 = 16 << 20;
/// RFC 5321 §4.5.3.2.7.
const PATIENCE: Duration = Duration::from_secs(300);
const HOSTNAME: &str = "mta.example.org";

/// Starts it on a port of loopback; it ends with the runtime. Messages go to `folder`, which has to
/// be there.
pub(super) async fn start(folder: PathBuf) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let folder = Arc::new(folder);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let folder = Arc::clone(&folder);
            tokio::spawn(async move {
                if let Err(e) = converse(stream, &folder).await {
                    tracing::debug!("demonstration MTA: {e}");
                }
            });
        }
    });
    Ok(address)
}

/// A message on disk: the file and its directory are synced. Made by [`keep`] only.
struct Kept(Id);

impl Custody for Kept {
    fn reply(&self) -> Reply {
        Reply::new(250, format!("2.0.0 Ok: queued as {}", self.0))
    }
}

/// Under the name it is answered with.
pub(super) fn file_of(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.eml"))
}

fn keep(folder: &Path, envelope: &str, content: &[u8]) -> io::Result<Kept> {
    let id = Id::generate();
    let write = |path: &Path, octets: &[u8]| -> io::Result<()> {
        let mut file = File::create_new(path)?;
        file.write_all(octets)?;
        file.sync_all()
    };
    write(&folder.join(format!("{id}.envelope")), envelope.as_bytes())?;
    // Under another name until it is whole: whoever looks at the folder sees no half message.
    let unfinished = folder.join(format!(".{id}"));
    write(&unfinished, content)?;
    fs::rename(&unfinished, file_of(folder, &id.to_string()))?;
    File::open(folder)?.sync_all()?;
    Ok(Kept(id))
}

/// What a transaction has said so far.
#[derive(Default)]
struct Transaction {
    envelope: String,
    content: BytesMut,
}

impl Transaction {
    fn begin(&mut self, mail: &Mail) {
        self.content.clear();
        self.envelope.clear();
        let _ = writeln!(self.envelope, "from: <{}>", mail.reverse_path);
    }
    fn recipient(&mut self, recipient: &Recipient) {
        let _ = writeln!(self.envelope, "to: <{}>", recipient.address);
    }
}

async fn converse(mut stream: TcpStream, folder: &Arc<PathBuf>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let hostname: Arc<str> = HOSTNAME.into();
    let settings = server::Settings { hostname: Arc::clone(&hostname), errors: 20, require_tls: false };
    let offer = Offer { size: SIZE, eight_bit: true, utf8: true, dsn: true, enhanced_codes: true, ..Offer::basic(hostname) };
    let offer = Arc::new(offer);
    let mut session = Session::new(Arc::new(settings), false);
    let mut transaction = Transaction::default();
    loop {
        while let Some(event) = session.next_event() {
            answer(&mut session, event, &mut transaction, &offer, folder).await?;
        }
        stream.write_all_buf(session.transmit()).await?;
        if session.is_closed() {
            return stream.shutdown().await;
        }
        let mut octets = BytesMut::with_capacity(64 << 10);
        if timeout(PATIENCE, stream.read_buf(&mut octets)).await?? == 0 {
            return Ok(());
        }
        session.receive(octets);
    }
}

async fn answer(
    session: &mut Session,
    event: Event,
    transaction: &mut Transaction,
    offer: &Arc<Offer>,
    folder: &Arc<PathBuf>,
) -> io::Result<()> {
    match event {
        Event::Hello { extended, owed, .. } => session.welcome(owed, extended, Arc::clone(offer)),
        Event::Mail { mail, owed } => {
            transaction.begin(&mail);
            session.accept_mail(owed, &mail);
        }
        Event::Recipient { recipient, owed } => {
            transaction.recipient(&recipient);
            session.accept_recipient(owed, &Reply::new(250, "2.1.5 Ok"));
        }
        Event::Body(octets) => transaction.content.extend_from_slice(&octets),
        Event::EndOfData { ending, owed } => {
            if let Some(refusal) = ending.stains.refusal(BareNewline::Reject) {
                session.refuse(owed, &refusal);
                return Ok(());
            }
            let Transaction { envelope, content } = std::mem::take(transaction);
            let folder = Arc::clone(folder);
            match tokio::task::spawn_blocking(move || keep(&folder, &envelope, &content)).await? {
                Ok(kept) => session.acknowledge(owed, &kept),
                Err(e) => session.refuse(owed, &Refusal::temporary(51, "3.0", &format!("cannot keep it: {e}"))),
            }
        }
        // Neither is offered.
        Event::StartTls { owed } => session.refuse(owed, &Refusal::permanent(2, "5.1", "no TLS here")),
        Event::Auth { owed, .. } | Event::AuthResponse { owed, .. } => session.refuse(owed, &Refusal::permanent(2, "5.1", "no AUTH here")),
        Event::Spoilt | Event::Reset { .. } => *transaction = Transaction::default(),
        Event::AuthAborted | Event::Refused { .. } | Event::Offence(_) | Event::Quit => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_acknowledged_is_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let address = start(folder.path().to_owned()).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut said = String::new();
        for line in ["", "EHLO a.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.com>", "DATA", "Subject: x\r\n\r\n..dot\r\n."] {
            if !line.is_empty() {
                stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
            }
            let mut reply = [0; 1024];
            let length = stream.read(&mut reply).await.unwrap();
            said += str::from_utf8(&reply[..length]).unwrap();
        }
        let id = crate::journal::queue_id(said.lines().find(|line| line.contains("queued")).unwrap()).unwrap();
        assert_eq!(fs::read(file_of(folder.path(), id)).unwrap(), b"Subject: x\r\n\r\n.dot\r\n");
        let envelope = fs::read_to_string(folder.path().join(format!("{id}.envelope"))).unwrap();
        assert_eq!(envelope, "from: <a@example.org>\nto: <b@example.com>\n");
    }
}

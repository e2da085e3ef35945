//! A small mail client for the samples: STARTTLS, then one message, said as literally as the sample
//! wants it.
use super::samples::{Sample, Transfer};
use crate::smtp::{Reply, client::Replies};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// For one reply; an upstream of the user's own may well take its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the gate answered to a sample.
#[derive(Debug)]
pub(super) struct Answer {
    /// The reply that decided: the first that was a refusal, else that to the end of data.
    pub(super) reply: Reply,
    /// The command that it answers.
    pub(super) to: &'static str,
}

pub(super) struct Client {
    address: SocketAddr,
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl Client {
    /// A client of the gate at `address`, which believes the authority in the file `authority` and
    /// expects the certificate of `name`.
    pub(super) fn new(address: SocketAddr, authority: &Path, name: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authority).map_err(io::Error::other)? {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        Ok(Self { address, tls: TlsConnector::from(Arc::new(config)), name })
    }

    /// Sends `sample` on a connection of its own.
    pub(super) async fn send(&self, sample: &Sample, from: &str, to: &str) -> io::Result<Answer> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut clear = Dialogue::new(stream);
        expect(clear.reply().await?, 220)?;
        expect(clear.say(b"EHLO client.example.net\r\n").await?, 250)?;
        expect(clear.say(b"STARTTLS\r\n").await?, 220)?;
        let stream = timeout(PATIENCE, self.tls.connect(self.name.clone(), clear.stream)).await??;
        let mut dialogue = Dialogue::new(stream);
        expect(dialogue.say(b"EHLO client.example.net\r\n").await?, 250)?;
        let answer = transact(&mut dialogue, sample, from, to).await?;
        // Its answer changes nothing any more.
        let _ = dialogue.say(b"QUIT\r\n").await;
        Ok(answer)
    }
}

async fn transact<S: AsyncRead + AsyncWrite + Unpin>(
    dialogue: &mut Dialogue<S>,
    sample: &Sample,
    from: &str,
    to: &str,
) -> io::Result<Answer> {
    let mail = format!("MAIL FROM:<{from}>{}\r\n", sample.parameters);
    for (command, line) in [("MAIL", mail), ("RCPT", format!("RCPT TO:<{to}>\r\n"))] {
        let reply = dialogue.say(line.as_bytes()).await?;
        if !reply.is_positive() {
            return Ok(Answer { reply, to: command });
        }
    }
    match &sample.transfer {
        Transfer::Data(octets) => {
            let reply = dialogue.say(b"DATA\r\n").await?;
            if reply.code() != 354 {
                return Ok(Answer { reply, to: "DATA" });
            }
            Ok(Answer { reply: dialogue.say(octets).await?, to: "end of data" })
        }
        Transfer::Chunks(chunks) => {
            for (n, chunk) in chunks.iter().enumerate() {
                let last = n + 1 == chunks.len();
                let mut command = format!("BDAT {}{}\r\n", chunk.len(), if last { " LAST" } else { "" }).into_bytes();
                command.extend_from_slice(chunk);
                let reply = dialogue.say(&command).await?;
                if last || !reply.is_positive() {
                    return Ok(Answer { reply, to: "BDAT" });
                }
            }
            Err(io::Error::other("a sample without chunks"))
        }
    }
}

fn expect(reply: Reply, code: u16) -> io::Result<()> {
    if reply.code() == code { Ok(()) } else { Err(io::Error::other(format!("expected {code}, got {reply}"))) }
}

struct Dialogue<S> {
    stream: S,
    replies: Replies,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Dialogue<S> {
    fn new(stream: S) -> Self {
        Self { stream, replies: Replies::default() }
    }

    async fn say(&mut self, octets: &[u8]) -> io::Result<Reply> {
        timeout(PATIENCE, async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        })
        .await??;
        self.reply().await
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        loop {
            if let Some(reply) = self.replies.next() {
                return reply.map_err(io::Error::other);
            }
            if timeout(PATIENCE, self.stream.read_buf(self.replies.input())).await?? == 0 {
                return Err(io::Error::other("the gate closed the connection"));
            }
        }
    }
}

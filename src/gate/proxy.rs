//! The PROXY header of a balancer in front (HAProxy's proxy-protocol.txt, versions 1 and 2).
//!
//! It is believed only from networks the listener names, and then it is required: a connection
//! from there without one could pretend to be anybody.
use proxy_header::{ParseConfig, ProxyHeader};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, sleep, timeout_at},
};

/// Version 1 ends within 107 octets; version 2 may be longer, but with a certificate's names in its
/// TLVs it still is not (HAProxy itself takes no more than this).
const LONGEST: usize = 4096;

/// Why a connection from a balancer is closed without a word.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("no PROXY header in time")]
    TimedOut,
    #[error("the connection ended before its PROXY header did")]
    Closed,
    #[error("what it began with is no PROXY header")]
    Malformed,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Source and destination of the header; `None` where the balancer speaks for itself (a health
/// check, `LOCAL`), which keeps the socket's own addresses. Exactly the header is read from the
/// socket: what follows it may be a TLS handshake.
///
/// # Errors
/// The connection has to be closed.
pub(super) async fn read(stream: &mut TcpStream, patience: Duration) -> Result<Option<(SocketAddr, SocketAddr)>, ProxyError> {
    let deadline = Instant::now() + patience;
    let mut seen = vec![0; LONGEST];
    let mut before = 0;
    loop {
        let n = timeout_at(deadline, stream.peek(&mut seen)).await.map_err(|_| ProxyError::TimedOut)??;
        if n == 0 {
            return Err(ProxyError::Closed);
        }
        if let Some(Header { addresses, length }) = parse(seen.get(..n).unwrap_or_default())? {
            let header = seen.get_mut(..length).ok_or(ProxyError::Malformed)?;
            stream.read_exact(header).await?;
            return Ok(addresses);
        }
        if n == LONGEST {
            return Err(ProxyError::Malformed);
        }
        if n == before {
            // Peeking does not wait for more than it has seen; a header in several segments is
            // rare enough to look again a little later.
            timeout_at(deadline, sleep(Duration::from_millis(2))).await.map_err(|_| ProxyError::TimedOut)?;
        }
        before = n;
    }
}

/// What a PROXY header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Source and destination; `None` where the balancer speaks for itself.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// Octets of it.
    pub length: usize,
}

/// Reads a header at the beginning of `octets`; `None` where it may still become one.
///
/// # Errors
/// It is none.
pub fn parse(octets: &[u8]) -> Result<Option<Header>, Malformed> {
    if !could_begin(octets) {
        return Err(Malformed);
    }
    match ProxyHeader::parse(octets, ParseConfig::default()) {
        Ok((header, length)) => Ok(Some(Header { addresses: header.proxied_address().map(|a| (a.source, a.destination)), length })),
        Err(proxy_header::Error::BufferTooShort) if octets.len() < LONGEST => Ok(None),
        Err(_) => Err(Malformed),
    }
}

/// Not a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl From<Malformed> for ProxyError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Whether a header could begin like that. The parser alone would take `PROXY(TCP4 …` for one, and
/// would wait for more of what can no longer become one.
fn could_begin(octets: &[u8]) -> bool {
    const V1: &[u8] = b"PROXY ";
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    let begins = |signature: &[u8]| octets.iter().zip(signature).all(|(a, b)| a == b);
    let unended = |limit| octets.len() < limit || octets.get(..limit).is_some_and(|line| line.contains(&b'\n'));
    begins(V2) || (begins(V1) && unended(108))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_both_versions_at_every_length() {
        let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n".to_vec();
        let header = ProxyHeader::with_address(proxy_header::ProxiedAddress::stream(
            "192.0.2.7:4711".parse().unwrap(),
            "192.0.2.1:25".parse().unwrap(),
        ));
        let mut v2 = Vec::new();
        header.encode_v2(&mut v2).unwrap();
        let six = b"PROXY TCP6 2001:db8::9 2001:db8::1 4660 25\r\n";
        for cut in 0..six.len() {
            assert_eq!(parse(&six[..cut]), Ok(None), "{cut}");
        }
        for header in [v1, v2] {
            for cut in 0..header.len() {
                assert_eq!(parse(&header[..cut]), Ok(None), "{cut}");
            }
            let mut with_more = header.clone();
            with_more.extend_from_slice(b"EHLO x\r\n");
            let parsed = parse(&with_more).unwrap().unwrap();
            assert_eq!(parsed.length, header.len());
            assert_eq!(parsed.addresses, Some(("192.0.2.7:4711".parse().unwrap(), "192.0.2.1:25".parse().unwrap())));
        }
    }

    #[test]
    fn what_is_no_header_is_not_waited_for() {
        for octets in [
            &b"EHLO x"[..],
            b"E",
            b"\r\n\r\nX",
            b"PROXX",
            b"PROXY(TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
            b"\x16\x03\x01",
            b"PROXY TCP4 300.0.0.1 1.1.1.1 1 2\r\n",
        ] {
            assert_eq!(parse(octets), Err(Malformed), "{octets:?}");
        }
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Ok(Some(Header { addresses: None, length: 15 })));
    }
}

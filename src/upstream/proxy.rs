//! The PROXY v2 header that a connection of one client begins with.
use crate::message::Client;
use bytes::Bytes;
use proxy_header::{Error, ProxiedAddress, ProxyHeader, SslInfo, Tlv};
use std::net::{IpAddr, SocketAddr};

/// For a connection on behalf of `client`, with what TLS said.
///
/// # Errors
/// It would be longer than 64 KiB.
pub(super) fn header(client: &Client) -> Result<Bytes, Error> {
    let (source, destination) = one_family(client.address, client.local);
    let mut header = ProxyHeader::with_address(ProxiedAddress::stream(source, destination));
    if let Some(tls) = &client.tls {
        if let Some(sni) = &tls.sni {
            header.append_tlv(Tlv::Authority((&**sni).into()));
        }
        let subject = tls.client_subject.as_deref();
        // 0 means: there was a certificate, and it verifies.
        let mut ssl = SslInfo::new(true, subject.is_some(), subject.is_some(), u32::from(subject.is_none()));
        ssl.append_tlv(Tlv::SslVersion(tls.version.into()));
        ssl.append_tlv(Tlv::SslCipher(tls.cipher.into()));
        if let Some(subject) = subject {
            ssl.append_tlv(Tlv::SslCn(common_name(subject).into()));
        }
        header.append_tlv(Tlv::Ssl(ssl));
    }
    encode(&header)
}

/// For a connection of our own, which looks whether the server lives.
pub(super) fn local() -> Result<Bytes, Error> {
    encode(&ProxyHeader::with_local())
}

fn encode(header: &ProxyHeader<'_>) -> Result<Bytes, Error> {
    let mut out = Vec::new();
    header.encode_v2(&mut out)?;
    Ok(out.into())
}

/// The header has one family for both: where they differ, IPv4 is written as IPv6 (RFC 4291 §2.5.5.2).
fn one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    let (source, destination) = (canonical(source), canonical(destination));
    if source.is_ipv4() == destination.is_ipv4() { (source, destination) } else { (mapped(source), mapped(destination)) }
}

/// Of a subject such as `CN=mail.example.org, O=Example`; all of it where there is none.
fn common_name(subject: &str) -> &str {
    let mut names = subject.split([',', '/']).filter_map(|part| part.trim().strip_prefix("CN="));
    names.next_back().map_or(subject, str::trim)
}

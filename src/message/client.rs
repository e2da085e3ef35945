//! Who is on the line.
use crate::smtp::Domain;
use std::{net::SocketAddr, sync::Arc};

/// What TLS said about a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`, as RFC 8314 and Postfix write it.
    pub version: &'static str,
    /// `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    pub sni: Option<Box<str>>,
    /// Subject of the client's certificate, where it showed one that verifies.
    pub client_subject: Option<Box<str>>,
    pub resumed: bool,
    /// The fingerprint of the client's hello, `t13d1516h2_8daaf6152771_e5627efa2ab1`.
    pub ja4: Option<Box<str>>,
}

/// Who is on the line, as far as it is known at this point of the session. Made anew when more
/// is known (after TLS, EHLO, AUTH); what holds an old one keeps seeing what was true then.
#[derive(Debug, Clone)]
pub struct Client {
    /// Name of the listener.
    pub listener: Arc<str>,
    /// The true client, also behind a PROXY header.
    pub address: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    pub tls: Option<Arc<TlsFacts>>,
    /// The argument of the last HELO or EHLO, and whether it was EHLO.
    pub hello: Option<(Domain, bool)>,
    /// The account that AUTH succeeded for; empty where the mechanism did not show it.
    pub account: Option<Arc<str>>,
    /// How: the SASL mechanism (RFC 4422), in capitals.
    pub mechanism: Option<Arc<str>>,
}

impl Client {
    /// SMTP, ESMTP, ESMTPS, ESMTPSA … (RFC 3848, RFC 6531 §4.3).
    #[must_use]
    pub fn protocol(&self, utf8: bool) -> &'static str {
        let extended = self.hello.as_ref().is_some_and(|(_, extended)| *extended);
        match (extended, utf8, self.tls.is_some(), self.account.is_some()) {
            (false, _, _, _) => "SMTP",
            (true, false, false, false) => "ESMTP",
            (true, false, false, true) => "ESMTPA",
            (true, false, true, false) => "ESMTPS",
            (true, false, true, true) => "ESMTPSA",
            (true, true, false, false) => "UTF8SMTP",
            (true, true, false, true) => "UTF8SMTPA",
            (true, true, true, false) => "UTF8SMTPS",
            (true, true, true, true) => "UTF8SMTPSA",
        }
    }
}

//! What a server says it can do after EHLO: ours ([`Offer`]) and an upstream's ([`Capabilities`]).
use super::Reply;
use bytes::BytesMut;
use std::{fmt::Write as _, sync::Arc};

/// What an upstream's EHLO reply says. `Default` is a server that only knows HELO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The keyword was there: octets, 0 where there is no limit (RFC 1870).
    pub size: Option<u64>,
    pub pipelining: bool,
    pub eight_bit: bool,
    pub utf8: bool,
    pub chunking: bool,
    pub binary: bool,
    pub dsn: bool,
    pub enhanced_codes: bool,
    pub starttls: bool,
    pub require_tls: bool,
    /// Attributes after XCLIENT, upper case.
    pub xclient: Vec<Box<str>>,
    /// SASL mechanisms after AUTH, upper case.
    pub auth: Vec<Box<str>>,
    /// RCPTMAX of LIMITS (RFC 9422).
    pub recipients: Option<u32>,
}

impl Capabilities {
    /// Reads the 250 to EHLO. Keywords are known in any case; what is unknown or malformed is
    /// passed over, since it is an offer and not a demand.
    #[must_use]
    pub fn from_reply(reply: &Reply) -> Self {
        let mut all = Self::default();
        // The first line is the server's name (RFC 5321 §4.1.1.1).
        for line in reply.text().split('\n').skip(1) {
            let mut words = line.split_ascii_whitespace();
            if let Some(keyword) = words.next() {
                all.keyword(&keyword.to_ascii_uppercase(), words);
            }
        }
        all
    }

    fn keyword<'a>(&mut self, keyword: &str, mut words: impl Iterator<Item = &'a str>) {
        match keyword {
            // A size that cannot be read is one nobody can keep to.
            "SIZE" => self.size = Some(words.next().and_then(|digits| digits.parse().ok()).unwrap_or(0)),
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit = true,
            "SMTPUTF8" => self.utf8 = true,
            "CHUNKING" => self.chunking = true,
            "BINARYMIME" => self.binary = true,
            "DSN" => self.dsn = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_codes = true,
            "STARTTLS" => self.starttls = true,
            "REQUIRETLS" => self.require_tls = true,
            "XCLIENT" => words.for_each(|word| add(&mut self.xclient, word)),
            "AUTH" => words.for_each(|word| add(&mut self.auth, word)),
            "LIMITS" => {
                // RFC 9422 §4.
                let most = words.filter_map(|word| word.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("RCPTMAX"));
                self.recipients = most.and_then(|(_, digits)| digits.parse().ok()).filter(|&most| most > 0);
            }
            // The form of servers older than RFC 2554, which some still give beside the other.
            _ => {
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    add(&mut self.auth, first);
                    words.for_each(|word| add(&mut self.auth, word));
                }
            }
        }
    }

    /// What both can: for an upstream of several servers, and a listener of several upstreams. Of
    /// two limits the smaller.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let both = |a: &[Box<str>], b: &[Box<str>]| a.iter().filter(|word| b.contains(word)).cloned().collect();
        Self {
            size: self.size.zip(other.size).map(|sizes| match sizes {
                (0, size) | (size, 0) => size,
                (a, b) => a.min(b),
            }),
            pipelining: self.pipelining && other.pipelining,
            eight_bit: self.eight_bit && other.eight_bit,
            utf8: self.utf8 && other.utf8,
            chunking: self.chunking && other.chunking,
            binary: self.binary && other.binary,
            dsn: self.dsn && other.dsn,
            enhanced_codes: self.enhanced_codes && other.enhanced_codes,
            starttls: self.starttls && other.starttls,
            require_tls: self.require_tls && other.require_tls,
            xclient: both(&self.xclient, &other.xclient),
            auth: both(&self.auth, &other.auth),
            // Where one says nothing the other's limit stands.
            recipients: [self.recipients, other.recipients].into_iter().flatten().min(),
        }
    }
}

/// Adds a word to a list of such, once. A server that lists without end is cut short.
fn add(list: &mut Vec<Box<str>>, word: &str) {
    const MOST: usize = 64;
    let word = word.to_ascii_uppercase().into_boxed_str();
    if !word.is_empty() && list.len() < MOST && !list.contains(&word) {
        list.push(word);
    }
}

/// What our own EHLO says, made anew for every session from what octroi and the upstreams can both
/// keep. PIPELINING and CHUNKING are always offered: octroi keeps them whatever stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub hostname: Arc<str>,
    /// Octets.
    pub size: u64,
    pub recipients: u32,
    pub eight_bit: bool,
    pub utf8: bool,
    pub binary: bool,
    pub dsn: bool,
    pub enhanced_codes: bool,
    pub starttls: bool,
    pub require_tls: bool,
    /// Empty: no AUTH on this listener, or not yet (no TLS).
    pub auth: Vec<Box<str>>,
}

impl Offer {
    /// What stands before EHLO, and after HELO: nothing but RFC 5321 itself, and no limit.
    #[must_use]
    pub fn basic(hostname: Arc<str>) -> Self {
        Self {
            hostname,
            size: u64::MAX,
            recipients: u32::MAX,
            eight_bit: false,
            utf8: false,
            binary: false,
            dsn: false,
            enhanced_codes: false,
            starttls: false,
            require_tls: false,
            auth: Vec::new(),
        }
    }

    /// The reply to EHLO.
    pub fn write_to(&self, out: &mut BytesMut) {
        let mut line = |text: std::fmt::Arguments<'_>| {
            // Cannot fail: a BytesMut grows.
            let _ = write!(out, "250-{text}\r\n");
        };
        line(format_args!("{}", self.hostname));
        line(format_args!("PIPELINING"));
        line(format_args!("SIZE {}", self.size));
        line(format_args!("LIMITS RCPTMAX={}", self.recipients));
        if !self.auth.is_empty() {
            line(format_args!("AUTH {}", self.auth.join(" ")));
        }
        let flags = [
            (self.eight_bit, "8BITMIME"),
            (self.utf8, "SMTPUTF8"),
            (self.binary, "BINARYMIME"),
            (self.dsn, "DSN"),
            (self.enhanced_codes, "ENHANCEDSTATUSCODES"),
            (self.starttls, "STARTTLS"),
            (self.require_tls, "REQUIRETLS"),
        ];
        for (_, keyword) in flags.iter().filter(|(offered, _)| *offered) {
            line(format_args!("{keyword}"));
        }
        out.extend_from_slice(b"250 CHUNKING\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Capabilities {
        Capabilities::from_reply(&Reply::new(250, text))
    }

    #[test]
    fn what_real_servers_say() {
        let postfix = read(
            "mx.example.org\nPIPELINING\nSIZE 10240000\nVRFY\nETRN\nSTARTTLS\nXCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\nENHANCEDSTATUSCODES\n8BITMIME\nDSN\nSMTPUTF8\nCHUNKING",
        );
        assert_eq!(postfix.size, Some(10_240_000));
        assert!(
            postfix.pipelining
                && postfix.starttls
                && postfix.enhanced_codes
                && postfix.eight_bit
                && postfix.dsn
                && postfix.utf8
                && postfix.chunking
        );
        assert!(!postfix.binary && !postfix.require_tls && postfix.auth.is_empty() && postfix.recipients.is_none());
        assert_eq!(postfix.xclient.len(), 8);

        let exchange = read(
            "mail.example.com Hello [192.0.2.1]\nSIZE 37748736\nPIPELINING\nDSN\nENHANCEDSTATUSCODES\nSTARTTLS\nX-ANONYMOUSTLS\nAUTH NTLM\nX-EXPS GSSAPI NTLM\n8BITMIME\nBINARYMIME\nCHUNKING\nXRDST",
        );
        assert!(exchange.binary && exchange.chunking);
        assert_eq!(exchange.auth, ["NTLM".into()]);
    }

    #[test]
    fn loose_forms() {
        assert_eq!(read("PIPELINING"), Capabilities::default(), "the first line is a name, whatever it says");
        assert_eq!(read("x\nsize\nPipelining").size, Some(0), "no number: no limit; any case");
        assert_eq!(read("x\nSIZE many").size, Some(0), "a number nobody can read");
        assert_eq!(read("x\nSIZE 99999999999999999999").size, Some(0), "a number that does not fit");
        assert_eq!(
            read("x\nAUTH plain LOGIN\nAUTH=LOGIN CRAM-MD5").auth,
            ["PLAIN".into(), "LOGIN".into(), "CRAM-MD5".into()],
            "both forms, each once"
        );
        assert_eq!(read("x\nAUTH=").auth, []);
        assert_eq!(read("x\nLIMITS MAILMAX=5 rcptmax=20").recipients, Some(20), "RFC 9422");
        assert_eq!(read("x\nLIMITS RCPTMAX=0").recipients, None, "a limit nobody can keep to");
        assert!(read("x\n\n  \nDSN").dsn, "empty lines");
    }

    #[test]
    fn what_both_can() {
        let a = read("x\nSIZE 1000\nDSN\n8BITMIME\nAUTH PLAIN LOGIN\nLIMITS RCPTMAX=5");
        let b = read("x\nSIZE\nDSN\nSMTPUTF8\nAUTH LOGIN XOAUTH2");
        let both = a.intersection(&b);
        assert_eq!(both, read("x\nSIZE 1000\nDSN\nAUTH LOGIN\nLIMITS RCPTMAX=5"));
        assert_eq!(both, b.intersection(&a));
        assert_eq!(a.intersection(&a), a);
        assert_eq!(a.intersection(&Capabilities::default()).size, None, "one of them would not know SIZE=");
    }

    #[test]
    fn our_offer_reads_back() {
        let offer = Offer {
            size: 52_428_800,
            recipients: 1000,
            eight_bit: true,
            utf8: true,
            binary: true,
            dsn: true,
            enhanced_codes: true,
            starttls: true,
            require_tls: true,
            auth: vec!["PLAIN".into(), "LOGIN".into()],
            ..Offer::basic("mx.example.org".into())
        };
        let mut wire = BytesMut::new();
        offer.write_to(&mut wire);
        let mut replies = crate::smtp::client::Replies::default();
        replies.input().extend_from_slice(&wire);
        let reply = replies.next().unwrap().unwrap();
        assert!(replies.is_empty());
        assert_eq!((reply.code(), reply.text().lines().next()), (250, Some("mx.example.org")));
        let read = Capabilities::from_reply(&reply);
        assert_eq!((read.size, read.recipients, &read.auth), (Some(offer.size), Some(offer.recipients), &offer.auth));
        assert!(read.pipelining && read.chunking && read.eight_bit && read.utf8 && read.binary && read.dsn);
        assert!(read.enhanced_codes && read.starttls && read.require_tls);

        wire.clear();
        Offer { size: 1, recipients: 1, ..Offer::basic("h".into()) }.write_to(&mut wire);
        assert_eq!(wire, "250-h\r\n250-PIPELINING\r\n250-SIZE 1\r\n250-LIMITS RCPTMAX=1\r\n250 CHUNKING\r\n");
    }
}

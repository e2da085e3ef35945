//! The arguments of MAIL and RCPT: paths and their ESMTP parameters.
use super::path::is_domain;
use super::{Address, Mistake, Offer, ReversePath};
use memchr::{memchr, memchr2};

/// `BODY=` (RFC 6152, RFC 3030).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyType {
    SevenBit,
    EightBitMime,
    BinaryMime,
}

/// `RET=` (RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    Full,
    Headers,
}

/// What MAIL said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub reverse_path: ReversePath,
    /// `SIZE=`, octets (RFC 1870).
    pub size: Option<u64>,
    pub body: Option<BodyType>,
    /// `SMTPUTF8` (RFC 6531).
    pub utf8: bool,
    pub ret: Option<Ret>,
    /// `ENVID=`, still xtext: decoding it on the way is how a CRLF gets into a command.
    pub envid: Option<Box<str>>,
    /// `AUTH=`, still xtext (RFC 4954 §5).
    pub auth: Option<Box<str>>,
    /// `REQUIRETLS` (RFC 8689).
    pub require_tls: bool,
}

/// What RCPT said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub address: Address,
    /// `NOTIFY=`, as written, checked (RFC 3461 §4.1).
    pub notify: Option<Box<str>>,
    /// `ORCPT=`, still xtext, checked (RFC 3461 §4.2).
    pub orcpt: Option<Box<str>>,
}

impl Mail {
    /// A transaction without parameters.
    #[must_use]
    pub fn new(reverse_path: ReversePath) -> Self {
        Self { reverse_path, size: None, body: None, utf8: false, ret: None, envid: None, auth: None, require_tls: false }
    }

    /// Reads what stands behind `MAIL FROM:`.
    ///
    /// # Errors
    /// A [`Mistake`]; a parameter of an extension that `offer` does not hold is one.
    pub(super) fn parse(arguments: &str, offer: &Offer) -> Result<Self, Mistake> {
        const BAD_PATH: Mistake = Mistake::Path { sender: true };
        let (path, parameters) = split_path(arguments).ok_or(BAD_PATH)?;
        let reverse_path = match path {
            Path::Null => ReversePath(None),
            Path::Mailbox(text) => ReversePath(Some(Address::parse(text, true).ok_or(BAD_PATH)?)),
        };
        let mut mail = Self::new(reverse_path);
        for parameter in words(parameters) {
            mail.parameter(parameter, offer)?;
        }
        // RFC 6531 §3.5; SMTPUTF8 stands behind the path it is about.
        let ascii = mail.reverse_path.0.as_ref().is_none_or(Address::is_ascii);
        if ascii || mail.utf8 { Ok(mail) } else { Err(Mistake::NeedsUtf8 { sender: true }) }
    }

    fn parameter(&mut self, parameter: &str, offer: &Offer) -> Result<(), Mistake> {
        let (keyword, value) = keyword(parameter)?;
        match Keyword::of(keyword) {
            Some(Keyword::Size) => set(&mut self.size, size(value, offer)?),
            Some(Keyword::Body) if offer.eight_bit => set(&mut self.body, body(value, offer)?),
            Some(Keyword::SmtpUtf8) if offer.utf8 => flag(&mut self.utf8, value),
            Some(Keyword::Ret) if offer.dsn => set(&mut self.ret, ret(value)?),
            Some(Keyword::Envid) if offer.dsn => set(&mut self.envid, envid(value)?),
            Some(Keyword::Auth) if !offer.auth.is_empty() => set(&mut self.auth, auth(value)?),
            Some(Keyword::RequireTls) if offer.require_tls => flag(&mut self.require_tls, value),
            _ => Err(Mistake::Parameter(keyword.into())),
        }
    }
}
impl Mail {
    /// Reads what could stand behind `MAIL FROM:`, of any extension; `None` where nothing like it
    /// could.
    #[must_use]
    pub fn read(arguments: &str) -> Option<Self> {
        Self::parse(arguments, &everything()).ok()
    }
}

/// What a server would offer that has every extension.
fn everything() -> Offer {
    Offer { eight_bit: true, utf8: true, binary: true, dsn: true, require_tls: true, auth: vec!["PLAIN".into()], ..Offer::basic("".into()) }
}

impl Recipient {
    /// Reads what could stand behind `RCPT TO:`, of any extension; `None` where nothing like it
    /// could.
    #[must_use]
    pub fn read(arguments: &str) -> Option<Self> {
        Self::parse(arguments, &everything(), true).ok()
    }

    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { address, notify: None, orcpt: None }
    }

    /// Reads what stands behind `RCPT TO:`. `utf8`: the transaction is SMTPUTF8.
    ///
    /// # Errors
    /// A [`Mistake`]; a parameter of an extension that `offer` does not hold is one.
    pub(super) fn parse(arguments: &str, offer: &Offer, utf8: bool) -> Result<Self, Mistake> {
        const BAD_PATH: Mistake = Mistake::Path { sender: false };
        let (path, parameters) = split_path(arguments).ok_or(BAD_PATH)?;
        let Path::Mailbox(text) = path else { return Err(BAD_PATH) };
        let mut recipient = Self::new(Address::parse(text, true).ok_or(BAD_PATH)?);
        if !utf8 && !recipient.address.is_ascii() {
            return Err(Mistake::NeedsUtf8 { sender: false });
        }
        for parameter in words(parameters) {
            let (keyword, value) = keyword(parameter)?;
            match Keyword::of(keyword) {
                Some(Keyword::Notify) if offer.dsn => set(&mut recipient.notify, notify(value)?)?,
                Some(Keyword::Orcpt) if offer.dsn => set(&mut recipient.orcpt, orcpt(value, utf8)?)?,
                _ => return Err(Mistake::Parameter(keyword.into())),
            }
        }
        Ok(recipient)
    }
}

/// What stands between the angle brackets.
#[derive(Debug, PartialEq, Eq)]
enum Path<'a> {
    Null,
    Mailbox(&'a str),
}

/// Divides the path from its parameters. As Postfix does, takes blanks behind the colon and an
/// address without brackets: printers and scripts that talk so are not ours to break.
fn split_path(arguments: &str) -> Option<(Path<'_>, &str)> {
    let arguments = arguments.trim_start_matches(' ');
    let bracketed = arguments.strip_prefix('<');
    let (text, end) = (bracketed.unwrap_or(arguments), if bracketed.is_some() { b'>' } else { b' ' });
    let at = memchr2(end, b'"', text.as_bytes()).and_then(|at| at.checked_add(unquoted(text.get(at..)?.as_bytes(), end)?));
    let (path, rest) = match at {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        None if bracketed.is_none() => (text, ""),
        None => return None,
    };
    let parted = bracketed.is_none() || rest.is_empty() || rest.starts_with(' ');
    match path {
        _ if !parted => None,
        "" => bracketed.map(|_| (Path::Null, rest)),
        _ => Some((Path::Mailbox(without_route(path)?), rest)),
    }
}

/// Where `end` first stands outside quotes (RFC 5321 §4.1.2, Quoted-string).
fn unquoted(text: &[u8], end: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|&octet| {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return octet == end && !quoted,
        }
        false
    })
}

/// Source routes are taken and ignored (RFC 5321 §4.1.1.3, appendix C): mail that went where they
/// say would go round every check of recipients.
fn without_route(path: &str) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    let (route, mailbox) = path.split_once(':')?;
    route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(|domain| is_domain(domain, true))).then_some(mailbox)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(' ');
        let (word, left) = rest.split_at(memchr(b' ', rest.as_bytes()).unwrap_or(rest.len()));
        rest = left;
        (!word.is_empty()).then_some(word)
    })
}

/// The parameters of MAIL and RCPT that any extension of ours has.
enum Keyword {
    Size,
    Body,
    SmtpUtf8,
    Ret,
    Envid,
    Auth,
    RequireTls,
    Notify,
    Orcpt,
}

impl Keyword {
    fn of(word: &str) -> Option<Self> {
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        Some(match word.len() {
            3 if is("RET") => Self::Ret,
            4 if is("SIZE") => Self::Size,
            4 if is("BODY") => Self::Body,
            4 if is("AUTH") => Self::Auth,
            5 if is("ENVID") => Self::Envid,
            5 if is("ORCPT") => Self::Orcpt,
            6 if is("NOTIFY") => Self::Notify,
            8 if is("SMTPUTF8") => Self::SmtpUtf8,
            10 if is("REQUIRETLS") => Self::RequireTls,
            _ => return None,
        })
    }
}

/// esmtp-param (RFC 5321 §4.1.2).
fn keyword(parameter: &str) -> Result<(&str, Option<&str>), Mistake> {
    let (keyword, value) = parameter.split_once('=').map_or((parameter, None), |(keyword, value)| (keyword, Some(value)));
    let valid = keyword.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') && !keyword.is_empty();
    if valid && value != Some("") { Ok((keyword, value)) } else { Err(Mistake::Syntax("malformed parameter")) }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), Mistake> {
    if slot.replace(value).is_some() { Err(TWICE) } else { Ok(()) }
}

fn flag(slot: &mut bool, value: Option<&str>) -> Result<(), Mistake> {
    if value.is_some() {
        return Err(Mistake::Syntax("a parameter with a value that takes none"));
    }
    if std::mem::replace(slot, true) { Err(TWICE) } else { Ok(()) }
}

const TWICE: Mistake = Mistake::Syntax("a parameter given twice");

/// RFC 1870 §3, §6.1.
fn size(value: Option<&str>, offer: &Offer) -> Result<u64, Mistake> {
    let digits = value.filter(|text| text.len() <= 20 && text.bytes().all(|octet| octet.is_ascii_digit()));
    let digits = digits.ok_or(Mistake::Syntax("SIZE is up to 20 digits"))?;
    // What does not fit 64 bits does not fit us.
    digits.parse().ok().filter(|&size: &u64| size <= offer.size).ok_or(Mistake::TooBig)
}

/// RFC 6152 §3, RFC 3030 §3.
fn body(value: Option<&str>, offer: &Offer) -> Result<BodyType, Mistake> {
    let is = |name: &str| value.is_some_and(|text| text.eq_ignore_ascii_case(name));
    match () {
        () if is("7BIT") => Ok(BodyType::SevenBit),
        () if is("8BITMIME") => Ok(BodyType::EightBitMime),
        () if is("BINARYMIME") && offer.binary => Ok(BodyType::BinaryMime),
        () if is("BINARYMIME") => Err(Mistake::Parameter("BODY=BINARYMIME".into())),
        () => Err(Mistake::Syntax("BODY is 7BIT or 8BITMIME")),
    }
}

/// RFC 3461 §4.3.
fn ret(value: Option<&str>) -> Result<Ret, Mistake> {
    match value {
        Some(text) if text.eq_ignore_ascii_case("FULL") => Ok(Ret::Full),
        Some(text) if text.eq_ignore_ascii_case("HDRS") => Ok(Ret::Headers),
        _ => Err(Mistake::Syntax("RET is FULL or HDRS")),
    }
}

/// RFC 3461 §4.4.
fn envid(value: Option<&str>) -> Result<Box<str>, Mistake> {
    let text = value.filter(|text| text.len() <= 100 && is_xtext(text));
    text.map(Into::into).ok_or(Mistake::Syntax("ENVID is xtext of up to 100 characters"))
}

/// RFC 4954 §5: a mailbox as xtext, or `<>`.
fn auth(value: Option<&str>) -> Result<Box<str>, Mistake> {
    let text = value.filter(|text| text.len() <= 500 && is_xtext(text));
    text.map(Into::into).ok_or(Mistake::Syntax("AUTH is xtext of up to 500 characters"))
}

/// RFC 3461 §4.1: NEVER alone, or a list of the others.
fn notify(value: Option<&str>) -> Result<Box<str>, Mistake> {
    let text = value.unwrap_or_default();
    let is_one = |word: &str| ["SUCCESS", "FAILURE", "DELAY"].iter().any(|name| word.eq_ignore_ascii_case(name));
    // Each at most once: a list without end is nothing a client needs.
    let valid = text.eq_ignore_ascii_case("NEVER") || (text.split(',').all(is_one) && text.split(',').count() <= 3);
    if valid { Ok(text.into()) } else { Err(Mistake::Syntax("NOTIFY is NEVER or a list of SUCCESS, FAILURE and DELAY")) }
}

/// RFC 3461 §4.2: `addr-type ; xtext`, and where the transaction is SMTPUTF8, RFC 6533 §3's
/// `utf-8;` with an address in UTF-8.
fn orcpt(value: Option<&str>, utf8: bool) -> Result<Box<str>, Mistake> {
    let valid = |text: &&str| {
        text.split_once(';').is_some_and(|(kind, address)| {
            let is_kind = !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
            let is_utf8 = || utf8 && kind.eq_ignore_ascii_case("utf-8") && is_utf8_address(address);
            is_kind && !address.is_empty() && (is_xtext(address) || is_utf8())
        })
    };
    let text = value.filter(|text| text.len() <= 500).filter(valid);
    text.map(Into::into).ok_or(Mistake::Syntax("ORCPT is an address type, a semicolon and xtext, up to 500 characters"))
}

/// xtext (RFC 3461 §4) that hides no control character: it is never decoded here, but whoever
/// decodes it further on may put what comes out into a command or a header field
/// (CVE-2020-28026).
fn is_xtext(text: &str) -> bool {
    let mut octets = text.bytes();
    let hex = |octet: Option<u8>| octet.and_then(|octet| char::from(octet).to_digit(16));
    while let Some(octet) = octets.next() {
        match octet {
            b'+' => match (hex(octets.next()), hex(octets.next())) {
                (Some(high), Some(low)) if high > 1 && (high, low) != (7, 15) => {}
                _ => return false,
            },
            b'=' => return false,
            b'!'..=b'~' => {}
            _ => return false,
        }
    }
    true
}

/// utf-8-addr-unitext and utf-8-addr-xtext (RFC 6533 §3), without a control character.
fn is_utf8_address(text: &str) -> bool {
    let embedded = |escape: &str| {
        let digits = escape.strip_prefix("{").and_then(|rest| rest.split_once('}')).map(|(digits, _)| digits);
        let code = digits.filter(|digits| digits.len() <= 6).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        code.and_then(char::from_u32).is_some_and(|c| !c.is_control())
    };
    let clean = |c: char| !c.is_control() && !c.is_whitespace() && c != '=';
    text.chars().all(clean) && text.split("\\x").skip(1).all(embedded)
}

#[cfg(test)]
mod tests;

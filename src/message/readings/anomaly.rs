//! What readers of one message could differ in.

/// A thing in a message that programs take in different ways, or that hides what is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anomaly {
    HeaderLine,
    HeaderBlankLine,
    HeaderInBody,
    FieldName,
    TypeConflict,
    TypeRepeated,
    TypeMalformed,
    EncodingConflict,
    EncodingMalformed,
    EncodingUnknown,
    EncodedMultipart,
    EncodedMessage,
    BoundaryConflict,
    BoundaryExtended,
    BoundaryMalformed,
    BoundaryMissing,
    BoundaryUnused,
    BoundaryPrefix,
    BoundaryLoose,
    EndMissing,
    PartsAfterEnd,
    Base64Junk,
    Base64Padding,
    Base64Trailer,
    Base64Uneven,
    QuotedMalformed,
    Uuencode,
    Yenc,
    Binhex,
    Partial,
    ExternalBody,
    CharsetUtf7,
    CharsetWide,
    Tnef,
    NameConflict,
    NameDeceptive,
    BareCr,
    TooComplex,
}

/// An anomaly and the first place it was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub anomaly: Anomaly,
    /// In octets from the start of the message; in what was transfer-encoded, the place of the
    /// encoded part.
    pub at: u64,
}

/// Name, whether no honest program writes it, meaning.
type Row = (&'static str, bool, &'static str);

impl Anomaly {
    /// All there are.
    pub const ALL: &[Self] = &[
        Self::HeaderLine,
        Self::HeaderBlankLine,
        Self::HeaderInBody,
        Self::FieldName,
        Self::TypeConflict,
        Self::TypeRepeated,
        Self::TypeMalformed,
        Self::EncodingConflict,
        Self::EncodingMalformed,
        Self::EncodingUnknown,
        Self::EncodedMultipart,
        Self::EncodedMessage,
        Self::BoundaryConflict,
        Self::BoundaryExtended,
        Self::BoundaryMalformed,
        Self::BoundaryMissing,
        Self::BoundaryUnused,
        Self::BoundaryPrefix,
        Self::BoundaryLoose,
        Self::EndMissing,
        Self::PartsAfterEnd,
        Self::Base64Junk,
        Self::Base64Padding,
        Self::Base64Trailer,
        Self::Base64Uneven,
        Self::QuotedMalformed,
        Self::Uuencode,
        Self::Yenc,
        Self::Binhex,
        Self::Partial,
        Self::ExternalBody,
        Self::CharsetUtf7,
        Self::CharsetWide,
        Self::Tnef,
        Self::NameConflict,
        Self::NameDeceptive,
        Self::BareCr,
        Self::TooComplex,
    ];

    const fn row(self) -> Row {
        match self {
            Self::HeaderLine => {
                ("header_line", false, "a line of a header section that is no field; some take it for the start of the body")
            }
            Self::HeaderBlankLine => ("header_blank_line", false, "a line of blanks in a header section; some take it for the end"),
            Self::HeaderInBody => ("header_in_body", false, "the body begins with Content-* fields, cut off by an empty line too early"),
            Self::FieldName => ("field_name", true, "blanks or control characters inside the name of a Content-* field"),
            Self::TypeConflict => ("type_conflict", true, "several Content-Type fields that cut the message differently"),
            Self::TypeRepeated => ("type_repeated", false, "several Content-Type fields that differ, none of them a container"),
            Self::TypeMalformed => ("type_malformed", false, "a Content-Type without type and subtype, or with comments in them"),
            Self::EncodingConflict => ("encoding_conflict", true, "several Content-Transfer-Encoding fields that decode differently"),
            Self::EncodingMalformed => ("encoding_malformed", true, "base64 or quoted-printable among comments, quotes or other words"),
            Self::EncodingUnknown => {
                ("encoding_unknown", false, "a Content-Transfer-Encoding that no standard knows, or with a semicolon after it")
            }
            Self::EncodedMultipart => {
                ("encoded_multipart", false, "a multipart that says it is base64 or quoted-printable (RFC 2045 §6.4)")
            }
            Self::EncodedMessage => ("encoded_message", false, "a nested message that is transfer-encoded (RFC 2046 §5.2.1)"),
            Self::BoundaryConflict => ("boundary_conflict", true, "several boundary parameters that differ"),
            Self::BoundaryExtended => ("boundary_extended", true, "a boundary in the form of RFC 2231, which few programs understand"),
            Self::BoundaryMalformed => (
                "boundary_malformed",
                false,
                "a boundary that is empty or too long, has characters it may not have, or comments or text beside it",
            ),
            Self::BoundaryMissing => ("boundary_missing", true, "a multipart without a boundary parameter"),
            Self::BoundaryUnused => ("boundary_unused", false, "a multipart in which its boundary does not occur"),
            Self::BoundaryPrefix => ("boundary_prefix", false, "lines that begin with the boundary and go on; some take them for it"),
            Self::BoundaryLoose => ("boundary_loose", false, "lines that are the boundary but for case or blanks before it"),
            Self::EndMissing => ("end_missing", false, "a multipart without its closing delimiter"),
            Self::PartsAfterEnd => ("parts_after_end", true, "more parts after the closing delimiter"),
            Self::Base64Junk => ("base64_junk", false, "characters within base64 that are none of its alphabet"),
            Self::Base64Padding => ("base64_padding", false, "base64 that goes on after its padding"),
            Self::Base64Trailer => ("base64_trailer", false, "plain text after base64, as mailing lists append it"),
            Self::Base64Uneven => ("base64_uneven", false, "lines of base64 that are no multiple of four and read differently alone"),
            Self::QuotedMalformed => {
                ("quoted_malformed", false, "quoted-printable with lower-case or invalid escapes, or blanks after a soft break")
            }
            Self::Uuencode => ("uuencode", false, "a uuencoded file in text"),
            Self::Yenc => ("yenc", false, "a yEnc-encoded file in text"),
            Self::Binhex => ("binhex", false, "a BinHex file; it is not unpacked"),
            Self::Partial => ("partial", true, "message/partial: a piece of a message that is whole only at the reader's"),
            Self::ExternalBody => ("external_body", false, "message/external-body: the content is elsewhere"),
            Self::CharsetUtf7 => ("charset_utf7", false, "text in UTF-7, which hides markup from scanners"),
            Self::CharsetWide => ("charset_wide", false, "text in UTF-16 or UTF-32, which hides words from scanners"),
            Self::Tnef => ("tnef", false, "TNEF (winmail.dat); it is not unpacked"),
            Self::NameConflict => ("name_conflict", true, "file names of one part with different extensions"),
            Self::NameDeceptive => {
                ("name_deceptive", true, "a file name cut off or deleted by control characters, or with its direction turned around")
            }
            Self::BareCr => ("bare_cr", false, "a carriage return alone; some take it for a line end"),
            Self::TooComplex => ("too_complex", true, "more parts, levels or readings than any honest message has"),
        }
    }

    /// As findings and settings name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }
    /// No honest program writes it: the default is to refuse.
    #[must_use]
    pub const fn is_grave(self) -> bool {
        self.row().1
    }
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        self.row().2
    }
    /// The one that is called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|anomaly| anomaly.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_anomaly_has_a_name_of_its_own_and_is_found_by_it() {
        let names: BTreeSet<_> = Anomaly::ALL.iter().map(|anomaly| anomaly.as_str()).collect();
        assert_eq!(names.len(), Anomaly::ALL.len());
        assert!(Anomaly::ALL.iter().all(|anomaly| Anomaly::named(anomaly.as_str()) == Some(*anomaly)));
        assert_eq!(Anomaly::ALL.len(), Anomaly::TooComplex as usize + 1, "none is left out of the list");
        assert_eq!(Anomaly::named("nothing"), None);
    }
}

use super::reference::{self, Reading};
use super::*;
use proptest::prelude::*;

const CLEAN: &[&str] = &[];

/// What the decoder makes of `wire`, read in pieces that end at `cuts`: the message, and what is
/// left over; `None` where the end does not come.
fn decode(wire: &[u8], cuts: &[usize]) -> Option<(Reading, Vec<u8>)> {
    let (mut decoder, mut input, mut text, mut from) = (Decoder::default(), BytesMut::new(), Vec::new(), 0);
    for &to in cuts.iter().chain([&wire.len()]) {
        input.extend_from_slice(&wire[from..to]);
        from = to;
        loop {
            match decoder.next(&mut input) {
                Piece::Body(body) => {
                    assert!(!body.is_empty());
                    text.extend_from_slice(&body);
                }
                Piece::More => break assert!(input.is_empty()),
                Piece::End => {
                    assert!(decoder.ends_with_crlf());
                    assert_eq!(decoder.next(&mut input), Piece::End, "it stays ended");
                    let rest = [&input, &wire[to..]].concat();
                    return Some((reading(text, decoder.stains(), decoder.has_leading_dot()), rest));
                }
            }
        }
    }
    None
}

/// The same for BDAT, with chunks that end at `chunks`, octets that come in pieces that end at
/// `cuts`, and the next command behind every chunk.
fn decode_chunks(content: &[u8], chunks: &[usize], cuts: &[usize], binary: bool) -> Reading {
    let (mut decoder, mut input, mut text, mut from) = (ChunkDecoder::new(binary), BytesMut::new(), Vec::new(), 0);
    for &to in chunks.iter().chain([&content.len()]) {
        let begin = from;
        let mut remaining = (to - begin) as u64;
        for &cut in cuts.iter().filter(|&&cut| cut > begin && cut < to).chain([&to]) {
            input.extend_from_slice(&content[from..cut]);
            from = cut;
            if cut == to {
                input.extend_from_slice(b"BDAT");
            }
            while remaining > 0 && !input.is_empty() {
                text.extend_from_slice(&decoder.next(&mut input, &mut remaining));
            }
        }
        assert_eq!((remaining, &input[..]), (0, &b"BDAT"[..]));
        input.clear();
    }
    text.extend(decoder.finish().unwrap_or_default());
    assert_eq!(decoder.ends_with_crlf(), text.is_empty() || text.ends_with(b"\r\n"));
    let leading_dot = decoder.has_leading_dot() && !binary;
    reading(text, decoder.stains(), leading_dot)
}

fn reading(text: Vec<u8>, stains: Stains, leading_dot: bool) -> Reading {
    let Stains { look_alike, bare_lf, bare_cr, nul } = stains;
    Reading { text, look_alike, bare_lf, bare_cr, nul, leading_dot }
}

fn stains(reading: &Reading) -> Vec<&'static str> {
    let all = [(reading.look_alike, "look-alike"), (reading.bare_lf, "LF"), (reading.bare_cr, "CR"), (reading.nul, "NUL")];
    all.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect()
}

/// Whole, octet by octet, and cut in two at every place.
fn every_cut(length: usize) -> impl Iterator<Item = Vec<usize>> {
    [vec![], (1..length).collect()].into_iter().chain((1..length).map(|cut| vec![cut]))
}

fn shown(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}

fn check(wire: &[u8], text: &[u8], expected: &[&str], rest: &[u8], why: &str) {
    for cuts in every_cut(wire.len()) {
        let (reading, left) = decode(wire, &cuts).unwrap_or_else(|| panic!("no end: {} cut at {cuts:?}: {why}", shown(wire)));
        assert_eq!(
            (shown(&reading.text), stains(&reading), shown(&left)),
            (shown(text), expected.to_vec(), shown(rest)),
            "{} cut at {cuts:?}: {why}",
            shown(wire)
        );
        assert_eq!(reference::data(wire).unwrap(), (reading, rest), "{} cut at {cuts:?}: {why}", shown(wire));
    }
}

#[test]
fn the_end_of_data() {
    check(b".\r\n", b"", CLEAN, b"", "the CRLF of DATA counts (RFC 5321 §4.1.1.4)");
    check(b"a\r\n.\r\nQUIT\r\n", b"a\r\n", CLEAN, b"QUIT\r\n", "what follows is the next command");
    check(b"a\r\n.\r\n.\r\n", b"a\r\n", CLEAN, b".\r\n", "the first end is the end");
    check(b"\r\n\r\n.\r\n", b"\r\n\r\n", CLEAN, b"", "empty lines");
    check(b"a.\r\n.b\r\n.\r\n", b"a.\r\nb\r\n", CLEAN, b"", "dots elsewhere; one in front of anything goes (§4.5.2)");
    check(b"..\r\n..a\r\n...\r\n.\r\n", b".\r\n.a\r\n..\r\n", CLEAN, b"", "dot-stuffing");
    check(b". \r\n.\t\r\n.\r\n", b" \r\n\t\r\n", CLEAN, b"", "a blank is an octet like any other");
    check(b"a \t\r\n.\r\n", b"a \t\r\n", CLEAN, b"", "no trailing blank is lost");
    check(
        b"\xff\xc2\x85.\xe2\x80\xa8.\x0b.\x0c.\x1c.\x8d\x8a\r\n.\r\n",
        b"\xff\xc2\x85.\xe2\x80\xa8.\x0b.\x0c.\x1c.\x8d\x8a\r\n",
        CLEAN,
        b"",
        "NEL, LS, VT, FF, FS and high-bit CR LF end no line",
    );
    check("\u{ff0e}\r\n.\r\n".as_bytes(), "\u{ff0e}\r\n".as_bytes(), CLEAN, b"", "a full-width dot is none");
    check(
        b"a\r\r\n.\r\nQUIT\r\n",
        b"a\r\n\r\n",
        &["CR"],
        b"QUIT\r\n",
        "the five octets are there: the end, as go-smtp's copy of net/textproto has it not",
    );
    check(b"a\n\r\n.\r\n", b"a\r\n\r\n", &["LF"], b"", "the same with LF");
    check(b"\0\r\n.\r\n", b"\r\n", &["NUL"], b"", "a NUL in the line before");
}

#[test]
fn what_is_not_an_end() {
    for octets in [
        "a\r\n.",
        "a\r\n.\r",
        "a\n.\r\n",
        "a\r\n.\n",
        "\n.\r\n",
        "\r\n..\r\n",
        ".a\r\n",
        "a.\r\n",
        ".\0\r\n",
        "\0.\r\n",
        ".\r\0\n",
        ".\r\r\n",
        "\r.\r\n",
    ] {
        for cuts in every_cut(octets.len()) {
            assert_eq!(decode(octets.as_bytes(), &cuts), None, "{octets:?}");
        }
    }
}

/// Every arrangement of line ends around a dot that some server has taken for the end of data: SEC
/// Consult 2023, CVE-2023-51764 to -51766, smtpsmug, Postfix HISTORY 20240106; and the rest.
#[test]
fn look_alikes() {
    let breaks = [
        "\r\n",
        "\n",
        "\r",
        "\n\r",
        "\r\r\n",
        "\r\r",
        "\n\n",
        "\r\0\n",
        "\0\r\n",
        "\r\n\0",
        "\n\0",
        "\0\n",
        "\r\0",
        "\0\r",
        "\0\n\0",
        "\r\n\0\r\n",
        "\r\n\r",
        "\n\r\n",
    ];
    let dots = [".", "\0.", ".\0", "\0.\0"];
    for before in breaks {
        for dot in dots {
            for after in breaks {
                let exact = before.ends_with("\r\n") && dot == "." && after.starts_with("\r\n");
                for wire in [
                    format!("a{before}{dot}{after}RSET\r\n.\r\n"),
                    format!("a{before}.{dot}{after}RSET\r\n.\r\n"),
                    format!("{dot}{after}RSET\r\n.\r\n"),
                ] {
                    let exact = exact || (wire.starts_with('.') && dot == "." && after.starts_with("\r\n"));
                    let wire = wire.as_bytes();
                    for cuts in every_cut(wire.len()) {
                        let (reading, left) = decode(wire, &cuts).unwrap();
                        assert_eq!(
                            (&reading, &left[..]),
                            (&reference::data(wire).unwrap().0, reference::data(wire).unwrap().1),
                            "{} cut at {cuts:?}",
                            shown(wire)
                        );
                        assert_eq!(reading.look_alike, !exact, "{} cut at {cuts:?}", shown(wire));
                        assert!(exact || left.is_empty(), "{} ended early", shown(wire));
                    }
                }
                // By BDAT, and with chunks that end anywhere: there is no end but the count.
                let content = format!("a{before}{dot}{after}RSET\r\n");
                let content = content.as_bytes();
                for cuts in every_cut(content.len()) {
                    for (chunks, cuts) in [(&cuts[..], &[][..]), (&[], &cuts[..]), (&cuts[..], &cuts[..])] {
                        let reading = decode_chunks(content, chunks, cuts, false);
                        assert_eq!(reading, reference::chunks(content, false), "{} in chunks that end at {chunks:?}", shown(content));
                        assert_eq!(reading.look_alike, !exact, "{} in chunks that end at {chunks:?}", shown(content));
                        assert_eq!(
                            decode_chunks(content, chunks, cuts, true),
                            reference::chunks(content, true),
                            "{} as BINARYMIME",
                            shown(content)
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn innocent_dirt() {
    check(b"a\nb\r\n.\r\n", b"a\r\nb\r\n", &["LF"], b"", "a bare LF becomes CRLF");
    check(
        b"\n\n\n.\r\n\r\n.\r\n",
        b"\r\n\r\n\r\n\r\n\r\n",
        &["look-alike", "LF"],
        b"",
        "LF . CRLF is no end; the text grows by more than it lost",
    );
    check(
        b"a\n.b\n..c\r\n.\r\n",
        b"a\r\nb\r\n.c\r\n",
        &["LF"],
        b"",
        "a line end that counts is one for dot-stuffing too, as Postfix has it",
    );
    check(b"a\rb\r\n.\r\n", b"a\r\nb\r\n", &["CR"], b"", "refused; the text is canonical all the same");
    check(b"a\r\n.\rX\r\n.\r\n", b"a\r\n\r\nX\r\n", &["look-alike", "CR"], b"", "go-smtp loses this CR");
    check(b"a\0b\r\n.\r\n", b"ab\r\n", &["NUL"], b"", "refused; no NUL gets through");
    check(b"a\r\0\nb\r\n.\r\n", b"a\r\n\r\nb\r\n", &["LF", "CR", "NUL"], b"", "a NUL between CR and LF");
    check(
        b"a\r\n..\nb\r\n.\r\n",
        b"a\r\n.\r\nb\r\n",
        &["look-alike", "LF"],
        b"",
        "behind the stuffing stands CRLF . LF, for whoever comes next",
    );
    check(b"..a\r\nb\nc\r\n.\r\n", b".a\r\nb\r\nc\r\n", &["LF"], b"", "a dot gone and a CR added in one piece");
}

/// Clean text is passed over in blocks; what is not clean is seen wherever it lies in one.
#[test]
fn dirt_at_every_place_of_a_long_text() {
    let text: Vec<u8> = b"an ordinary line of text\r\nand another that is not as long\r\n\r\nx\r\n".repeat(4);
    for dirt in ["\n", "\r", "\0", ".", "\r\n.", "\r\n..", "\n.", "\r\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n\0.\r\n", "\r\n\r\n"] {
        for at in 0..text.len() {
            let wire = [&text[..at], dirt.as_bytes(), &text[at..], b"\r\n.\r\n"].concat();
            let (expected, rest) = reference::data(&wire).unwrap();
            for cuts in [&[][..], &[at], &[at + 1]] {
                let (reading, left) = decode(&wire, cuts).unwrap();
                assert_eq!((&reading, &left[..]), (&expected, rest), "{dirt:?} at {at} cut at {cuts:?}");
            }
            assert_eq!(decode_chunks(&wire, &[], &[], false), reference::chunks(&wire, false), "{dirt:?} at {at}");
            assert_eq!(decode_chunks(&wire, &[at + 1], &[], true), reference::chunks(&wire, true), "{dirt:?} at {at}");
        }
    }
}

#[test]
fn stains_and_policies() {
    let refused = |stains: Stains| (stains.refusal(BareNewline::Normalize).is_some(), stains.refusal(BareNewline::Reject).is_some());
    assert_eq!(refused(Stains::default()), (false, false));
    assert_eq!(refused(Stains { bare_lf: true, ..Stains::default() }), (false, true));
    for stains in [
        Stains { bare_cr: true, ..Stains::default() },
        Stains { nul: true, ..Stains::default() },
        Stains { look_alike: true, bare_lf: true, ..Stains::default() },
    ] {
        assert_eq!(refused(stains), (true, true), "{stains:?}");
        assert!(stains.refusal(BareNewline::Normalize).unwrap().to_string().starts_with("550 5.5.2 "));
    }
}

#[test]
fn chunks_are_read_by_count() {
    for (content, text, expected, complete, why) in [
        (&b"a\r\n.\r\nb\r\n"[..], &b"a\r\n.\r\nb\r\n"[..], CLEAN, true, "the end of data is content here"),
        (b".a\r\n..\r\n", b".a\r\n..\r\n", CLEAN, true, "a dot is a dot"),
        (b"a", b"a", CLEAN, false, "no line end at the end"),
        (b"a\r\n.", b"a\r\n.", CLEAN, false, "a dot at the end, behind CRLF"),
        (b"a\n.", b"a\r\n.", &["look-alike", "LF"], false, "the same behind LF: whoever adds the line end makes LF . CRLF of it"),
        (b"a\r", b"a\r\n", &["CR"], true, "a CR at the very end"),
        (b"", b"", CLEAN, true, "nothing"),
    ] {
        for cuts in every_cut(content.len()) {
            let reading = decode_chunks(content, &cuts, &[], false);
            assert_eq!((shown(&reading.text), stains(&reading)), (shown(text), expected.to_vec()), "{why}");
            assert_eq!(reading.text.is_empty() || reading.text.ends_with(b"\r\n"), complete, "{why}");
            assert_eq!(reading, reference::chunks(content, false), "{why}");
        }
    }
    let binary = b"\0\r\r\n\n.x\0.\r\n\xff\r";
    for cuts in every_cut(binary.len()) {
        assert_eq!(decode_chunks(binary, &cuts, &cuts, true), reference::chunks(binary, true), "BINARYMIME is not touched");
    }
}

#[test]
fn an_ordinary_read_is_handed_on_as_it_is() {
    let text = b"Subject: x\r\n\r\nhello\r\n".repeat(50);
    let mut input = BytesMut::from(&text[..]);
    let before = input.as_ptr();
    let Piece::Body(body) = Decoder::default().next(&mut input) else { panic!("no text") };
    assert_eq!((body.as_ptr(), &body[..]), (before, &text[..]), "the same memory");

    let mut input = BytesMut::from(&b"a\r\n..b\r\nc\r\n"[..]);
    let before = input.as_ptr();
    let Piece::Body(body) = Decoder::default().next(&mut input) else { panic!("no text") };
    assert_eq!((body.as_ptr(), &body[..]), (before, &b"a\r\n.b\r\nc\r\n"[..]), "a stuffed dot is taken out in place");
}

#[test]
fn stuffing() {
    let stuffed = |text: &[u8], cuts: &[usize]| {
        let (mut stuffer, mut out, mut from) = (Stuffer::default(), BytesMut::new(), 0);
        for &to in cuts.iter().chain([&text.len()]) {
            stuffer.write(&text[from..to], &mut out);
            from = to;
        }
        out.extend_from_slice(stuffer.end());
        out
    };
    for (text, wire, why) in [
        (&b""[..], &b".\r\n"[..], "nothing"),
        (b"a\r\n", b"a\r\n.\r\n", "no dot"),
        (b".\r\n", b"..\r\n.\r\n", "in the first line"),
        (b"a\r\n.\r\n..b\r\n.", b"a\r\n..\r\n...b\r\n..\r\n.\r\n", "everywhere; the line end that is missing is added"),
        (b"a.\r\n \r\n", b"a.\r\n \r\n.\r\n", "dots that begin no line"),
        (b"a\r", b"a\r\r\n.\r\n", "a CR is no line end"),
    ] {
        for cuts in every_cut(text.len()) {
            assert_eq!(shown(&stuffed(text, &cuts)), shown(wire), "cut at {cuts:?}: {why}");
        }
    }
    assert_eq!(Stuffer::default().split(b"a\r\n.b").collect::<Vec<_>>(), [&b"a\r\n."[..], b".b"], "the dot stands in both slices");
    assert_eq!(Stuffer::default().split(b"a\r\nb\r\n").count(), 1);
}

/// Octets that matter, in lines that are short.
fn dirt() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![3 => Just(b"\r\n".to_vec()), 1 => Just(b"\n".to_vec()), 1 => Just(b"\r".to_vec()), 3 => Just(b".".to_vec()), 1 => Just(b"\0".to_vec()), 1 => Just(b"a".to_vec()), 1 => Just(b"ordinary text".to_vec()), 1 => (1..300usize).prop_map(|length| vec![b'x'; length])];
    prop::collection::vec(octet, 0..30).prop_map(|pieces| pieces.concat())
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..6)
}

fn places(indices: &[prop::sample::Index], length: usize) -> Vec<usize> {
    let mut places: Vec<_> = indices.iter().map(|index| index.index(length + 1)).collect();
    places.sort_unstable();
    places
}

proptest! {
    #[test]
    fn as_the_reference_has_it(mut wire in dirt(), at in cuts()) {
        wire.extend(b"\r\n.\r\nQUIT");
        let (reading, rest) = reference::data(&wire).unwrap();
        prop_assert_eq!(decode(&wire, &places(&at, wire.len())), Some((reading, rest.to_vec())));
    }

    #[test]
    fn chunks_as_the_reference_has_them(content in dirt(), ends in cuts(), at in cuts(), binary: bool) {
        let length = content.len();
        prop_assert_eq!(decode_chunks(&content, &places(&ends, length), &places(&at, length), binary), reference::chunks(&content, binary));
    }

    /// And so upstream gets by DATA what we read, whatever the client sent and however.
    #[test]
    fn text_survives_data(content in dirt(), at in cuts()) {
        let text = reference::chunks(&content, false).text;
        let (mut stuffer, mut wire, mut from) = (Stuffer::default(), BytesMut::new(), 0);
        for &to in places(&at, text.len()).iter().chain([&text.len()]) {
            stuffer.split(&text[from..to]).for_each(|slice| wire.extend_from_slice(slice));
            from = to;
        }
        wire.extend_from_slice(stuffer.end());
        let (reading, rest) = decode(&wire, &places(&at, wire.len())).unwrap();
        let mut complete = text;
        if !complete.is_empty() && !complete.ends_with(b"\r\n") {
            complete.extend(b"\r\n");
        }
        prop_assert_eq!(&reading.text, &complete);
        prop_assert_eq!(stains(&reading), CLEAN.to_vec());
        prop_assert!(rest.is_empty());
        prop_assert_eq!(reading.leading_dot, wire.starts_with(b"..") || memchr::memmem::find(&wire, b"\r\n..").is_some());
    }

    /// A text that is refused when it comes by BDAT is not to be had in by DATA.
    #[test]
    fn data_is_no_way_round_chunks(content in dirt()) {
        let chunks = decode_chunks(&content, &[], &[], false);
        prop_assume!(content.ends_with(b"\r\n"));
        let mut wire = BytesMut::new();
        Stuffer::default().write(&content, &mut wire);
        wire.extend_from_slice(b".\r\n");
        let (data, _) = decode(&wire, &[]).unwrap();
        prop_assert!(data.look_alike || !chunks.look_alike);
        prop_assert_eq!((data.bare_cr, data.bare_lf, data.nul), (chunks.bare_cr, chunks.bare_lf, chunks.nul));
    }
}

//! How multiparts are cut (RFC 2046 §5.1.1), as strictly and as loosely as programs do it.
use super::Anomaly;
use memchr::{memchr, memmem};
use std::ops::Range;

/// Where a multipart is cut, as one kind of reader cuts it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// What lies before, between and after the delimiters, in order.
    pub(super) pieces: Vec<Piece>,
    /// The standard's own reading.
    pub(super) plain: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Part,
    /// The preamble, or what follows the end.
    Aside,
    /// After something that some take for the end, and some for the beginning of a part.
    Either,
}

/// How alike a line is to a delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// Blanks may follow, nothing else.
    Exact,
    /// It goes on, which RFC 2046 §5.1.1 says not to look at, and most programs look at.
    Prefix,
    /// In another case, or after blanks.
    Loose,
}

/// A line that some reader takes for a delimiter.
#[derive(Debug)]
struct Hit {
    line: Range<usize>,
    boundary: usize,
    likeness: Likeness,
    closes: bool,
    /// It closes, and says nothing else.
    plainly: bool,
}

/// The line hits of a body, of which there may be `most`.
#[derive(Debug, Default)]
pub(super) struct Hits {
    hits: Vec<Hit>,
    /// Lines that had to be compared.
    pub(super) compared: u64,
}

impl Hits {
    /// `None` where there are more than `most`.
    pub(super) fn find(octets: &[u8], range: &Range<usize>, boundaries: &[Vec<u8>], most: usize) -> Option<Self> {
        let mut found = Self::default();
        let body = octets.get(range.clone()).unwrap_or_default();
        let finder = memmem::Finder::new(b"--");
        let mut from = 0;
        while let Some(hyphens) = body.get(from..).and_then(|rest| finder.find(rest)) {
            let at = from + hyphens;
            let rest = body.get(at..).unwrap_or_default();
            let length = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            from = at + length;
            let before = body.get(..at).unwrap_or_default();
            let blanks = before.iter().rev().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
            let start = at - blanks;
            if start > 0 && !matches!(before.get(start - 1), Some(b'\n' | b'\r')) {
                continue;
            }
            found.compared += 1 + boundaries.len() as u64;
            let text = rest.get(2..length).unwrap_or_default();
            for (boundary, wanted) in boundaries.iter().enumerate() {
                let Some(mut hit) = compare(text, wanted, blanks > 0) else { continue };
                hit.line = range.start + start..range.start + from;
                hit.boundary = boundary;
                found.hits.push(hit);
            }
            if found.hits.len() > most {
                return None;
            }
        }
        Some(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// Every way to cut `range` by them; those of the first boundary first.
    pub(super) fn cuts(&self, octets: &[u8], range: &Range<usize>, boundaries: usize, notes: &mut Vec<(Anomaly, usize)>) -> Vec<Cut> {
        let mut cuts = Vec::new();
        for boundary in 0..boundaries {
            let mut length = 0;
            for likeness in [Likeness::Exact, Likeness::Prefix, Likeness::Loose] {
                let hits: Vec<&Hit> = self.hits.iter().filter(|hit| hit.boundary == boundary && hit.likeness <= likeness).collect();
                if hits.len() == length {
                    continue;
                }
                length = hits.len();
                let plain = boundary == 0 && likeness == Likeness::Exact;
                if boundary == 0 {
                    let at = hits.iter().find(|hit| hit.likeness == likeness).map_or(range.start, |hit| hit.line.start);
                    match likeness {
                        Likeness::Exact => ends(&hits, notes),
                        Likeness::Prefix => notes.push((Anomaly::BoundaryPrefix, at)),
                        Likeness::Loose => notes.push((Anomaly::BoundaryLoose, at)),
                    }
                }
                cuts.push(Cut { pieces: pieces(&hits, octets, range), plain });
            }
        }
        cuts
    }
}

/// What the standard's reader finds missing, or too much, at the end.
fn ends(hits: &[&Hit], notes: &mut Vec<(Anomaly, usize)>) {
    let first_end = hits.iter().position(|hit| hit.closes);
    match first_end {
        None => notes.extend(hits.last().map(|last| (Anomaly::EndMissing, last.line.start))),
        Some(end) => {
            let after = hits.get(end + 1..).unwrap_or_default();
            notes.extend(after.iter().find(|hit| !hit.closes).map(|hit| (Anomaly::PartsAfterEnd, hit.line.start)));
        }
    }
}

fn compare(line: &[u8], boundary: &[u8], indented: bool) -> Option<Hit> {
    let start = line.get(..boundary.len())?;
    let same = start == boundary;
    if !same && !start.eq_ignore_ascii_case(boundary) {
        return None;
    }
    let rest = line.get(boundary.len()..).unwrap_or_default();
    let after = rest.strip_prefix(b"--");
    let plainly = after.is_some_and(|after| after.trim_ascii().is_empty());
    let likeness = match () {
        () if !same || indented => Likeness::Loose,
        () if plainly || rest.trim_ascii().is_empty() => Likeness::Exact,
        () => Likeness::Prefix,
    };
    Some(Hit { line: 0..0, boundary: 0, likeness, closes: after.is_some(), plainly })
}

fn pieces(hits: &[&Hit], octets: &[u8], range: &Range<usize>) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(hits.len() + 1);
    let (mut start, mut kind) = (range.start, Kind::Aside);
    for hit in hits {
        pieces.push(Piece { range: start..before_line_end(octets, start, hit.line.start), kind });
        start = hit.line.end;
        kind = match (hit.closes, hit.plainly) {
            (false, _) => Kind::Part,
            (true, true) => Kind::Aside,
            (true, false) => Kind::Either,
        };
    }
    pieces.push(Piece { range: start..range.end, kind });
    pieces
}

/// The line end before a delimiter belongs to the delimiter.
fn before_line_end(octets: &[u8], start: usize, end: usize) -> usize {
    let text = octets.get(start..end).unwrap_or_default();
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    start + text.strip_suffix(b"\r").unwrap_or(text).len()
}

/// Boundaries that a multipart without one seems to have: lines with `--` before lines that begin
/// with `Content-`.
pub(super) fn guess(octets: &[u8], range: &Range<usize>, most: usize) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    let body = octets.get(range.clone()).unwrap_or_default();
    for at in memmem::find_iter(body, b"\n--").map(|at| at + 1).chain(body.starts_with(b"--").then_some(0)) {
        let rest = body.get(at + 2..).unwrap_or_default();
        let (line, next) = memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end + 1)).unwrap_or((rest, b""));
        let line = line.trim_ascii_end();
        let is_field = next.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
        if is_field && !line.is_empty() && !found.iter().any(|known| known == line) {
            found.push(line.to_vec());
        }
        if found.len() == most {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(body: &str, boundaries: &[&str]) -> (Vec<Vec<(Kind, String)>>, Vec<Anomaly>) {
        let boundaries: Vec<Vec<u8>> = boundaries.iter().map(|boundary| boundary.as_bytes().to_vec()).collect();
        let (range, mut notes) = (0..body.len(), Vec::new());
        let hits = Hits::find(body.as_bytes(), &range, &boundaries, 100).unwrap();
        let cuts = hits.cuts(body.as_bytes(), &range, boundaries.len(), &mut notes);
        let text = |piece: Piece| (piece.kind, body[piece.range].to_owned());
        (cuts.into_iter().map(|cut| cut.pieces.into_iter().map(text).collect()).collect(), notes.into_iter().map(|(a, _)| a).collect())
    }
    fn aside(text: &str) -> (Kind, String) {
        (Kind::Aside, text.into())
    }
    fn part(text: &str) -> (Kind, String) {
        (Kind::Part, text.into())
    }

    #[test]
    fn a_well_formed_multipart_is_cut_in_one_way() {
        for end in ["\r\n", "\n"] {
            let body = ["pre", "--b", "one", "", "--b  ", "two", "--b--", "post"].join(end);
            let expected = vec![aside("pre"), part(&format!("one{end}")), part("two"), aside("post")];
            assert_eq!(cuts(&body, &["b"]), (vec![expected], vec![]));
        }
        assert_eq!(cuts("--b\r\n--b--", &["b"]).0, [vec![aside(""), part(""), aside("")]]);
        assert_eq!(cuts("text -- b\nx--b\n", &["b"]), (vec![], vec![]));
    }

    #[test]
    fn lines_that_are_like_a_delimiter_cut_in_more_ways() {
        let (found, notes) = cuts("--b\r\none\r\n--bx\r\ntwo\r\n--b--", &["b"]);
        assert_eq!(found, [vec![aside(""), part("one\r\n--bx\r\ntwo"), aside("")], vec![aside(""), part("one"), part("two"), aside("")]]);
        assert_eq!(notes, [Anomaly::BoundaryPrefix]);
        let (found, notes) = cuts("--b\r\none\r\n --B\r\ntwo\r\n--b--x\r\n", &["b"]);
        assert_eq!(found.len(), 3);
        assert_eq!(found[1].last().unwrap(), &(Kind::Either, String::new()));
        assert_eq!(notes, [Anomaly::EndMissing, Anomaly::BoundaryPrefix, Anomaly::BoundaryLoose]);
    }

    #[test]
    fn each_boundary_cuts_for_itself() {
        let (found, _) = cuts("--a\r\none\r\n--b\r\ntwo", &["a", "b"]);
        assert_eq!(found, [vec![aside(""), part("one\r\n--b\r\ntwo")], vec![aside("--a\r\none"), part("two")]]);
    }

    #[test]
    fn parts_after_the_end_are_parts_and_noted() {
        let (found, notes) = cuts("--b\none\n--b--\nx\n--b\ntwo\n", &["b"]);
        assert_eq!(found, [vec![aside(""), part("one"), aside("x"), part("two\n")]]);
        assert_eq!(notes, [Anomaly::PartsAfterEnd]);
    }

    #[test]
    fn hits_are_bounded_and_boundaries_guessed() {
        assert!(Hits::find(b"--b\n--b\n--b\n", &(0..12), &[b"b".to_vec()], 2).is_none());
        let body = b"--x\r\nContent-Type: a/b\r\n\r\n--y\r\nno\r\n--x\r\ncontent-id: a\r\n--z\r\nContent-Type: x\r\n";
        assert_eq!(guess(body, &(0..body.len()), 4), [b"x", b"z"]);
    }
}

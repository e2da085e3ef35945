//! Documents: what makes a zip an OOXML or OpenDocument file, what they fetch, and PDF.
use super::stream::DEFLATE_WINDOW;
use crate::unpack::{
    Flag, Flags, Kind,
    account::Stop,
    walk::{Found, Walk},
};
use bytes::Bytes;
use memchr::memmem;
use std::io::Cursor;

/// Streams of one PDF that are opened.
const PDF_STREAMS: usize = 500;

/// The names in a zip, as far as they say what it is.
#[derive(Default)]
pub(super) struct Names {
    has: u32,
}

/// A part of a name, in lower case, and what it hints at.
const HINTS: &[(&str, Hint)] = &[
    ("[content_types].xml", Hint::ContentTypes),
    ("word/", Hint::Word),
    ("xl/", Hint::Excel),
    ("ppt/", Hint::PowerPoint),
    ("meta-inf/manifest.mf", Hint::Manifest),
    ("androidmanifest.xml", Hint::Android),
    ("appxmanifest.xml", Hint::Appx),
    ("meta-inf/manifest.xml", Hint::Odf),
    ("meta-inf/container.xml", Hint::Epub),
    ("vbaproject.bin", Hint::Macros),
    ("xl/macrosheets/", Hint::Macros),
    ("xl/intlmacrosheets/", Hint::Macros),
    ("basic/standard/", Hint::Macros),
];

#[derive(Clone, Copy)]
enum Hint {
    ContentTypes,
    Word,
    Excel,
    PowerPoint,
    Manifest,
    Android,
    Appx,
    Odf,
    Epub,
    Macros,
}

impl Names {
    pub(super) fn add(&mut self, name: &str) {
        let name = name.to_ascii_lowercase().replace('\\', "/");
        let name = name.trim_start_matches(['/', '.']);
        for (hint, what) in HINTS {
            let fits = if hint.ends_with('/') { name.starts_with(hint) } else { name == *hint || name.ends_with(&format!("/{hint}")) };
            self.has |= u32::from(fits) << *what as u32;
        }
    }

    fn says(&self, hint: Hint) -> bool {
        self.has & (1 << hint as u32) != 0
    }

    pub(super) fn has_macros(&self) -> bool {
        self.says(Hint::Macros)
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        if self.says(Hint::ContentTypes) {
            let kinds = [(Hint::Appx, Kind::Appx), (Hint::Word, Kind::Docx), (Hint::Excel, Kind::Xlsx), (Hint::PowerPoint, Kind::Pptx)];
            return Some(kinds.into_iter().find(|(hint, _)| self.says(*hint)).map_or(Kind::Ooxml, |(_, kind)| kind));
        }
        let kinds = [
            (Hint::Android, Kind::Apk),
            (Hint::Appx, Kind::Appx),
            (Hint::Manifest, Kind::Jar),
            (Hint::Odf, Kind::Odf),
            (Hint::Epub, Kind::Epub),
        ];
        kinds.into_iter().find(|(hint, _)| self.says(*hint)).map(|(_, kind)| kind)
    }
}

/// Relationships of one part that are looked at; a sheet can have 65,530 links.
const RELATIONSHIPS: usize = 100_000;
/// No shorter one can say all that is asked for.
const SHORTEST: usize = 40;

/// Whether the relationships of an OOXML part (ECMA-376 part 2, §9.3) have the program fetch
/// something when it opens the document; links that a person has to follow do not.
pub(super) fn is_remote(relationships: &[u8]) -> bool {
    let mut tags = relationships.split(|octet| *octet == b'<').filter(|tag| tag.len() >= SHORTEST);
    tags.by_ref().take(RELATIONSHIPS).any(fetches) || tags.next().is_some()
}

fn fetches(tag: &[u8]) -> bool {
    const FETCHED: [&str; 6] = ["/attachedtemplate", "/oleobject", "/frame", "/subdocument", "/externallinkpath", "/worddocument"];
    // UTF-16 is allowed; all that is looked for is ASCII.
    let tag: String = tag.iter().filter(|octet| **octet != 0).map(|octet| char::from(octet.to_ascii_lowercase())).collect();
    let value = |name: &str| {
        let rest = tag.split_once(name)?.1.trim_start().strip_prefix('=')?.trim_start();
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        rest.get(1..)?.split(quote).next()
    };
    let is_external = value(" targetmode").is_some_and(|mode| mode.trim() == "external");
    let is_fetched = value(" type").is_some_and(|kind| FETCHED.iter().any(|fetched| kind.trim().ends_with(fetched)));
    is_external && is_fetched && value(" target").is_none_or(|target| is_elsewhere(target.trim()))
}

/// Word writes the path of the template on the author's own disk into every document; that is not
/// fetched from anywhere.
fn is_elsewhere(target: &str) -> bool {
    match target.strip_prefix("file:///") {
        Some(path) => path.starts_with(['/', '\\']),
        None => target.starts_with(['/', '\\', '&']) || target.find(':').is_some_and(|colon| colon > 1),
    }
}

/// PDF: what it would do, also where that stands in compressed object streams, and the files
/// embedded in it (ISO 32000-1 §7.5.7, §7.11.4).
pub(super) fn pdf(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    flag_names(walk, at, octets);
    let (mut from, mut streams) = (0, 0);
    while let Some(found) = octets.get(from..).and_then(|rest| memmem::find(rest, b"stream")) {
        let word = from + found;
        from = word + 6;
        if octets.get(..word).is_some_and(|before| before.ends_with(b"end")) {
            continue;
        }
        walk.account.check_time()?;
        // The stream's dictionary ends right before it; it is short.
        let before = octets.get(word.saturating_sub(1024)..word).unwrap_or_default();
        let dictionary = memmem::rfind(before, b" obj").and_then(|at| before.get(at..)).unwrap_or(before);
        let dictionary = normal_names(dictionary);
        let says = |name: &str| dictionary.contains(&name);
        let (objects, embedded) = (says("ObjStm"), says("EmbeddedFile"));
        if !objects && !embedded {
            continue;
        }
        streams += 1;
        if streams > PDF_STREAMS {
            walk.flag(at, Flag::Unreadable);
            break;
        }
        let start =
            from + octets.get(from..).map_or(0, |rest| rest.iter().take(2).take_while(|octet| matches!(octet, b'\r' | b'\n')).count());
        let end = octets.get(start..).and_then(|rest| memmem::find(rest, b"endstream")).map_or(octets.len(), |len| start + len);
        // A file has a name, which stands elsewhere; a part of the document has none.
        let names = if embedded { vec!["embedded".to_owned()] } else { vec![] };
        let child = if says("FlateDecode") || says("Fl") {
            // To wherever it ends itself: `endstream` may stand in it by chance.
            let data = octets.slice(start.min(octets.len())..);
            walk.stream(at, names, flate2::bufread::ZlibDecoder::new(Cursor::new(data)), DEFLATE_WINDOW)?
        } else {
            walk.found(at, Found { names, octets: octets.slice(start.min(end)..end), flags: Flags::default() })?
        };
        if embedded {
            walk.flag(at, Flag::PdfEmbeddedFile);
        } else if let Some(octets) = walk.octets(child) {
            flag_names(walk, at, &octets);
        }
        from = end;
    }
    Ok(())
}

fn flag_names(walk: &mut Walk<'_>, at: usize, octets: &[u8]) {
    for name in normal_names(octets) {
        match name {
            "JavaScript" | "JS" => walk.flag(at, Flag::PdfJavaScript),
            "Launch" => walk.flag(at, Flag::PdfLaunch),
            "EmbeddedFile" | "EmbeddedFiles" => walk.flag(at, Flag::PdfEmbeddedFile),
            "Encrypt" => walk.flag(at, Flag::Encrypted),
            _ => {}
        }
    }
}

/// The names that matter, with `#61` undone (ISO 32000-1 §7.3.5).
fn normal_names(octets: &[u8]) -> Vec<&'static str> {
    const KNOWN: [&str; 9] = ["JavaScript", "JS", "Launch", "EmbeddedFile", "EmbeddedFiles", "Encrypt", "ObjStm", "FlateDecode", "Fl"];
    const LONGEST: usize = "EmbeddedFiles".len();
    let mut names = Vec::new();
    for slash in memchr::memchr_iter(b'/', octets) {
        if !matches!(octets.get(slash + 1), Some(b'J' | b'L' | b'E' | b'O' | b'F' | b'#')) {
            continue;
        }
        let mut rest = octets.get(slash + 1..).unwrap_or_default().iter();
        let hex = |octet: Option<&u8>| octet.and_then(|octet| char::from(*octet).to_digit(16));
        let letters = std::iter::from_fn(|| match rest.next()? {
            b'#' => u8::try_from(hex(rest.next())? * 16 + hex(rest.next())?).ok(),
            octet => octet.is_ascii_alphanumeric().then_some(*octet),
        });
        // Not a string: a file may be all names.
        let mut name = [0; LONGEST + 1];
        let len = name.iter_mut().zip(letters).map(|(place, letter)| *place = letter).count();
        let known = KNOWN.iter().find(|known| name.get(..len) == Some(known.as_bytes()));
        if let Some(known) = known.filter(|known| !names.contains(*known)) {
            names.push(*known);
        }
    }
    names
}

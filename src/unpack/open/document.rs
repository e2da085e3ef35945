//! Documents: what makes a zip an OOXML or OpenDocument file, what they fetch, and PDF.
use super::stream::DEFLATE_WINDOW;
use crate::unpack::{Flag, Kind, account::Stop, walk::Walk};
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

/// Whether the relationships of an OOXML part (ECMA-376 part 2, §9.3) have the program fetch
/// something when it opens the document; links that a person has to follow do not.
pub(super) fn is_remote(relationships: &[u8]) -> bool {
    const FETCHED: [&str; 6] = ["/attachedtemplate", "/oleobject", "/frame", "/subdocument", "/externallinkpath", "/worddocument"];
    // UTF-16 is allowed; all that is looked for is ASCII.
    let text: Vec<u8> = relationships.iter().filter(|octet| **octet != 0).map(u8::to_ascii_lowercase).collect();
    text.split(|octet| *octet == b'<').any(|tag| {
        let says = |word: &str| memmem::find(tag, word.as_bytes()).is_some();
        let elsewhere = ["http:", "https:", "ftp:", "mhtml:", "\\\\", "file://", "//"];
        says("\"external\"") | says("'external'")
            && FETCHED.iter().any(|kind| says(&format!("{kind}\"")) || says(&format!("{kind}'")))
            && elsewhere.iter().any(|scheme| says(&format!("target=\"{scheme}")) || says(&format!("target='{scheme}")))
    })
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
        // The stream's dictionary ends right before it; it is short.
        let before = octets.get(word.saturating_sub(1024)..word).unwrap_or_default();
        let dictionary = memmem::rfind(before, b" obj").and_then(|at| before.get(at..)).unwrap_or(before);
        let names = normal_names(dictionary);
        let says = |name: &str| names.iter().any(|other| other == name);
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
        let data = octets.slice(start.min(end)..end);
        let child = if says("FlateDecode") || says("Fl") {
            walk.stream(at, vec![], flate2::bufread::ZlibDecoder::new(Cursor::new(data)), DEFLATE_WINDOW)?
        } else {
            walk.found(at, crate::unpack::walk::Found { names: vec![], octets: data, flags: Default::default() })?
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
        match name.as_str() {
            "JavaScript" | "JS" => walk.flag(at, Flag::PdfJavaScript),
            "Launch" => walk.flag(at, Flag::PdfLaunch),
            "EmbeddedFile" | "EmbeddedFiles" => walk.flag(at, Flag::PdfEmbeddedFile),
            "Encrypt" => walk.flag(at, Flag::Encrypted),
            _ => {}
        }
    }
}

/// The names that matter, with `#61` undone (ISO 32000-1 §7.3.5).
fn normal_names(octets: &[u8]) -> Vec<String> {
    const KNOWN: [&str; 9] = ["JavaScript", "JS", "Launch", "EmbeddedFile", "EmbeddedFiles", "Encrypt", "ObjStm", "FlateDecode", "Fl"];
    let mut names: Vec<String> = Vec::new();
    for slash in memchr::memchr_iter(b'/', octets) {
        let mut name = String::new();
        let mut rest = octets.get(slash + 1..).unwrap_or_default().iter();
        while name.len() <= "EmbeddedFiles".len()
            && let Some(octet) = rest.next()
        {
            let plain = match octet {
                b'#' => {
                    let hex = |octet: Option<&u8>| octet.and_then(|octet| char::from(*octet).to_digit(16));
                    let (Some(high), Some(low)) = (hex(rest.next()), hex(rest.next())) else { break };
                    u8::try_from(high * 16 + low).unwrap_or(b'#')
                }
                octet if octet.is_ascii_alphanumeric() => *octet,
                _ => break,
            };
            name.push(char::from(plain));
        }
        if KNOWN.contains(&name.as_str()) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

//! What a file name means to the programs that would save and open the file under it.

/// A name that is shown in another order than it is read: `invoice\u{202e}fdp.exe`.
pub(super) const BIDI: &str = "name-bidi";
/// A NUL, at which some programs cut.
pub(super) const NUL: &str = "name-nul";
/// Blanks before the extension, which push it out of sight.
pub(super) const BLANKS: &str = "name-blanks";
/// `invoice.pdf.exe`: an extension that Windows hides, behind one that it then shows.
pub(super) const DOUBLE: &str = "name-double";

pub(super) const TRICKS: &[&str] = &[BIDI, NUL, BLANKS, DOUBLE];

/// Extensions that invite, so that another one behind them is a disguise.
const HARMLESS: &[&str] = &[
    "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "txt", "rtf", "csv", "jpg", "jpeg", "png", "gif", "bmp", "mp3", "mp4", "avi",
    "wav", "htm", "html",
];

/// The readings of a name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    /// Every extension that some program goes by, in lower case, without the dot.
    pub(super) extensions: Vec<String>,
    pub(super) tricks: Vec<&'static str>,
}

pub(super) fn read(name: &str) -> Name {
    let mut read = Name::default();
    // A program that saves a file takes what follows the last separator of its system.
    let file = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut readings = vec![file];
    if let Some((before, after)) = file.split_once('\0') {
        read.tricks.push(NUL);
        readings.extend([before, after]);
    }
    // NTFS: what follows a colon names a stream of the file.
    readings.extend(file.split_once(':').map(|(before, _)| before));
    if file.contains(['\u{202a}', '\u{202b}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}']) {
        read.tricks.push(BIDI);
    }
    for reading in readings {
        let plain: String = reading.chars().filter(|c| !is_invisible(*c)).map(narrow).collect();
        // Windows drops dots and blanks at the end.
        let plain = plain.trim_end_matches(|c: char| c == '.' || c.is_whitespace()).to_lowercase();
        let Some((stem, extension)) = plain.rsplit_once('.') else { continue };
        let extension = extension.trim();
        if stem.ends_with("     ") || stem.ends_with("\t\t") {
            read.note(BLANKS);
        }
        if stem.trim_end().rsplit_once('.').is_some_and(|(_, before)| HARMLESS.contains(&before.trim()) && !HARMLESS.contains(&extension)) {
            read.note(DOUBLE);
        }
        if !read.extensions.iter().any(|other| other == extension) {
            read.extensions.push(extension.to_owned());
        }
    }
    read
}

impl Name {
    fn note(&mut self, trick: &'static str) {
        if !self.tricks.contains(&trick) {
            self.tricks.push(trick);
        }
    }
}

/// Control characters, and formatting ones that no program shows.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Full-width forms become the narrow ones where a name is put into an older character set.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3002}' | '\u{2024}' => '.',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reading_of_a_name_has_its_extension() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("a.exe", &["exe"], &[]),
            ("A.ExE", &["exe"], &[]),
            ("invoice.pdf.exe", &["exe"], &[DOUBLE]),
            ("archive.tar.gz", &["gz"], &[]),
            ("photo.jpg.png", &["png"], &[]),
            ("a.exe. . .", &["exe"], &[]),
            ("a.exe\u{a0}", &["exe"], &[]),
            ("a.pdf                  .exe", &["exe"], &[BLANKS, DOUBLE]),
            ("a.exe\0.pdf", &["pdf", "exe"], &[NUL]),
            ("a.exe::$DATA", &["exe::$data", "exe"], &[]),
            ("invoice\u{202e}fdp.exe", &["exe"], &[BIDI]),
            ("a.e\u{200b}xe", &["exe"], &[]),
            ("a\u{ff0e}\u{ff45}xe", &["exe"], &[]),
            ("..\\..\\Start Menu\\run.js", &["js"], &[]),
            ("folder.exe/readme", &[], &[]),
            ("a.{3050F4D8-98B5-11CF-BB82-00AA00BDCE0B}", &["{3050f4d8-98b5-11cf-bb82-00aa00bdce0b}"], &[]),
            ("readme", &[], &[]),
            ("", &[], &[]),
        ];
        for (name, extensions, tricks) in cases {
            let read = read(name);
            assert_eq!(read.extensions, *extensions, "{name:?}");
            assert_eq!(read.tricks, *tricks, "{name:?}");
        }
    }
}

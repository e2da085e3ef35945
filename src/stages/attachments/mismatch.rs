//! Whether a file is what its name and its declared type say.
use super::names;
use crate::unpack::{Class, File, Kind};

/// What somebody expects who believes name and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Picture,
    Media,
    Pdf,
    Office,
    Text,
}

/// The claim that the contents of `file` contradict: `declared image/jpeg`, `named .jpg`. Other
/// names for the same are no contradiction, nor is anything that programs themselves get wrong.
pub(super) fn of(file: &File) -> Option<String> {
    let declared = by_type(&file.declared).filter(|claim| contradicts(*claim, file.kind));
    if declared.is_some() {
        return Some(format!("declared {}", file.declared));
    }
    let mut extensions = file.names.iter().flat_map(|name| names::read(name).extensions);
    let wrong = |extension: &String| by_extension(extension).is_some_and(|claim| contradicts(claim, file.kind));
    extensions.find(wrong).map(|extension| format!("named .{extension}"))
}

fn by_type(declared: &str) -> Option<Claim> {
    let (kind, subtype) = declared.split_once('/')?;
    match (kind, subtype) {
        ("image", "svg+xml") => None,
        ("image", _) => Some(Claim::Picture),
        ("audio" | "video", _) => Some(Claim::Media),
        ("text", "html") => None,
        ("text", _) => Some(Claim::Text),
        ("application", "pdf") => Some(Claim::Pdf),
        ("application", subtype) if ["msword", "vnd.ms-", "vnd.openxml", "vnd.oasis"].iter().any(|office| subtype.starts_with(office)) => {
            Some(Claim::Office)
        }
        _ => None,
    }
}

fn by_extension(extension: &str) -> Option<Claim> {
    match extension {
        "jpg" | "jpeg" | "png" | "gif" | "bmp" | "tif" | "tiff" | "webp" => Some(Claim::Picture),
        "mp3" | "mp4" | "wav" | "avi" | "mov" | "mkv" | "ogg" => Some(Claim::Media),
        "pdf" => Some(Claim::Pdf),
        "doc" | "docx" | "xls" | "xlsx" | "ppt" | "pptx" | "odt" | "ods" | "odp" => Some(Claim::Office),
        "txt" | "csv" | "log" | "ics" | "vcf" => Some(Claim::Text),
        _ => None,
    }
}

fn contradicts(claim: Claim, kind: Kind) -> bool {
    match kind.class() {
        Class::Executable | Class::Script | Class::Shortcut | Class::DiskImage | Class::OneNote | Class::Help => true,
        // Many programs write HTML and call it a spreadsheet.
        Class::Html => matches!(claim, Claim::Picture | Claim::Media | Claim::Pdf),
        Class::Archive => !matches!(kind, Kind::Zip | Kind::Tnef | Kind::Msg) || claim != Claim::Office,
        Class::Document => match claim {
            Claim::Picture | Claim::Media => true,
            Claim::Pdf => kind != Kind::Pdf,
            Claim::Text => kind != Kind::Rtf && kind != Kind::Sylk,
            Claim::Office => false,
        },
        Class::Image => claim == Claim::Pdf,
        Class::UnixScript | Class::Text | Class::Other => false,
    }
}

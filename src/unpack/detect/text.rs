//! Text: mark-up, shortcuts, and scripts, which have no signature.
use super::{Flag, Flags, Kind};
use memchr::memmem;
use std::borrow::Cow;

/// How much of a text is searched, from its start and from its end: scripts are padded.
const HEAD: usize = 1 << 20;
const TAIL: usize = 256 << 10;
/// How much of it decides whether it is text.
const SAMPLE: usize = 4 << 10;
/// Characters in a row that are base64 and no word.
const LONG_BASE64: usize = 1024;

pub(super) fn detect(octets: &[u8], is_body: bool) -> (Kind, Flags) {
    let Some(text) = lower_case(octets) else { return (Kind::Unknown, Flags::default()) };
    let start = leading(&text);
    if let Some(kind) = by_beginning(start) {
        return (kind, Flags::default());
    }
    if is_svg(start) {
        return (Kind::Svg, if has_svg_script(&text) { Flag::SvgScript.into() } else { Flags::default() });
    }
    if let Some(kind) = host_of_scripts(&text, start) {
        return (kind, Flags::default());
    }
    if is_html(start) {
        return (Kind::Html, if smuggles(&text) { Flag::HtmlSmuggling.into() } else { Flags::default() });
    }
    if is_body {
        // What a browser would make of a body that only its declaration calls HTML.
        return (Kind::Text, if smuggles(&text) { Flag::HtmlSmuggling.into() } else { Flags::default() });
    }
    let plain = if start.starts_with(b"<?xml") { Kind::Xml } else { Kind::Text };
    (script(&text, start).unwrap_or(plain), Flags::default())
}

/// The text in lower case, as far as it is searched, from whatever encoding is a superset of ASCII
/// or UTF-16; `None` where it is no text.
fn lower_case(octets: &[u8]) -> Option<Vec<u8>> {
    let octets: Cow<'_, [u8]> = match octets {
        [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] => {
            // Enough for what is looked for here, all of which is ASCII.
            rest.iter().take(2 * HEAD).copied().filter(|octet| *octet != 0).collect::<Vec<_>>().into()
        }
        [0xef, 0xbb, 0xbf, rest @ ..] => rest.into(),
        _ => octets.into(),
    };
    let sample = octets.get(..octets.len().min(SAMPLE))?;
    let is_control = |octet: &&u8| matches!(octet, 0..=8 | 14..=26 | 28..=31);
    if sample.iter().filter(is_control).count() * 100 > sample.len() {
        return None;
    }
    let mut text = octets.get(..octets.len().min(HEAD))?.to_ascii_lowercase();
    if octets.len() > HEAD {
        text.extend(octets.get(HEAD.max(octets.len() - TAIL)..)?.iter().map(u8::to_ascii_lowercase));
    }
    Some(text)
}

/// From the first octet on that is not blank, nor in a comment of XML or HTML.
fn leading(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii_start();
    while let Some(rest) = text.strip_prefix(b"<!--") {
        let Some(end) = memmem::find(rest, b"-->") else { break };
        text = rest.get(end + 3..).unwrap_or_default().trim_ascii_start();
    }
    text
}

fn by_beginning(start: &[u8]) -> Option<Kind> {
    const BEGINNINGS: &[(&[u8], Kind)] = &[
        (b"#@~^", Kind::EncodedScript),
        (b"[internetshortcut", Kind::Url),
        (b"[{000214a0-0000-0000-c000-000000000046}", Kind::Url),
        (b"[shell]", Kind::Scf),
        (b"[desktop entry]", Kind::Desktop),
        (b"windows registry editor version", Kind::Registry),
        (b"regedit4", Kind::Registry),
        (b"web\r\n1\r\n", Kind::WebQuery),
        (b"web\n1\n", Kind::WebQuery),
        (b"id;p", Kind::Sylk),
    ];
    let known = BEGINNINGS.iter().find(|(beginning, _)| start.starts_with(beginning)).map(|(_, kind)| *kind);
    let head = start.get(..start.len().min(SAMPLE))?;
    let says = |word: &str| memmem::find(head, word.as_bytes()).is_some();
    let interpreter = start.starts_with(b"#!") && start.get(2..40.min(start.len())).is_some_and(|line| line.contains(&b'/'));
    known
        .or_else(|| interpreter.then_some(Kind::UnixScript))
        .or_else(|| (says("<librarydescription") || says("<persistedquery")).then_some(Kind::LibraryMs))
        .or_else(|| says("<searchconnectordescription").then_some(Kind::LibraryMs))
        .or_else(|| (says("<pcsettings>") && says("<deeplink>")).then_some(Kind::SettingContent))
        .or_else(|| (says("full address:s:") && says(":i:")).then_some(Kind::Rdp))
}

fn is_svg(start: &[u8]) -> bool {
    let head = start.get(..start.len().min(SAMPLE)).unwrap_or_default();
    let opens = head.starts_with(b"<svg") || head.starts_with(b"<?xml") || head.starts_with(b"<!doctype svg");
    opens && memmem::find(head, b"<svg").is_some() && memmem::find(head, b"<html").is_none()
}

fn has_svg_script(text: &[u8]) -> bool {
    const SIGNS: [&str; 7] = ["<script", "onload=", "onerror=", "onclick=", "onmouseover=", "javascript:", "onbegin="];
    SIGNS.iter().any(|sign| memmem::find(text, sign.as_bytes()).is_some())
}

/// HTML applications and script files: mark-up that Windows runs.
fn host_of_scripts(text: &[u8], start: &[u8]) -> Option<Kind> {
    if !start.starts_with(b"<") {
        return None;
    }
    let says = |word: &str| memmem::find(text, word.as_bytes()).is_some();
    if says("<hta:application") {
        return Some(Kind::Hta);
    }
    let head = start.get(..start.len().min(SAMPLE)).unwrap_or_default();
    let opens = |word: &str| memmem::find(head, word.as_bytes()).is_some();
    if (opens("<job") || opens("<package") || opens("<scriptlet") || opens("<component")) && says("<script") {
        return Some(Kind::ScriptFile);
    }
    // Only the Windows Script Host and HTA know VBScript and these objects.
    let hosted = says("<script") && (says("wscript.shell") || says("shell.application") || says("scripting.filesystemobject"));
    hosted.then_some(Kind::Hta)
}

fn is_html(start: &[u8]) -> bool {
    const TAGS: [&str; 14] = [
        "<!doctype html",
        "<html",
        "<head",
        "<body",
        "<script",
        "<title",
        "<meta",
        "<iframe",
        "<style",
        "<table",
        "<div",
        "<a href",
        "<p>",
        "<br",
    ];
    TAGS.iter().any(|tag| start.starts_with(tag.as_bytes()))
}

/// A page that makes a file out of itself: it decodes something long, makes a file of it, and has
/// the browser save it.
fn smuggles(text: &[u8]) -> bool {
    let says = |word: &str| memmem::find(text, word.as_bytes()).is_some();
    if says("href=\"data:application/") || says("href='data:application/") {
        return says("download") && says(";base64,");
    }
    if !says("<script") && !says("javascript:") && !says("onload=") {
        return false;
    }
    let saves = says("mssaveoropenblob")
        || says("mssaveblob")
        || (says("createobjecturl") && (says(".download") || says("download=") || says("setattribute(\"download") || says(".click(")));
    let decodes = says("atob(") || says("uint8array") || says("fromcharcode") || says("tobytearray") || has_long_base64(text);
    saves && decodes
}

fn has_long_base64(text: &[u8]) -> bool {
    let is_base64 = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=');
    text.split(|octet| !is_base64(*octet)).any(|run| run.len() >= LONG_BASE64)
}

/// Scripts by the objects they name. Two signs of one language, since prose mentions one.
fn script(text: &[u8], start: &[u8]) -> Option<Kind> {
    const SIGNS: &[(Kind, &[&str])] = &[
        (
            Kind::JavaScript,
            &["new activexobject", "wscript.", "getobject(\"winmgmts", "getobject('winmgmts", "eval(", "function(", "function ", "var "],
        ),
        (Kind::VbScript, &["createobject(", "wscript.", "\nset ", "\ndim ", "end sub", "end function", "on error resume next", "execute("]),
        (
            Kind::PowerShell,
            &[
                "invoke-expression",
                "iex(",
                "iex (",
                "| iex",
                "|iex",
                "new-object ",
                "frombase64string",
                "invoke-webrequest",
                "downloadstring(",
                "downloadfile(",
                "start-process",
                "-executionpolicy",
                "-windowstyle hidden",
                "add-type ",
                "write-host ",
                "param(",
                "[system.",
            ],
        ),
        (
            Kind::Batch,
            &["@echo off", "setlocal", "%~dp0", "\ngoto ", "cmd /c", "cmd.exe /c", "powershell ", "start /min", "%temp%", "%appdata%"],
        ),
    ];
    if start.starts_with(b"@echo off") {
        return Some(Kind::Batch);
    }
    let says = |sign: &&&str| memmem::find(text, sign.as_bytes()).is_some();
    // Without one of these there is nothing it could do that a browser would not let it.
    let hosts = |kind| match kind {
        Kind::JavaScript => ["activexobject", "wscript.", "winmgmts"].iter().any(|sign| memmem::find(text, sign.as_bytes()).is_some()),
        Kind::VbScript => memmem::find(text, b"createobject").is_some() || memmem::find(text, b"wscript.").is_some(),
        _ => true,
    };
    let fits = |(kind, signs): &&(Kind, &[&str])| hosts(*kind) && signs.iter().filter(says).take(2).count() == 2;
    SIGNS.iter().find(fits).map(|(kind, _)| *kind)
}

//! What the stage is told, and what it does where it is told nothing.
use super::{
    names,
    policy::{Act, Policy},
};
use crate::{
    unpack::{Class, Flag, Kind},
    value::settings::{Placed, Section, nearest},
};

const ACTS: &[(&str, Act)] =
    &[("report", Act::Report), ("tag", Act::Tag), ("strip", Act::Strip), ("quarantine", Act::Quarantine), ("reject", Act::Refuse)];
/// Whom to ask for what was taken out.
const CONTACT: &str = "the administrator of your mail server";
/// Characters that may be said of whom to ask.
const LONGEST_CONTACT: usize = 500;

/// What nobody sends to a stranger in good faith, and what is used to break in.
#[rustfmt::skip]
const REFUSED_TYPES: &[&str] = &[
    "executable", "script", "macro", "disk-image", "shortcut", "onenote", "help", "html-smuggling", "svg-script",
    "external-template", "object-update", "pdf-launch", "name-bidi",
];

/// What Windows runs or mounts when it is opened: the lists of Outlook (level 1) and Gmail, without
/// what only developers have.
#[rustfmt::skip]
const REFUSED_EXTENSIONS: &[&str] = &[
    "ade", "adp", "apk", "appinstaller", "application", "appref-ms", "appx", "appxbundle", "bat", "cab", "chm", "cmd",
    "com", "cpl", "diagcab", "dll", "dmg", "exe", "gadget", "hlp", "hta", "img", "inf", "ins", "iso", "isp", "jar",
    "jnlp", "js", "jse", "lib", "library-ms", "lnk", "mde", "mht", "mhtml", "msc", "msi", "msix", "msixbundle", "msp",
    "mst", "nsh", "one", "pif", "ppkg", "ps1", "ps1xml", "ps2", "psc1", "psd1", "psm1", "rdp", "reg", "scf", "scr",
    "sct", "search-ms", "searchconnector-ms", "settingcontent-ms", "shb", "sys", "theme", "themepack", "udl", "url",
    "vb", "vbe", "vbs", "vbscript", "vhd", "vhdx", "vxd", "website", "wsc", "wsf", "wsh", "xll", "xnk", "{clsid}",
];

impl Policy {
    /// Reads the settings; mistakes go where the section collects them.
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let lists = [
            ("quarantine_types", "quarantine_extensions", Act::Quarantine),
            ("strip_types", "strip_extensions", Act::Strip),
            ("tag_types", "tag_extensions", Act::Tag),
        ];
        let (mut types, mut extensions) = (Vec::new(), Vec::new());
        for (of_types, of_extensions, act) in lists {
            types.extend(words(section, of_types, Vec::new()).into_iter().map(|word| (word, act)));
            extensions.extend(ends(section, of_extensions, Vec::new()).into_iter().map(|end| (end, act)));
        }
        // What stands in one of the lists is decided; the default is for the others.
        let usual = REFUSED_TYPES.iter().filter(|word| !types.iter().any(|(other, _)| other == *word)).copied();
        let refused = words(section, "refuse_types", usual.collect());
        types.splice(0..0, refused.into_iter().map(|word| (word, Act::Refuse)));
        let usual = REFUSED_EXTENSIONS.iter().filter(|end| !extensions.iter().any(|(other, _)| **other == ***end)).copied();
        let refused = ends(section, "refuse_extensions", usual.collect());
        extensions.splice(0..0, refused.into_iter().map(|end| (end, Act::Refuse)));
        Self {
            types,
            extensions,
            encrypted: section.choice("encrypted", ACTS, Act::Report),
            unreadable: section.choice("unreadable", ACTS, Act::Report),
            oversize: section.choice("oversize", ACTS, Act::Quarantine),
            mismatch: section.choice("mismatch", ACTS, Act::Report),
            contact: contact(section),
        }
    }
}

fn contact(section: &mut Section<'_>) -> Box<str> {
    let Some(Placed { value, span }) = section.take_placed_unless::<Box<str>>("contact", &CONTACT.into()) else { return CONTACT.into() };
    if value.trim().is_empty() || value.chars().any(char::is_control) || value.chars().count() > LONGEST_CONTACT {
        let text = format!("`{}`: write whom to ask, on one line of at most {LONGEST_CONTACT} characters", section.path("contact"));
        section.complain_at(span, text);
    }
    value
}

/// Every word that a list of types may have.
fn vocabulary() -> Vec<&'static str> {
    let kinds = Kind::ALL.iter().map(|kind| kind.name());
    let classes = Class::ALL.iter().map(|class| class.name());
    kinds.chain(classes).chain(Flag::ALL.iter().map(|flag| flag.name())).chain(names::TRICKS.iter().copied()).collect()
}

/// A list, or `usual` where there is none.
fn list(section: &mut Section<'_>, key: &'static str, usual: Vec<&str>) -> Vec<Placed<String>> {
    section.take_or(key, usual.into_iter().map(|word| Placed::nowhere(word.to_owned())).collect())
}

fn words(section: &mut Section<'_>, key: &'static str, usual: Vec<&str>) -> Vec<&'static str> {
    let known = vocabulary();
    let mut words = Vec::new();
    for Placed { value, span } in list(section, key, usual) {
        if let Some(word) = known.iter().find(|word| **word == value) {
            words.push(*word);
            continue;
        }
        let hint = nearest(&value, &known).map_or_else(
            || "there are classes such as \"executable\", kinds such as \"iso\" and traits such as \"macro\"".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        section.complain_at(span, format!("`{}`: there is no type of files `{value}`; {hint}", section.path(key)));
    }
    words
}

fn ends(section: &mut Section<'_>, key: &'static str, usual: Vec<&str>) -> Vec<Box<str>> {
    let mut ends = Vec::new();
    for Placed { value, span } in list(section, key, usual) {
        let end = value.trim_start_matches('.').to_lowercase();
        if end.is_empty() || end.contains(['.', '/', '\\', '*']) {
            section.complain_at(span, format!("`{}`: `{value}` is no extension: write \"exe\"", section.path(key)));
        } else {
            ends.push(end.into());
        }
    }
    ends
}

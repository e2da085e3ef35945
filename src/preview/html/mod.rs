//! HTML that can do nothing.
//!
//! A document is read into tokens and written anew (`rewrite`): a few elements of structure and
//! emphasis, without attributes but colours and cells; what loads, runs, submits, redirects or leads
//! away is not written, whatever it is called. Of a link its text and its true target stay, both as
//! text, of a picture its description and where it would have been loaded from. Whatever is misread
//! there becomes text: nothing that was read is written without being escaped.
//!
//! That has a shape that a browser's parser takes no time for: elements are closed where they are
//! open, a hundred deep at most, and those that a parser opens again in every block have no
//! attributes, so that there are few of them. It then goes through `ammonia`, which is to find nothing
//! left to remove; and what comes out is shown in a frame whose policy lets nothing load or run.
mod rewrite;
mod style;
mod tokens;

use std::{collections::HashSet, sync::LazyLock};

/// The policy of the document: nothing loads, nothing runs, nobody else frames it, and its origin is
/// nobody's. Styles are ours and those few that are written.
pub const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox";

/// The words of a document, without markup.
pub(super) fn words(document: &str, cut: &mut bool) -> String {
    rewrite::words(document, cut)
}

/// A document as the content of a body that can do nothing. Computes: for a thread that may.
#[must_use]
pub fn cleaned(document: &str, cut: &mut bool) -> String {
    CLEANER.clean(&rewrite::rewritten(document, cut)).to_string()
}

/// A whole document around what was cleaned.
#[must_use]
pub fn document(body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"\"><head><meta charset=\"utf-8\"><title>-</title><style>{STYLE}</style></head><body>{body}</body></html>"
    )
}

const STYLE: &str = "html{background:#fff;color:#111;font:15px/1.5 system-ui,sans-serif}body{margin:12px;overflow-wrap:anywhere}\
    table{border-collapse:collapse;max-width:100%}td,th{vertical-align:top}pre{white-space:pre-wrap}hr{border:0;border-top:1px solid #ccc}\
    .link{text-decoration:underline dotted}\
    .target,.gone{font:12px/1.4 ui-monospace,monospace;background:#fff3cd;color:#5c4400;border:1px solid #e6cf8b;border-radius:3px;padding:0 4px;margin:0 2px}\
    .gone{background:#eef1f5;color:#384152;border-color:#c8d0db}";

static CLEANER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let mut cleaner = ammonia::Builder::empty();
    cleaner
        .tags(rewrite::ELEMENTS.iter().copied().collect())
        .generic_attributes(HashSet::from(["style", "dir"]))
        .tag_attributes(
            [
                ("span", HashSet::from(["class"])),
                ("td", HashSet::from(["colspan", "rowspan"])),
                ("th", HashSet::from(["colspan", "rowspan"])),
            ]
            .into_iter()
            .collect(),
        )
        .filter_style_properties(style::PROPERTIES.iter().copied().collect())
        .url_schemes(HashSet::new())
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(None)
        .strip_comments(true);
    cleaner
});

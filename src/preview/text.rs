//! Text on which nothing hides.
use std::borrow::Cow;

/// The same text with every character that cannot be seen, or that changes how others are seen,
/// replaced by its number: `⟨U+202E⟩`. Line ends and tabs stay; other controls become their pictures.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' => shown.push('␍'),
            '\u{0}'..='\u{1f}' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('␀')),
            '\u{7f}' => shown.push('␡'),
            c if hides(c) => shown.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

/// Characters without a glyph of their own (Unicode `Cf`, `Cc`, line and paragraph separators, fillers,
/// tags, variation selectors that are not those of emoji), and blanks that look like others.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}'
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The beginning of a text, of at most so many octets.
pub(super) fn up_to(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// The same, where that is all of it or not.
pub(super) fn cut<'t>(text: Cow<'t, str>, most: usize, cut: &mut bool) -> Cow<'t, str> {
    if text.len() <= most {
        return text;
    }
    *cut = true;
    up_to(&text, most).to_owned().into()
}

//! What stages and rules have in common in the configuration.
use super::{Expression, Pattern, Vocabulary};
use crate::value::settings::{Placed, Section, nearest};
use std::ops::Range;

/// `listeners`: names of listeners; empty where it applies to all.
pub(crate) fn listeners(section: &mut Section<'_>, known: &[Box<str>]) -> Vec<Box<str>> {
    section.otherwise("listeners", "all");
    let Some(names) = section.take_placed::<Vec<Placed<Box<str>>>>("listeners") else { return Vec::new() };
    if names.value.is_empty() {
        section.complain_at(names.span, format!("`{}`: an empty list; leave it out for all listeners", section.path("listeners")));
    }
    for Placed { value, span } in &names.value {
        if !known.contains(value) {
            let known: Vec<&str> = known.iter().map(|name| &**name).collect();
            let hint =
                nearest(value, &known).map_or_else(|| format!("there are: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
            section.complain_at(span.clone(), format!("`{}`: there is no listener `{value}`; {hint}", section.path("listeners")));
        }
    }
    names.value.into_iter().map(|name| name.value).collect()
}

/// A list of patterns; what is wrong with each is reported at its place.
pub(crate) fn patterns(section: &mut Section<'_>, key: &'static str, read: fn(&str) -> Result<Pattern, String>) -> Vec<Pattern> {
    let items: Vec<Placed<String>> = section.take_or(key, Vec::new());
    let read = |item: Placed<String>| {
        let complain = |why| section.complain_at(item.span.clone(), format!("`{}`: {why}", section.path(key)));
        read(&item.value).map_err(complain).ok()
    };
    items.into_iter().filter_map(read).collect()
}

/// The condition `when`; every mistake in it is reported at its own place. `Err` where it is wrong.
pub(crate) fn when(section: &mut Section<'_>, vocabulary: &Vocabulary) -> Result<Option<Expression>, ()> {
    section.otherwise("when", "always");
    let Some(Placed { value, span }) = section.take_placed::<String>("when") else { return Ok(None) };
    match Expression::compile(&value, vocabulary) {
        Ok(expression) => Ok(Some(expression)),
        Err(mistakes) => {
            for mistake in mistakes {
                section.complain_at(within(&span, value.len(), &mistake.span), format!("`{}`: {}", section.path("when"), mistake.text));
            }
            Err(())
        }
    }
}

/// Where in the file a place in a text of `length` octets stands, whose quotes and all are at
/// `outer`: exactly, where the text is written without escapes.
fn within(outer: &Range<usize>, length: usize, inner: &Range<usize>) -> Range<usize> {
    let before = match outer.len().checked_sub(length) {
        Some(2) => 1,
        Some(6) => 3,
        // The line end after the opening quotes is not part of the text.
        Some(7) => 4,
        _ => return outer.clone(),
    };
    let start = outer.start + before + inner.start;
    start..(outer.start + before + inner.end).max(start + 1).min(outer.end)
}

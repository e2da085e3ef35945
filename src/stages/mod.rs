//! The stages there are. To add one: a file, and its line in [`KINDS`].
pub fn read(_root: &mut crate::value::settings::Section<'_>, _listeners: &[&str]) -> Vec<crate::chain::Configured> {
    Vec::new()
}

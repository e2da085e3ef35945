//! The few styles that stay: colours, weight, alignment. Nothing that hides, moves or loads.

/// CSS properties that are written.
pub(super) const PROPERTIES: [&str; 7] =
    ["color", "background-color", "font-weight", "font-style", "text-align", "text-decoration", "padding"];
/// Characters of a value.
const VALUE: usize = 40;

/// Of the declarations of a `style` attribute those that stay.
pub(super) fn kept(style: &str) -> String {
    let mut kept = String::new();
    for declaration in style.split(';').take(50) {
        let Some((property, value)) = declaration.split_once(':') else { continue };
        let (property, value) = (property.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase());
        // `background` is a colour most of the time; where it is more, it does not stay.
        let property = if property == "background" { "background-color" } else { &property };
        if PROPERTIES.contains(&property) && is_plain(&value) {
            kept.push_str(&format!("{property}:{value};"));
        }
    }
    kept
}

/// A colour of `bgcolor` and `<font>`.
pub(super) fn colour(property: &str, value: &str) -> String {
    let value = value.trim().to_ascii_lowercase();
    // `bgcolor=ffffff` is one to browsers.
    let bare = value.len() == 6 && value.bytes().all(|octet| octet.is_ascii_hexdigit());
    let value = if bare { format!("#{value}") } else { value };
    if is_plain(&value) { format!("{property}:{value};") } else { String::new() }
}

/// Words, numbers and colours. No functions but `rgb(…)`: so no `url(…)`, no `var(…)`, no `expression(…)`;
/// no escapes, no strings, no comments.
fn is_plain(value: &str) -> bool {
    let value = match value.strip_prefix("rgb(").or_else(|| value.strip_prefix("rgba(")) {
        Some(rest) => match rest.strip_suffix(')') {
            Some(inner) => inner,
            None => return false,
        },
        None => value,
    };
    !value.is_empty() && value.len() <= VALUE && value.bytes().all(|octet| octet.is_ascii_alphanumeric() || b" #.,%-!".contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_nothing_that_loads_or_hides() {
        assert_eq!(kept("COLOR: Red; background:#fff ; display:none"), "color:red;background-color:#fff;");
        assert_eq!(kept("color:rgb(1, 2,3);font-weight:bold"), "color:rgb(1, 2,3);font-weight:bold;");
        for evil in [
            "background:url(https://evil.example/x)",
            "background-color:u\\72l(x)",
            "color:expression(alert(1))",
            "color:rgb(url(x))",
            "color:/**/red",
            "position:fixed;top:0",
            "color:\"x\"",
            "opacity:0;font-size:0;visibility:hidden",
            "color:red}body{background:url(x)",
        ] {
            assert_eq!(kept(evil), "", "{evil}");
        }
        assert_eq!(colour("background-color", "FFEEDD"), "background-color:#ffeedd;");
        assert_eq!(colour("color", "url(x)"), "");
    }
}

//! The few styles that stay: backgrounds, weight, alignment. Nothing that hides, moves or loads.
//!
//! A text has a colour only together with what it stands on: an element that has a background gets a
//! colour that can be read on it, the sender's own where that can, and one without a background keeps what
//! is around it. So no text is hidden by its colour, whatever a browser's parser makes of the nesting.

/// CSS properties that are written.
pub(super) const PROPERTIES: [&str; 7] =
    ["color", "background-color", "font-weight", "font-style", "text-align", "text-decoration", "padding"];
/// Declarations of one attribute that are looked at.
const DECLARATIONS: usize = 50;
/// Characters of a value.
const VALUE: usize = 40;
/// Pixels of a padding: more moves what it is around out of sight.
const PADDING: u32 = 48;
/// What can be read (WCAG 2.2, 1.4.3).
const CONTRAST: f64 = 4.5;

/// The style of an element, as it is written, from its attributes `style`, `bgcolor`, `color` and
/// `align`, each empty where it is not there.
pub(super) fn kept(style: &str, bgcolor: &str, color: &str, align: &str) -> String {
    let (mut kept, mut background, mut text) = (String::new(), attribute(bgcolor), attribute(color));
    let align = align.trim().to_ascii_lowercase();
    if is_plain(&align) {
        kept.push_str(&format!("text-align:{align};"));
    }
    for declaration in style.split(';').take(DECLARATIONS) {
        let Some((property, value)) = declaration.split_once(':') else { continue };
        let value = value.trim().to_ascii_lowercase();
        match &*property.trim().to_ascii_lowercase() {
            // `background` is a colour most of the time; where it is more, it does not stay.
            "background" | "background-color" => background = Colour::parse(&value).or(background),
            "color" => text = Colour::parse(&value).or(text),
            "padding" if !is_narrow(&value) => {}
            property if PROPERTIES.contains(&property) && is_plain(&value) => kept.push_str(&format!("{property}:{value};")),
            _ => {}
        }
    }
    if let Some(background) = background {
        let text = text.filter(|text| text.contrast(background) >= CONTRAST).unwrap_or_else(|| background.opposite());
        kept.push_str(&format!("background-color:{};color:{};", background.written(), text.written()));
    }
    kept
}

/// Red, green, blue; nothing shines through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Colour([u8; 3]);

/// HTML 4.01 §6.5; of the others few are written in mail.
const NAMED: [(&str, [u8; 3]); 17] = [
    ("black", [0, 0, 0]),
    ("silver", [192, 192, 192]),
    ("gray", [128, 128, 128]),
    ("grey", [128, 128, 128]),
    ("white", [255, 255, 255]),
    ("maroon", [128, 0, 0]),
    ("red", [255, 0, 0]),
    ("purple", [128, 0, 128]),
    ("fuchsia", [255, 0, 255]),
    ("green", [0, 128, 0]),
    ("lime", [0, 255, 0]),
    ("olive", [128, 128, 0]),
    ("yellow", [255, 255, 0]),
    ("navy", [0, 0, 128]),
    ("blue", [0, 0, 255]),
    ("teal", [0, 128, 128]),
    ("aqua", [0, 255, 255]),
];

impl Colour {
    /// A colour in CSS, in lower case: a name, `#rgb`, `#rrggbb`, `rgb(r, g, b)`. None that is transparent
    /// in part.
    fn parse(value: &str) -> Option<Self> {
        let value = value.trim_end_matches("!important").trim();
        if let Some(digits) = value.strip_prefix('#') {
            return Self::hexadecimal(digits);
        }
        if let Some(list) = value.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')')) {
            let mut numbers = list.split(',').map(|number| number.trim().parse().ok());
            let colour = [numbers.next()??, numbers.next()??, numbers.next()??];
            return numbers.next().is_none().then_some(Self(colour));
        }
        NAMED.iter().find(|(name, _)| *name == value).map(|(_, colour)| Self(*colour))
    }

    fn hexadecimal(digits: &str) -> Option<Self> {
        if !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return None;
        }
        let number = u32::from_str_radix(digits, 16).ok()?;
        let [_, red, green, blue] = match digits.len() {
            6 => number.to_be_bytes(),
            // Each digit twice.
            3 => (((number & 0xf00) << 8) | ((number & 0xf0) << 4) | (number & 0xf)).wrapping_mul(0x11).to_be_bytes(),
            _ => return None,
        };
        Some(Self([red, green, blue]))
    }

    fn written(self) -> String {
        let Self([red, green, blue]) = self;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(self) -> f64 {
        let linear = |octet: u8| {
            let share = f64::from(octet) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        let Self([red, green, blue]) = self;
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// Black or white: what can be read better on it, which is never less than 4.5.
    fn opposite(self) -> Self {
        let (black, white) = (Self([0; 3]), Self([255; 3]));
        if self.contrast(black) >= self.contrast(white) { black } else { white }
    }
}

/// A colour of `bgcolor` and `<font>`, where `ffffff` is one too.
fn attribute(value: &str) -> Option<Colour> {
    let value = value.trim().to_ascii_lowercase();
    Colour::parse(&value).or_else(|| (value.len() == 6).then(|| Colour::hexadecimal(&value)).flatten())
}

/// Up to four lengths in pixels.
fn is_narrow(value: &str) -> bool {
    let is_one = |length: &str| length.strip_suffix("px").unwrap_or(length).parse().is_ok_and(|pixels: u32| pixels <= PADDING);
    (1..=4).contains(&value.split_ascii_whitespace().count()) && value.split_ascii_whitespace().all(is_one)
}

/// Words and numbers. No functions: so no `url(…)`, no `var(…)`, no `expression(…)`; no escapes, no
/// strings, no comments.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.len() <= VALUE && value.bytes().all(|octet| octet.is_ascii_alphanumeric() || b" #.,%-!".contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn style(style: &str) -> String {
        kept(style, "", "", "")
    }

    #[test]
    fn backgrounds_stay_with_what_can_be_read_on_them_and_nothing_that_loads_or_hides() {
        assert_eq!(style("COLOR: Red; background:#fff ; display:none"), "background-color:#ffffff;color:#000000;");
        assert_eq!(style("color:navy!important;background:#FFF"), "background-color:#ffffff;color:#000080;");
        assert_eq!(
            style("background:rgb(10, 61,122);color:#fff;padding:12px 4px"),
            "padding:12px 4px;background-color:#0a3d7a;color:#ffffff;"
        );
        assert_eq!(style("font-weight:bold;text-align:center"), "font-weight:bold;text-align:center;");
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
            "color:transparent",
            "color:#fff",
            "color:#ffffff00;background:#0000",
            "background:rgba(0,0,0,0)",
            "background:rgb(0,0,0,0)",
            "background:rgb(256,0,0)",
            "background:#+12",
            "padding:9999px",
            "padding:1px 1px 1px 1px 1px",
            "padding:-9px",
            "padding:100%",
            "padding:30em",
        ] {
            assert_eq!(style(evil), "", "{evil}");
        }
        assert_eq!(kept("", "FFEEDD", "", ""), "background-color:#ffeedd;color:#000000;");
        assert_eq!(kept("", "fed", "white", "Center"), "text-align:center;");
        assert_eq!(kept("", "url(x)", "url(x)", "url(x)"), "");
    }

    #[test]
    fn contrasts_are_those_of_the_rule() {
        let contrast = |one, other| Colour(one).contrast(Colour(other));
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
        assert!((contrast([0x77; 3], [255; 3]) - 4.48).abs() < 0.005, "WebAIM has 4.48:1 for #777 on white");
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_can_be_read(background in any::<[u8; 3]>(), text in any::<[u8; 3]>()) {
            let (background, text) = (Colour(background), Colour(text));
            let kept = style(&format!("color:{};background-color:{}", text.written(), background.written()));
            let colour = |property: &str| {
                let value = kept.split(';').find_map(|declaration| declaration.strip_prefix(property)).unwrap();
                Colour::parse(value).unwrap()
            };
            prop_assert_eq!(colour("background-color:"), background);
            prop_assert!(colour("color:").contrast(background) >= CONTRAST);
        }
    }
}

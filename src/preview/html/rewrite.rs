//! Tokens written anew.
use super::{
    super::{links::defanged, text::visible},
    style,
    tokens::{Token, Tokens},
};

/// All that is written.
pub(super) const ELEMENTS: [&str; 40] = [
    "b",
    "i",
    "u",
    "s",
    "em",
    "strong",
    "small",
    "code",
    "sub",
    "sup",
    "span",
    "div",
    "p",
    "br",
    "hr",
    "pre",
    "blockquote",
    "center",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "table",
    "caption",
    "thead",
    "tbody",
    "tfoot",
    "tr",
    "td",
    "th",
    "section",
    "article",
];
/// Those without an end.
const EMPTY: [&str; 2] = ["br", "hr"];
/// Those that parsers open again in every block that begins while they are open: no two of a name
/// differ, so that parsers keep three of each at most.
const FORMATTING: [&str; 8] = ["b", "i", "u", "s", "em", "strong", "small", "code"];
/// Elements inside each other; mail for programs of 2003 has tables thirty deep.
const DEPTH: usize = 100;
/// Elements of one document.
const MOST: usize = 20_000;
/// Characters of a target that are shown.
const TARGET: usize = 300;

/// What lies open, and where a link ends.
struct Open {
    name: &'static str,
    /// Written behind its end: the target of a link.
    after: String,
    /// What the source calls it.
    source: String,
}

struct Writer<'c> {
    out: String,
    open: Vec<Open>,
    elements: usize,
    cut: &'c mut bool,
}

/// A document of [`ELEMENTS`] only, every one closed.
pub(super) fn rewritten(document: &str, cut: &mut bool) -> String {
    let mut writer = Writer { out: String::with_capacity(document.len()), open: Vec::new(), elements: 0, cut };
    for token in Tokens::of(document) {
        if writer.elements >= MOST {
            *writer.cut = true;
            break;
        }
        match token {
            Token::Text(text) => writer.text(&text),
            Token::Start { name, attributes } => writer.start(&name, &attributes),
            Token::End(name) => writer.end(&name),
            Token::Dropped(name) => writer.dropped(&name),
        }
    }
    while let Some(open) = writer.open.pop() {
        writer.close(&open);
    }
    writer.out
}

impl Writer<'_> {
    fn text(&mut self, text: &str) {
        escape(&mut self.out, &visible(text));
    }

    /// Something that is not there, in words.
    fn gone(&mut self, class: &str, text: &str) {
        self.elements += 1;
        self.out.push_str(&format!("<span class=\"{class}\">"));
        self.text(text);
        self.out.push_str("</span>");
    }

    fn dropped(&mut self, name: &str) {
        // Styles and heads are in every mail; what else was to run or to load is worth a word.
        if matches!(name, "script" | "iframe" | "object" | "svg" | "math" | "select" | "textarea") {
            self.gone("gone", &format!("‹{name}›"));
        }
    }

    fn start(&mut self, source: &str, attributes: &[(String, String)]) {
        let value = |name: &str| attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        match source {
            "img" | "image" | "input" | "embed" | "video" | "audio" | "source" | "frame" | "area" | "meta" | "base" | "link" => {
                return self.leaf(source, &value);
            }
            "a" => return self.link(value("href")),
            "form" | "button" => self
                .gone("gone", &format!("‹{source}› {}", value("action").or_else(|| value("formaction")).map_or_else(String::new, target))),
            _ => {}
        }
        let Some(name) = written(source) else { return };
        if EMPTY.contains(&name) {
            self.elements += 1;
            self.out.push_str(&format!("<{name}>"));
            return;
        }
        if self.open.len() >= DEPTH {
            *self.cut = true;
            return;
        }
        let mut tag = format!("<{name}");
        if !FORMATTING.contains(&name) {
            self.attributes(&mut tag, name, &value);
        }
        tag.push('>');
        self.out.push_str(&tag);
        self.elements += 1;
        self.open.push(Open { name, after: String::new(), source: source.to_owned() });
    }

    fn attributes<'v>(&self, tag: &mut String, name: &str, value: &dyn Fn(&str) -> Option<&'v str>) {
        let text = |name| value(name).unwrap_or_default();
        let style = style::kept(text("style"), text("bgcolor"), text("color"), text("align"));
        if !style.is_empty() {
            tag.push_str(&format!(" style=\"{style}\""));
        }
        if let Some(dir @ ("ltr" | "rtl")) = value("dir").map(str::trim) {
            tag.push_str(&format!(" dir=\"{dir}\""));
        }
        if matches!(name, "td" | "th") {
            for span in ["colspan", "rowspan"] {
                if let Some(number) =
                    value(span).and_then(|text| text.trim().parse::<u16>().ok()).filter(|number| (2..=100).contains(number))
                {
                    tag.push_str(&format!(" {span}=\"{number}\""));
                }
            }
        }
    }

    /// Its text, and behind it where it leads.
    fn link(&mut self, href: Option<&str>) {
        if self.open.len() >= DEPTH {
            *self.cut = true;
            return;
        }
        // A link within a link ends the outer one, to browsers.
        self.end("a");
        self.out.push_str("<span class=\"link\">");
        self.elements += 2;
        self.open.push(Open { name: "span", after: href.map_or_else(String::new, target), source: "a".to_owned() });
    }

    /// What stands by itself, and where it would have been loaded from or sent to.
    fn leaf<'v>(&mut self, source: &str, value: &dyn Fn(&str) -> Option<&'v str>) {
        let from = ["src", "href", "data", "poster", "formaction"].iter().find_map(|name| value(name));
        let words = match source {
            "meta" if value("http-equiv").is_some_and(|kind| kind.trim().eq_ignore_ascii_case("refresh")) => {
                format!("‹refresh› {}", value("content").map_or_else(String::new, target))
            }
            "meta" | "link" | "source" => return,
            "input" if value("type").is_some_and(|kind| kind.trim().eq_ignore_ascii_case("hidden")) => return,
            "img" | "image" => {
                // A picture of one pixel is there to tell that somebody looked.
                let small = |name| value(name).and_then(|text| text.trim().parse::<u32>().ok()).is_some_and(|pixels| pixels <= 1);
                let what = if small("width") || small("height") { "‹img 1×1›" } else { "‹img›" };
                format!("{what} {} {}", value("alt").unwrap_or_default().trim(), from.map_or_else(String::new, target))
            }
            _ => format!(
                "‹{source}› {} {}",
                value("value").or_else(|| value("placeholder")).unwrap_or_default().trim(),
                from.map_or_else(String::new, target)
            ),
        };
        self.gone("gone", words.trim());
    }

    /// Closes what is open of that name, and what is in it.
    fn end(&mut self, source: &str) {
        let Some(at) = self.open.iter().rposition(|open| open.source == source) else {
            // `</p>` and `</br>` are something to browsers.
            if matches!(source, "p" | "br") {
                self.out.push_str("<br>");
                self.elements += 1;
            }
            return;
        };
        while self.open.len() > at {
            let Some(open) = self.open.pop() else { return };
            self.close(&open);
        }
    }

    fn close(&mut self, open: &Open) {
        self.out.push_str(&format!("</{}>", open.name));
        if !open.after.is_empty() {
            let after = open.after.clone();
            self.gone("target", &after);
        }
    }
}

/// How an element is written; `None`: its content only.
fn written(source: &str) -> Option<&'static str> {
    let name = match source {
        "font" | "big" | "tt" | "label" => "span",
        "del" | "strike" => "s",
        "ins" => "u",
        "header" | "footer" | "main" | "nav" | "form" | "fieldset" | "address" | "figure" => "div",
        other => other,
    };
    ELEMENTS.iter().copied().find(|element| *element == name)
}

fn target(url: &str) -> String {
    let shown: String = defanged(url).chars().take(TARGET + 1).collect();
    match shown.char_indices().nth(TARGET) {
        Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
        None => shown,
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// The words of a document, a line for each block; targets of links behind their texts.
pub(super) fn words(document: &str, cut: &mut bool) -> String {
    let mut out = String::new();
    let mut target_of = None;
    for (n, token) in Tokens::of(document).enumerate() {
        if n >= 10 * MOST {
            *cut = true;
            break;
        }
        match token {
            Token::Text(text) => {
                for word in text.split_ascii_whitespace() {
                    if !out.is_empty() && !out.ends_with(['\n', ' ']) {
                        out.push(' ');
                    }
                    out.push_str(word);
                }
            }
            Token::Start { name, attributes } if name == "a" => {
                target_of = attributes.into_iter().find(|(name, _)| name == "href").map(|(_, value)| target(&value));
            }
            Token::End(name) if name == "a" => {
                if let Some(target) = target_of.take().filter(|target| !target.is_empty()) {
                    out.push_str(&format!(" ‹{target}›"));
                }
            }
            Token::Start { name, .. } | Token::End(name) => {
                let is_block = matches!(
                    &*name,
                    "p" | "div" | "br" | "tr" | "li" | "table" | "h1" | "h2" | "h3" | "h4" | "blockquote" | "hr" | "ul" | "ol"
                );
                if is_block && !out.is_empty() && !out.ends_with("\n\n") {
                    out.push('\n');
                }
            }
            Token::Dropped(_) => {}
        }
    }
    out.trim().to_owned()
}

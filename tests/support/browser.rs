//! Debian's Chromium, driven through ChromeDriver (W3C WebDriver: JSON over HTTP), with a profile of
//! its own that is gone afterwards. Everything waits for what it wants to see.

use super::{partners, wait};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};
use tempfile::TempDir;

/// What WebDriver calls a reference to an element (WebDriver §12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running browser; ended when dropped.
pub struct Browser {
    driver: Child,
    at: SocketAddr,
    session: String,
    _profile: TempDir,
}

/// Light or dark, as a system prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

impl Browser {
    /// Starts one for which `mx.example.org` is at `host`; `None`, with a word, where there is no
    /// Chromium. Certificates are not checked.
    pub fn start(host: IpAddr) -> Option<Self> {
        let (chromium, chromedriver) = (partners::find("chromium")?, partners::find("chromedriver")?);
        let profile = tempfile::Builder::new().prefix("octroi-browser-").tempdir().unwrap();
        let mut driver =
            Command::new(chromedriver).arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said
            .find_map(|line| line.unwrap().split_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok())
            .expect("chromedriver does not say its port");
        // What it says goes nowhere, but has to go somewhere.
        thread::spawn(move || said.for_each(drop));
        let mut browser = Self { driver, at: ([127, 0, 0, 1], port).into(), session: String::new(), _profile: profile };
        let profile = browser._profile.path().display();
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-extensions".to_owned(),
            "--ignore-certificate-errors".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--lang=en".to_owned(),
            format!("--host-resolver-rules=MAP mx.example.org {host}, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE {host}"),
            format!("--user-data-dir={profile}"),
        ];
        let options = json!({ "args": arguments, "binary": chromium, "prefs": { "intl.accept_languages": "en" } });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "webauthn:virtualAuthenticators": true,
        } } });
        let made = browser.call("POST", "/session", &wanted).expect("no session");
        browser.session = made["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    /// One command; the error's words where it fails.
    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let mut tcp = TcpStream::connect(self.at).unwrap();
        tcp.set_read_timeout(Some(2 * wait::PATIENCE)).unwrap();
        write!(
            tcp,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        // It does not always close; its answers have a length.
        let mut reader = BufReader::new(tcp);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let value = answer["value"].clone();
        match value.get("error") {
            Some(error) => Err(format!("{error}: {}", value["message"])),
            None => Ok(value),
        }
    }

    fn try_command(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        self.call(method, &format!("/session/{}{path}", self.session), &body)
    }

    #[track_caller]
    fn command(&self, method: &str, path: &str, body: Value) -> Value {
        self.try_command(method, path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A command of the DevTools protocol.
    #[track_caller]
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.command("POST", "/goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    /// Goes to an address and waits until it is loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.command("POST", "/url", json!({ "url": url }));
    }

    #[track_caller]
    pub fn url(&self) -> String {
        self.command("GET", "/url", Value::Null).as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn title(&self) -> String {
        self.command("GET", "/title", Value::Null).as_str().unwrap().to_owned()
    }

    /// All elements that match now.
    #[track_caller]
    pub fn count(&self, css: &str) -> usize {
        self.elements(css).len()
    }

    fn elements(&self, css: &str) -> Vec<String> {
        let found = self.command("POST", "/elements", json!({ "using": "css selector", "value": css }));
        found.as_array().unwrap().iter().map(|element| element[ELEMENT].as_str().unwrap().to_owned()).collect()
    }

    /// The first element that matches, waited for.
    #[track_caller]
    pub fn find(&self, css: &str) -> String {
        let start = std::time::Instant::now();
        loop {
            if let Some(found) = self.elements(css).into_iter().next() {
                return found;
            }
            assert!(start.elapsed() < wait::PATIENCE, "no {css} at {} in\n{}", self.url(), self.source());
            wait::pause(std::time::Duration::from_millis(20));
        }
    }

    /// Waits until nothing matches any more.
    #[track_caller]
    pub fn wait_gone(&self, css: &str) {
        wait::until(&format!("{css} to go"), || self.elements(css).is_empty().then_some(()));
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        let element = self.find(css);
        self.command("POST", &format!("/element/{element}/click"), json!({}));
    }

    /// Replaces what a field has.
    #[track_caller]
    pub fn type_into(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.command("POST", &format!("/element/{element}/clear"), json!({}));
        self.command("POST", &format!("/element/{element}/value"), json!({ "text": text }));
    }

    /// Presses keys where the focus is; special ones as WebDriver writes them (`\u{E007}`: Enter).
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| [json!({ "type": "keyDown", "value": key.to_string() }), json!({ "type": "keyUp", "value": key.to_string() })])
            .collect();
        self.command("POST", "/actions", json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// What is to be read in the first element that matches, waited for.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let element = self.find(css);
        self.command("GET", &format!("/element/{element}/text"), Value::Null).as_str().unwrap().to_owned()
    }

    /// The same for all that match now.
    #[track_caller]
    pub fn texts(&self, css: &str) -> Vec<String> {
        let text = |element: &String| self.command("GET", &format!("/element/{element}/text"), Value::Null).as_str().unwrap().to_owned();
        self.elements(css).iter().map(text).collect()
    }

    /// Waits until the first element that matches has a text in which `part` is.
    #[track_caller]
    pub fn wait_text(&self, css: &str, part: &str) {
        let start = std::time::Instant::now();
        loop {
            // A page may be going while its successor comes.
            let found = self.elements(css).first().map(|element| self.try_command("GET", &format!("/element/{element}/text"), Value::Null));
            if let Some(Ok(Value::String(text))) = &found
                && text.contains(part)
            {
                return;
            }
            assert!(start.elapsed() < wait::PATIENCE, "{css} has {found:?}, not {part:?}, at {} in\n{}", self.url(), self.source());
            wait::pause(std::time::Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub fn attribute(&self, css: &str, name: &str) -> Option<String> {
        let element = self.find(css);
        self.command("GET", &format!("/element/{element}/attribute/{name}"), Value::Null).as_str().map(str::to_owned)
    }

    /// What a script returns, which is a function's body.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// Into the first frame that matches; [`leave_frame`](Self::leave_frame) comes back.
    #[track_caller]
    pub fn enter_frame(&self, css: &str) {
        let element = self.find(css);
        self.command("POST", "/frame", json!({ "id": { ELEMENT: element } }));
    }

    #[track_caller]
    pub fn leave_frame(&self) {
        self.command("POST", "/frame", json!({ "id": null }));
    }

    pub fn source(&self) -> String {
        self.try_command("GET", "/source", Value::Null).ok().and_then(|source| source.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The width of the window, and what the system prefers.
    #[track_caller]
    pub fn look(&self, width: u32, theme: Theme) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false }),
        );
        let scheme = if theme == Theme::Dark { "dark" } else { "light" };
        let features =
            json!([{ "name": "prefers-color-scheme", "value": scheme }, { "name": "prefers-reduced-motion", "value": "reduce" }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Whether axe-core is here to measure pages with.
    pub fn measures() -> bool {
        partners::unpacked("axe").is_some()
    }

    /// The language that pages are asked for in from now on.
    #[track_caller]
    pub fn speak(&self, language: &str) {
        self.devtools("Network.setExtraHTTPHeaders", json!({ "headers": { "Accept-Language": language } }));
    }

    /// What axe-core finds on the page as it is looked at now, against WCAG 2.2 A and AA and beyond, what
    /// is folded away included: a line each. Nothing where it was not fetched, which is said. A policy keeps pages from
    /// loading scripts; what is run here is not loaded by the page.
    #[track_caller]
    pub fn violations(&self) -> Vec<String> {
        const RULES: &str = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']";
        let Some(folder) = partners::unpacked("axe") else { return Vec::new() };
        if self.run("return typeof axe") == "undefined" {
            let axe = fs::read_to_string(folder.join("axe_playwright_python/axe.min.js")).unwrap();
            self.run(&format!("{axe}; window.axe = axe;"));
        }
        // The frame of a preview runs no script, and so cannot answer.
        let script = format!(
            "const done = arguments[arguments.length - 1];
             const closed = [...document.querySelectorAll('details:not([open])')];
             closed.forEach((details) => details.open = true);
             axe.run(document, {{ runOnly: {RULES}, resultTypes: ['violations'], iframes: false, preload: false }}).then(
               (found) => done(found.violations.flatMap((rule) => rule.nodes.map((node) =>
                 rule.id + ' (' + rule.impact + '): ' + node.target + ': ' + node.failureSummary.replace(/\\s+/g, ' ')))),
               (error) => done(['axe: ' + error])).finally(() => closed.forEach((details) => details.open = false));"
        );
        let found = self.command("POST", "/execute/async", json!({ "script": script, "args": [] }));
        found.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    }

    /// The whole page as it is, into `target/screenshots/NAME.png`; nothing of it may stand out beyond
    /// its width, and everybody has to be able to use it.
    #[track_caller]
    pub fn screenshot(&self, name: &str, width: u32, theme: Theme) -> PathBuf {
        self.look(width, theme);
        let shot = self.devtools("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(format!("{name}-{width}-{}.png", if theme == Theme::Dark { "dark" } else { "light" }));
        fs::write(&path, BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()).unwrap();
        let wide = self.run("return document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= u64::from(width), "{name} is {wide} wide at {width}");
        let violations = self.violations();
        assert!(violations.is_empty(), "{} is not accessible:\n{}", path.display(), violations.join("\n"));
        path
    }

    /// In both widths and both themes.
    #[track_caller]
    pub fn screenshots(&self, name: &str) {
        for width in [1280, 390] {
            for theme in [Theme::Light, Theme::Dark] {
                self.screenshot(name, width, theme);
            }
        }
    }

    /// What the console said since this was asked last, warnings and errors: also what a policy has
    /// kept from happening.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", json!({ "type": "browser" }));
        let serious = |entry: &&Value| matches!(entry["level"].as_str(), Some("WARNING" | "SEVERE"));
        log.as_array().unwrap().iter().filter(serious).map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// The addresses that were asked for since this was asked last, refused ones included.
    #[track_caller]
    pub fn requests(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", json!({ "type": "performance" }));
        let of = |entry: &Value| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let sent = message["message"]["method"] == "Network.requestWillBeSent";
            // Its own pages are not on the network.
            message["message"]["params"]["request"]["url"].as_str().filter(|url| sent && !url.starts_with("chrome://")).map(str::to_owned)
        };
        log.as_array().unwrap().iter().filter_map(of).collect()
    }

    /// A passkey's device (WebAuthn §11), which confirms whatever it is asked; its id.
    #[track_caller]
    pub fn authenticator(&self) -> String {
        let wanted = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserConsenting": true,
            "isUserVerified": true,
        });
        self.command("POST", "/webauthn/authenticator", wanted).as_str().unwrap().to_owned()
    }

    /// Takes all cookies away.
    #[track_caller]
    pub fn forget(&self) {
        self.devtools("Network.clearBrowserCookies", json!({}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // It ends the browser, too; killed with its driver alone the browser would live on.
            if let Err(error) = self.try_command("DELETE", "", Value::Null) {
                eprintln!("the browser does not end: {error}");
            }
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

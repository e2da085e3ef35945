//! The guides are true: every command in them is run, word for word, and every configuration checked.
//! `deploy/guides/README.md` says what the words after a block's language mean.

use crate::{
    package,
    support::{Gate, gate, machine::Machine, partners, wait},
};
use std::{fs, path::Path, process::Command, time::Duration};

fn guides() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/guides")
}

/// A fenced block of a guide.
struct Block {
    place: String,
    language: String,
    words: Vec<String>,
    text: String,
}

impl Block {
    fn is(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }
    fn path(&self, how: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(how))
    }
    /// What it needs that this machine may not have.
    fn need(&self) -> Option<&str> {
        const NEEDS: [&str; 5] = ["dovecot", "haproxy", "jq", "prometheus", "sqlite3"];
        self.words.iter().map(String::as_str).find(|word| NEEDS.contains(word))
    }
}

fn blocks(guide: &str) -> Vec<Block> {
    let text = fs::read_to_string(guides().join(guide)).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (n, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) => {
                let mut words = info.split_whitespace().map(str::to_owned);
                let language = words.next().unwrap_or_default();
                blocks.push(Block { place: format!("{guide}:{}", n + 1), language, words: words.collect(), text: String::new() });
                open = true;
            }
            None if open => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!open, "{guide}: a block has no end");
    blocks
}

fn all_guides() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(guides()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 9, "the guides were not found");
    names
}

/// The guides whose commands are run, in an order in which each finds what it stands on.
const WITH_POSTFIX: [&str; 6] = ["first-hour.md", "upgrade.md", "behind-haproxy.md", "submission.md", "moving.md", "incident.md"];
const WITH_EXIM: [&str; 1] = ["in-front-of-exim.md"];
const WITH_AN_AUTHORITY: [&str; 1] = ["certificates.md"];

#[test]
fn every_block_is_run_or_says_why_not() {
    for guide in all_guides() {
        let text = fs::read_to_string(guides().join(&guide)).unwrap();
        for block in blocks(&guide) {
            let known = match block.language.as_str() {
                "sh" => ["run", "wait", "fails", "unrun"].iter().any(|word| block.is(word)) || block.path("file=").is_some(),
                "toml" => block.is("check") || block.is("fragment") || block.path("append=").is_some(),
                "powershell" => block.is("unrun"),
                "text" => block.path("file=").is_some(),
                _ => false,
            };
            assert!(known, "{}: {} {:?} is no kind of block", block.place, block.language, block.words);
            let executed = ["run", "wait", "fails"].iter().any(|word| block.is(word));
            let run = [&WITH_POSTFIX[..], &WITH_EXIM, &WITH_AN_AUTHORITY].concat();
            assert!(!executed || run.contains(&&*guide), "{}: nobody runs it", block.place);
            assert!(!block.is("unrun") || text.to_lowercase().contains("not run by"), "{guide} does not say what was not run");
        }
    }
}

#[test]
fn every_configuration_is_right() {
    let dir = tempfile::tempdir().unwrap();
    gate::authority().identity(&["mx.example.org"]).write(dir.path(), "tls");
    let config = dir.path().join("octroi.toml");
    let mut wrong = String::new();
    let shipped = [("deploy/debian/octroi.toml", fs::read_to_string(guides().join("../debian/octroi.toml")).unwrap())];
    let of_guides = all_guides().into_iter().flat_map(|guide| blocks(&guide)).filter(|block| block.language == "toml");
    let texts = of_guides.map(|block| {
        let whole = if block.is("check") { block.text.clone() } else { completed(&block.text) };
        (block.place, whole)
    });
    for (place, text) in texts.chain(shipped.map(|(place, text)| (place.to_owned(), text))) {
        let here = text
            .replace("/etc/octroi/tls/fullchain.pem", dir.path().join("tls.pem").to_str().unwrap())
            .replace("/etc/octroi/tls/key.pem", dir.path().join("tls.key").to_str().unwrap())
            .replace("/usr/share/octroi/rules", guides().join("../rules").to_str().unwrap());
        fs::write(&config, here).unwrap();
        let mut check = Command::new(Gate::binary());
        check.args(["check", "--config"]).arg(&config);
        let said = partners::run_command(check, b"");
        if !said.success {
            wrong += &format!("{place}: {}\n", said.text);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A part of a configuration, with the least that makes it one.
fn completed(part: &str) -> String {
    let mut whole = "hostname = \"mx.example.org\"\n".to_owned();
    for (table, lines) in [
        ("[tls]", "certificate = \"/etc/octroi/tls/fullchain.pem\"\nprivate_key = \"/etc/octroi/tls/key.pem\""),
        ("[[listener]]", "name = \"mx\"\naddress = \"systemd:smtp\""),
        ("[upstream.default]", "addresses = [\"127.0.0.1:10025\"]"),
    ] {
        if !part.contains(table) {
            whole += &format!("{table}\n{lines}\n");
        }
    }
    whole + part
}

/// Does on `machine` what a guide says.
fn follow(machine: &Machine, guide: &str) {
    for block in blocks(guide) {
        if let Some(path) = block.path("file=").or_else(|| block.path("append=")) {
            let append = block.path("append=").is_some();
            let file = machine.path(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let before = if append { fs::read_to_string(&file).unwrap() + "\n" } else { String::new() };
            fs::write(file, before + &block.text).unwrap();
            continue;
        }
        if let Some(need) = block.need()
            && !machine.run(&format!("command -v {need}")).success
        {
            partners::skip(&format!("{}: {need} is not installed; ./test installs it", block.place));
            continue;
        }
        let script = format!("cd /root\n{}", block.text);
        if block.is("run") {
            let said = machine.run(&script);
            assert!(said.success, "{}:\n{}\n{}", block.place, block.text, said.text);
        } else if block.is("wait") {
            let what = format!("{}: {}", block.place, block.text);
            wait::until_within(Duration::from_secs(90), &what, || {
                wait::pause(Duration::from_millis(300));
                machine.run(&script).success.then_some(())
            });
        } else if block.is("fails") {
            let said = machine.run(&script);
            assert!(!said.success, "{}: went well:\n{}", block.place, said.text);
        }
    }
}

/// Somebody tries HTTP on the port of SMTP.
const ATTACK: &str = r"
exec 3<>/dev/tcp/127.0.0.1/25
read -r <&3
printf 'POST / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n' >&3
cat <&3 || true
";

#[test]
fn the_guides_about_postfix_can_be_followed() {
    let Some(machine) = Machine::boot() else { return };
    let dir = tempfile::tempdir().unwrap();
    let versions = ["1.0.0", "1.1.0"].map(|version| package::build(dir.path(), version));
    machine.must("rm -f /var/lib/man-db/auto-update");
    machine.must(package::MAIL_SERVER);
    if !machine.run("command -v prometheus").success
        && let Some(prometheus) = partners::package("prometheus")
    {
        fs::copy(prometheus, machine.path("/tmp/prometheus.deb")).unwrap();
        // Without what its pages in the browser would need.
        machine.must("dpkg --force-depends --install /tmp/prometheus.deb && systemctl stop prometheus");
    }
    let hand_over = |package: &Path| {
        let said = machine.must("rm -f /root/octroi_*.deb");
        fs::copy(package, machine.path("/root").join(package.file_name().unwrap())).unwrap();
        said
    };
    hand_over(&versions[0]);
    for guide in WITH_POSTFIX {
        match guide {
            "upgrade.md" => hand_over(&versions[1]),
            "incident.md" => machine.must(ATTACK),
            _ => String::new(),
        };
        follow(&machine, guide);
    }
    // What was sent on the way is where it should be.
    for subject in ["the first", "the second", "balanced"] {
        machine.wait_for(subject, &format!("grep -q '^Subject: {subject}$' /var/mail/b"));
    }
    machine.must("! grep -q '^Subject: the third$' /var/mail/b && ! grep -q 'your second factor' /var/mail/b");
    machine.must("cd /root/incident && sha256sum --check --quiet SHA256SUMS && test -s evidence.zip");
    // No octroi was given a socket that it does not serve.
    machine.must("! journalctl --unit octroi --unit octroi-submission --grep 'no listener names'");
    // The hook that certbot runs, with a certificate renewed.
    machine.must(
        "octroi certs --directory /tmp/renewed mx.example.org && mv /tmp/renewed/key.pem /tmp/renewed/privkey.pem
         RENEWED_LINEAGE=/tmp/renewed /etc/letsencrypt/renewal-hooks/deploy/octroi",
    );
    machine.wait_for("the renewed certificate", "journalctl --unit octroi --grep 'certificates have changed'");
    machine.wait_for("it to be served", "journalctl --unit octroi --lines 3 --grep 'new configuration holds'");
}

#[test]
fn the_guide_about_exim_can_be_followed() {
    let packages: Option<Vec<_>> = ["exim4-config", "exim4-base", "exim4-daemon-heavy"].into_iter().map(partners::package).collect();
    let Some(packages) = packages else { return };
    let Some(machine) = Machine::boot() else { return };
    let dir = tempfile::tempdir().unwrap();
    machine.must("rm -f /var/lib/man-db/auto-update && useradd --create-home b && mkdir /root/exim");
    for package in &packages {
        fs::copy(package, machine.path("/root/exim").join(package.file_name().unwrap())).unwrap();
    }
    // Debian has one mail server at a time.
    machine.must("dpkg --remove --force-depends postfix && DEBIAN_FRONTEND=noninteractive dpkg --force-depends --install /root/exim/*.deb");
    fs::copy(package::build(dir.path(), "1.0.0"), machine.path("/root/octroi.deb")).unwrap();
    machine.must(
        "dpkg --install /root/octroi.deb && octroi certs --directory /etc/octroi/tls mx.example.org
         chgrp octroi /etc/octroi/tls/*.pem && chmod 640 /etc/octroi/tls/key.pem",
    );
    follow(&machine, "in-front-of-exim.md");
    machine.wait_for("the message", "grep -q '^Subject: to Exim$' /var/mail/b");
}

/// Pebble, which the machine takes for both of Let's Encrypt's authorities.
const AUTHORITY: &str = r#"
mkdir /root/acme && cd /root/acme
octroi certs --directory . acme-v02.api.letsencrypt.org acme-staging-v02.api.letsencrypt.org
cat fullchain.pem key.pem >both.pem
cat ca.pem >>/etc/ssl/certs/ca-certificates.crt
echo '127.0.0.5 acme-v02.api.letsencrypt.org acme-staging-v02.api.letsencrypt.org' >>/etc/hosts
cat >haproxy.cfg <<'END'
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend world
    bind 127.0.0.5:443 ssl crt /root/acme/both.pem
    http-request set-path /dir if { path /directory }
    default_backend pebble
backend pebble
    server pebble 127.0.0.1:14000 ssl verify none
END
cat >pebble.json <<'END'
{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
 "certificate": "/root/acme/fullchain.pem", "privateKey": "/root/acme/key.pem", "httpPort": 80, "tlsPort": 443,
 "ocspResponderURL": "", "externalAccountBindingRequired": false}}
END
systemd-run --quiet --unit names pebble-challtestsrv -dns01 127.0.0.1:5354 -defaultIPv4 127.0.0.1 -defaultIPv6 '' \
    -http01 '' -https01 '' -tlsalpn01 '' -management 127.0.0.1:8055
systemd-run --quiet --unit authority --setenv PEBBLE_VA_NOSLEEP=1 pebble -config /root/acme/pebble.json -dnsserver 127.0.0.1:5354
systemd-run --quiet --unit world haproxy -f /root/acme/haproxy.cfg
"#;

#[test]
fn the_guide_about_certificates_can_be_followed() {
    let partners: Option<Vec<_>> = ["pebble", "pebble-challtestsrv", "haproxy", "openssl"].into_iter().map(partners::find).collect();
    if partners.is_none() {
        return;
    }
    let Some(machine) = Machine::boot() else { return };
    let dir = tempfile::tempdir().unwrap();
    machine.must("rm -f /var/lib/man-db/auto-update");
    machine.must(package::MAIL_SERVER);
    fs::copy(package::build(dir.path(), "1.0.0"), machine.path("/root/octroi.deb")).unwrap();
    machine.must("dpkg --install /root/octroi.deb");
    machine.must(package::BEHIND);
    machine.must(AUTHORITY);
    machine.wait_for("the authority", "curl --silent --fail https://acme-v02.api.letsencrypt.org/directory");
    follow(&machine, "certificates.md");
    let served = "openssl s_client -starttls smtp -connect 127.0.0.1:25 </dev/null 2>/dev/null | openssl x509 -noout -issuer";
    let issuer = machine.must(served);
    assert!(issuer.contains("Pebble"), "{issuer}");
    machine.must("! journalctl --unit octroi --grep 'no certificate could be obtained'");
}

//! The stage against a DNS server with a script, without a gate around it.
use crate::{
    chain::{Decision, Report, Value, Verdict},
    dns::{
        Resolver, Settings as DnsSettings,
        server::{self, Dns},
    },
    message::{Client, Content, Edit, Envelope, HeaderBlock, Message},
    smtp::{Address, Domain, Mail, ReversePath},
    stages::{Surroundings, tests::surroundings},
    value::{
        Id,
        settings::{Problems, Section},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use mail_auth::{
    common::{crypto::Ed25519Key, headers::HeaderWriter},
    dkim::DkimSigner,
};
use std::{sync::Arc, time::Duration};
use toml::de::DeTable;

mod author;
mod chains;
mod envelope;
mod policies;
mod signatures;

/// The world around the stage: a DNS server, and the one who signs.
struct World {
    dns: Dns,
    key: Vec<u8>,
}

/// What the stage said.
struct Said {
    at_mail: Decision,
    report: Report,
}

const FROM: &str = "From: Ann <ann@example.org>\r\nTo: b@example.net\r\nSubject: hello\r\n";
const BODY: &str = "A body.\r\nOf two lines.\r\n";

impl World {
    /// Everything in it is as it should be: `mail.example.org` at 192.0.2.1 sends for `example.org`,
    /// which signs, and wants what is not its own refused.
    fn new() -> Self {
        let world = Self { dns: Dns::start(), key: Ed25519Key::generate_pkcs8().unwrap() };
        world.dns.pointer("192.0.2.1", "mail.example.org").address("mail.example.org", "192.0.2.1");
        world.dns.txt("example.org", "v=spf1 a:mail.example.org -all").txt("mail.example.org", "v=spf1 a -all");
        world.dns.txt("_dmarc.example.org", "v=DMARC1; p=reject; sp=quarantine");
        world.publish("example.org");
        world
    }

    fn key(&self) -> Ed25519Key {
        Ed25519Key::from_pkcs8_der(&self.key).unwrap()
    }

    /// The key of the selector `s`.
    fn publish(&self, domain: &str) {
        let public = STANDARD.encode(self.key().public_key());
        self.dns.txt(&format!("s._domainkey.{domain}"), &format!("v=DKIM1; k=ed25519; p={public}"));
    }

    /// A header section with a signature of `domain` on top.
    fn signed(&self, domain: &str, headers: &str, body: &str) -> String {
        let signer = DkimSigner::from_key(self.key()).domain(domain).selector("s").headers(["From", "To", "Subject"]);
        let signature = signer.sign(format!("{headers}\r\n{body}").as_bytes()).unwrap();
        signature.to_header() + headers
    }

    fn resolver(&self) -> Resolver {
        let settings = DnsSettings { resolvers: vec![self.dns.address], timeout: Duration::from_millis(500), ..DnsSettings::default() };
        Resolver::new(&settings)
    }

    /// Runs the stage with `settings` over a message from `sender`.
    async fn says(&self, settings: &str, sender: &str, headers: &str, body: &str) -> Said {
        self.says_of(&client(), settings, sender, headers, body).await
    }

    async fn says_of(&self, client: &Arc<Client>, settings: &str, sender: &str, headers: &str, body: &str) -> Said {
        let text = format!("[[stage]]\ntype = \"auth\"\n{settings}\n");
        let (table, errors) = DeTable::parse_recoverable(&text);
        assert!(errors.is_empty(), "{errors:?}");
        let problems = Problems::default();
        let surroundings = Surroundings { dns: self.resolver(), ..surroundings() };
        let stages = crate::stages::read(&mut Section::root(&table, problems.clone()), &surroundings);
        assert_eq!(problems.take(), []);
        let mut inspection = stages[0].stage.begin(client).await.unwrap();
        let mail = Mail::new(ReversePath(Address::parse(sender, false)));
        let at_mail = inspection.mail(client, &mail, Id::generate()).await.unwrap();
        let block = HeaderBlock::new(Bytes::copy_from_slice(headers.as_bytes()));
        assert_eq!(inspection.headers(&block).await.unwrap(), Decision::Go);
        for piece in body.as_bytes().chunks(7) {
            if inspection.body(&Bytes::copy_from_slice(piece)).await.unwrap() == Decision::Done {
                break;
            }
        }
        let content = Content::from_bytes(format!("{headers}\r\n{body}"));
        let message = Message::new(Envelope { mail, recipients: vec![] }.into(), block, content);
        Said { at_mail, report: inspection.end_of_message(&message).await.unwrap() }
    }
}

fn client() -> Arc<Client> {
    let address = "192.0.2.1:4711".parse().unwrap();
    let hello = Domain::parse("mail.example.org").map(|domain| (domain, true));
    Arc::new(Client { listener: "mx".into(), address, local: address, tls: None, hello, account: None, mechanism: None })
}

impl Said {
    /// All values of a finding.
    fn all(&self, name: &str) -> Vec<String> {
        self.report.findings.iter().filter(|finding| finding.name == name).map(|finding| finding.value.to_string()).collect()
    }
    fn found(&self, name: &str) -> String {
        self.all(name).join(" ")
    }
    fn is_true(&self, name: &str) -> bool {
        self.report.findings.iter().any(|finding| finding.name == name && finding.value == Value::Flag(true))
    }
    /// The refusal of the message, or what else became of it.
    fn verdict(&self) -> String {
        match &self.report.verdict {
            Verdict::Refuse(refusal) => refusal.to_string(),
            Verdict::Quarantine(hold) => format!("{}: {}", hold.class.as_str(), hold.reason),
            other => format!("{other:?}"),
        }
    }
    fn at_mail(&self) -> String {
        match &self.at_mail {
            Decision::Refuse(refusal) => refusal.to_string(),
            other => format!("{other:?}"),
        }
    }
    /// The value of the field that is put on top.
    fn header(&self) -> &str {
        let [Edit::InsertHeader { at: 0, name, value }] = self.report.edits.as_slice() else { panic!("{:?}", self.report.edits) };
        assert_eq!(&**name, "Authentication-Results");
        std::str::from_utf8(value).unwrap()
    }
}

#[tokio::test]
async fn a_message_that_is_what_it_says_passes_everything() {
    let world = World::new();
    let said = world.says("dmarc = \"policy\"", "ann@example.org", &world.signed("example.org", FROM, BODY), BODY).await;
    assert_eq!((said.at_mail(), said.verdict()), ("Go".into(), "Deliver".into()));
    for (name, value) in [
        ("auth.iprev", "pass"),
        ("auth.spf", "pass"),
        ("auth.spf_domain", "example.org"),
        ("auth.spf_helo", "pass"),
        ("auth.dkim", "pass"),
        ("auth.dkim_domains", "example.org"),
        ("auth.dmarc", "pass"),
        ("auth.policy", "reject"),
        ("auth.dmarc_domain", "example.org"),
        ("auth.arc", "none"),
        ("auth.from_domain", "example.org"),
        ("auth.ambiguous", ""),
    ] {
        assert_eq!(said.found(name), value, "{name}");
    }
    let header = said.header();
    let tag = header.split("header.b=").nth(1).unwrap().split(';').next().unwrap();
    assert_eq!(
        header,
        format!(
            "gate.example;\n\tiprev=pass policy.iprev=192.0.2.1 (mail.example.org);\n\tspf=pass smtp.helo=mail.example.org;\n\t\
             spf=pass smtp.mailfrom=example.org;\n\tdkim=pass header.d=example.org header.s=s header.b={tag};\n\t\
             dmarc=pass policy.dmarc=reject header.from=example.org"
        )
    );
}

#[tokio::test]
async fn a_client_that_has_signed_in_is_asked_for_one_author_only() {
    let world = World::new();
    let client = Arc::new(Client { account: Some("ann".into()), ..(*client()).clone() });
    let said = world.says_of(&client, "spf_fail = \"reject\"\ndmarc = \"policy\"", "x@other.example", FROM, BODY).await;
    assert_eq!((said.at_mail(), said.verdict(), said.report.edits.len()), ("Go".into(), "Deliver".into(), 0));
    assert_eq!((said.found("auth.spf"), said.found("auth.from_domain")), (String::new(), "example.org".into()));
    assert_eq!(world.dns.asked(), Vec::<String>::new());
    let said = world.says_of(&client, "", "x@other.example", "Subject: x\r\n", BODY).await;
    assert_eq!(said.verdict(), "550 5.7.1 message refused: it has no From field");
}

#[test]
fn mistakes_in_the_settings_are_told() {
    let (_, found) = crate::stages::tests::read(
        "[[stage]]\ntype = \"auth\"\ntimeout = \"5s\"\nspf_fail = \"drop\"\ntrusted_sealers = [\"a b\"]\ndns_timeout = \"5s\"\n",
    );
    let found: Vec<_> = found.iter().map(|(place, text)| (place.as_str(), text.as_str())).collect();
    let expected = [
        ("\"drop\"", "`stage.spf_fail`: `drop` is none of \"report\", \"reject\""),
        ("\"a b\"", "`stage.trusted_sealers`: `a b` is no domain"),
        ("\"5s\"", "`stage.dns_timeout`: must be more than nothing and less than the stage's `timeout`, 5s"),
    ];
    assert_eq!(found, expected);
}

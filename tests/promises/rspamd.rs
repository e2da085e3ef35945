//! Rspamd itself behind octroi, over its own protocol and as a milter.

use crate::support::{
    Client, Gate, Mta, Reply, Setup,
    partners::rspamd::{PATTERNS, Rspamd},
    places,
};

fn mail(body: &str) -> Vec<u8> {
    format!(
        "From: Alice <a@example.net>\r\nTo: b@example.org\r\nSubject: an offer\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <1@example.net>\r\nX-Spam: forged\r\n\r\n{body}\r\n"
    )
    .into_bytes()
}
fn send(gate: &Gate, body: &str) -> Reply {
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &mail(body))
}

#[test]
fn actions_scores_and_changes_arrive_over_its_own_protocol() {
    let Some(mut rspamd) = Rspamd::start() else { return };
    let mta = Mta::start();
    let stage = format!("[[stage]]\ntype = \"rspamd\"\naddress = \"inet:{}\"\n", rspamd.http);
    let rules = "[[rule]]\nname = \"score\"\nwhen = 'rspamd.action == \"no action\" && rspamd.score < 15.0 && !(\"GTUBE\" in rspamd.symbols)'\n\
        then = \"tag\"\nadd = [\"X-Score: {rspamd.score} of {rspamd.required_score}\"]\n";
    let gate = Setup::before(mta.address()).mx().and(&stage).and(rules).start();

    send(&gate, "hello").must(250);
    let kept = String::from_utf8(mta.kept().pop().unwrap().content).unwrap();
    assert!(kept.contains("X-Score: ") && kept.contains(" of 15\r\n"), "{kept}");
    assert!(!kept.contains("X-Spam: forged"), "Rspamd removes what others said: {kept}");

    let [reject, mark, rewrite] = PATTERNS;
    let reply = send(&gate, reject);
    assert_eq!((reply.code, &*reply.text()), (554, "5.7.1 Gtube pattern"));
    gate.log_line(&["verdict=rejected", "stage=rspamd", "rspamd.action=reject", "rspamd.symbols=GTUBE"]);
    send(&gate, mark).must(250);
    assert!(String::from_utf8(mta.kept().pop().unwrap().content).unwrap().contains("\r\nX-Spam: Yes\r\n"));
    send(&gate, rewrite).must(250);
    let kept = String::from_utf8(mta.kept().pop().unwrap().content).unwrap();
    assert!(kept.contains("\r\nSubject: *** SPAM *** an offer\r\n"), "{kept}");

    rspamd.kill();
    send(&gate, "hello").must(451);
    assert_eq!(mta.kept().len(), 3);
}

#[test]
fn it_is_a_milter_as_well() {
    let Some(mut rspamd) = Rspamd::start() else { return };
    let mta = Mta::start();
    let stage = format!("[[stage]]\nname = \"rspamd\"\ntype = \"milter\"\naddress = \"inet:{}\"\n", rspamd.milter);
    let gate = Setup::before(mta.address()).mx().and(&stage).start();
    let mut client = Client::greeted(gate.mx());
    let [reject, mark, rewrite] = PATTERNS;
    for (body, expected) in [("hello", 250), (reject, 554), ("again", 250), (mark, 250), (rewrite, 250)] {
        let reply = client.deliver("a@example.net", &["b@example.org"], &mail(body));
        assert_eq!(reply.code, expected, "{body}: {reply:?}");
    }
    let kept: Vec<_> = mta.kept().into_iter().map(|kept| String::from_utf8(kept.content).unwrap()).collect();
    assert_eq!(kept.len(), 4);
    assert!(kept[2].contains("\r\nX-Spam: Yes\r\n"), "{}", kept[2]);
    assert!(kept[3].contains("SPAM") && kept[3].contains("an offer"), "{}", kept[3]);
    rspamd.kill();
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(451);
}

#[test]
fn one_that_is_absent_fails_as_configured() {
    let mta = Mta::start();
    for (on_error, code) in [("tempfail", 451), ("accept", 250), ("reject", 554)] {
        let stage = format!("[[stage]]\ntype = \"rspamd\"\naddress = \"inet:{}\"\non_error = \"{on_error}\"\n", places::free());
        let gate = Setup::before(mta.address()).mx().and(&stage).start();
        send(&gate, "hello").must(code);
    }
    let kept = String::from_utf8(mta.only().content).unwrap();
    assert!(kept.contains("\r\nX-Octroi-Incomplete: rspamd (failed)\r\n"), "{kept}");
}

use super::*;

fn cause(sender: &str, authenticated: bool) -> Cause<'_> {
    Cause { class: HoldClass::Policy, decided_by: "rule x", sender, authenticated }
}

#[tokio::test]
async fn what_takes_two_is_released_by_two_and_never_by_one_under_two_hats() {
    let place = Place::new();
    let id = place.keep_as(HoldClass::Malware, &["b@example.org", "c@example.org"]).await.unwrap().id().to_string();
    let entry = place.quarantine.entry(&id).await.unwrap();
    let quarantine = &place.quarantine;
    assert_eq!(quarantine.claim(entry.clone(), claim(&[], false)).await.unwrap_err(), QuarantineError::NeedsSecond("malware".into()));
    let only_c = ["C@example.org".to_owned()];
    let ask = Ask { by: "anna".into(), recipients: &only_c, again: false, why: "it is the invoice\u{1b}[31m we wait for" };
    quarantine.ask(&entry, ask.clone()).await.unwrap();
    assert!(
        matches!(quarantine.ask(&entry, Ask { by: "bert".into(), ..ask.clone() }).await, Err(QuarantineError::Conflict(_))),
        "one at a time"
    );
    let request = quarantine.pending(&id).await.unwrap().unwrap();
    assert_eq!(
        (request.why.as_str(), request.recipients.as_slice()),
        ("it is the invoice[31m we wait for", &["c@example.org".to_owned()][..])
    );
    let approve = |by: &'static str| Claim { recipients: &[], again: false, by: By::from(by), request: Some(&request) };
    assert!(quarantine.claim(entry.clone(), approve("anna")).await.is_err(), "she asked herself");
    let claimed = quarantine.claim(entry.clone(), approve("bert")).await.unwrap();
    assert_eq!(claimed.recipients.len(), 1, "what was asked for, no more");
    assert!(quarantine.claim(entry, approve("carl")).await.is_err(), "it is approved once");
    let entry = quarantine.entry(&id).await.unwrap();
    assert_eq!(quarantine.claim(entry, claim(&[], false)).await.unwrap_err(), QuarantineError::NeedsSecond("malware".into()));
    let decided = quarantine.requests(&id).await.unwrap().remove(0);
    assert_eq!((decided.state, decided.decided_by.as_deref()), (RequestState::Approved, Some("bert")));
}

#[tokio::test]
async fn a_denied_request_releases_nothing_and_another_may_be_made() {
    let place = Place::new();
    let quarantine = &place.quarantine;
    let id = place.keep_as(HoldClass::Malware, &["b@example.org"]).await.unwrap().id().to_string();
    let entry = quarantine.entry(&id).await.unwrap();
    let ask = Ask { by: "anna".into(), recipients: &[], again: false, why: "" };
    quarantine.ask(&entry, ask.clone()).await.unwrap();
    assert_eq!(quarantine.asked(std::slice::from_ref(&id)).await.unwrap(), std::slice::from_ref(&id));
    let request = quarantine.pending(&id).await.unwrap().unwrap();
    quarantine.deny(&request, "bert").await.unwrap();
    assert!(quarantine.deny(&request, "carl").await.is_err());
    let late = Claim { recipients: &[], again: false, by: "bert".into(), request: Some(&request) };
    assert!(quarantine.claim(entry.clone(), late).await.is_err());
    assert_eq!(quarantine.entry(&id).await.unwrap().recipients[0].state, RecipientState::Held, "nothing of the batch was done");
    quarantine.ask(&entry, ask.clone()).await.unwrap();
    let spam = quarantine.entry(&place.keep_as(HoldClass::Spam, &["b@example.org"]).await.unwrap().id().to_string()).await.unwrap();
    assert!(matches!(quarantine.ask(&spam, ask.clone()).await, Err(QuarantineError::Conflict(_))), "one will do");
}

#[tokio::test]
async fn what_nobody_knows_of_two_may_want_once_more() {
    let place = Place::new();
    let quarantine = &place.quarantine;
    let id = place.keep_as(HoldClass::Malware, &["b@example.org", "c@example.org"]).await.unwrap().id().to_string();
    let ask = |again| Ask { by: "anna".into(), recipients: &[], again, why: "" };
    let approved = async || {
        let request = quarantine.pending(&id).await.unwrap().unwrap();
        let claim = Claim { recipients: &[], again: false, by: "bert".into(), request: Some(&request) };
        quarantine.claim(quarantine.entry(&id).await.unwrap(), claim).await.unwrap()
    };
    quarantine.ask(&quarantine.entry(&id).await.unwrap(), ask(false)).await.unwrap();
    quarantine.settle(&approved().await.unknown("the connection ended")).await.unwrap();
    let entry = quarantine.entry(&id).await.unwrap();
    let refused = quarantine.ask(&entry, ask(false)).await.unwrap_err();
    assert!(
        matches!(&refused, QuarantineError::Conflict(Conflict::MayHaveIt { address, .. }) if &**address == "b@example.org"),
        "{refused:?}"
    );
    quarantine.ask(&entry, ask(true)).await.unwrap();
    let claimed = approved().await;
    assert_eq!(claimed.recipients.len(), 2);
    quarantine.settle(&claimed.released("250 ok")).await.unwrap();
    // Released to all: the same two may want that again, and one alone not.
    let entry = quarantine.entry(&id).await.unwrap();
    assert_eq!((entry.state, quarantine.ask(&entry, ask(false)).await.unwrap_err()), (State::Released, Conflict::Released.into()));
    quarantine.ask(&entry, ask(true)).await.unwrap();
    assert_eq!(approved().await.recipients.len(), 2);
}

#[tokio::test]
async fn an_address_that_is_said_again_and_again_is_one() {
    let place = Place::new();
    let quarantine = &place.quarantine;
    let many: Vec<String> = (0..5000).map(|n| if n % 2 == 0 { "b@example.org".to_owned() } else { "B@Example.org".to_owned() }).collect();
    let entry = quarantine.entry(&place.keep(&["b@example.org"]).await).await.unwrap();
    quarantine.allow(&entry, Allow { domain: false, recipients: &many, lasts: Allow::USUAL, by: "anna".into() }).await.unwrap();
    assert_eq!(quarantine.allowances(&Visible::All).await.unwrap().len(), 1);
    let id = place.keep_as(HoldClass::Malware, &["b@example.org"]).await.unwrap().id().to_string();
    let entry = quarantine.entry(&id).await.unwrap();
    quarantine.ask(&entry, Ask { by: "anna".into(), recipients: &many, again: false, why: "" }).await.unwrap();
    assert_eq!(quarantine.pending(&id).await.unwrap().unwrap().recipients, ["b@example.org"]);
}

#[tokio::test]
async fn a_request_names_to_each_his_own_recipients() {
    let place = Place::new();
    let quarantine = &place.quarantine;
    let id = place.keep_as(HoldClass::Malware, &["x@a.example", "y@b.example"]).await.unwrap().id().to_string();
    let both = ["x@a.example".to_owned(), "y@b.example".to_owned()];
    let ask = Ask { by: "anna".into(), recipients: &both, again: false, why: "" };
    quarantine.ask(&quarantine.entry(&id).await.unwrap(), ask).await.unwrap();
    let mut request = quarantine.pending(&id).await.unwrap().unwrap();
    request.show_to(&Visible::Domains(["a.example".to_owned()].into()));
    assert_eq!((request.recipients.as_slice(), request.hidden), (&["x@a.example".to_owned()][..], 1));
    assert!(!request.json().to_string().contains("y@b.example"));
}

#[tokio::test]
async fn words_are_added_and_stay() {
    let place = Place::new();
    let id = place.keep(&["b@example.org"]).await;
    let quarantine = &place.quarantine;
    quarantine.note(&id, "anna", " first\r\nline two\u{7} ").await.unwrap();
    quarantine.note(&id, "bert", &"x".repeat(10_000)).await.unwrap();
    assert!(matches!(quarantine.note(&id, "bert", "\u{1b}\r\n").await, Err(QuarantineError::Wrong(_))));
    assert!(matches!(quarantine.note("01NOTHING", "bert", "x").await, Err(QuarantineError::NoEntry(_))));
    let notes = quarantine.notes(&id).await.unwrap();
    assert_eq!((notes[0].by.as_str(), notes[0].text.as_str(), notes[1].text.len()), ("anna", "first\nline two", 4000));
    let change = Statement::new("UPDATE quarantine_note SET text = 'other'");
    assert!(quarantine.0.database.write(vec![change]).await.is_err());
    quarantine.assign(&id, Some("bert"), "anna").await.unwrap();
    let mine = Filter { assigned: Some(Assigned::To("bert".into())), ..Filter::default() };
    assert_eq!(quarantine.page(&mine, Order::default(), None, 9).await.unwrap().entries.len(), 1);
    quarantine.delete(&id, "anna").await.unwrap();
    assert!(quarantine.assign(&id, None, "anna").await.is_err());
}

#[tokio::test]
async fn an_allowance_is_for_this_sender_recipient_and_cause_and_for_a_while() {
    let place = Place::new();
    let quarantine = &place.quarantine;
    let entry = quarantine.entry(&place.keep(&["b@example.org", "c@example.org"]).await).await.unwrap();
    let only_b = ["b@example.org".to_owned()];
    let allow = Allow { domain: false, recipients: &only_b, lasts: Allow::USUAL, by: "anna".into() };
    let both: Vec<String> = ["b@example.org", "c@example.org"].map(str::to_owned).into();
    assert!(quarantine.allowed(cause("sender@example.net", false), &both).await.unwrap().is_empty());
    quarantine.allow(&entry, allow.clone()).await.unwrap();
    let allowed = async |cause: Cause<'_>| {
        let found = quarantine.allowed(cause, &both).await.unwrap();
        found.into_iter().map(|(recipient, _)| recipient).collect::<Vec<_>>()
    };
    assert_eq!(allowed(cause("sender@example.net", false)).await, only_b);
    let others = [
        cause("other@example.net", false),
        Cause { class: HoldClass::Spam, ..cause("sender@example.net", false) },
        Cause { class: HoldClass::Malware, ..cause("sender@example.net", false) },
        Cause { decided_by: "rule y", ..cause("sender@example.net", false) },
    ];
    for other in others {
        assert!(allowed(other).await.is_empty(), "{other:?}");
    }
    quarantine.allow(&entry, Allow { domain: true, ..allow.clone() }).await.unwrap();
    assert_eq!(allowed(cause("other@example.net", false)).await, only_b);
    assert!(allowed(cause("other@sub.example.net", false)).await.is_empty());
    for one in quarantine.allowances(&Visible::All).await.unwrap() {
        quarantine.revoke(&one, "bert").await.unwrap();
        assert!(quarantine.revoke(&one, "bert").await.is_err());
    }
    assert!(allowed(cause("sender@example.net", false)).await.is_empty());
    quarantine.allow(&entry, Allow { lasts: Duration::from_millis(1), ..allow.clone() }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(allowed(cause("sender@example.net", false)).await.is_empty(), "its time is over");
}

#[tokio::test]
async fn what_was_authenticated_once_has_to_be_again() {
    let place = Place::new();
    let quarantine = &place.quarantine;
    let mut entry = quarantine.entry(&place.keep(&["b@example.org"]).await).await.unwrap();
    entry.findings = r#"[{"name":"auth.spf","value":"pass"},{"name":"auth.spf_domain","value":"Example.net"}]"#.into();
    let recipients = ["b@example.org".to_owned()];
    quarantine.allow(&entry, Allow { domain: false, recipients: &recipients, lasts: Allow::LONGEST, by: "anna".into() }).await.unwrap();
    assert!(quarantine.allowed(cause("sender@example.net", false), &recipients).await.unwrap().is_empty());
    assert_eq!(quarantine.allowed(cause("sender@example.net", true), &recipients).await.unwrap().len(), 1);
    let spf = |result: &str, domain: &str| [Finding::text("auth.spf", result), Finding::text("auth.spf_domain", domain)];
    assert!(is_authenticated("a@example.net", &spf("pass", "example.NET")));
    assert!(!is_authenticated("a@example.net", &spf("pass", "other.example")));
    assert!(!is_authenticated("a@example.net", &spf("softfail", "example.net")));
    assert!(!is_authenticated("", &spf("pass", "")));
}

#[tokio::test]
async fn nothing_lets_malware_pass_nor_what_was_not_looked_at() {
    let place = Place::new();
    let recipients = ["b@example.org".to_owned()];
    let allow = Allow { domain: false, recipients: &recipients, lasts: Allow::USUAL, by: "anna".into() };
    for class in [HoldClass::Malware, HoldClass::Incomplete] {
        let entry = place.quarantine.entry(&place.keep_as(class, &["b@example.org"]).await.unwrap().id().to_string()).await.unwrap();
        assert!(matches!(place.quarantine.allow(&entry, allow.clone()).await, Err(QuarantineError::Conflict(_))));
    }
    let entry = place.quarantine.entry(&place.keep(&["b@example.org"]).await).await.unwrap();
    let too_long = Allow { lasts: Allow::LONGEST + Duration::from_secs(1), ..allow.clone() };
    assert!(matches!(place.quarantine.allow(&entry, too_long).await, Err(QuarantineError::Wrong(_))));
    let stranger = ["x@example.org".to_owned()];
    assert!(place.quarantine.allow(&entry, Allow { recipients: &stranger, ..allow.clone() }).await.is_err());
}

use super::*;
use std::collections::BTreeSet;

fn domains(names: &[&str]) -> Visible {
    Visible::Domains(names.iter().map(|name| (*name).to_owned()).collect())
}

async fn ids(place: &Place, filter: &Filter, order: Order) -> Vec<String> {
    // Page by page, so that every list tries that too.
    let (mut found, mut cursor) = (Vec::new(), None::<Cursor>);
    loop {
        let page = place.quarantine.page(filter, order, cursor.as_ref(), 2).await.unwrap();
        found.extend(page.entries.into_iter().map(|entry| entry.id));
        let Some(next) = page.next else { return found };
        cursor = Some(Cursor::parse(&next.to_string()).unwrap());
    }
}

#[tokio::test]
async fn a_reviewer_sees_what_is_held_for_his_domains_and_of_it_his_recipients() {
    let place = Place::new();
    let of_a = place.keep(&["x@a.example", "y@b.example"]).await;
    let of_b = place.keep(&["y@b.example"]).await;
    let quoted = place.keep(&["\"x@a.example\"@c.example"]).await;
    let list = async |visible| ids(&place, &Filter { visible, ..Filter::default() }, Order::default()).await;
    assert_eq!(list(Visible::All).await.len(), 3);
    assert_eq!(list(domains(&["a.example"])).await, std::slice::from_ref(&of_a));
    assert_eq!(list(domains(&["c.example"])).await, [quoted]);
    let both: BTreeSet<_> = list(domains(&["a.example", "b.example"])).await.into_iter().collect();
    assert_eq!(both, BTreeSet::from([of_a.clone(), of_b.clone()]), "once, though two recipients match");
    assert!(list(domains(&[])).await.is_empty() && list(domains(&["example"])).await.is_empty());
    let entry = place.quarantine.visible(&of_a, &domains(&["a.example"])).await.unwrap();
    assert_eq!((entry.recipients.len(), entry.recipients[0].address.as_str(), entry.hidden), (1, "x@a.example", 1));
    assert_eq!(
        place.quarantine.visible(&of_b, &domains(&["a.example"])).await.unwrap_err(),
        QuarantineError::NoEntry(of_b.as_str().into())
    );
    let of_others = Filter { visible: domains(&["a.example"]), recipient: Some("y@b.example".into()), ..Filter::default() };
    // The message was to both, so it is his to see; that it was to the other is not told him.
    assert!(ids(&place, &of_others, Order::default()).await.is_empty(), "he would learn of recipients that are not his");
    let counts = place.quarantine.counts(&domains(&["a.example", "b.example"])).await.unwrap();
    assert_eq!(counts.states[0], (State::Held, Count { entries: 2, or_more: false }));
    assert_eq!(counts.classes[3], (HoldClass::Policy, Count { entries: 2, or_more: false }));
}

#[tokio::test]
async fn every_filter_finds_what_it_says_in_every_order() {
    let place = Place::new();
    let mut kept = Vec::new();
    for (n, from) in ["d@x.example", "b@x.example", "c@y.example", "a@y.example", "e@x.example"].iter().enumerate() {
        let class = if n % 2 == 0 { HoldClass::Spam } else { HoldClass::Policy };
        kept.push(place.keep_from(from, class, &["b@example.org", "c@example.org"]).await.unwrap().id().to_string());
    }
    place.quarantine.legal_hold(&kept[1], true, "x").await.unwrap();
    place.quarantine.delete(&kept[4], "x").await.unwrap();
    let newest = |of: &[usize]| {
        let mut found: Vec<_> = of.iter().map(|n| kept[*n].clone()).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    };
    let filter = Filter::default;
    let cases = [
        (filter(), vec![0, 1, 2, 3, 4]),
        (Filter { state: Some(State::Held), ..filter() }, vec![0, 1, 2, 3]),
        (Filter { state: Some(State::Deleted), ..filter() }, vec![4]),
        (Filter { class: Some(HoldClass::Spam), ..filter() }, vec![0, 2, 4]),
        (Filter { class: Some(HoldClass::Spam), state: Some(State::Held), ..filter() }, vec![0, 2]),
        (Filter { sender: Some("B@x.example".into()), ..filter() }, vec![1]),
        (Filter { sender: Some("@y.example".into()), ..filter() }, vec![2, 3]),
        (Filter { recipient: Some("c@example.org".into()), sender: Some("@y.example".into()), ..filter() }, vec![2, 3]),
        (Filter { text: Some("one TWO".into()), ..filter() }, vec![0, 1, 2, 3, 4]),
        (Filter { text: Some("y.exam".into()), class: Some(HoldClass::Policy), ..filter() }, vec![3]),
        (Filter { text: Some("\" OR 1".into()), ..filter() }, vec![]),
        (Filter { text: Some("-- ;".into()), ..filter() }, vec![]),
        (Filter { finding: Some("limits.parts".into()), ..filter() }, vec![0, 1, 2, 3, 4]),
        (Filter { finding: Some("limits".into()), ..filter() }, vec![]),
        (Filter { decided_by: Some("rule x".into()), state: Some(State::Deleted), ..filter() }, vec![4]),
        (Filter { legal_hold: true, ..filter() }, vec![1]),
        (Filter { asked: true, ..filter() }, vec![]),
        (Filter { assigned: Some(Assigned::Nobody), class: Some(HoldClass::Policy), ..filter() }, vec![1, 3]),
        (Filter { after: Some(SystemTime::now() - Duration::from_secs(60)), ..filter() }, vec![0, 1, 2, 3, 4]),
        (Filter { before: Some(SystemTime::now() - Duration::from_secs(60)), ..filter() }, vec![]),
        (Filter { visible: domains(&["example.org"]), class: Some(HoldClass::Policy), ..filter() }, vec![1, 3]),
    ];
    for (filter, expected) in cases {
        let (newest, mut oldest) = (newest(&expected), newest(&expected));
        oldest.reverse();
        assert_eq!(ids(&place, &filter, Order::default()).await, newest, "{filter:?}");
        assert_eq!(ids(&place, &filter, Order::default().reversed()).await, oldest, "{filter:?}");
        let by_sender = Order { sort: Sort::Sender, ascending: true };
        let mut expected = expected;
        expected.sort_unstable_by_key(|n| ["d@x.example", "b@x.example", "c@y.example", "a@y.example", "e@x.example"][*n]);
        assert_eq!(ids(&place, &filter, by_sender).await, expected.iter().map(|n| kept[*n].clone()).collect::<Vec<_>>(), "{filter:?}");
        let by_size = Order { sort: Sort::Size, ascending: false };
        assert_eq!(ids(&place, &filter, by_size).await, newest, "all of one size: {filter:?}");
    }
    let counts = place.quarantine.counts(&Visible::All).await.unwrap();
    let exactly = |entries| Count { entries, or_more: false };
    assert_eq!(
        counts.states,
        [(State::Held, exactly(4)), (State::Released, exactly(0)), (State::Lost, exactly(0)), (State::Deleted, exactly(1))]
    );
    assert_eq!(place.quarantine.held_by_day().await.unwrap().iter().map(|(_, _, entries)| entries).sum::<u64>(), 4);
    let middle = place.quarantine.entry(&newest(&[0, 1, 2, 3])[1]).await.unwrap();
    let held = Filter { state: Some(State::Held), ..filter() };
    let (before, after) = place.quarantine.neighbours(&held, Order::default(), &middle).await.unwrap();
    assert_eq!((before, after), (Some(newest(&[0, 1, 2, 3])[0].clone()), Some(newest(&[0, 1, 2, 3])[2].clone())));
}

#[tokio::test]
async fn a_domain_is_one_with_a_sign_in_front_or_without() {
    let place = Place::new();
    let of_a = place.keep(&["x@a.example", "y@b.example"]).await;
    let _other = place.keep(&["z@ab.example"]).await;
    for visible in [Visible::All, domains(&["a.example"])] {
        for text in ["a.example", "@a.example", "A.Example", " a.example ", "<x@a.example>"] {
            let filter = Filter { visible: visible.clone(), recipient: Some(text.into()), ..Filter::default() };
            assert_eq!(ids(&place, &filter, Order::default()).await, std::slice::from_ref(&of_a), "{text}");
        }
    }
    let of_others = Filter { visible: domains(&["a.example"]), recipient: Some("b.example".into()), ..Filter::default() };
    assert!(ids(&place, &of_others, Order::default()).await.is_empty(), "he would learn of recipients that are not his");
}

#[test]
fn a_place_in_a_list_is_an_entry() {
    for text in ["", "nonsense", "01KA", "01K6XW5R6V9M3W8P2JQ4T7Y0ZU", "01K6XW5R6V9M3W8P2JQ4T7Y0Z12", ".a"] {
        assert_eq!(Cursor::parse(text), None, "{text}");
    }
    for text in ["01K6XW5R6V9M3W8P2JQ4T7Y0Z1", "01K6XW5R6V9M3W8P2JQ4T7Y0Z1.a@example.net"] {
        assert_eq!(Cursor::parse(text).unwrap().to_string(), text);
    }
}

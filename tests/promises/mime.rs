//! A payload in mail that programs read in different ways is seen, whichever of them would open it.

use crate::support::{Client, Gate, Mta, Setup, client, partners::clamd::Clamd};
use octroi::message::readings::Anomaly;

#[path = "../../src/message/readings/shapes.rs"]
mod shapes;

use shapes::Shape;

fn gate(mta: &Mta, settings: &str) -> Gate {
    Setup::before(mta.address()).mx().and(&format!("[limits]\nerrors = 100000\n\n[[stage]]\ntype = \"mime\"\n{settings}")).start()
}

#[test]
fn every_shape_is_refused_where_its_anomaly_is() {
    let mta = Mta::start();
    let names: Vec<_> = shapes::all().iter().map(|shape| format!("\"{}\"", shape.anomaly)).collect();
    let distinct: std::collections::BTreeSet<_> = names.into_iter().collect();
    let gate = gate(&mta, &format!("reject = [{}]", Vec::from_iter(distinct).join(", ")));
    let mut session = Client::greeted(gate.mx());
    for Shape { name, message, .. } in shapes::all() {
        let reply = session.deliver("a@example.net", &["b@example.org"], &message);
        assert_eq!((reply.code, reply.status()), (554, "5.6.0"), "{name}: {reply:?}");
        assert!(mta.received().is_empty(), "{name} went through");
    }
    session.deliver("a@example.net", &["b@example.org"], &client::message("honest")).must(250);
    assert_eq!(mta.kept().len(), 1);
}

#[test]
fn by_default_what_no_honest_program_writes_is_refused_and_the_rest_reported() {
    let mta = Mta::start();
    let gate = gate(&mta, "");
    let mut session = Client::greeted(gate.mx());
    let mut refused = 0;
    for Shape { name, anomaly, message } in shapes::all() {
        let grave = Anomaly::named(anomaly).unwrap().is_grave();
        let reply = session.deliver("a@example.net", &["b@example.org"], &message);
        // One that is only to be reported may stand beside one that is grave.
        assert!(!grave || reply.code == 554, "{name}: {reply:?}");
        refused += usize::from(reply.code == 554);
        let finding = format!("mime.anomaly={anomaly}");
        let verdict = if reply.code == 554 { "verdict=rejected" } else { "verdict=delivered" };
        gate.log_line(&[&finding, verdict]);
    }
    assert!(refused >= 10, "{refused}");
    assert_eq!(mta.kept().len(), shapes::all().len() - refused);
}

/// What ClamAV finds by itself depends on its release; with all readings it finds everything.
#[test]
fn clamav_finds_the_payload_in_every_shape_when_it_is_given_all_readings() {
    let hex: String = shapes::eicar().bytes().map(|octet| format!("{octet:02x}")).collect();
    // At the start of a file: where it stands in the middle of something, no program would run it.
    let Some(clamd) = Clamd::with(&format!("Octroi.Test.File:0:0:{hex}\n"), "") else { return };
    let mta = Mta::start();
    let stage = |readings| {
        format!("[limits]\nerrors = 100000\n\n[[stage]]\ntype = \"clamd\"\naddress = \"inet:{}\"\nreadings = {readings}\n", clamd.address())
    };
    let found = |readings: bool| -> Vec<&'static str> {
        let gate = Setup::before(mta.address()).mx().and(&stage(readings)).start();
        let mut session = Client::greeted(gate.mx());
        let mut deliver = |message: &[u8]| session.deliver("a@example.net", &["b@example.org"], message).code;
        assert_eq!(deliver(&client::message("honest")), 250);
        shapes::all().into_iter().filter(|shape| deliver(&shape.message) == 550).map(|shape| shape.name).collect()
    };
    let all: Vec<_> = shapes::all().into_iter().map(|shape| shape.name).collect();
    let alone = found(false);
    eprintln!("ClamAV alone finds {} of {}", alone.len(), all.len());
    assert!(alone.len() < all.len(), "nothing is hidden from it: these shapes show nothing");
    assert_eq!(found(true), all);
}

#[test]
fn observed_it_says_what_it_would_have_done() {
    let mta = Mta::start();
    let gate = gate(&mta, "mode = \"observe\"\n");
    let Shape { message, anomaly, .. } = shapes::all().remove(0);
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message).must(250);
    gate.log_line(&[&format!("mime.anomaly={anomaly}"), "stage.observed=", "verdict=delivered"]);
}

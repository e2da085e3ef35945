//! A disk that is full at any step of a release or a deletion: nothing goes out twice unless somebody
//! was told that it may have, nothing is said to be out that is not, whoever decides is told what is
//! known, and with room again it goes on.
use super::{
    people::Person,
    review::{RULES, act, hold, post, token},
};
use crate::support::{Act, Disk, Gate, Mta, Setup, Step, Web, wait};
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

const YES: &str = "250 2.0.0 Ok: queued as 4cGZ2R3Y4Vz9sQ";
const NO: &str = "554 5.7.1 not for us";

struct Scene {
    mta: Mta,
    gate: Gate,
    disk: Disk,
    anna: Person,
}

/// No room, and none to be had: the log of the database does not begin anew while somebody reads.
struct Exhausted<'a> {
    disk: &'a Disk,
    _reader: Connection,
}

impl Drop for Exhausted<'_> {
    fn drop(&mut self) {
        self.disk.free();
    }
}

impl Scene {
    fn new() -> Self {
        let mta = Mta::start();
        let setup = Setup::before(mta.address()).mx().console("").and(RULES);
        let disk = Disk::of(&setup.dir().join("state"), "16M");
        let gate = setup.start();
        let anna = Person::new(&gate, "anna", &["reviewer"], &["*"]);
        Self { mta, gate, disk, anna }
    }

    fn exhaust(&self) -> Exhausted<'_> {
        let reader = Connection::open(self.disk.path().join("octroi.db")).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        reader.query_row("SELECT count(*) FROM quarantine_entry", [], |row| row.get::<_, i64>(0)).unwrap();
        self.disk.fill();
        Exhausted { disk: &self.disk, _reader: reader }
    }

    fn hold(&self) -> String {
        hold(&self.gate, "hold", &["b@example.org"])
    }

    fn api(&self) -> Web {
        token(&self.gate, "anna", &["quarantine.read", "quarantine.release", "quarantine.delete"])
    }

    fn entry(&self, id: &str) -> Value {
        serde_json::from_str(&self.gate.octroi(&["quarantine", "show", id, "--json"], "").text).unwrap()
    }

    fn state(&self, id: &str) -> String {
        self.entry(id)["recipients"][0]["state"].as_str().unwrap().to_owned()
    }

    fn wait_state(&self, id: &str, state: &str) {
        wait::until(state, || (self.state(id) == state).then_some(()));
    }

    /// The MTA has all of a message and thinks about it until the flag is set; then it says `reply`.
    fn think(&self, reply: &str) -> Arc<AtomicBool> {
        let flag = Arc::new(AtomicBool::new(false));
        self.mta.behave(Step::Final, Act::When(Arc::clone(&flag), reply.to_owned()), 1);
        flag
    }

    /// Does `release` while the disk fills up between the last octet and the MTA's `reply`.
    fn meanwhile<T: Send>(&self, reply: &str, release: impl FnOnce() -> T + Send) -> (T, Exhausted<'_>) {
        let (flag, before) = (self.think(reply), self.mta.received().len());
        thread::scope(|scope| {
            let asking = scope.spawn(release);
            wait::until("the message", || (self.mta.received().len() > before).then_some(()));
            let full = self.exhaust();
            flag.store(true, Ordering::SeqCst);
            (asking.join().unwrap(), full)
        })
    }

    /// Released once more, nobody is served twice unasked.
    fn is_not_sent_again(&self, api: &mut Web, id: &str) {
        let sent = self.mta.received().len();
        let again = post(api, &format!("/api/v1/quarantine/{id}/release"), &json!({}));
        assert!(again.status == 409 && again.text().contains("nobody knows"), "{}", again.text());
        let gone = api.send("DELETE", &format!("/api/v1/quarantine/{id}"), &[], b"");
        assert!([409, 507].contains(&gone.status), "{}", gone.text());
        assert_eq!((self.mta.received().len(), self.state(id).as_str()), (sent, "releasing"));
        assert!(api.get("/api/v1/quarantine").must(200).text().contains(id), "it is found all the time");
    }

    fn audit_is_whole(&self) {
        assert!(self.gate.octroi(&["audit", "verify"], "").success);
    }
}

#[test]
fn with_no_room_for_the_claim_nothing_is_sent_and_everybody_is_told() {
    let scene = Scene::new();
    let (first, second) = (scene.hold(), scene.hold());
    let (mut web, mut api) = (scene.anna.web(&scene.gate), scene.api());
    let csrf = web.get("/account").csrf();
    let full = scene.exhaust();
    let path = format!("/api/v1/quarantine/{first}/release");
    let said = post(&mut api, &path, &json!({})).must(507).json();
    assert!(said["detail"].as_str().unwrap().contains("Nothing was changed"), "{said}");
    let said = act(&mut web, &first, &[("action", "release")]);
    assert!(said.contains("no room left"), "{said}");
    let bulk = [("csrf", csrf.as_str()), ("action", "release"), ("confirmed", "1"), ("id", &*first), ("id", &*second)];
    let next = web.post("/quarantine", &bulk).to().to_owned();
    let list = web.get(&next).must(200).text();
    assert!(list.contains("Not with 2") && list.contains("no room left") && list.contains(&second), "{list}");
    let page = web.get(&format!("/quarantine/{first}")).must(200).text();
    assert!(page.contains("no room left") && page.contains("a@example.net"), "all but what only the audit lets be seen");
    let said = scene.gate.octroi(&["quarantine", "release", &first], "");
    assert!(!said.success && said.text.contains("nothing was sent") && said.text.contains("no space left"), "{}", said.text);
    assert!(scene.mta.received().is_empty());
    assert_eq!([scene.state(&first), scene.state(&second)], ["held", "held"]);
    drop(full);
    let released = post(&mut api, &path, &json!({})).must(200).json();
    assert_eq!((&released[0]["released"], &released[0]["recorded"]), (&json!(true), &json!(true)));
    assert!(act(&mut web, &second, &[("action", "release")]).contains("Released to b@example.org"));
    assert_eq!(scene.mta.kept().len(), 2);
    scene.audit_is_whole();
}

#[test]
fn with_no_room_for_the_outcome_it_is_told_at_once_and_written_when_there_is() {
    let scene = Scene::new();
    let (id, mut api) = (scene.hold(), scene.api());
    let path = format!("/api/v1/quarantine/{id}/release");
    let (said, full) = scene.meanwhile(YES, || post(&mut api.clone(), &path, &json!({})).must(200).json());
    let told = (&said[0]["released"], &said[0]["queue_id"], &said[0]["recorded"]);
    assert_eq!(told, (&json!(true), &json!("4cGZ2R3Y4Vz9sQ"), &json!(false)));
    scene.gate.log_line(&["could not be written down", "no space left"]);
    scene.is_not_sent_again(&mut api, &id);
    drop(full);
    scene.wait_state(&id, "released");
    assert!(scene.entry(&id)["recipients"][0]["reply"].as_str().unwrap().contains("4cGZ2R3Y4Vz9sQ"));
    scene.gate.log_line(&[&id, "is written down now"]);
    let audited = scene.gate.octroi(&["audit", "list", "--json"], "").text;
    assert_eq!(audited.matches("4cGZ2R3Y4Vz9sQ").count(), 1, "{audited}");
    scene.gate.wait_metric("octroi_quarantine_released_total", 1.0);
    scene.audit_is_whole();

    // A refusal that nobody could write down.
    let id = scene.hold();
    let path = format!("/api/v1/quarantine/{id}/release");
    let (said, full) = scene.meanwhile(NO, || post(&mut api.clone(), &path, &json!({})).must(200).json());
    assert_eq!((&said[0]["released"], &said[0]["recorded"]), (&json!(false), &json!(false)), "{said}");
    scene.is_not_sent_again(&mut api, &id);
    drop(full);
    scene.wait_state(&id, "held");
    assert!(post(&mut api, &path, &json!({})).must(200).text().contains("\"released\":true"));
    assert_eq!(scene.mta.kept().len(), 2);
    scene.audit_is_whole();
}

#[test]
fn killed_before_there_was_room_it_is_told_as_unknown() {
    let mut scene = Scene::new();
    let (id, mut api) = (scene.hold(), scene.api());
    let path = format!("/api/v1/quarantine/{id}/release");
    let (said, full) = scene.meanwhile(YES, || post(&mut api.clone(), &path, &json!({})).must(200).json());
    assert_eq!((&said[0]["released"], &said[0]["recorded"]), (&json!(true), &json!(false)), "{said}");
    scene.gate.signal(Signal::KILL);
    drop(full);
    scene.gate.wait_exit();
    scene.gate.run();
    scene.gate.wait_ready();
    scene.is_not_sent_again(&mut api, &id);
    post(&mut api, &path, &json!({ "again": true })).must(200);
    assert_eq!((scene.mta.kept().len(), scene.state(&id).as_str()), (2, "released"));
    scene.audit_is_whole();
}

#[test]
fn a_release_whose_outcome_and_allowance_find_no_room_says_so() {
    let scene = Scene::new();
    let id = scene.hold();
    let web = scene.anna.web(&scene.gate);
    let fields = [("action", "release"), ("allow", "address")];
    let (said, full) = scene.meanwhile(YES, || act(&mut web.clone(), &id, &fields));
    for part in ["Released to b@example.org", "could not be written down yet", "the sender is not allowed", "no room left"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    drop(full);
    scene.wait_state(&id, "released");
    assert_eq!(scene.mta.kept().len(), 1);
    assert!(!web.clone().get("/quarantine/allowances").must(200).text().contains("a@example.net"));
    scene.audit_is_whole();
}

#[test]
fn of_several_each_is_told_of_for_itself() {
    let scene = Scene::new();
    let ids = [scene.hold(), scene.hold(), scene.hold()];
    let mut web = scene.anna.web(&scene.gate);
    let csrf = web.get("/account").csrf();
    let fields = [("csrf", csrf.as_str()), ("action", "release"), ("confirmed", "1"), ("id", &ids[0]), ("id", &ids[1]), ("id", &ids[2])];
    // The first goes through, the second meets the full disk at its end, the third at its beginning.
    scene.mta.behave(Step::Final, Act::Say(YES.to_owned()), 1);
    let flag = scene.think(YES);
    let mut asking_web = web.clone();
    let (said, full) = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let next = asking_web.post("/quarantine", &fields).to().to_owned();
            asking_web.get(&next).must(200).text()
        });
        wait::until("two messages", || (scene.mta.received().len() == 2).then_some(()));
        let full = scene.exhaust();
        flag.store(true, Ordering::SeqCst);
        (asking.join().unwrap(), full)
    });
    for part in ["Done with 1 message.", "Not with 2", "could not be written down yet", &format!("{}: ", ids[2]), "no room left"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert_eq!(ids.each_ref().map(|id| scene.state(id)), ["released", "releasing", "held"]);
    drop(full);
    scene.wait_state(&ids[1], "released");
    assert!(act(&mut web, &ids[2], &[("action", "release")]).contains("Released to"));
    let marks: Vec<_> = scene.mta.kept().iter().map(|kept| String::from_utf8_lossy(&kept.content).into_owned()).collect();
    for id in &ids {
        assert_eq!(marks.iter().filter(|text| text.contains(&format!("X-Octroi-Released: {id}"))).count(), 1, "{id}");
    }
    scene.audit_is_whole();
}

#[test]
fn the_command_line_says_what_it_could_not_write_down() {
    let scene = Scene::new();
    let (id, mut api) = (scene.hold(), scene.api());
    let (said, full) = scene.meanwhile(YES, || scene.gate.octroi(&["quarantine", "release", &id], ""));
    assert!(!said.success, "{}", said.text);
    for part in ["released to b@example.org: 250 2.0.0 Ok", "could not be written down", "is being released", "no space left"] {
        assert!(said.text.contains(part), "{part:?} is not in {}", said.text);
    }
    scene.is_not_sent_again(&mut api, &id);
    drop(full);
    // It has ended, and with it what it knew.
    let said = scene.gate.octroi(&["quarantine", "release", &id], "");
    assert!(!said.success && said.text.contains("nobody knows") && said.text.contains("--again"), "{}", said.text);
    assert_eq!(scene.mta.kept().len(), 1);
    assert!(scene.gate.octroi(&["quarantine", "release", &id, "--again"], "").success);
    assert_eq!((scene.mta.kept().len(), scene.state(&id).as_str()), (2, "released"));
    scene.audit_is_whole();
}

#[test]
fn on_a_full_disk_what_is_held_can_be_deleted_or_is_untouched() {
    let scene = Scene::new();
    let ids = [scene.hold(), scene.hold(), scene.hold()];
    let (path, mut api) = (|id: &str| format!("/api/v1/quarantine/{id}"), scene.api());
    let full = scene.exhaust();
    api.send("DELETE", &path(&ids[0]), &[], b"").must(507);
    let said = scene.gate.octroi(&["quarantine", "delete", &ids[1]], "");
    assert!(!said.success && said.text.contains("no space left"), "{}", said.text);
    for id in &ids {
        assert_eq!((scene.state(id).as_str(), &scene.entry(id)["state"]), ("held", &json!("held")));
        assert!(scene.disk.path().join(format!("blobs/{}/{id}.zst", id.chars().last().unwrap().to_ascii_lowercase())).exists());
    }
    drop(full);
    // The log is as long as what stands in it, which all has a place in the file.
    let database = Connection::open(scene.disk.path().join("octroi.db")).unwrap();
    database.query_row("PRAGMA wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
    for n in 0..6 {
        let (hold, lift) = (["quarantine", "hold", &ids[2]], ["quarantine", "hold", &ids[2], "--lift"]);
        assert!(scene.gate.octroi(if n % 2 == 0 { &hold } else { &lift }, "").success);
    }
    scene.disk.fill();
    api.send("DELETE", &path(&ids[0]), &[], b"").must(200);
    assert!(scene.gate.octroi(&["quarantine", "delete", &ids[1]], "").success);
    assert_eq!(ids.each_ref().map(|id| scene.entry(id)["state"].clone()), ["deleted", "deleted", "held"]);
    scene.audit_is_whole();
}

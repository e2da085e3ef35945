use super::*;
use crate::audit::{Action, Actor, Audit, Event, Filter};
use crate::storage::{Access, Schema, Statement};
use totp_rs::{Builder, Secret};

struct Place {
    accounts: Accounts,
    audit: Audit,
    database: Database,
    _directory: tempfile::TempDir,
}

const PASSWORD: &str = "a long enough password";

fn place_with(lifetimes: Lifetimes) -> Place {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("octroi.db"), Schema::STATE, Access::Create).unwrap();
    let url = Url::parse("https://mx.example.org:8443").unwrap();
    let accounts = Accounts::new(database.clone(), lifetimes, Some(&url));
    Place { accounts, audit: Audit::new(database.clone()), database, _directory: directory }
}

fn place() -> Place {
    place_with(Lifetimes::default())
}

fn root() -> Actor {
    Actor::new("uid 0", None)
}

fn visit() -> Visit {
    Visit { client: "192.0.2.7".parse().unwrap(), agent: "test".into() }
}

fn reviewer(name: &str) -> NewAccount {
    NewAccount { name: name.into(), roles: vec![Role::Reviewer], domains: vec!["Example.org".into()] }
}

fn code(totp: &TotpSecret, steps: i64) -> String {
    let secret = Secret::try_from_base32(totp.base32()).unwrap();
    let at = (sign_in::now_seconds() as i64 + 30 * steps) as u64;
    Builder::new().with_secret(secret).build().unwrap().generate(at).to_string()
}

impl Place {
    async fn enrolled(&self, name: &str) -> TotpSecret {
        self.accounts.add(&reviewer(name), &root()).await.unwrap();
        self.accounts.enrol_locally(name, PASSWORD, &root()).await.unwrap()
    }

    async fn half_way(&self, name: &str) -> Session {
        let Attempt::Right(token) = self.accounts.sign_in(name, PASSWORD, &visit()).await.unwrap() else { panic!("wrong") };
        self.accounts.session(&token).await.unwrap().unwrap()
    }

    async fn signed_in(&self, name: &str, totp: &TotpSecret) -> String {
        // Each code is good once: a test that signs in twice starts anew.
        let reset = Statement::new("UPDATE account SET totp_step = 0 WHERE name = ?1").with(name);
        self.database.write(vec![reset]).await.unwrap();
        let half_way = self.half_way(name).await;
        right(self.accounts.sign_in_with_totp(&half_way, &code(totp, 0), &visit()).await.unwrap())
    }

    async fn actions(&self) -> Vec<String> {
        let rows = self.audit.list(&Filter { limit: 100, ..Filter::default() }).await.unwrap();
        rows.into_iter().rev().map(|row| row.action).collect()
    }
}

fn right<T: std::fmt::Debug>(attempt: Attempt<T>) -> T {
    match attempt {
        Attempt::Right(value) => value,
        other => panic!("{other:?}"),
    }
}

fn wrong<T: std::fmt::Debug>(attempt: Attempt<T>) -> Failure {
    match attempt {
        Attempt::Wrong(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_person_enrols_with_a_code_that_is_good_once() {
    let place = place();
    let Place { accounts, .. } = &place;
    let enrolment = accounts.add(&reviewer("Alice"), &root()).await.unwrap();
    assert!(matches!(accounts.add(&reviewer("alice"), &root()).await, Err(AccountError::Exists(_))));
    assert_eq!(accounts.enrolment(&enrolment.code).await.unwrap().as_deref(), Some("alice"));
    assert_eq!(wrong(accounts.begin_enrolment("no such code", PASSWORD, &visit()).await.unwrap()), Failure::Enrolment);
    assert!(matches!(accounts.begin_enrolment(&enrolment.code, "short", &visit()).await, Err(AccountError::Weak(_))));
    let token = right(accounts.begin_enrolment(&enrolment.code, PASSWORD, &visit()).await.unwrap());
    let session = accounts.session(&token).await.unwrap().unwrap();
    assert_eq!(session.stage, Stage::Enrolment);
    // Half way nothing is set yet.
    assert!(!accounts.account("alice").await.unwrap().enrolled);
    let totp = Accounts::offered_totp(&session).unwrap();
    assert_eq!(wrong(accounts.enrol_with_totp(&session, "000000", &visit()).await.unwrap()), Failure::Code);
    let enrolled = right(accounts.enrol_with_totp(&session, &code(&totp, 0), &visit()).await.unwrap());
    assert_eq!(enrolled.recovery_codes.len(), 10);
    let open = accounts.session(&enrolled.token).await.unwrap().unwrap();
    assert!(open.stage == Stage::Open && open.account.enrolled && open.account.has_totp && open.account.recovery_codes == 10);
    // The code, its session and the time step are spent.
    assert_eq!(accounts.enrolment(&enrolment.code).await.unwrap(), None);
    assert!(accounts.session(&token).await.unwrap().is_none());
    let half_way = place.half_way("alice").await;
    assert_eq!(wrong(accounts.sign_in_with_totp(&half_way, &code(&totp, 0), &visit()).await.unwrap()), Failure::Replay);
    assert_eq!(place.actions().await[..3], ["account-add", "sign-in-failed", "account-enrol"]);
    place.audit.verify(None).await.unwrap();
}

#[tokio::test]
async fn a_code_of_an_authenticator_is_taken_once_also_by_two_at_the_same_moment() {
    let place = place();
    let totp = place.enrolled("alice").await;
    let (one, other) = (place.half_way("alice").await, place.half_way("alice").await);
    let code = code(&totp, 0);
    let visit = visit();
    let both = tokio::join!(place.accounts.sign_in_with_totp(&one, &code, &visit), place.accounts.sign_in_with_totp(&other, &code, &visit));
    let right = [both.0.unwrap(), both.1.unwrap()].iter().filter(|attempt| matches!(attempt, Attempt::Right(_))).count();
    assert_eq!(right, 1);
    // The one before it, which is still in the window, is of no use any more either.
    let before = self::code(&totp, -1);
    let half_way = place.half_way("alice").await;
    assert_eq!(wrong(place.accounts.sign_in_with_totp(&half_way, &before, &visit).await.unwrap()), Failure::Replay);
}

#[tokio::test]
async fn wrong_ones_are_answered_alike_and_have_to_wait() {
    let place = place();
    place.enrolled("alice").await;
    place.enrolled("carol").await;
    place.accounts.disable("carol", true, &root()).await.unwrap();
    assert_eq!(wrong(place.accounts.sign_in("alice", "not the password", &visit()).await.unwrap()), Failure::Password);
    assert_eq!(wrong(place.accounts.sign_in("nobody", PASSWORD, &visit()).await.unwrap()), Failure::Unknown);
    assert_eq!(wrong(place.accounts.sign_in("carol", PASSWORD, &visit()).await.unwrap()), Failure::Disabled);
    for name in ["alice", "nobody"] {
        let mut waits = 0;
        for _ in 0..4 {
            waits += usize::from(matches!(place.accounts.sign_in(name, "x", &visit()).await.unwrap(), Attempt::Wait(_)));
        }
        assert_eq!(waits, 2, "{name}");
    }
    // Also with the right one, and what an unknown name was is nowhere.
    assert!(matches!(place.accounts.sign_in("alice", PASSWORD, &visit()).await.unwrap(), Attempt::Wait(_)));
    let rows = place.audit.list(&Filter { limit: 100, ..Filter::default() }).await.unwrap();
    assert!(rows.iter().all(|row| !format!("{row:?}").contains("nobody")));
}

/// A guess a minute, from wherever, would otherwise do.
#[tokio::test]
async fn who_guesses_keeps_nobody_out_who_is_where_he_was_before() {
    let place = place();
    let totp = place.enrolled("alice").await;
    place.signed_in("alice", &totp).await;
    let from = |client: &str| Visit { client: client.parse().unwrap(), agent: "test".into() };
    let sign_in = async |client: &str, password: &str| place.accounts.sign_in("alice", password, &from(client)).await.unwrap();
    let (now, guessed) = (std::time::Instant::now(), throttle::Key::Name("alice".into()));
    for n in 0..10 {
        place.accounts.0.throttle.begin(std::slice::from_ref(&guessed), now + n * Duration::from_secs(61)).unwrap();
    }
    for here in ["127.0.0.1", "::1"] {
        let event = Visit { client: here.parse().unwrap(), ..visit() }.actor("alice");
        place.audit.record(Event::of(&event, Action::SignIn)).await.unwrap();
    }
    for elsewhere in ["198.51.100.9", "127.0.0.1", "::1"] {
        assert!(matches!(sign_in(elsewhere, PASSWORD).await, Attempt::Wait(_)), "{elsewhere}");
    }
    right(sign_in("192.0.2.7", PASSWORD).await);
    right(place.accounts.confirm("alice", PASSWORD, &root()).await.unwrap());
    // Guesses from there are counted too.
    for _ in 0..3 {
        wrong(sign_in("192.0.2.7", "a guess").await);
    }
    let known = throttle::Key::known("alice", visit().client, &[visit().client]).unwrap();
    assert!(place.accounts.0.throttle.begin(&[known], now).is_err());
}

/// Behind a tunnel or a proxy all come from this machine.
#[tokio::test]
async fn who_guesses_through_a_proxy_keeps_out_nobody_else() {
    let place = place();
    place.enrolled("alice").await;
    let here = Visit { client: "::ffff:127.0.0.1".parse().unwrap(), agent: "test".into() };
    for n in 0..15 {
        assert_eq!(wrong(place.accounts.sign_in(&format!("nobody{n}"), PASSWORD, &here).await.unwrap()), Failure::Unknown);
        assert_eq!(wrong(place.accounts.begin_enrolment("no such code", PASSWORD, &here).await.unwrap()), Failure::Enrolment);
    }
    right(place.accounts.sign_in("alice", PASSWORD, &here).await.unwrap());
    // Not so where they have addresses.
    let (now, visit) = (std::time::Instant::now(), visit());
    for n in 0..10 {
        wrong(place.accounts.sign_in(&format!("nobody{n}"), PASSWORD, &visit).await.unwrap());
    }
    assert!(place.accounts.0.throttle.begin(throttle::Key::client(visit.client).as_slice(), now).is_err());
}

#[tokio::test]
async fn a_right_password_is_good_for_a_few_codes() {
    let place = place();
    place.enrolled("alice").await;
    let half_way = place.half_way("alice").await;
    let mut wrong = 0;
    for _ in 0..10 {
        wrong += usize::from(matches!(place.accounts.sign_in_with_totp(&half_way, "000000", &visit()).await.unwrap(), Attempt::Wrong(_)));
    }
    assert_eq!(wrong, 3, "then there is a wait");
    place.accounts.0.throttle.clear(&throttle::Key::Factor("alice".into()));
    for _ in 0..2 {
        place.accounts.sign_in_with_recovery(&half_way, "aaaa-bbbb-cccc-dddd", &visit()).await.unwrap();
    }
    let left = place.database.read(Statement::new("SELECT id FROM account_session")).await.unwrap();
    assert!(left.is_empty());
}

#[tokio::test]
async fn a_recovery_code_is_good_once_however_it_is_typed() {
    let place = place();
    place.enrolled("alice").await;
    let codes = place.accounts.new_recovery_codes("alice", &root()).await.unwrap();
    let typed = codes[3].replace('-', " ").to_uppercase();
    let half_way = place.half_way("alice").await;
    right(place.accounts.sign_in_with_recovery(&half_way, &typed, &visit()).await.unwrap());
    let half_way = place.half_way("alice").await;
    assert_eq!(wrong(place.accounts.sign_in_with_recovery(&half_way, &codes[3], &visit()).await.unwrap()), Failure::Recovery);
    assert_eq!(place.accounts.account("alice").await.unwrap().recovery_codes, 9);
    let hashes = place.database.read(Statement::new("SELECT hash FROM account_recovery")).await.unwrap();
    assert!(hashes.iter().all(|row| !codes.contains(&row.text(0).unwrap())));
}

#[tokio::test]
async fn sessions_end_by_themselves_and_with_what_they_stand_on() {
    let lifetimes = Lifetimes { idle: Duration::from_millis(400), session: Duration::from_secs(1) };
    let place = place_with(lifetimes);
    let totp = place.enrolled("alice").await;
    let (token, begun) = (place.signed_in("alice", &totp).await, std::time::Instant::now());
    // In use it stays, but not for ever.
    while place.accounts.session(&token).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    let token = place.signed_in("alice", &totp).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(place.accounts.session(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn changes_of_an_account_end_its_sessions() {
    let place = place();
    let totp = place.enrolled("alice").await;
    let accounts = &place.accounts;
    let session = |token: String| async move { accounts.session(&token).await.unwrap() };
    let token = place.signed_in("alice", &totp).await;
    accounts.set_rights("alice", &[Role::Auditor], &[], &root()).await.unwrap();
    assert!(session(token).await.is_none());
    let (kept, other) = (place.signed_in("alice", &totp).await, place.signed_in("alice", &totp).await);
    let mine = session(kept.clone()).await.unwrap();
    accounts.change_password("alice", "another long password", &mine.id, &root()).await.unwrap();
    assert!(session(kept.clone()).await.is_some() && session(other).await.is_none());
    accounts.disable("alice", true, &root()).await.unwrap();
    accounts.disable("alice", false, &root()).await.unwrap();
    assert!(session(kept).await.is_none());
    assert!(matches!(accounts.disable("nobody", true, &root()).await, Err(AccountError::NoAccount(_))));
    assert!(matches!(accounts.set_rights("alice", &[Role::Reviewer], &[], &root()).await, Err(AccountError::Refused(_))));
}

#[tokio::test]
async fn one_second_factor_always_is_left_and_a_reset_begins_anew() {
    let place = place();
    let totp = place.enrolled("alice").await;
    let accounts = &place.accounts;
    assert!(matches!(accounts.remove_totp("alice", &root()).await, Err(AccountError::Refused(_))));
    assert!(accounts.account("alice").await.unwrap().has_totp);
    let token = place.signed_in("alice", &totp).await;
    let enrolment = accounts.reset("alice", &root()).await.unwrap();
    assert!(accounts.session(&token).await.unwrap().is_none());
    assert_eq!(wrong(accounts.sign_in("alice", PASSWORD, &visit()).await.unwrap()), Failure::Password);
    right(accounts.begin_enrolment(&enrolment.code, PASSWORD, &visit()).await.unwrap());
    // A newer code makes the older worthless.
    accounts.reset("alice", &root()).await.unwrap();
    assert_eq!(accounts.enrolment(&enrolment.code).await.unwrap(), None);
}

#[tokio::test]
async fn an_authenticator_is_exchanged_with_a_code_of_the_new_one() {
    let place = place();
    let old = place.enrolled("alice").await;
    let token = place.signed_in("alice", &old).await;
    let session = place.accounts.session(&token).await.unwrap().unwrap();
    let new = place.accounts.offer_totp(&session.id).await.unwrap();
    assert_eq!(place.accounts.change_totp(&session.id, "alice", &code(&old, 0), &root()).await, Ok(false));
    assert_eq!(place.accounts.change_totp(&session.id, "alice", &code(&new, 0), &root()).await, Ok(true));
    assert_eq!(place.accounts.change_totp(&session.id, "alice", &code(&new, 0), &root()).await, Ok(false));
    place.signed_in("alice", &new).await;
}

#[tokio::test]
async fn a_token_may_what_its_scopes_and_its_account_both_may() {
    let place = place();
    place.enrolled("alice").await;
    let accounts = &place.accounts;
    let new = |scopes: &[Permission], life| NewToken { account: "alice".into(), label: "cron".into(), scopes: scopes.to_vec(), life };
    let hour = Duration::from_secs(3600);
    for refused in [new(&[], hour), new(&[Permission::AuditRead], hour), new(&[Permission::QuarantineRead], Duration::ZERO)] {
        assert!(matches!(accounts.add_token(&refused, &root()).await, Err(AccountError::Refused(_))));
    }
    let secret = accounts.add_token(&new(&[Permission::QuarantineRead], hour), &root()).await.unwrap();
    let shown = accounts.of_token(&secret).await.unwrap().unwrap();
    let rights = shown.account.rights;
    assert!(rights.may(Permission::QuarantineRead) && !rights.may(Permission::QuarantineRelease));
    assert!(accounts.of_token(&format!("{secret}x")).await.unwrap().is_none());
    let listed = accounts.tokens(Some("alice")).await.unwrap();
    assert_eq!(listed[0].id, shown.token);
    assert!(listed.len() == 1 && listed[0].used_at.is_some() && !format!("{listed:?}").contains(&secret));
    accounts.disable("alice", true, &root()).await.unwrap();
    assert!(accounts.of_token(&secret).await.unwrap().is_none());
    accounts.disable("alice", false, &root()).await.unwrap();
    accounts.revoke_token(&listed[0].id, None, &root()).await.unwrap();
    assert!(accounts.of_token(&secret).await.unwrap().is_none());
    let short = accounts.add_token(&new(&[Permission::QuarantineRead], Duration::from_millis(1)), &root()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(accounts.of_token(&short).await.unwrap().is_none());
}

/// Whoever has to be kept out may have made himself a token.
#[tokio::test]
async fn tokens_end_with_the_password_they_were_made_under() {
    let place = place();
    place.enrolled("alice").await;
    place.enrolled("bob").await;
    let accounts = &place.accounts;
    let token = async |name: &str| {
        let life = Duration::from_secs(3600);
        let new = NewToken { account: name.into(), label: "cron".into(), scopes: vec![Permission::QuarantineRead], life };
        accounts.add_token(&new, &root()).await.unwrap()
    };
    let is_good = async |secret: &str| accounts.of_token(secret).await.unwrap().is_some();
    let (reset, other) = (token("alice").await, token("bob").await);
    accounts.reset("alice", &root()).await.unwrap();
    assert!(!is_good(&reset).await && accounts.tokens(Some("alice")).await.unwrap().is_empty());
    accounts.enrol_locally("alice", PASSWORD, &root()).await.unwrap();
    let changed = token("alice").await;
    accounts.change_password("alice", "another long password", "", &root()).await.unwrap();
    assert!(!is_good(&changed).await);
    let enrolled = token("alice").await;
    accounts.enrol_locally("alice", PASSWORD, &root()).await.unwrap();
    assert!(!is_good(&enrolled).await && is_good(&other).await);
}

/// The same authenticator, asked twice for the same challenge, or by two accounts.
#[tokio::test]
async fn a_passkey_that_is_known_already_is_refused_and_costs_nobody_else() {
    let place = place();
    place.enrolled("alice").await;
    place.enrolled("bob").await;
    let add = async |name: &str| {
        let actor = root();
        let event = Event::of(&actor, Action::PasskeyAdd).on(name);
        place.accounts.keep_passkey(name, vec![passkey::kept(name, "key", "the same id", "{}")], &event).await
    };
    assert_eq!(add("alice").await, Ok(true));
    assert_eq!((add("alice").await, add("bob").await), (Ok(false), Ok(false)));
    assert_eq!(place.accounts.account("alice").await.unwrap().passkeys, 1);
    assert_eq!(place.actions().await.iter().filter(|action| *action == "passkey-add").count(), 1);
}

#[tokio::test]
async fn nothing_of_a_change_is_there_where_its_audit_cannot_be_written() {
    let place = place();
    place.enrolled("alice").await;
    place.database.write(vec![Event::of(&root(), Action::Note).statement()]).await.unwrap();
    let stop = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'no'); END";
    place.database.write(vec![Statement::new(stop)]).await.unwrap();
    assert!(place.accounts.disable("alice", true, &root()).await.is_err());
    assert!(!place.accounts.account("alice").await.unwrap().disabled);
}

use crate::{
    chain::{HoldClass, Report, StageError, Verdict},
    message::{Edit, Envelope},
    smtp::{Address, Mail, Recipient, ReversePath},
    stages::tests::{client, message, read},
    value::Id,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// A stage that runs a script of the shell.
fn stage(script: &str, settings: &str) -> crate::chain::Configured {
    let text = format!(
        "[[stage]]\ntype = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", '''\n{script}\n''', \"sh\", \"an argument; $HOME\"]\n{settings}"
    );
    let (mut stages, found) = read(&text);
    assert_eq!(found, []);
    stages.remove(0)
}

async fn inspect(stage: &crate::chain::Configured, body: &str) -> Result<Report, StageError> {
    let client = client();
    let mut inspection = stage.stage.begin(&client).await.unwrap();
    inspection.mail(&client, &Mail::new(ReversePath(None)), Id::generate()).await.unwrap();
    inspection.end_of_message(&message("Subject: x\r\n", body)).await
}

async fn run(script: &str) -> Result<Report, StageError> {
    inspect(&stage(script, ""), "body\r\n").await
}

fn texts(report: &Report) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_exit_code_is_the_verdict() {
    let verdict = async |script| run(script).await.unwrap().verdict;
    assert_eq!(verdict("exit 0").await, Verdict::Deliver);
    assert_eq!(verdict("exit 13").await, Verdict::Discard);
    let Verdict::Refuse(refusal) = verdict("echo reply not with us; exit 10").await else { panic!() };
    assert_eq!(refusal.to_string(), "550 5.7.1 not with us");
    let Verdict::Refuse(refusal) = verdict("exit 11").await else { panic!() };
    assert_eq!(refusal.to_string(), "451 4.7.1 message refused for now, try again later");
    let Verdict::Quarantine(hold) = verdict("echo reason looks odd; exit 12").await else { panic!() };
    assert_eq!((hold.class, &*hold.reason), (HoldClass::Policy, "looks odd"));
    // As scanners have it that are no scripts of ours.
    let other = stage("exit 1", "reject = [1, 2]\ndeliver = [0, 10]");
    assert!(matches!(inspect(&other, "").await.unwrap().verdict, Verdict::Refuse(_)));
    let other = stage("exit 10", "reject = [1, 2]\ndeliver = [0, 10]");
    assert_eq!(inspect(&other, "").await.unwrap().verdict, Verdict::Deliver);
}

#[tokio::test]
async fn what_means_nothing_is_a_failure() {
    for (script, why) in [
        ("exit 1", "ended with 1"),
        ("exit 127", "ended with 127"),
        ("kill -9 $$", "ended by signal 9"),
        ("echo everything is fine", "everything is fine"),
        ("yes score 1 | head -c 100000", "more than 65536 octets"),
        ("yes score 1", "more than 65536 octets"),
        ("echo score 7; exec /nonexistent", "ended with 127"),
    ] {
        let error = run(script).await.unwrap_err();
        assert!(matches!(error, StageError::Failed(_)) && error.to_string().contains(why), "{script}: {error}");
    }
}

#[tokio::test]
async fn it_has_the_message_and_a_clean_environment() {
    let report = run("cat | od -An -tx1 -v | tr -d ' \\n' | sed 's/^/finding stdin /'; echo; echo finding arg \"$1\"").await.unwrap();
    let octets: String = b"Subject: x\r\n\r\nbody\r\n".iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(
        texts(&report),
        ["exec.exit=0".into(), format!("exec.finding=stdin={octets}"), "exec.finding=arg=an argument; $HOME".into()]
    );
    // PWD, SHLVL and _ are the shell's own.
    let report = run("env | sed 's/[=].*//' | grep -v -e '^PWD$' -e '^SHLVL$' -e '^_$' | sort | sed 's/^/finding name /'; echo finding client $OCTROI_CLIENT_ADDRESS $OCTROI_LISTENER").await.unwrap();
    let names: Vec<_> = texts(&report).iter().filter_map(|text| text.strip_prefix("exec.finding=name=").map(str::to_owned)).collect();
    let expected = "OCTROI_ACCOUNT OCTROI_CLIENT_ADDRESS OCTROI_CLIENT_PORT OCTROI_HELO OCTROI_HOSTNAME OCTROI_ID OCTROI_LISTENER OCTROI_RECIPIENTS OCTROI_SENDER OCTROI_TLS PATH";
    assert_eq!(names.join(" "), expected);
    assert!(texts(&report).contains(&"exec.finding=client=192.0.2.1 mx".into()), "{report:?}");
}

#[tokio::test]
async fn it_need_not_read_nor_be_read() {
    let large = "x".repeat(4 << 20);
    // Ends without having read; reads without being asked to end; floods what goes to the log.
    for script in ["exit 0", "exec 0<&-; sleep 0.2; exit 0", "yes complaint 2>/dev/null | head -c 1000000 >&2; cat >/dev/null"] {
        assert_eq!(inspect(&stage(script, ""), &large).await.unwrap().verdict, Verdict::Deliver, "{script}");
    }
    let headers = stage("echo header X-B: 1; echo header X-A: 2", "edit = true");
    let edit = |at, name: &str, value: &str| Edit::InsertHeader { at, name: name.into(), value: value.into() };
    assert!(headers.stage.may_edit());
    assert_eq!(inspect(&headers, "").await.unwrap().edits, [edit(0, "X-B", "1"), edit(1, "X-A", "2")]);
}

#[tokio::test]
async fn more_recipients_than_a_variable_holds_are_not_cut_off() {
    let stage = stage("echo score 1", "");
    let address = Address::parse(&format!("{}@example.org", "b".repeat(100)), false).unwrap();
    for (count, fits) in [(900, true), (1000, false)] {
        let mut message = message("A: b\r\n", "");
        let recipients = vec![Recipient::new(address.clone()); count];
        message.envelope = Envelope { mail: message.envelope.mail.clone(), recipients }.into();
        let said = stage.stage.begin(&client()).await.unwrap().end_of_message(&message).await;
        assert!(if fits { said.is_ok() } else { matches!(said, Err(StageError::TooLarge(_))) }, "{count}: {said:?}");
    }
}

/// The process that a script wrote the number of, once it has.
async fn pid(file: &Path) -> String {
    loop {
        match std::fs::read_to_string(file) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => sleep(Duration::from_millis(5)).await,
        }
    }
}
async fn gone(pid: &str) {
    let runs = || {
        // A zombie is as good as gone.
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
    };
    timeout(Duration::from_secs(30), async {
        while runs() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{pid} still runs"));
}

#[tokio::test]
async fn at_the_deadline_the_whole_group_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let script = format!("sh -c 'echo $$ > {at}/child; sleep 1000 & echo $! > {at}/grandchild; wait' & echo $$ > {at}/leader; wait");
    let stage = stage(&script, "");
    let mut running = Box::pin(inspect(&stage, ""));
    let files = ["leader", "child", "grandchild"].map(|name| dir.path().join(name));
    let pids = tokio::select! {
        said = &mut running => panic!("{said:?}"),
        pids = async { [pid(&files[0]).await, pid(&files[1]).await, pid(&files[2]).await] } => pids,
    };
    // As the runner does at the deadline, and a session that goes away.
    drop(running);
    for pid in pids {
        gone(&pid).await;
    }
}

#[tokio::test]
async fn what_it_leaves_behind_is_ended_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let started = Instant::now();
    let report = run(&format!("sleep 1000 & echo $! > {at}/left; echo score 3")).await.unwrap();
    assert_eq!(texts(&report), ["exec.exit=0", "exec.score=3"]);
    gone(&pid(&dir.path().join("left")).await).await;
    // One that leaves the group and keeps the pipes is no reason to wait for ever.
    let file = dir.path().join("escaped");
    let script = format!("setsid sh -c 'echo $$ > {at}/escaped; exec sleep 1000' & until [ -s {at}/escaped ]; do sleep 0.01; done");
    let error = run(&script).await.unwrap_err();
    assert!(error.to_string().contains("holds its output open"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(100));
    let escaped = Pid::from_raw(pid(&file).await.parse().unwrap()).unwrap();
    kill_process(escaped, Signal::KILL).unwrap();
}

#[tokio::test]
async fn memory_time_and_number_are_bounded() {
    let limits = stage("ulimit -v; ulimit -t; ulimit -c", "memory = \"200MiB\"\ncpu = \"2500ms\"");
    let error = inspect(&limits, "").await.unwrap_err();
    assert!(error.to_string().ends_with(&format!(": {}", 200 << 10)), "{error}");
    let greedy = stage("read line; tr '\\0' x </dev/zero | tail -c 500m >/dev/null; echo finding tail $?", "memory = \"100MiB\"");
    assert_eq!(texts(&inspect(&greedy, "").await.unwrap())[1], "exec.finding=tail=1");
    let busy = stage("read line; while :; do :; done", "cpu = \"1s\"");
    assert!(inspect(&busy, "").await.unwrap_err().to_string().contains("signal"));

    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    let counting = stage(&format!("mkdir {at}/$$; ls {at} | wc -l | sed 's/^/score /'; sleep 0.2; rmdir {at}/$$"), "processes = 2");
    let reports = futures_util::future::join_all((0..6).map(|_| inspect(&counting, ""))).await;
    let most = reports.iter().map(|report| texts(report.as_ref().unwrap())[1].clone()).max().unwrap();
    assert_eq!(most, "exec.score=2");
}

#[test]
fn settings_that_make_no_sense_are_told() {
    for (settings, place, text) in [
        ("", "[[stage]]", "`stage.command` is missing"),
        ("command = []", "[[stage]]", "an empty list is no program"),
        ("command = [\"sh\"]", "\"sh\"", "write the whole path"),
        ("command = [\"/nonexistent\"]", "\"/nonexistent\"", "no program that can be run"),
        ("command = [\"/etc/passwd\"]", "\"/etc/passwd\"", "no program that can be run"),
        ("command = [\"/bin/sh\", \"a\\u0000b\"]", "\"a\\u0000b\"", "NUL"),
        ("command = [\"/bin/sh\"]\nprocesses = 0", "0", "must be 1 to 10000"),
        ("command = [\"/bin/sh\"]\nreject = [256]", "256", "0 to 255"),
        ("command = [\"/bin/sh\"]\nreject = [0]\ndeliver = [0]", "0", "has a meaning already"),
    ] {
        let (_, found) = read(&format!("[[stage]]\ntype = \"exec\"\n{settings}"));
        assert!(found.len() == 1 && found[0].0.contains(place) && found[0].1.contains(text), "{settings}: {found:?}");
    }
}

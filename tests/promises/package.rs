//! The Debian package on a Debian of its own: installed, configured, used with a real Postfix under a
//! real systemd, upgraded, removed and purged.

use crate::support::{Gate, machine::Machine, partners, wait};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Packs the binary under test.
pub fn build(output: &Path, version: &str) -> PathBuf {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/debian/build"));
    command.args(["--binary", Gate::binary(), "--version", version, "--fast", "yes", "--output"]).arg(output);
    let said = partners::run_command(command, b"");
    assert!(said.success, "{}", said.text);
    // Cargo may have had a word to say, too.
    said.text.lines().find(|line| line.ends_with(".deb")).unwrap().into()
}

/// What a mail server is before octroi comes: Debian's Postfix, on port 25, with a mailbox.
pub const MAIL_SERVER: &str = r#"
sed -e 's|^myhostname=.*|myhostname = mx.example.org|' -e 's|@@@[A-Za-z]*@@@||' /usr/share/postfix/main.cf.debian >/etc/postfix/main.cf
useradd --create-home b
postconf -e 'myhostname = mx.example.org' 'mydestination = example.org' 'local_recipient_maps = unix:passwd.byname' \
    'smtpd_tls_security_level = none' 'maillog_file = /var/log/postfix.log'
newaliases
systemctl start postfix
"#;

/// Puts it behind octroi, as the guide has it.
pub const BEHIND: &str = r#"
postconf -M 127.0.0.1:10025/inet='127.0.0.1:10025 inet n - y - - smtpd -o smtpd_authorized_xclient_hosts=static:all'
postconf -MX smtp/inet
systemctl restart postfix
octroi certs --directory /etc/octroi/tls mx.example.org
chgrp octroi /etc/octroi/tls/*.pem
chmod 640 /etc/octroi/tls/key.pem
systemctl enable --now octroi
"#;

/// Sends until it is told to stop, and says how often that went well; any error ends it.
const LOAD: &str = r#"
import pathlib, smtplib
sent = 0
while not pathlib.Path('/tmp/enough').exists():
    try:
        with smtplib.SMTP('127.0.0.1', 25, timeout=60) as server:
            server.sendmail('a@example.net', ['b@example.org'], f'From: a@example.net\r\nSubject: load {sent}\r\n\r\nload')
            sent += 1
            pathlib.Path('/tmp/sent').write_text(str(sent))
    except smtplib.SMTPResponseException as answer:
        # "Come again": what a restart says to sessions between two messages.
        if answer.smtp_code != 421: raise
    except smtplib.SMTPServerDisconnected as gone:
        # smtplib says this for a 421 that is there before it sends.
        pass
"#;

fn send(machine: &Machine, subject: &str) -> partners::Output {
    machine.run(&format!(
        "swaks --server 127.0.0.1 --tls --helo client.example.net --from a@example.net --to b@example.org --header 'Subject: {subject}'"
    ))
}

fn arrived(machine: &Machine, subject: &str) {
    machine.wait_for(subject, &format!("grep -q '^Subject: {subject}$' /var/mail/b"));
}

#[test]
fn the_package_is_installed_used_upgraded_and_purged() {
    let Some(lintian) = partners::find("lintian") else { return };
    let Some(machine) = Machine::boot() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (build(dir.path(), "1.0.0"), build(dir.path(), "1.1.0"));
    let judged = partners::run(&lintian, [Path::new("--fail-on=error,warning"), &old], b"");
    assert!(judged.success, "{}", judged.text);
    for (package, name) in [(old, "old"), (new, "new")] {
        fs::copy(package, machine.path(&format!("/root/{name}.deb"))).unwrap();
    }
    // The index of manual pages is nobody's concern here, and slow.
    machine.must("rm -f /var/lib/man-db/auto-update");

    machine.must(MAIL_SERVER);
    machine.must("dpkg --install /root/old.deb");
    nothing_runs_yet(&machine);
    machine.must(BEHIND);
    let said = send(&machine, "installed");
    assert!(said.success, "{}", said.text);
    arrived(&machine, "installed");
    let line = machine.wait_for("the log line", "journalctl --unit octroi --grep verdict=delivered --output cat");
    assert!(line.contains("from=<a@example.net>"), "{line}");

    upgrade(&machine);
    bad_configuration_stops_neither_reload_nor_upgrade(&machine);
    credentials(&machine);
    remove_and_purge(&machine);
}

fn nothing_runs_yet(machine: &Machine) {
    let active = machine.run("systemctl is-active octroi.service octroi.socket || systemctl is-enabled octroi.service octroi.socket");
    assert_eq!(active.text.lines().collect::<Vec<_>>(), ["inactive", "inactive", "disabled", "disabled"]);
    machine
        .must("systemd-analyze verify octroi.service octroi.socket octroi-submission.socket octroi-submissions.socket 2>&1 | (! grep .)");
    assert_eq!(machine.must("stat --format '%U:%G %a' /etc/octroi/tls /var/lib/octroi"), "root:octroi 750\noctroi:octroi 750\n");
    machine.must("man --where octroi octroi-check && test -s /usr/share/bash-completion/completions/octroi");
    // It is not configured, and says what is missing.
    let check = machine.run("octroi check");
    assert!(!check.success && check.text.contains("/etc/octroi/tls/fullchain.pem"), "{}", check.text);
}

fn upgrade(machine: &Machine) {
    machine.must("echo '# mine' >>/etc/octroi/octroi.toml");
    fs::write(machine.path("/root/load.py"), LOAD).unwrap();
    machine.must("systemd-run --unit load --quiet python3 /root/load.py");
    let sent = || fs::read_to_string(machine.path("/tmp/sent")).ok()?.parse::<u32>().ok();
    let some_more = |before: u32| wait::until("mail to flow", || sent().filter(|sent| *sent > before + 10));
    let before = some_more(0);
    let pid = machine.must("systemctl show --property MainPID octroi");
    machine.must("dpkg --install /root/new.deb");
    assert_ne!(machine.must("systemctl show --property MainPID octroi"), pid, "it was not restarted");
    some_more(before);
    machine.must("systemctl restart octroi");
    some_more(sent().unwrap());
    machine.must("touch /tmp/enough");
    machine.wait_for("the load to end", "! systemctl is-active load || false");
    let result = machine.run("systemctl show --property Result --property ExecMainStatus load; journalctl --unit load --output cat").text;
    assert!(!result.contains("Traceback"), "{result}");
    let sent = sent().unwrap();
    machine.wait_for("all that was sent", &format!("test $(grep -c '^Subject: load' /var/mail/b) -ge {sent}"));
    assert_eq!(machine.must("tail -n 1 /etc/octroi/octroi.toml; dpkg-query --show --showformat '${Version}' octroi"), "# mine\n1.1.0");
}

fn bad_configuration_stops_neither_reload_nor_upgrade(machine: &Machine) {
    machine.must("cp -p /etc/octroi/octroi.toml /root/ && sed -i 's/^identity/identitty/' /etc/octroi/octroi.toml");
    let pid = machine.must("systemctl show --property MainPID octroi");
    assert!(!machine.run("systemctl reload octroi").success);
    machine.wait_for("the reason in the journal", "journalctl --unit octroi --grep identitty");
    let upgraded = machine.must("dpkg --install --force-downgrade /root/old.deb 2>&1");
    assert!(upgraded.contains("identitty") && upgraded.contains("the new one refuses the configuration"), "{upgraded}");
    assert_eq!(machine.must("systemctl show --property MainPID octroi"), pid);
    assert!(send(machine, "still there").success);
    arrived(machine, "still there");
    // Restarted all the same, it tries until somebody has mended it; senders do, too.
    assert!(!machine.run("systemctl restart octroi").success);
    machine.run("timeout 3 swaks --server 127.0.0.1 --quit-after banner");
    machine.must("cp -p /root/octroi.toml /etc/octroi/");
    machine.wait_for("octroi to be back by itself", "systemctl is-active octroi.service && systemctl is-active octroi.socket");
    assert_ne!(machine.must("systemctl show --property MainPID octroi"), pid);
    machine.must("systemctl reload octroi");
    assert!(send(machine, "mended").success);
}

/// A key that only root can read, handed over by systemd; the drop-in is the one that stands in the unit.
fn credentials(machine: &Machine) {
    let unit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/octroi.service")).unwrap();
    let lines = unit.lines().skip_while(|line| !line.contains("LoadCredential")).take_while(|line| *line != "#");
    let drop_in: String = lines.map(|line| line.trim_start_matches("#   ").to_owned() + "\n").collect();
    fs::create_dir_all(machine.path("/etc/systemd/system/octroi.service.d")).unwrap();
    fs::write(machine.path("/etc/systemd/system/octroi.service.d/key.conf"), format!("[Service]\n{drop_in}")).unwrap();
    machine.must(
        "mkdir -p -m 700 /etc/credstore
         mv /etc/octroi/tls/key.pem /etc/credstore/octroi.key
         chown root:root /etc/credstore/octroi.key && chmod 600 /etc/credstore/octroi.key
         sed -i 's|^private_key.*|private_key = \"/run/credentials/octroi.service/octroi.key\"|' /etc/octroi/octroi.toml
         systemctl daemon-reload && systemctl restart octroi",
    );
    let said = send(machine, "by credential");
    assert!(said.success && said.text.contains("TLS started"), "{}", said.text);
    arrived(machine, "by credential");
    machine.must("systemctl reload octroi");
    machine.wait_for("the reload", "journalctl --unit octroi --lines 3 --grep 'new configuration holds'");
}

fn remove_and_purge(machine: &Machine) {
    fs::write(
        machine.path("/root/hold.toml"),
        "\n[[rule]]\nname = \"hold\"\nwhen = 'header[\"Subject\"] == \"held\"'\nthen = \"quarantine\"\n",
    )
    .unwrap();
    machine.must("cat /root/hold.toml >>/etc/octroi/octroi.toml && systemctl reload octroi");
    wait::until("a message to be held", || {
        assert!(send(machine, "held").success);
        machine.must("octroi quarantine list").contains("a@example.net").then_some(())
    });

    machine.must("dpkg --remove octroi");
    assert!(!machine.run("systemctl is-active octroi.service").success);
    assert!(!send(machine, "nobody").success, "somebody still listens");
    machine.must("test -s /etc/octroi/octroi.toml && test -s /var/lib/octroi/octroi.db && ! test -e /usr/bin/octroi");

    let purged = machine.must("dpkg --purge octroi 2>&1");
    assert!(purged.contains("/var/lib/octroi stays"), "{purged}");
    machine.must("test -s /var/lib/octroi/octroi.db && ! test -e /etc/octroi/octroi.toml && test -s /etc/octroi/tls/fullchain.pem");
    machine.must("! find /etc/systemd/system -path '*.wants/octroi*' | grep .");

    // With nothing held, nothing stays but what is the administrator's.
    machine.must("dpkg --install /root/new.deb && rm -r /var/lib/octroi/blobs /etc/octroi/tls/* && dpkg --purge octroi");
    machine.must("! test -e /var/lib/octroi && ! test -e /etc/octroi");
}

/// At most 1.6 ("OK"), which is what the strictest sandbox comes to that still has a network.
#[test]
fn the_unit_is_hardened() {
    let Some(analyze) = partners::find("systemd-analyze") else { return };
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/octroi.service");
    let said = partners::run(&analyze, ["security", "--offline=true", "--threshold=16", unit.to_str().unwrap()], b"");
    assert!(said.success, "{}", said.text);
}

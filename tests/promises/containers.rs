//! What is in `deploy/container` and `deploy/kubernetes`, as far as it can be run where there is
//! neither a container engine nor a cluster.

use crate::support::{Gate, Mta, Setup, machine::Machine, partners};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

/// The two services of compose.yaml that are about mail, each started as its image does.
#[test]
fn what_the_compose_file_starts_works_together() {
    let Some(machine) = Machine::boot() else { return };
    let image = [
        (PathBuf::from(Gate::binary()), "/usr/bin/octroi"),
        (deploy("container/healthcheck"), "/usr/bin/octroi-healthcheck"),
        (deploy("container/octroi.toml"), "/etc/octroi/octroi.toml"),
        (deploy("container/postfix/start"), "/usr/local/bin/start-postfix"),
    ];
    for (from, to) in image {
        fs::create_dir_all(machine.path(to).parent().unwrap()).unwrap();
        fs::copy(from, machine.path(to)).unwrap();
    }
    fs::create_dir_all(machine.path("/usr/share/octroi/rules")).unwrap();
    for rules in fs::read_dir(deploy("rules")).unwrap().flatten() {
        fs::copy(rules.path(), machine.path("/usr/share/octroi/rules").join(rules.file_name())).unwrap();
    }
    // An engine gives it a pipe for its log, systemd a socket, which nobody can open by name.
    machine.must(
        "groupadd --gid 10025 octroi && useradd --uid 10025 --gid 10025 --no-create-home octroi
         install -d -o octroi -g octroi /var/lib/octroi
         echo '127.0.0.1 postfix' >>/etc/hosts
         octroi certs --directory /etc/octroi/tls mx.example.org && chown -R 10025 /etc/octroi/tls
         systemd-run --quiet --unit mta --setenv DOMAIN=example.org bash -c 'start-postfix | cat'",
    );
    // The root is read-only, but for the volume and /tmp, and the user has no privileges, as in compose.yaml.
    machine.must(
        "systemd-run --quiet --unit gate --uid 10025 --property ProtectSystem=strict --property ReadWritePaths=/var/lib/octroi \
         --property PrivateTmp=yes --property NoNewPrivileges=yes --property CapabilityBoundingSet= \
         octroi run --config /etc/octroi/octroi.toml",
    );
    machine.wait_for("health", "octroi-healthcheck");
    machine.must(
        "swaks --server 127.0.0.1 --port 2525 --tls --helo client.example.net --from a@example.net --to b@example.org \
         --header 'Subject: contained'",
    );
    machine.wait_for("the message", "grep -q '^Subject: contained' /var/mail/virtual/all");
    let refused = machine.run("swaks --server 127.0.0.1 --port 2525 --helo client.example.net --from a@example.net --to b@example.com");
    assert!(!refused.success, "it relays for anybody: {}", refused.text);
}

#[test]
fn the_health_check_tells_ready_from_not_ready() {
    let mta = Mta::start();
    let mut gate = Setup::before(mta.address()).mx().start();
    let check = |path: &str| partners::run(&deploy("container/healthcheck"), [&gate.monitoring().to_string(), path], b"").success;
    assert!(check("/readyz") && check("/healthz"));
    assert!(!check("/nowhere"));
    gate.kill();
    let gone = partners::run(&deploy("container/healthcheck"), [gate.monitoring().to_string()], b"");
    assert!(!gone.success);
}

/// The objects that `kubectl kustomize` makes of a folder.
fn kustomized(folder: &str) -> Option<Vec<Value>> {
    let kubectl = partners::find("kubectl")?;
    let yaml = partners::run(&kubectl, [Path::new("kustomize"), &deploy(folder)], b"");
    assert!(yaml.success, "{}", yaml.text);
    // The one way to JSON that asks no cluster.
    let json = partners::run(&kubectl, ["label", "--local", "--filename", "-", "--output", "json", "seen=yes"], yaml.text.as_bytes());
    assert!(json.success, "{}", json.text);
    Some(serde_json::Deserializer::from_str(&json.text).into_iter().map(Result::unwrap).collect())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn the_manifests_agree_with_the_configuration_in_them() {
    for folder in ["kubernetes/base", "kubernetes/overlays/example"] {
        let Some(objects) = kustomized(folder) else { return };
        let toml = of_kind(&objects, "ConfigMap")["data"]["octroi.toml"].as_str().unwrap();
        let pod = &of_kind(&objects, "StatefulSet")["spec"]["template"]["spec"];
        let container = &pod["containers"][0];

        // The chain is what it says, once the paths are this machine's.
        let dir = tempfile::tempdir().unwrap();
        crate::support::gate::authority().identity(&["mx.example.org"]).write(dir.path(), "tls");
        let here = toml
            .replace("/etc/octroi/tls/tls.crt", dir.path().join("tls.pem").to_str().unwrap())
            .replace("/etc/octroi/tls/tls.key", dir.path().join("tls.key").to_str().unwrap())
            .replace("/usr/share/octroi/rules", deploy("rules").to_str().unwrap());
        fs::write(dir.path().join("octroi.toml"), here).unwrap();
        let mut check = Command::new(Gate::binary());
        check.args(["check", "--config"]).arg(dir.path().join("octroi.toml"));
        let checked = partners::run_command(check, b"");
        assert!(checked.success, "{}", checked.text);

        // Every port that is listened on is one of the container's, and the other way round.
        let mut ports: Vec<_> = container["ports"].as_array().unwrap().iter().map(|port| port["containerPort"].to_string()).collect();
        let mut listened: Vec<_> =
            toml.lines().filter_map(|line| line.trim().strip_prefix("address")?.split("[::]:").nth(1)?.split('"').next()).collect();
        ports.sort();
        listened.sort_unstable();
        assert_eq!(ports, listened, "{folder}");

        // Time enough to end a session, and a place for everything that is written.
        let seconds = |text: &str| text.trim_matches(|c: char| !c.is_ascii_digit()).parse::<i64>().unwrap();
        let drain = seconds(toml.lines().find(|line| line.starts_with("drain")).unwrap());
        let wait = seconds(container["lifecycle"]["preStop"]["exec"]["command"][1].as_str().unwrap());
        assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() >= drain + wait + 5, "{folder}");
        let mounts: Vec<_> =
            container["volumeMounts"].as_array().unwrap().iter().map(|mount| mount["mountPath"].as_str().unwrap()).collect();
        for path in ["/etc/octroi/octroi.toml", "/etc/octroi/tls", "/var/lib/octroi", "/tmp"] {
            assert!(mounts.contains(&path), "{folder}: {path}");
        }
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);

        // An empty selector is everybody in the namespace.
        let name = serde_json::json!({ "app.kubernetes.io/name": "octroi" });
        assert_eq!(of_kind(&objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"], name);
        assert_eq!(of_kind(&objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"], name);
        assert_eq!(of_kind(&objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"], name);
    }
}

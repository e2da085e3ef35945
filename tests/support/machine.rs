//! A Debian of its own to install into: this one's files under an overlay in memory, with its own
//! processes, network (loopback only) and systemd. Whatever is done to it is gone with it.

use super::{partners, wait};
use rustix::process::geteuid;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};
use tempfile::TempDir;

/// A machine that has booted; switched off when dropped.
pub struct Machine {
    /// `unshare`, whose end is everybody's.
    holder: Child,
    /// Its systemd, as seen from here.
    init: u32,
    group: PathBuf,
    _mounts: TempDir,
}

impl Machine {
    /// `None`, with a word, where we are not root or this machine has no systemd to boot it with.
    pub fn boot() -> Option<Self> {
        if !partners::root() {
            return None;
        }
        for program in ["unshare", "nsenter", "setpriv", "systemctl"] {
            partners::find(program)?;
        }
        assert!(geteuid().is_root());
        let mounts = tempfile::Builder::new().prefix("octroi-machine-").tempdir().unwrap();
        static MACHINES: AtomicUsize = AtomicUsize::new(0);
        let name = format!("octroi-test-{}-{}", std::process::id(), MACHINES.fetch_add(1, Ordering::Relaxed));
        let group = unified_hierarchy().join(name);
        fs::create_dir(&group).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/machine.sh");
        // It dies with the test, however that ends, and all of the machine with it.
        let join = "echo $$ > \"$1\"/cgroup.procs; shift; exec setpriv --pdeathsig KILL \
                    unshare --mount --pid --ipc --uts --net --cgroup --fork --kill-child bash \"$@\"";
        let holder = Command::new("bash")
            .args(["-c", join, "bash"])
            .args([&group, &script])
            .arg(mounts.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = holder.id();
        let child = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.split_whitespace().next()?.parse().ok();
        let init = wait::until("the machine's first process", child);
        let machine = Self { holder, init, group, _mounts: mounts };
        wait::until("the machine to boot", || {
            let booted = fs::read_to_string(format!("/proc/{init}/comm")).is_ok_and(|name| name == "systemd\n");
            (booted && machine.run("systemctl is-system-running").text.trim() == "running").then_some(())
        });
        fs::write(machine.path("/root/resolver.py"), include_str!("machine_dns.py")).unwrap();
        machine.must("systemd-run --quiet --unit resolver python3 /root/resolver.py");
        Some(machine)
    }

    /// What a shell there says to a script, which ends with the first command that fails.
    pub fn run(&self, script: &str) -> partners::Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--all", "--root", "--wd", "--", "bash", "-euo", "pipefail", "-c", script]);
        command.env_clear().envs([
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
            ("LC_ALL", "C.UTF-8"),
        ]);
        partners::run_command(command, b"")
    }

    /// The same, where nothing may fail.
    #[track_caller]
    pub fn must(&self, script: &str) -> String {
        let said = self.run(script);
        assert!(said.success, "{script}\n{}", said.text);
        said.text
    }

    /// Waits until a script succeeds.
    #[track_caller]
    pub fn wait_for(&self, what: &str, script: &str) -> String {
        wait::until(what, || Some(self.run(script)).filter(|said| said.success)).text
    }

    /// A file there, as it is seen from here.
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.init)).join(path.trim_start_matches('/'))
    }

    fn journal(&self) -> String {
        self.run("journalctl --no-pager --lines 15 --output cat | cut -c 1-200").text
    }
}

/// Where control groups of the second version are: systemd wants one.
fn unified_hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let place = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| fields.get(2) == Some(&"cgroup2"));
    place.expect("no control groups of the second version are mounted")[1].into()
}

/// Innermost first; the kernel has the files in them.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    // Busy until the last of its processes is gone.
    let _ = fs::remove_dir(group);
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of the machine's journal\n{}", self.journal());
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let start = std::time::Instant::now();
        while self.group.exists() && start.elapsed() < wait::PATIENCE {
            remove_groups(&self.group);
            wait::pause(std::time::Duration::from_millis(10));
        }
    }
}

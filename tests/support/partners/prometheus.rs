//! A Prometheus that scrapes a gate every second, with the rules that are shipped.

use super::find;
use crate::support::{places, wait};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A running Prometheus; killed when dropped.
pub struct Prometheus {
    dir: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Prometheus {
    /// Watches `target` under the name that the rules expect; `rules` are copied, and evaluated every
    /// second. `None`, with a word, where there is no Prometheus.
    pub fn watching(target: SocketAddr, rules: &[&Path]) -> Option<Self> {
        let program = find("prometheus")?;
        let dir = tempfile::Builder::new().prefix("octroi-prometheus-").tempdir().unwrap();
        for file in rules {
            fs::copy(file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
        let config = dir.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [\"{}/octroi-*.yml\"]\n\
             scrape_configs:\n  - job_name: octroi\n    static_configs: [{{ targets: [\"{target}\"] }}]\n",
            dir.path().display()
        );
        fs::write(&config, text).unwrap();
        let address = places::free();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--log.level=warn");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut prometheus = Self { dir, address, child };
        wait::until_within(4 * wait::PATIENCE, "Prometheus to be ready", || {
            if let Some(status) = prometheus.child.try_wait().unwrap() {
                panic!("Prometheus ended with {status}:\n{}", prometheus.log());
            }
            prometheus.get("/-/ready").filter(|(status, _)| *status == 200).map(drop)
        });
        Some(prometheus)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The answer to `expr` now: a list of series, or what is wrong with the question.
    pub fn query(&self, expr: &str) -> Result<Vec<Value>, String> {
        let answer = self.api(&format!("query?query={}", encoded(expr)))?;
        Ok(answer["result"].as_array().cloned().unwrap_or_default())
    }

    /// The names of the labels, with a value each, of the series that match.
    pub fn series(&self, matching: &str) -> Result<Vec<Value>, String> {
        Ok(self.api(&format!("series?match[]={}", encoded(matching)))?.as_array().cloned().unwrap_or_default())
    }

    /// What it has read from the rule files.
    pub fn rules(&self) -> Vec<Value> {
        let answer = self.api("rules").unwrap();
        answer["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    fn api(&self, what: &str) -> Result<Value, String> {
        let (status, body) = self.get(&format!("/api/v1/{what}")).ok_or("no answer")?;
        let mut answer: Value = serde_json::from_str(&body).map_err(|e| format!("{status}: {e}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(body) }
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut tcp = TcpStream::connect(self.address).ok()?;
        tcp.set_read_timeout(Some(wait::PATIENCE)).ok()?;
        // HTTP/1.0: no chunks to put together.
        write!(tcp, "GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n").ok()?;
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the log of Prometheus\n{}", self.log());
        }
    }
}

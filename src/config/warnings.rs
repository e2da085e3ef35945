//! What is no mistake, since octroi runs with it, and still not what anybody wants.
use super::Config;
use crate::tls::{Certificate, CertificateFiles};
use jiff::Timestamp;

impl Config {
    /// What is wrong with the certificates that clients and servers are shown, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let settings = &self.gate.settings;
        let mut files: Vec<&CertificateFiles> = settings.tls.certificates.iter().chain(&self.console.certificate).collect();
        files.dedup();
        // What cannot be read has been told as a mistake.
        let ours: Vec<Certificate> = files.into_iter().filter_map(|files| Certificate::load(files).ok()).collect();
        let shown = self.gate.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref()?.certificate());
        let now = Timestamp::now().as_second();
        let mut all: Vec<String> = ours.iter().chain(shown).filter_map(|certificate| certificate.out_of_date(now)).collect();
        all.dedup();
        let served = settings.tls.certificates.len().min(ours.len());
        let served = ours.get(..served).unwrap_or_default();
        if settings.tls.acme.is_none() && !served.is_empty() && !served.iter().any(|certificate| certificate.is_for(&settings.hostname)) {
            let names: Vec<&str> = served.iter().flat_map(|certificate| &certificate.names).map(String::as_str).collect();
            let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            all.push(format!("`tls`: no certificate is for `hostname`, {}, but for {names}", settings.hostname));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn warnings(name: &str, until: (i32, u8, u8)) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let key = rcgen::KeyPair::generate().unwrap();
        let [certificate, private] = ["a.pem", "a.key"].map(|file| directory.path().join(file));
        std::fs::write(&certificate, parameters.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&private, key.serialize_pem()).unwrap();
        let text = format!(
            "hostname = \"mx.example.org\"\n[tls]\ncertificate = \"{}\"\nprivate_key = \"{}\"\n[[listener]]\nname = \"mx\"\n\
             address = \"127.0.0.1:25\"\n[upstream.default]\naddresses = [\"127.0.0.1:10025\"]\n[console]\naddress = \"127.0.0.1:8443\"\n",
            certificate.display(),
            private.display()
        );
        Config::parse(Path::new("f"), text).unwrap().warnings()
    }

    #[test]
    fn certificates_that_nobody_believes_are_told() {
        assert_eq!(warnings("mx.example.org", (4000, 1, 1)), Vec::<String>::new());
        assert_eq!(warnings("*.example.org", (4000, 1, 1)), Vec::<String>::new());
        let found = warnings("mx.example.org", (2020, 2, 1));
        assert!(found.len() == 1 && found[0].ends_with("a.pem: expired on 2020-02-01 00:00:00 UTC"), "{found:?}");
        let found = warnings("www.example.com", (4000, 1, 1));
        assert_eq!(found, ["`tls`: no certificate is for `hostname`, mx.example.org, but for www.example.com"]);
    }
}

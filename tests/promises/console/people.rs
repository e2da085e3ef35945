//! People who use the console: accounts made on the command line, signed in as a browser would.
use crate::support::{Gate, Web};
use std::time::{SystemTime, UNIX_EPOCH};
use totp_rs::{Builder, Secret};

pub const PASSWORD: &str = "a long enough password";

/// Somebody with a password and an authenticator.
pub struct Person {
    pub name: String,
    pub secret: String,
}

impl Person {
    /// Makes an account.
    #[track_caller]
    pub fn new(gate: &Gate, name: &str, roles: &[&str], domains: &[&str]) -> Self {
        let mut arguments = vec!["user", "add", name, "--totp"];
        roles.iter().for_each(|role| arguments.extend(["--role", role]));
        domains.iter().for_each(|domain| arguments.extend(["--domain", domain]));
        let said = gate.octroi(&arguments, &format!("{PASSWORD}\n"));
        assert!(said.success, "{}", said.text);
        let secret = said.text.lines().find_map(|line| line.strip_prefix("TOTP secret: ")).unwrap_or_else(|| panic!("{}", said.text));
        Self { name: name.to_owned(), secret: secret.to_owned() }
    }

    /// A code of the authenticator, so many steps of 30 seconds from now.
    pub fn code(&self, steps: i64) -> String {
        code(&self.secret, steps)
    }

    /// Signed in. Each code is good once, so that this is, within 30 seconds; see [`again`](Self::again).
    #[track_caller]
    pub fn web(&self, gate: &Gate) -> Web {
        self.web_with(gate, 0)
    }

    /// Signed in once more, with the code that comes next.
    #[track_caller]
    pub fn again(&self, gate: &Gate) -> Web {
        self.web_with(gate, 1)
    }

    fn web_with(&self, gate: &Gate, steps: i64) -> Web {
        let mut web = Web::new(gate.console());
        assert_eq!(web.post("/sign-in", &[("name", self.name.as_str()), ("password", PASSWORD)]).to(), "/sign-in/factor?next=%2F");
        let csrf = web.get("/sign-in/factor").must(200).csrf();
        web.post("/sign-in/totp", &[("csrf", csrf.as_str()), ("code", self.code(steps).as_str())]).to();
        web
    }
}

pub fn code(secret: &str, steps: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let totp = Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap();
    totp.generate((now + 30 * steps) as u64).to_string()
}

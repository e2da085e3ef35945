//! `octroi user`: the console's accounts.
mod password;
mod token;

use super::{
    ConfigFile, Failure, qr,
    style::{Colour, Out, moment},
    to_the_end,
};
use crate::accounts::{Account, Accounts, Enrolment, Lifetimes, NewAccount, Role};
use crate::audit::Actor;
use crate::config::Config;
use crate::console::enrolment_link;
use crate::storage::{Access, Store};
use crate::value::rfc3339;
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;

/// Manage the console's accounts
///
/// Works beside the running service, on the same state_dir and as a user who may write there. Each
/// change stands in the audit.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(Add),
    List(List),
    Disable(Disable),
    Enable(Enable),
    Roles(Roles),
    ResetSecondFactor(Reset),
    Token(token::Arguments),
}

/// Make an account
///
/// Prints a link, good once within 24 hours, with which the person sets a password and a second
/// factor in the console. With --totp both are set here: the password is asked for (or read from
/// standard input), and the secret for an authenticator is shown.
#[derive(Debug, Args)]
struct Add {
    #[command(flatten)]
    file: ConfigFile,
    /// The account's name.
    name: String,
    #[command(flatten)]
    rights: Rights,
    /// Set password and authenticator here instead of printing a link.
    #[arg(long)]
    totp: bool,
}

#[derive(Debug, Args)]
struct Rights {
    /// What it is for; may be given more than once.
    #[arg(long = "role", value_name = "ROLE", required = true, value_parser = role)]
    roles: Vec<Role>,
    /// A domain of recipients that a reviewer looks after; may be given more than once, `*` is all.
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
}

fn role(text: &str) -> Result<Role, String> {
    let known = || Role::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
    Role::parse(text).ok_or_else(|| format!("a role is one of {}", known()))
}

/// List the accounts
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// Let an account sign in no more; its sessions and tokens end
#[derive(Debug, Args)]
struct Disable {
    #[command(flatten)]
    file: ConfigFile,
    /// The account's name.
    name: String,
}

/// Let a disabled account sign in again
#[derive(Debug, Args)]
struct Enable {
    #[command(flatten)]
    file: ConfigFile,
    /// The account's name.
    name: String,
}

/// Give an account other roles and domains, in the place of those it has
#[derive(Debug, Args)]
struct Roles {
    #[command(flatten)]
    file: ConfigFile,
    /// The account's name.
    name: String,
    #[command(flatten)]
    rights: Rights,
}

/// Take password and second factors away, and print a link to set new ones
///
/// For somebody who has lost them. His sessions end, and his tokens are revoked.
#[derive(Debug, Args)]
struct Reset {
    #[command(flatten)]
    file: ConfigFile,
    /// The account's name.
    name: String,
}

pub(super) fn main(arguments: &Arguments, out: &Out) -> Result<ExitCode, Failure> {
    let done = to_the_end(async {
        match &arguments.command {
            Command::Add(add) => add.run(out).await,
            Command::List(list) => list.run(out).await,
            Command::Disable(Disable { file, name }) => disable(file, name, true, out).await,
            Command::Enable(Enable { file, name }) => disable(file, name, false, out).await,
            Command::Roles(roles) => roles.run(out).await,
            Command::ResetSecondFactor(reset) => reset.run(out).await,
            Command::Token(token) => token::run(token, out).await,
        }
    });
    done.map(|()| ExitCode::SUCCESS)
}

/// The accounts of a service; a database that was never made is not made here, as a user the service
/// may not be.
fn open(file: &ConfigFile) -> Result<(Config, Accounts), Failure> {
    let config = Config::load(&file.config)?;
    let store = Store::open(&config.gate.settings.state_dir, Access::Existing)?;
    Ok((config, Accounts::new(store.database, Lifetimes::default(), None)))
}

impl Add {
    async fn run(&self, out: &Out) -> Result<(), Failure> {
        let (config, accounts) = open(&self.file)?;
        let new = NewAccount { name: self.name.clone(), roles: self.rights.roles.clone(), domains: self.rights.domains.clone() };
        if !self.totp {
            let enrolment = accounts.add(&new, &Actor::local()).await?;
            hand_over(&config, &enrolment, out);
            return Ok(());
        }
        let name = crate::accounts::check_name(&self.name)?;
        let password = password::read().await?;
        // Before there is an account that nobody could use.
        crate::accounts::check_password(&password, &name)?;
        accounts.add(&new, &Actor::local()).await?;
        let totp = accounts.enrol_locally(&name, &password, &Actor::local()).await?;
        qr::show(&totp.url(&format!("octroi {}", config.gate.settings.hostname), &name)?, out)?;
        out.line(format_args!("TOTP secret: {}", totp.base32()));
        out.line("It is not shown again. Recovery codes are made on the console's account page.");
        Ok(())
    }
}

fn hand_over(config: &Config, enrolment: &Enrolment, out: &Out) {
    let url = config.console.address.and_then(|address| config.console.url(&config.gate.settings.hostname, address));
    match url {
        Some(url) => out.line(enrolment_link(&url, &enrolment.code)),
        None => out.line(format_args!("{}\n`[console]` has no address: there is nowhere to use it yet.", enrolment.code)),
    }
    out.line(out.paint(Colour::Dim, format_args!("Good once, until {}; not shown again.", rfc3339(enrolment.ends_at))));
}

impl List {
    async fn run(&self, out: &Out) -> Result<(), Failure> {
        let (_, accounts) = open(&self.file)?;
        let accounts = accounts.list().await?;
        if self.json {
            out.line(serde_json::Value::from_iter(accounts.iter().map(json)));
            return Ok(());
        }
        if accounts.is_empty() {
            out.line("there are no accounts; octroi user add makes one");
        }
        for account in &accounts {
            let roles: Vec<_> = account.rights.roles.iter().map(|role| role.as_str()).collect();
            let last = account.signed_in_at.map_or_else(|| "never signed in".to_owned(), |at| format!("last {}", moment(at)));
            out.line(format_args!(
                "{:<24} {:<9} {:<24} {}  {last}",
                account.name,
                state(account),
                roles.join(","),
                account.rights.domains.join(",")
            ));
        }
        Ok(())
    }
}

fn state(account: &Account) -> &'static str {
    match (account.disabled, account.enrolled) {
        (true, _) => "disabled",
        (_, true) => "active",
        _ => "waiting",
    }
}

fn json(account: &Account) -> serde_json::Value {
    json!({
        "name": account.name,
        "state": state(account),
        "roles": account.rights.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        "domains": account.rights.domains,
        "totp": account.has_totp,
        "passkeys": account.passkeys,
        "recovery_codes": account.recovery_codes,
        "created_at": rfc3339(account.created_at),
        "created_by": account.created_by,
        "signed_in_at": account.signed_in_at.map(rfc3339),
    })
}

async fn disable(file: &ConfigFile, name: &str, disabled: bool, out: &Out) -> Result<(), Failure> {
    let (_, accounts) = open(file)?;
    accounts.disable(name, disabled, &Actor::local()).await?;
    out.line(format_args!("{name} is {}", if disabled { "disabled" } else { "enabled" }));
    Ok(())
}

impl Roles {
    async fn run(&self, out: &Out) -> Result<(), Failure> {
        let (_, accounts) = open(&self.file)?;
        accounts.set_rights(&self.name, &self.rights.roles, &self.rights.domains, &Actor::local()).await?;
        out.line(format_args!("{} has other roles; its sessions have ended", self.name));
        Ok(())
    }
}

impl Reset {
    async fn run(&self, out: &Out) -> Result<(), Failure> {
        let (config, accounts) = open(&self.file)?;
        hand_over(&config, &accounts.reset(&self.name, &Actor::local()).await?, out);
        Ok(())
    }
}

//! `octroi user token`: for programs that use the API.
use super::open;
use crate::accounts::{NewToken, Permission};
use crate::audit::Actor;
use crate::cli::{ConfigFile, Failure, style::Out};
use crate::value::parse_duration;
use clap::{Args, Subcommand};
use std::time::Duration;

/// Tokens for programs
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(Add),
    List(List),
    Revoke(Revoke),
}

/// Make a token, and print it once
#[derive(Debug, Args)]
struct Add {
    #[command(flatten)]
    file: ConfigFile,
    /// Whose it is.
    name: String,
    /// What it may do; may be given more than once. What its account may not do it may not do either.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope)]
    scopes: Vec<Permission>,
    /// What it is for.
    #[arg(long, default_value = "made on the command line")]
    label: String,
    /// How long it lives, at most 366d.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "90d")]
    life: Duration,
}

/// List tokens; what they are shown for is not among it
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// Only those of this account.
    name: Option<String>,
}

/// Take a token back
#[derive(Debug, Args)]
struct Revoke {
    #[command(flatten)]
    file: ConfigFile,
    /// Its id, from the list.
    id: String,
}

fn scope(text: &str) -> Result<Permission, String> {
    let known = || Permission::ALL.iter().map(|permission| permission.as_str()).collect::<Vec<_>>().join(", ");
    Permission::parse(text).ok_or_else(|| format!("a scope is one of {}", known()))
}

pub(super) async fn run(arguments: &Arguments, out: &Out) -> Result<(), Failure> {
    match &arguments.command {
        Command::Add(Add { file, name, scopes, label, life }) => {
            let new = NewToken { account: name.clone(), label: label.clone(), scopes: scopes.clone(), life: *life };
            out.line(open(file)?.1.add_token(&new, &Actor::local()).await?);
        }
        Command::List(List { file, name }) => {
            for token in open(file)?.1.tokens(name.as_deref()).await? {
                let until = super::moment(token.ends_at);
                out.line(format_args!("{}  {:<16} until {until}  {}  {}", token.id, token.account, token.scopes, token.label));
            }
        }
        Command::Revoke(Revoke { file, id }) => {
            open(file)?.1.revoke_token(id, None, &Actor::local()).await?;
            out.line(format_args!("{id} is of no use any more"));
        }
    }
    Ok(())
}

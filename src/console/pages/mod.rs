//! The pages, a file for each area.

mod account;
mod accounts;
mod audit;
mod enrol;
mod home;
mod messages;
mod overview;
mod preferences;
pub(in crate::console) mod quarantine;
mod sign_in;

use super::Console;
use axum::Router;

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .merge(account::routes())
        .merge(accounts::routes())
        .merge(audit::routes())
        .merge(enrol::routes())
        .merge(home::routes())
        .merge(messages::routes())
        .merge(overview::routes())
        .merge(preferences::routes())
        .merge(quarantine::routes())
        .merge(sign_in::routes())
}

/// In fours, for whoever types it off.
fn grouped(secret: &str) -> String {
    let letters: Vec<_> = secret.chars().collect();
    letters.chunks(4).map(String::from_iter).collect::<Vec<_>>().join(" ")
}

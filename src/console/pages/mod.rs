//! The pages, a file for each area.

mod home;
mod messages;
mod overview;
mod preferences;

use super::Console;
use axum::Router;

pub(super) fn routes() -> Router<Console> {
    Router::new().merge(home::routes()).merge(overview::routes()).merge(messages::routes()).merge(preferences::routes())
}

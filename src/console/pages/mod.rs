//! The pages, a file for each area.

mod home;
mod preferences;

use super::Console;
use axum::Router;

pub(super) fn routes() -> Router<Console> {
    Router::new().merge(home::routes()).merge(preferences::routes())
}

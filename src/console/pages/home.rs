//! `/`: on to the first page that is for whoever comes.
use crate::console::{Console, Error, Frame, Viewer, flash::see};
use axum::{Router, response::Response, routing::get};

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/", get(home))
}

async fn home(_: Viewer, frame: Frame) -> Result<Response, Error> {
    Ok(see(frame.places().first().map_or("/account", |place| place.path)))
}

//! Pictures for the cameras of telephones.
use super::Error;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use qrcode::{QrCode, render::svg};

/// A `data:` address of a picture that says `text`: black on white, whatever the page's colours.
pub(super) fn image(text: &str) -> Result<String, Error> {
    let code = QrCode::new(text).map_err(|error| Error::Internal(format!("a QR code: {error}")))?;
    let svg = code.render::<svg::Color<'_>>().min_dimensions(220, 220).build();
    Ok(format!("data:image/svg+xml;base64,{}", BASE64_STANDARD.encode(svg)))
}

//! QR codes in a terminal.
use super::{Failure, style::Out};
use qrcode::{QrCode, render::unicode::Dense1x2};

/// Shows `text`, two rows of the code in each line.
pub(super) fn show(text: &str, out: &Out) -> Result<(), Failure> {
    let code = QrCode::new(text)?;
    // Where colours can be set it is black on white whatever the terminal is. Elsewhere what is light
    // is drawn: most terminals are dark.
    let shown = if out.is_coloured() {
        code.render::<Dense1x2>().build()
    } else {
        code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build()
    };
    for line in shown.lines() {
        out.line(if out.is_coloured() { format!("\x1b[38;5;16;48;5;231m{line}\x1b[0m") } else { line.to_owned() });
    }
    Ok(())
}

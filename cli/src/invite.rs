//! An invitation for people: one string, and a QR code that a terminal can show.

use crate::{error::Error, output::Output};
use qrcode::{Color, EcLevel, QrCode};
use serde_json::json;
use wire::Invitation;

/// White modules around a code, in both directions.
const MARGIN: usize = 4;

/// Writes an invitation as a string, and as a QR code if that is wished.
pub(crate) fn show(invitation: &Invitation, qr: bool, output: &Output) -> Result<(), Error> {
    let text = invitation.to_string();
    let code = if qr { format!("\n{}", draw(&invitation.to_capitals())?) } else { String::new() };
    output.result(&format!("{text}{code}"), &json!({ "session": invitation.session, "invite": text }))
}

/// A QR code in half blocks, two modules a character. Light modules are drawn, so that it is right on a dark terminal; cameras read the
/// opposite, too.
fn draw(text: &str) -> Result<String, Error> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L);
    let code = code.map_err(|error| Error::Usage {
        reason: format!("the invitation does not fit a QR code ({error}); send its string"),
    })?;
    let (width, modules) = (code.width(), code.to_colors());
    let is_light = |row: usize, column: usize| {
        let inside = |place: usize| place.checked_sub(MARGIN).filter(|place| *place < width);
        let module = inside(row).zip(inside(column)).and_then(|(row, column)| modules.get(row * width + column));
        module.is_none_or(|color| *color == Color::Light)
    };
    let side = width + 2 * MARGIN;
    let line = |row: usize| -> String {
        let block = |column| match (is_light(row, column), row + 1 < side && is_light(row + 1, column)) {
            (true, true) => '\u{2588}',
            (true, false) => '\u{2580}',
            (false, true) => '\u{2584}',
            (false, false) => ' ',
        };
        (0..side).map(block).collect()
    };
    Ok((0..side).step_by(2).map(line).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_square_and_has_a_margin() {
        let drawn = draw("WHITECITY:ABC").unwrap();
        let lines: Vec<&str> = drawn.lines().collect();
        // Version 1 has 21 modules a side.
        assert_eq!(lines.len(), 15);
        assert!(lines.iter().all(|line| line.chars().count() == 29), "{drawn}");
        assert_eq!(lines[1], "\u{2588}".repeat(29), "the margin");
        let first: String = lines[2].chars().collect();
        let finder = "\u{2588}\u{2588}\u{2588}\u{2588} \u{2584}\u{2584}\u{2584}\u{2584}\u{2584} \u{2588}";
        assert!(first.starts_with(finder), "the corner that a camera looks for: {drawn}");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        assert!(draw(&"A".repeat(5000)).unwrap_err().to_string().contains("send its string"));
    }
}

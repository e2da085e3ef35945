//! How numbers are written for people.

/// A count, however a template has it.
pub trait Number {
    fn get(&self) -> u64;
}
impl Number for u64 {
    fn get(&self) -> u64 {
        *self
    }
}
impl Number for usize {
    fn get(&self) -> u64 {
        *self as u64
    }
}
/// Fewer than none is none.
impl Number for i64 {
    fn get(&self) -> u64 {
        u64::try_from(*self).unwrap_or(0)
    }
}
impl<T: Number> Number for &T {
    fn get(&self) -> u64 {
        (**self).get()
    }
}

/// `312 B`, `4.1 KiB`, `12.0 MiB`.
#[must_use]
pub fn octets(count: impl Number) -> String {
    let count = count.get();
    #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
    let mut rest = count as f64;
    if count < 1024 {
        return format!("{count} B");
    }
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if rest < 1023.95 {
            break;
        }
        (rest, unit) = (rest / 1024.0, larger);
    }
    format!("{rest:.1} {unit}")
}

/// `1 234 567`, with blanks that do not break.
#[must_use]
pub fn grouped(number: impl Number) -> String {
    let digits = number.get().to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let written: Vec<_> = [0_u64, 1023, 1024, 4200, 1_048_575, 1_048_576, 5 << 40, u64::MAX].into_iter().map(octets).collect();
        assert_eq!(written, ["0 B", "1023 B", "1.0 KiB", "4.1 KiB", "1.0 MiB", "1.0 MiB", "5.0 TiB", "16777216.0 TiB"]);
        let written: Vec<_> = [0_u64, 999, 1000, 1_234_567].into_iter().map(grouped).collect();
        assert_eq!(written, ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }
}

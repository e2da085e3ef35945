//! How numbers are written for people: in one place, so that no page writes them another way.
use super::text::Language;
use crate::value::ByteSize;
use std::time::Duration;

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

/// Between a number and its unit: narrow, and no line ends there (ISO 80000-1 §7.1.4, and French
/// typography before a percent sign).
const BLANK: char = '\u{202f}';

impl Language {
    /// A number with so many digits after the point, or the comma.
    #[must_use]
    pub fn decimal(self, number: f64, digits: usize) -> String {
        let text = format!("{number:.digits$}");
        match self {
            Self::English => text,
            Self::French => text.replace('.', ","),
        }
    }

    /// A size, in the units of the configuration: `312 B`, `4.1 KiB`; `312 o`, `4,1 Kio`.
    #[must_use]
    pub fn octets(self, count: impl Number) -> String {
        let (number, unit) = ByteSize(count.get()).scaled();
        let units = match self {
            Self::English => ["B", "KiB", "MiB", "GiB", "TiB"],
            Self::French => ["o", "Kio", "Mio", "Gio", "Tio"],
        };
        let number = self.decimal(number, usize::from(unit > 0));
        format!("{number}{BLANK}{}", units.get(unit).unwrap_or(&"?"))
    }

    /// A duration: `3.2 s`, `48 ms`, `0.2 ms`.
    #[must_use]
    pub fn seconds(self, seconds: f64) -> String {
        let (number, unit) = match seconds {
            seconds if seconds >= 1.0 => (self.decimal(seconds, 1), "s"),
            seconds if seconds >= 0.01 => (self.decimal(seconds * 1000.0, 0), "ms"),
            seconds => (self.decimal(seconds * 1000.0, 1), "ms"),
        };
        format!("{number}{BLANK}{unit}")
    }

    /// How old something is, in its largest unit: `3 d`, `5 h`, `12 min`.
    #[must_use]
    pub fn age(self, age: Duration) -> String {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        let (number, unit) = match age.as_secs() {
            seconds if seconds >= 2 * DAY => (seconds / DAY, if self == Self::French { "j" } else { "d" }),
            seconds if seconds >= 2 * HOUR => (seconds / HOUR, "h"),
            seconds => (seconds.div_ceil(60), "min"),
        };
        format!("{number}{BLANK}{unit}")
    }

    /// A part of a whole: `12.5%`, `12,5 %`.
    #[must_use]
    pub fn percent(self, part: u64, whole: u64) -> String {
        #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
        let percent = if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
        let number = self.decimal(percent, 1);
        match self {
            Self::English => format!("{number}%"),
            Self::French => format!("{number}{BLANK}%"),
        }
    }
}

/// `1 234 567`, with blanks that do not break.
#[must_use]
pub fn grouped(number: impl Number) -> String {
    let digits = number.get().to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(BLANK);
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
        let (english, french) = (Language::English, Language::French);
        assert_eq!((english.octets(1023_u64), french.octets(1023_u64)), ("1023\u{202f}B".into(), "1023\u{202f}o".into()));
        assert_eq!((english.octets(4200_u64), french.octets(4200_u64)), ("4.1\u{202f}KiB".into(), "4,1\u{202f}Kio".into()));
        assert_eq!((english.octets(12_i64 << 20), french.octets(-1_i64)), ("12.0\u{202f}MiB".into(), "0\u{202f}o".into()));
        assert_eq!((english.seconds(3.21), french.seconds(0.0002)), ("3.2\u{202f}s".into(), "0,2\u{202f}ms".into()));
        assert_eq!((english.seconds(0.048), french.seconds(0.048)), ("48\u{202f}ms".into(), "48\u{202f}ms".into()));
        let (days, minutes) = (Duration::from_secs(3 * 86_400 + 5), Duration::from_secs(61));
        assert_eq!(
            (english.age(days), french.age(days), french.age(minutes)),
            ("3\u{202f}d".into(), "3\u{202f}j".into(), "2\u{202f}min".into())
        );
        assert_eq!((english.percent(1, 8), french.percent(1, 8)), ("12.5%".into(), "12,5\u{202f}%".into()));
        assert_eq!((english.percent(0, 0), french.decimal(7.25, 2)), ("0.0%".into(), "7,25".into()));
        let written: Vec<_> = [0_u64, 999, 1000, 1_234_567].into_iter().map(grouped).collect();
        assert_eq!(written, ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }
}

use std::{fmt, str::FromStr};

/// A number of octets, written with its unit: `512B`, `64KiB`, `50MiB`, `8GiB` (powers of 1024)
/// or `kB`, `MB`, `GB` (powers of 1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// For people: how many of the largest unit that it fills, and which: 0 octets, 1 KiB, 2 MiB, 3
    /// GiB, 4 TiB.
    #[must_use]
    pub fn scaled(self) -> (f64, usize) {
        #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
        let (mut number, mut unit) = (self.0 as f64, 0);
        // 1023.95 would be shown as 1024.0.
        while unit < 4 && number >= if unit == 0 { 1024.0 } else { 1023.95 } {
            (number, unit) = (number / 1024.0, unit + 1);
        }
        (number, unit)
    }

    /// In English: `312 B`, `4.1 KiB`, `12.0 MiB`. The units are those of the configuration.
    #[must_use]
    pub fn readable(self) -> String {
        match self.scaled() {
            (number, 0) => format!("{number} B"),
            (number, unit) => format!("{number:.1} {}", ["B", "KiB", "MiB", "GiB", "TiB"].get(unit).unwrap_or(&"B")),
        }
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let wrong =
            || format!("`{text}` is not a size: write a whole number and its unit, such as \"512B\", \"64KiB\", \"50MiB\" or \"8GiB\"");
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let scale: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(scale).map(Self).ok_or_else(|| format!("`{text}` is more octets than can be counted"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
            .into_iter()
            .find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift)
            .map_or((self.0, "B"), |(shift, unit)| (self.0 >> shift, unit));
        write!(f, "{number}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_sizes_in_the_units_of_the_configuration() {
        let read: Vec<_> = [0, 1023, 1024, 4200, 1_048_575, 1 << 20, 5 << 40, u64::MAX].map(|octets| ByteSize(octets).readable()).into();
        assert_eq!(read, ["0 B", "1023 B", "1.0 KiB", "4.1 KiB", "1.0 MiB", "1.0 MiB", "5.0 TiB", "16777216.0 TiB"]);
    }

    #[test]
    fn sizes_have_units_and_print_as_written() {
        for (text, octets) in [("512B", 512), ("64KiB", 65536), ("50MiB", 50 << 20), ("8GiB", 8 << 30), ("0B", 0)] {
            assert_eq!(text.parse(), Ok(ByteSize(octets)));
            assert_eq!(ByteSize(octets).to_string(), text);
        }
        assert_eq!("3kB".parse(), Ok(ByteSize(3000)));
        for wrong in ["", "5", "MiB", "5 MiB", "-1B", "1.5MiB", "5mib", "99999999999GiB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }
}

use crate::chain::HoldClass;
use crate::value::{
    ByteSize,
    settings::{Placed, Section},
};
use std::time::Duration;

/// `[quarantine]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Of every class.
    classes: [Retention; HoldClass::ALL.len()],
    /// What is released by two people only: one asks, another approves.
    four_eyes: Vec<HoldClass>,
}

/// How long and how much of a class is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// An entry that is older is removed, unless it is under legal hold.
    pub keep: Duration,
    /// Octets on disk. Where they are used up no more is taken: what is held already stays.
    pub size: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: Duration::from_secs(30 * 86_400), size: 10 << 30 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { classes: [Retention::default(); HoldClass::ALL.len()], four_eyes: vec![HoldClass::Malware] }
    }
}

impl Settings {
    /// Reads `[quarantine]`: what holds for all classes, and for each what it has of its own.
    pub fn read(section: &mut Section<'_>) -> Self {
        let all = Retention::read(section, Retention::default());
        let four_eyes = four_eyes(section);
        Self { classes: HoldClass::ALL.map(|class| Retention::read(&mut section.section(class.as_str()), all)), four_eyes }
    }

    /// Whether what is held as this is released by two people only. A class that this version does
    /// not know is: a later one may have had its reasons.
    #[must_use]
    pub fn takes_two(&self, class: &str) -> bool {
        HoldClass::parse(class).is_none_or(|class| self.four_eyes.contains(&class))
    }

    /// Something of its own for `class`.
    #[cfg(test)]
    pub(super) fn set(&mut self, class: HoldClass, retention: Retention) {
        self.classes[class as usize] = retention;
    }

    /// How long what is held as this is kept.
    #[must_use]
    pub fn keeps(&self, class: &str) -> Option<Duration> {
        HoldClass::parse(class).map(|class| self.of(class).keep)
    }

    /// What holds for `class`.
    #[must_use]
    pub fn of(&self, class: HoldClass) -> Retention {
        self.classes.get(class as usize).copied().unwrap_or_default()
    }
}

fn four_eyes(section: &mut Section<'_>) -> Vec<HoldClass> {
    let usual = Settings::default().four_eyes;
    section.holds_without("four_eyes", &usual.iter().map(|class| class.as_str().to_owned()).collect::<Vec<_>>());
    let Some(words) = section.take_list::<String>("four_eyes") else { return usual };
    let place = section.place("four_eyes").unwrap_or_else(|| section.span());
    let class = |word: &String| {
        let class = HoldClass::parse(word);
        if class.is_none() {
            let known: Vec<_> = HoldClass::ALL.iter().map(|class| format!("\"{}\"", class.as_str())).collect();
            let text = format!("`{}`: `{word}` is none of {}", section.path("four_eyes"), known.join(", "));
            section.complain_at(place.clone(), text);
        }
        class
    };
    words.iter().filter_map(class).collect()
}

impl Retention {
    fn read(section: &mut Section<'_>, default: Self) -> Self {
        let mut retention = default;
        if let Some(Placed { value, span }) = section.take_placed_unless("keep", &default.keep) {
            if value.is_zero() {
                section.complain_at(span, format!("`{}`: nothing would ever be looked at", section.path("keep")));
            }
            retention.keep = value;
        }
        if let Some(Placed { value: ByteSize(size), span }) = section.take_placed_unless("size", &ByteSize(default.size)) {
            if size == 0 {
                section.complain_at(span, format!("`{}`: nothing would fit into nothing", section.path("size")));
            }
            retention.size = size;
        }
        retention
    }
}

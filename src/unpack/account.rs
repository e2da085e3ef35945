//! What unpacking may take, and the one place where it is counted.
use crate::value::{
    ByteSize,
    settings::{Placed, Section, Setting},
};
use rustix::time::{ClockId, clock_gettime};
use std::{io::Read, time::Duration};

/// How much is read between two looks at the limits.
const CHUNK: usize = 64 << 10;
/// Output up to which the ratio is not asked for: short files of one octet repeated are no bomb.
const RATIO_FLOOR: u64 = 8 << 20;

/// `[unpack]`: bounds on what one message may unpack to, over all its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Octets held at once: what was unpacked, and the windows of the decoders at work.
    pub size: u64,
    pub files: usize,
    /// Containers inside each other.
    pub depth: usize,
    /// Times that the contents of a part may be larger than the part, from 8 MiB on.
    pub ratio: u64,
    /// Of a processor, not of the clock: a loaded machine takes longer, and finds the same.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: 60 << 20, files: 2_000, depth: 10, ratio: 250, time: Duration::from_secs(1) }
    }
}

impl Limits {
    /// Reads `[unpack]`; mistakes go where the section collects them.
    #[must_use]
    pub fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            size: not_zero(section, "size", ByteSize(default.size), ByteSize(0)).0,
            files: not_zero(section, "files", default.files, 0),
            depth: not_zero(section, "depth", default.depth, 0),
            ratio: not_zero(section, "ratio", default.ratio, 0),
            time: not_zero(section, "time", default.time, Duration::ZERO),
        }
    }
}

fn not_zero<T: Setting + PartialEq>(section: &mut Section<'_>, key: &'static str, default: T, zero: T) -> T {
    let Some(Placed { value, span }) = section.take_placed_unless(key, &default) else { return default };
    if value == zero {
        section.complain_at(span, format!("`{}`: with nothing, no archive could be looked into", section.path(key)));
    }
    value
}

/// Which limit ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Size,
    Files,
    Depth,
    Ratio,
    Time,
}

impl Limit {
    /// As its key in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Files => "files",
            Self::Depth => "depth",
            Self::Ratio => "ratio",
            Self::Time => "time",
        }
    }
}

/// The memory that all messages share has no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("memory budget used up")]
pub struct NoMemory;

/// Nothing more is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Limit(Limit),
    NoMemory,
}

/// What was taken of the limits so far.
pub(super) struct Account<'a> {
    pub(super) limits: &'a Limits,
    reserve: &'a mut dyn FnMut(u64) -> bool,
    /// Held at this moment.
    held: u64,
    /// Granted and not held: what windows gave back.
    spare: u64,
    /// Octets of the part at hand, and what came out of it.
    part: u64,
    unpacked: u64,
    started: Duration,
}

impl<'a> Account<'a> {
    pub(super) fn new(limits: &'a Limits, reserve: &'a mut dyn FnMut(u64) -> bool) -> Self {
        Self { limits, reserve, held: 0, spare: 0, part: 0, unpacked: 0, started: processor_time() }
    }

    /// Another part of the message begins.
    pub(super) fn begin(&mut self, part: u64) {
        (self.part, self.unpacked) = (part, 0);
    }

    /// Takes memory for `octets`.
    pub(super) fn hold(&mut self, octets: u64) -> Result<(), Stop> {
        if self.held.saturating_add(octets) > self.limits.size {
            return Err(Stop::Limit(Limit::Size));
        }
        let reused = octets.min(self.spare);
        if octets > reused && !(self.reserve)(octets - reused) {
            return Err(Stop::NoMemory);
        }
        self.spare -= reused;
        self.held += octets;
        Ok(())
    }

    /// Gives memory back, for what comes next.
    pub(super) fn release(&mut self, octets: u64) {
        let octets = octets.min(self.held);
        self.held -= octets;
        self.spare += octets;
    }

    /// `octets` more came out of the part at hand.
    fn unpacked(&mut self, octets: u64) -> Result<(), Stop> {
        self.unpacked = self.unpacked.saturating_add(octets);
        let most = self.part.max(1).saturating_mul(self.limits.ratio).max(RATIO_FLOOR);
        if self.unpacked > most { Err(Stop::Limit(Limit::Ratio)) } else { Ok(()) }
    }

    pub(super) fn check_time(&self) -> Result<(), Stop> {
        if processor_time().saturating_sub(self.started) > self.limits.time { Err(Stop::Limit(Limit::Time)) } else { Ok(()) }
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// It is damaged, or not what it said; what came before is there.
    Damaged,
    Stopped(Stop),
}

/// Reads `from` to its end. `window`: the most its decoder will hold, which it takes as the output
/// grows.
pub(super) fn drain(account: &mut Account<'_>, mut from: impl Read, window: u64) -> (Vec<u8>, End) {
    let mut octets = Vec::new();
    let mut windowed = 0;
    let end = loop {
        if let Err(stop) = account.check_time() {
            break End::Stopped(stop);
        }
        let before = octets.len();
        // Counted before it is taken; given back below where less came.
        let for_window = (window - windowed).min(CHUNK as u64);
        if let Err(stop) = account.hold(CHUNK as u64 + for_window) {
            break End::Stopped(stop);
        }
        let read = from.by_ref().take(CHUNK as u64).read_to_end(&mut octets);
        let got = (octets.len() - before) as u64;
        let used = got.min(for_window);
        windowed += used;
        account.release(CHUNK as u64 + for_window - got - used);
        if let Err(stop) = account.unpacked(got) {
            break End::Stopped(stop);
        }
        match read {
            Ok(0) => break End::Whole,
            Ok(_) => {}
            Err(_) => break End::Damaged,
        }
    };
    account.release(windowed);
    octets.shrink_to_fit();
    (octets, end)
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::repeat;

    fn account<'a>(limits: &'a Limits, reserve: &'a mut dyn FnMut(u64) -> bool) -> Account<'a> {
        let mut account = Account::new(limits, reserve);
        account.begin(1 << 20);
        account
    }

    #[test]
    fn a_stream_without_end_ends_at_the_size_and_takes_no_more() {
        let limits = Limits { size: 1 << 20, ..Limits::default() };
        let mut granted = 0;
        let mut reserve = |octets| {
            granted += octets;
            true
        };
        let mut account = account(&limits, &mut reserve);
        let (octets, end) = drain(&mut account, repeat(7), 256 << 10);
        assert_eq!(end, End::Stopped(Stop::Limit(Limit::Size)));
        assert_eq!(octets.len(), (1 << 20) - (256 << 10), "the window is memory too");
        assert_eq!(account.held, octets.len() as u64, "and given back at the end");
        assert!(granted <= 1 << 20);
    }

    #[test]
    fn each_limit_stops_a_stream() {
        let all = Limits { time: Duration::from_secs(60), ..Limits::default() };
        let cases = [
            (Limits { size: 100_000, ..all.clone() }, Limit::Size),
            (Limits { ratio: 9, ..all.clone() }, Limit::Ratio),
            (Limits { time: Duration::ZERO, ..all }, Limit::Time),
        ];
        for (limits, limit) in cases {
            let (_, end) = drain(&mut account(&limits, &mut |_| true), repeat(7), 0);
            assert_eq!(end, End::Stopped(Stop::Limit(limit)));
        }
        let (_, end) = drain(&mut account(&Limits::default(), &mut |_| false), repeat(7), 0);
        assert_eq!(end, End::Stopped(Stop::NoMemory));
    }
}

//! The readings kept so far, none of them twice.
use super::Reading;
use bytes::Bytes;
use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    ops::Range,
};

/// What is known of octets that were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    /// The reading at this place is the same.
    Known(usize),
    /// There is nothing to it.
    Nothing,
}

#[derive(Default)]
pub(super) struct Kept {
    readings: Vec<Reading>,
    /// Readings by length, with the hash of their octets once a second has the length: most have a
    /// length of their own, and are never hashed.
    by_length: HashMap<usize, Vec<(usize, Option<u64>)>>,
    hasher: RandomState,
}

impl Kept {
    /// Whether a reading is the same already; empty ones without a name tell nobody anything.
    pub(super) fn find(&mut self, kind: &str, names: &[Box<str>], octets: &Bytes) -> Seen {
        if octets.is_empty() && names.is_empty() {
            return Seen::Nothing;
        }
        let Some(alike) = self.by_length.get_mut(&octets.len()) else { return Seen::New };
        let hash = self.hasher.hash_one(octets);
        let readings = &self.readings;
        for (at, known) in alike {
            let Some(other) = readings.get(*at) else { continue };
            let known = *known.get_or_insert_with(|| self.hasher.hash_one(&other.octets));
            if known == hash && *other.content_type == *kind && *other.names == *names && other.octets == *octets {
                return Seen::Known(*at);
            }
        }
        Seen::New
    }

    /// The reading at `at` is of one more part.
    pub(super) fn also_at(&mut self, at: usize, place: Option<Range<usize>>) {
        let Some(reading) = self.readings.get_mut(at) else { return };
        match (&mut reading.places, place) {
            (Some(places), Some(place)) if !places.contains(&place) => places.push(place),
            (Some(_), Some(_)) => {}
            _ => reading.places = None,
        }
    }

    pub(super) fn push(&mut self, reading: Reading) {
        self.by_length.entry(reading.octets.len()).or_default().push((self.readings.len(), None));
        self.readings.push(reading);
    }
    pub(super) fn len(&self) -> usize {
        self.readings.len()
    }
    pub(super) fn into_vec(self) -> Vec<Reading> {
        self.readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_anything_is_new() {
        let mut kept = Kept::default();
        let names: [Box<str>; 1] = ["x".into()];
        let push = |kept: &mut Kept, octets: &'static [u8]| {
            kept.push(Reading {
                content_type: "a/b".into(),
                names: names.to_vec(),
                octets: Bytes::from_static(octets),
                plain: true,
                places: None,
            });
        };
        assert_eq!(kept.find("a/b", &names, &"one".into()), Seen::New);
        push(&mut kept, b"one");
        push(&mut kept, b"two");
        for (at, octets) in ["one", "two"].into_iter().enumerate() {
            assert_eq!(kept.find("a/b", &names, &octets.into()), Seen::Known(at));
            assert_eq!(kept.find("a/c", &names, &octets.into()), Seen::New);
            assert_eq!(kept.find("a/b", &[], &octets.into()), Seen::New);
        }
        assert_eq!(kept.find("a/b", &names, &"six".into()), Seen::New);
        assert_eq!(kept.find("a/b", &names, &"three".into()), Seen::New);
        assert_eq!(kept.find("a/b", &[], &Bytes::new()), Seen::Nothing, "nothing, without a name");
    }
}

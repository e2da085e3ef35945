//! The readings kept so far, none of them twice.
use super::Reading;
use bytes::Bytes;
use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
};

#[derive(Default)]
pub(super) struct Kept {
    readings: Vec<Reading>,
    /// Readings by length, with the hash of their octets once a second has the length: most have a
    /// length of their own, and are never hashed.
    by_length: HashMap<usize, Vec<(usize, Option<u64>)>>,
    hasher: RandomState,
}

impl Kept {
    /// Whether no reading is the same already; empty ones without a name tell nobody anything.
    pub(super) fn is_new(&mut self, kind: &str, names: &[Box<str>], octets: &Bytes) -> bool {
        if octets.is_empty() && names.is_empty() {
            return false;
        }
        let Some(alike) = self.by_length.get_mut(&octets.len()) else { return true };
        let hash = self.hasher.hash_one(octets);
        let readings = &self.readings;
        for (at, known) in alike {
            let Some(other) = readings.get(*at) else { continue };
            let known = *known.get_or_insert_with(|| self.hasher.hash_one(&other.octets));
            if known == hash && *other.content_type == *kind && *other.names == *names && other.octets == *octets {
                return false;
            }
        }
        true
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
            kept.push(Reading { content_type: "a/b".into(), names: names.to_vec(), octets: Bytes::from_static(octets), plain: true });
        };
        assert!(kept.is_new("a/b", &names, &"one".into()));
        push(&mut kept, b"one");
        push(&mut kept, b"two");
        for octets in ["one", "two"] {
            assert!(!kept.is_new("a/b", &names, &octets.into()));
            assert!(kept.is_new("a/c", &names, &octets.into()));
            assert!(kept.is_new("a/b", &[], &octets.into()));
        }
        assert!(kept.is_new("a/b", &names, &"six".into()) && kept.is_new("a/b", &names, &"three".into()));
        assert!(!kept.is_new("a/b", &[], &Bytes::new()), "nothing, without a name");
    }
}

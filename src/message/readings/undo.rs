//! How transfer encodings are undone on a walk, each result counted.
use super::{
    Anomaly, base64, embedded,
    facts::Encoding,
    kept::Seen,
    names, quoted,
    walk::{Body, DECODE, Step, Walk},
};
use crate::message::MimeError;
use bytes::Bytes;
use std::ops::Range;

impl Walk {
    /// A body in every way that its transfer encoding can be undone.
    pub(super) fn decoded(&mut self, source: usize, range: &Range<usize>, encoding: Encoding, plain: bool) -> Result<Vec<Body>, MimeError> {
        let encoded = self.octets(source, range.clone());
        let mut bodies = Vec::new();
        match encoding {
            Encoding::Identity => bodies.push(Body { source, range: range.clone(), identity: true, plain }),
            Encoding::Base64 => {
                if let Some(body) = self.decode(source, range, plain, base64::strict)? {
                    return Ok(vec![body]);
                }
                let (rules, notes) = base64::rules(&encoded);
                notes.into_iter().for_each(|(anomaly, at)| self.note(source, anomaly, range.start + at));
                for (nth, rule) in rules.into_iter().enumerate() {
                    bodies.extend(self.decode(source, range, plain && nth == 0, |encoded| Some(rule.decode(encoded)))?);
                }
            }
            Encoding::Quoted => {
                self.spend(encoded.len() as u64)?;
                let (rules, notes) = quoted::rules(&encoded);
                notes.into_iter().for_each(|(anomaly, at)| self.note(source, anomaly, range.start + at));
                for (nth, rule) in rules.into_iter().enumerate() {
                    bodies.extend(self.decode(source, range, plain && nth == 0, |encoded| Some(rule.decode(encoded)))?);
                }
            }
            Encoding::Uuencode | Encoding::Yenc => {
                if let Some(file) = embedded::find(&encoded, 0) {
                    let octets = self.file(source, range.start, &file)?.0;
                    let origin = self.origin(source, range.start);
                    let length = octets.len();
                    let source = self.source(octets, Some(origin));
                    bodies.push(Body { source, range: 0..length, identity: false, plain });
                }
                bodies.push(Body { source, range: range.clone(), identity: true, plain: plain && bodies.is_empty() });
            }
        }
        Ok(bodies)
    }

    /// A source of its own, made by `decode`; nothing where that cannot.
    fn decode(
        &mut self,
        source: usize,
        range: &Range<usize>,
        plain: bool,
        decode: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Option<Body>, MimeError> {
        let encoded = self.octets(source, range.clone());
        self.spend(DECODE * encoded.len() as u64)?;
        self.hold(encoded.len())?;
        let Some(octets) = decode(&encoded) else {
            self.share.give_back(encoded.len() as u64);
            return Ok(None);
        };
        self.share.give_back(encoded.len().saturating_sub(octets.capacity()) as u64);
        let origin = self.origin(source, range.start);
        let range = 0..octets.len();
        let source = self.source(octets, Some(origin));
        Ok(Some(Body { source, range, identity: false, plain }))
    }

    /// Files that stand, without MIME's help, in the text that begins at `start` of `source`.
    pub(super) fn files_in(&mut self, source: usize, start: usize, text: &[u8]) -> Step {
        self.spend(2 * text.len() as u64)?;
        if let Some(at) = embedded::binhex(text) {
            self.note(source, Anomaly::Binhex, start + at);
        }
        let mut from = 0;
        while let Some(file) = embedded::find(text, from) {
            self.spend(text.len().saturating_sub(from) as u64)?;
            let (octets, used) = self.file(source, start, &file)?;
            let (names, octets) = (names::plain(file.name), Bytes::from(octets));
            match self.kept.find("application/octet-stream", &names, &octets) {
                Seen::New => self.keep("application/octet-stream", names, octets, false, None)?,
                Seen::Known(at) => self.kept.also_at(at, None),
                Seen::Nothing => {}
            }
            from = file.at + used + 1;
        }
        Ok(())
    }

    /// Decodes a file in the text that begins at `start` of `source`.
    fn file(&mut self, source: usize, start: usize, file: &embedded::Embedded<'_>) -> Result<(Vec<u8>, usize), MimeError> {
        let anomaly = if file.form == embedded::Form::Yenc { Anomaly::Yenc } else { Anomaly::Uuencode };
        self.note(source, anomaly, start + file.at);
        let most = file.most();
        self.spend(DECODE * most as u64)?;
        self.hold(most)?;
        let (octets, used) = file.decode();
        self.share.give_back(most.saturating_sub(octets.len()) as u64);
        Ok((octets, used))
    }
}

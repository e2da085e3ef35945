//! The hashes of a body, made while it arrives: nothing of it is kept.
use crate::message::HeaderBlock;
use bytes::Bytes;
use mail_auth::{
    arc,
    common::crypto::{HashAlgorithm, HashContext, HashImpl, Sha256},
    dkim::{self, Canonicalization, canonicalize::BodyHasher},
};

/// Canonical form, algorithm, length that is signed (0: all), hash.
pub(super) type BodyHash = (Canonicalization, HashAlgorithm, u64, Vec<u8>);

/// One hash for each canonical form that a signature of the header section asks for (RFC 6376 §3.4).
/// SHA-1 is not among them: no signature made with it counts (RFC 8301 §3.1).
pub(super) struct Hashing(Vec<(Canonicalization, BodyHasher<<Sha256 as HashImpl>::Context>)>);

impl Hashing {
    pub(super) fn of(headers: &HeaderBlock) -> Self {
        let dkim = headers.all(super::signature::DKIM).filter_map(|field| dkim::Signature::parse(field.value).ok().map(|s| s.cb));
        let arc = headers.all(super::arc::MESSAGE_SIGNATURE).filter_map(|field| arc::Signature::parse(field.value).ok().map(|s| s.cb));
        let mut hashing = Self(Vec::new());
        for form in dkim.chain(arc) {
            if !hashing.0.iter().any(|(known, _)| *known == form) {
                hashing.0.push((form, BodyHasher::new(Sha256::hasher(), form, 0)));
            }
            // There are two forms.
            if hashing.0.len() == 2 {
                break;
            }
        }
        hashing
    }

    pub(super) fn is_needed(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn write(&mut self, piece: &Bytes) {
        for (_, hasher) in &mut self.0 {
            hasher.write(piece);
        }
    }

    pub(super) fn finish(self) -> Vec<BodyHash> {
        let hash = |(form, hasher): (_, BodyHasher<<Sha256 as HashImpl>::Context>)| {
            let (context, _) = hasher.finish();
            (form, HashAlgorithm::Sha256, 0, context.complete().as_ref().to_vec())
        };
        self.0.into_iter().map(hash).collect()
    }
}

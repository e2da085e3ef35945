//! All files of a message: every reading of every part, and what is inside.
use super::{MimeError, Readings, budget::Budget};
use crate::unpack::{self, Input, Limits, Unpacked};
use std::{ops::Deref, sync::Arc};
use tokio::task::spawn_blocking;

/// Parts up to this size (octets, together) are looked at in place, where there is nothing to open.
const INLINE: usize = 64 << 10;

/// The files, and what they hold of the memory budget. Made once, when a stage first asks.
#[derive(Debug)]
pub struct Files {
    unpacked: Unpacked,
    _share: super::budget::Share,
}

impl Deref for Files {
    type Target = Unpacked;
    fn deref(&self) -> &Unpacked {
        &self.unpacked
    }
}

pub(super) async fn find(readings: &Readings, limits: Arc<Limits>, memory: &Budget) -> Result<Files, MimeError> {
    let inputs: Vec<Input> = readings.all().iter().map(input).collect();
    let octets: usize = inputs.iter().map(|input| input.octets.len()).sum();
    let memory = memory.clone();
    if octets <= INLINE && !inputs.iter().any(|input| unpack::is_container(&input.octets)) {
        return take(inputs, &limits, &memory);
    }
    spawn_blocking(move || take(inputs, &limits, &memory)).await.unwrap_or_else(|error| Err(MimeError::Panicked(error.to_string().into())))
}

/// A part without a name that is text is shown, whatever its disposition.
fn input(reading: &super::Reading) -> Input {
    Input {
        names: reading.names.clone(),
        declared: reading.content_type.clone(),
        is_body: reading.names.is_empty() && reading.content_type.starts_with("text/"),
        octets: reading.octets.clone(),
    }
}

fn take(inputs: Vec<Input>, limits: &Limits, memory: &Budget) -> Result<Files, MimeError> {
    let mut share = memory.share();
    let unpacked = unpack::unpack(inputs, limits, &mut |octets| share.grow(octets)).map_err(|_| MimeError::Full)?;
    Ok(Files { unpacked, _share: share })
}

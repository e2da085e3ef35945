//! What both sides agree on: version, actions, steps that are left out, and macros.
use super::wire::{Packet, Wire};
use crate::chain::StageError;
use bytes::{Buf, BufMut};

/// The version that is spoken; filters that know an older one are answered in that.
const VERSION: u32 = 6;
const OLDEST: u32 = 2;
pub(super) const OPTIONS: u8 = b'O';

/// What a filter may do to a message (`SMFIF_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Actions(u32);

impl Actions {
    pub(super) const ADD_HEADERS: Self = Self(0x01);
    pub(super) const CHANGE_BODY: Self = Self(0x02);
    pub(super) const ADD_RECIPIENTS: Self = Self(0x04);
    pub(super) const DELETE_RECIPIENTS: Self = Self(0x08);
    pub(super) const CHANGE_HEADERS: Self = Self(0x10);
    pub(super) const QUARANTINE: Self = Self(0x20);
    pub(super) const CHANGE_SENDER: Self = Self(0x40);
    pub(super) const ADD_RECIPIENTS_WITH_PARAMETERS: Self = Self(0x80);
    const SET_MACROS: Self = Self(0x100);
    pub(super) const ALL: Self = Self(0x1ff);
    pub(super) const READ_ONLY: Self = Self(Self::QUARANTINE.0 | Self::SET_MACROS.0);

    pub(super) fn has(self, action: Self) -> bool {
        self.0 & action.0 == action.0
    }
}

/// Steps that a filter does not want, or does not answer (`SMFIP_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps(u32);

impl Steps {
    pub(super) const NO_CONNECT: Self = Self(0x01);
    pub(super) const NO_HELO: Self = Self(0x02);
    pub(super) const NO_MAIL: Self = Self(0x04);
    pub(super) const NO_RCPT: Self = Self(0x08);
    pub(super) const NO_BODY: Self = Self(0x10);
    pub(super) const NO_HEADERS: Self = Self(0x20);
    pub(super) const NO_END_OF_HEADER: Self = Self(0x40);
    pub(super) const SILENT_HEADER: Self = Self(0x80);
    const NO_UNKNOWN: Self = Self(0x100);
    pub(super) const NO_DATA: Self = Self(0x200);
    pub(super) const SILENT_CONNECT: Self = Self(0x1000);
    pub(super) const SILENT_HELO: Self = Self(0x2000);
    pub(super) const SILENT_MAIL: Self = Self(0x4000);
    pub(super) const SILENT_RCPT: Self = Self(0x8000);
    pub(super) const SILENT_DATA: Self = Self(0x1_0000);
    pub(super) const SILENT_END_OF_HEADER: Self = Self(0x4_0000);
    pub(super) const SILENT_BODY: Self = Self(0x8_0000);
    /// Values of header fields are given with the blanks before them.
    pub(super) const LEADING_SPACE: Self = Self(0x10_0000);
    /// All that there are but two: recipients that the MTA refused (`RCPT_REJ`) are not known when a
    /// filter is asked, and pieces above 64 KiB (`MDS_…`) are not sent.
    const OFFERED: Self = Self(0x1f_ffff & !0x800);

    pub(super) fn has(self, step: Self) -> bool {
        self.0 & step.0 != 0
    }

    /// Steps that a filter of that version has no name for: it would take the command for garbage.
    fn unknown_to(version: u32) -> u32 {
        match version {
            ..3 => Self::NO_UNKNOWN.0 | Self::NO_DATA.0,
            3 => Self::NO_DATA.0,
            _ => 0,
        }
    }
}

/// What a filter wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreed {
    pub actions: Actions,
    pub steps: Steps,
    /// Macros it asked for, by stage (`SMFIM_…`); `None`: the usual ones.
    pub macros: [Option<Vec<String>>; 7],
}

/// Offers everything, but for what would change a message where that is not wanted.
///
/// # Errors
/// The filter wants what was not offered, or speaks of something else.
pub(super) async fn negotiate(wire: &mut Wire, read_only: bool) -> Result<Agreed, StageError> {
    let actions = if read_only { Actions::READ_ONLY } else { Actions::ALL };
    wire.put(OPTIONS, |out| {
        out.put_u32(VERSION);
        out.put_u32(actions.0);
        out.put_u32(Steps::OFFERED.0);
    });
    let answer = wire.next().await.map_err(|error| match error {
        // What libmilter does where a filter needs more than it is offered.
        StageError::Failed(why) if read_only => StageError::Failed(format!("negotiation: {why}{READ_ONLY_HINT}").into()),
        error => error,
    })?;
    agree(&answer, actions).map_err(|why| StageError::Failed(format!("negotiation: {why}").into()))
}

const READ_ONLY_HINT: &str = "; it is configured as `read_only`";

/// # Errors
/// A sentence for the log.
pub(super) fn agree(answer: &Packet, offered: Actions) -> Result<Agreed, String> {
    if answer.command != OPTIONS {
        return Err(format!("it answered {:?}", char::from(answer.command)));
    }
    let mut data = &*answer.data;
    if data.len() < 12 {
        return Err(format!("{} octets of options", data.len()));
    }
    let (version, actions, steps) = (data.get_u32(), data.get_u32(), data.get_u32());
    if !(OLDEST..=VERSION).contains(&version) {
        return Err(format!("it speaks version {version}"));
    }
    if actions & !offered.0 != 0 {
        let hint = if offered == Actions::READ_ONLY { READ_ONLY_HINT } else { "" };
        return Err(format!("it wants actions {:#x} that were not offered{hint}", actions & !offered.0));
    }
    if steps & !Steps::OFFERED.0 != 0 {
        return Err(format!("it wants steps {:#x} that were not offered", steps & !Steps::OFFERED.0));
    }
    let mut macros: [Option<Vec<String>>; 7] = Default::default();
    while !data.is_empty() {
        let (mut stage, rest) = data.split_at_checked(4).ok_or("a list of macros cut off")?;
        let stage = stage.get_u32() as usize;
        data = rest;
        let end = data.iter().position(|octet| *octet == 0).ok_or("a list of macros without its end")?;
        let (names, rest) = data.split_at_checked(end).unwrap_or_default();
        data = rest.get(1..).unwrap_or_default();
        let names = String::from_utf8_lossy(names);
        let names = names.split([' ', ',', '\t', '\r', '\n']).filter(|name| !name.is_empty()).map(bare).collect();
        if let Some(place) = macros.get_mut(stage) {
            *place = Some(names);
        }
    }
    Ok(Agreed { actions: Actions(actions), steps: Steps(steps | Steps::unknown_to(version)), macros })
}

/// `{auth_authen}` without its braces.
fn bare(name: &str) -> String {
    name.trim_start_matches('{').trim_end_matches('}').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{Bytes, BytesMut};

    fn answer(version: u32, actions: u32, steps: u32, more: &[u8]) -> Packet {
        let mut data = BytesMut::new();
        data.put_u32(version);
        data.put_u32(actions);
        data.put_u32(steps);
        data.put_slice(more);
        Packet { command: OPTIONS, data: data.freeze() }
    }

    #[test]
    fn a_filter_gets_what_it_wants_of_what_is_offered() {
        let agreed = agree(&answer(6, 0x1, 0x13, b"\0\0\0\x02i, {auth_authen}\0\0\0\0\x05\0"), Actions::ALL).unwrap();
        assert!(agreed.actions.has(Actions::ADD_HEADERS) && !agreed.actions.has(Actions::CHANGE_BODY));
        assert!(agreed.steps.has(Steps::NO_BODY) && !agreed.steps.has(Steps::NO_MAIL));
        assert_eq!(agreed.macros[2], Some(vec!["i".to_owned(), "auth_authen".to_owned()]));
        assert_eq!((&agreed.macros[5], &agreed.macros[0]), (&Some(vec![]), &None));
        for (version, knows_data) in [(2, false), (3, false), (4, true), (6, true)] {
            let agreed = agree(&answer(version, 0x3f, 0, b""), Actions::ALL).unwrap();
            assert_eq!(!agreed.steps.has(Steps::NO_DATA), knows_data, "version {version}");
        }
    }

    #[test]
    fn what_was_not_offered_is_an_error() {
        for (answer, text) in [
            (answer(7, 0, 0, b""), "version 7"),
            (answer(1, 0, 0, b""), "version 1"),
            (answer(6, 0x200, 0, b""), "actions 0x200"),
            (answer(6, 0, 0x800, b""), "steps 0x800"),
            (answer(6, 0, 0, b"\0\0\0\x01i"), "without its end"),
            (answer(6, 0, 0, b"\0\0\0\x01i\0\0\0"), "cut off"),
            (Packet { command: OPTIONS, data: Bytes::from_static(b"\0\0\0\x06") }, "4 octets"),
            (Packet { command: b'c', data: Bytes::new() }, "'c'"),
        ] {
            let said = agree(&answer, Actions::ALL).unwrap_err();
            assert!(said.contains(text), "{said}");
        }
        assert!(agree(&answer(6, 0x1, 0, b""), Actions::READ_ONLY).unwrap_err().contains("read_only"));
    }
}

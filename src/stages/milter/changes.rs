//! What a filter asks to be changed, between the end of the message and its last word.
use super::{negotiation::Actions, wire::Packet};
use crate::{
    chain::{Hold, HoldClass},
    message::{
        Edit,
        budget::{Budget, Share},
    },
    smtp::{Mail, Recipient},
};
use bytes::BytesMut;

/// The changes so far.
#[derive(Debug)]
pub(super) struct Changes {
    agreed: Actions,
    edits: Vec<Edit>,
    /// Octets of memory that the edits may still take.
    left: usize,
    body: Option<BytesMut>,
    largest_body: u64,
    /// What the body holds of the memory that all messages share.
    share: Share,
    pub hold: Option<Hold>,
}

/// Octets that all changes but the body may have, and what each of them costs besides its text: a
/// filter that never comes to an end would fill the memory otherwise.
const MOST: usize = 4 << 20;
const EACH: usize = 256;

/// Characters of the reason that a filter gives for a quarantine.
const REASON: usize = 200;

impl Changes {
    /// None yet. `largest_body`: octets that another body may have; they are counted in `memory`.
    pub(super) fn new(agreed: Actions, largest_body: u64, memory: &Budget) -> Self {
        Self { agreed, edits: Vec::new(), left: MOST, body: None, largest_body, share: memory.share(), hold: None }
    }

    /// Takes a change; `None` where the packet is none.
    ///
    /// # Errors
    /// A sentence for the log: what it asks for was not agreed upon, cannot be read, or is too much.
    pub(super) fn take(&mut self, packet: &Packet) -> Option<Result<(), String>> {
        let needs = match packet.command {
            b'h' => Actions::ADD_HEADERS,
            b'i' => Actions::ADD_HEADERS,
            b'm' => Actions::CHANGE_HEADERS,
            b'b' => Actions::CHANGE_BODY,
            b'e' => Actions::CHANGE_SENDER,
            b'+' => Actions::ADD_RECIPIENTS,
            b'2' => Actions::ADD_RECIPIENTS_WITH_PARAMETERS,
            b'-' => Actions::DELETE_RECIPIENTS,
            b'q' => Actions::QUARANTINE,
            _ => return None,
        };
        if !self.agreed.has(needs) {
            return Some(Err(format!("it asks for {:?}, which was not agreed upon", char::from(packet.command))));
        }
        Some(self.change(packet))
    }

    fn change(&mut self, packet: &Packet) -> Result<(), String> {
        if packet.command != b'b' {
            let left = self.left.checked_sub(packet.data.len() + EACH);
            self.left = left.ok_or_else(|| format!("it asks for changes of more than {MOST} octets"))?;
        }
        match packet.command {
            b'h' => {
                let [name, value] = exactly(packet.texts()?)?;
                self.edits.push(Edit::AddHeader { name: text(name), value: value.into() });
            }
            b'i' => {
                let (place, texts) = packet.number_and_texts()?;
                let [name, value] = exactly(texts)?;
                // Counted from 1, as Postfix does; 0 is the same place. Our own trace field stands
                // above all of them.
                let at = (place as usize).saturating_sub(1);
                self.edits.push(Edit::InsertHeader { at, name: text(name), value: value.into() });
            }
            b'm' => {
                let (nth, texts) = packet.number_and_texts()?;
                let [name, value] = exactly(texts)?;
                let nth = (nth as usize).max(1);
                self.edits.push(if value.is_empty() {
                    Edit::DeleteHeader { name: text(name), nth }
                } else {
                    Edit::ReplaceHeader { name: text(name), nth, value: value.into() }
                });
            }
            b'b' => {
                let body = self.body.get_or_insert_default();
                if (body.len() + packet.data.len()) as u64 > self.largest_body {
                    return Err(format!("a body of more than {} octets", self.largest_body));
                }
                if !self.share.grow(packet.data.len() as u64) {
                    return Err("no memory for the body that it wants".into());
                }
                body.extend_from_slice(&packet.data);
            }
            b'e' => {
                let mail = Mail::read(&command(&packet.texts()?)?).ok_or("a sender that is no address")?;
                self.edits.push(Edit::Sender(Box::new(mail)));
            }
            b'+' | b'2' => {
                let recipient = Recipient::read(&command(&packet.texts()?)?).ok_or("a recipient that is no address")?;
                self.edits.push(Edit::AddRecipient(recipient));
            }
            b'-' => {
                let recipient = Recipient::read(&command(&packet.texts()?)?).ok_or("a recipient that is no address")?;
                self.edits.push(Edit::DeleteRecipient(recipient.address));
            }
            _ => {
                let [reason] = exactly(packet.texts()?)?;
                let reason = String::from_utf8_lossy(reason).chars().filter(|c| !c.is_control()).take(REASON).collect::<String>();
                self.hold = Some(Hold { class: HoldClass::Policy, reason: reason.into() });
            }
        }
        Ok(())
    }

    /// In the order they were asked for; the body last.
    pub(super) fn into_edits(mut self) -> Vec<Edit> {
        if let Some(Edit::ReplaceBody(octets)) = self.body.map(|body| Edit::replace_body(&body)) {
            self.edits.push(Edit::ReplaceBody(self.share.keep(octets)));
        }
        self.edits
    }
}

fn exactly<const N: usize>(texts: Vec<&[u8]>) -> Result<[&[u8]; N], String> {
    let count = texts.len();
    texts.try_into().map_err(|_| format!("{count} texts where {N} belong"))
}

fn text(octets: &[u8]) -> Box<str> {
    String::from_utf8_lossy(octets).into()
}

/// An address with or without its brackets, and parameters: as behind `MAIL FROM:`.
fn command(texts: &[&[u8]]) -> Result<String, String> {
    let text = |octets: &&[u8]| std::str::from_utf8(octets).map(str::to_owned).map_err(|_| "an address that is not UTF-8".to_owned());
    let texts = texts.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let (address, parameters) = texts.split_first().ok_or("no address")?;
    let address = address.trim();
    let bracketed = if address.starts_with('<') { address.to_owned() } else { format!("<{address}>") };
    let parameters: String = parameters.iter().filter(|text| !text.is_empty()).map(|text| format!(" {text}")).collect();
    Ok(bracketed + &parameters)
}

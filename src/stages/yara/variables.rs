//! What rules know besides the octets they look at (external variables).
use crate::{message::Client, smtp::Mail, unpack::File};
use boreal::Scanner;

/// A variable's value where there is nothing to say.
pub(super) enum Empty {
    Text,
    Flag,
    Number,
}

/// All there are.
pub(super) const ALL: &[(&str, Empty)] = &[
    ("listener", Empty::Text),
    ("client_ip", Empty::Text),
    ("helo", Empty::Text),
    ("account", Empty::Text),
    ("mail_from", Empty::Text),
    // It is the message itself that is looked at, header section and all.
    ("is_message", Empty::Flag),
    ("file_name", Empty::Text),
    ("content_type", Empty::Text),
    ("file_kind", Empty::Text),
    ("depth", Empty::Number),
];

/// Says who sent the message; stays for every file of it.
pub(super) fn of_session(scanner: &mut Scanner, client: &Client, mail: &Mail) {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    // Names and types are those of `ALL`: it cannot fail.
    let _ = scanner.define_symbol("listener", text(Some(&client.listener)));
    let _ = scanner.define_symbol("client_ip", client.address.ip().to_canonical().to_string());
    let _ = scanner.define_symbol("helo", text(client.hello.as_ref().map(|(domain, _)| domain.as_str())));
    let _ = scanner.define_symbol("account", text(client.account.as_deref()));
    let _ = scanner.define_symbol("mail_from", text(mail.reverse_path.0.as_ref().map(|address| address.as_str())));
}

/// Says what is looked at: a file, or the message itself.
pub(super) fn of_file(scanner: &mut Scanner, file: Option<&File>) {
    let _ = scanner.define_symbol("is_message", file.is_none());
    let _ = scanner.define_symbol("file_name", file.map(|file| file.name().to_owned()).unwrap_or_default());
    let _ = scanner.define_symbol("content_type", file.map(|file| file.declared.to_string()).unwrap_or_default());
    let _ = scanner.define_symbol("file_kind", file.map(|file| file.kind.name().to_owned()).unwrap_or_default());
    let _ = scanner.define_symbol("depth", file.map_or(0, |file| i64::try_from(file.depth).unwrap_or(i64::MAX)));
}

use crate::value::{
    ByteSize,
    settings::{Placed, Section},
};
use std::time::Duration;

/// `[journal]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether rows are written at all.
    pub enabled: bool,
    /// Rows that are older are removed.
    pub keep: Duration,
    /// Octets on disk, beyond which the oldest rows are removed.
    pub size: u64,
    pub subjects: bool,
    pub addresses: Addresses,
    /// Whether names and hashes of attachments are taken down.
    pub attachments: bool,
    /// Whether the hosts of URLs are.
    pub urls: bool,
}

/// How addresses and accounts stand in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    Plain,
    /// As a keyed hash: who has the journal and not its key learns none; who knows an address finds
    /// its rows.
    Hashed,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            keep: Duration::from_secs(90 * 86_400),
            size: 10 << 30,
            subjects: true,
            addresses: Addresses::Plain,
            attachments: true,
            urls: true,
        }
    }
}

/// Less has no room for what a busy hour writes between two looks at the size.
const LEAST: u64 = 16 << 20;

impl Settings {
    /// Reads `[journal]`.
    pub fn read(section: &mut Section<'_>) -> Self {
        let mut settings = Self::default();
        settings.enabled = section.take_or("enabled", settings.enabled);
        if let Some(Placed { value, span }) = section.take_placed_unless("keep", &settings.keep) {
            if value.is_zero() {
                section.complain_at(
                    span,
                    format!("`{}`: nothing would ever be found; to have no journal write `enabled = false`", section.path("keep")),
                );
            }
            settings.keep = value;
        }
        if let Some(Placed { value: ByteSize(size), span }) = section.take_placed_unless("size", &ByteSize(settings.size)) {
            if size < LEAST {
                section.complain_at(span, format!("`{}`: at least \"16MiB\"", section.path("size")));
            }
            settings.size = size;
        }
        settings.subjects = section.take_or("subjects", settings.subjects);
        settings.addresses = section.choice("addresses", &[("plain", Addresses::Plain), ("hashed", Addresses::Hashed)], settings.addresses);
        settings.attachments = section.take_or("attachments", settings.attachments);
        settings.urls = section.take_or("urls", settings.urls);
        settings
    }
}

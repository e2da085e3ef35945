//! # Defaults, and why
//!
//! `deploy/octroi.toml` has every key with its default. Here is why they are what they are, beside
//! what the neighbours have.
//!
//! | setting | default | why | neighbours |
//! | --- | --- | --- | --- |
//! | `limits.message_size` | 50 MiB | what people send by mail today, with base64's third on top | Postfix 10 MB, Haraka 25 MB |
//! | `limits.recipients` | 1000 | RFC 5321 §4.5.3.1.8 asks for at least 100 | Postfix 1000 |
//! | `limits.connections` | 10000 | an idle TLS session costs some twenty KiB | Postfix 100 processes |
//! | `limits.connections_per_client` | 50 | a big provider sends over a few dozen at once | Postfix 50 |
//! | `limits.memory` | 512 MiB | bodies of five hundred messages at once, before disk is used | none of them has one |
//! | `limits.message_memory` | 1 MiB | nine of ten messages are smaller | Haraka: all of it |
//! | `limits.header_size` | 1 MiB | | Postfix 100 KiB, then cut |
//! | `limits.errors` | 20 | | Postfix 20 |
//! | `limits.hops` | 50 | RFC 5321 §6.3 asks for at least 100 *or* a better test; mail that passes fifty hosts does not exist | Postfix 50 |
//! | `limits.minimum_rate` | 100 B/s | over a minute; the slowest modem had thirty times that | nginx, HAProxy: none |
//! | `timeouts.client_command`, `client_data` | 5 min, 3 min | RFC 5321 §4.5.3.2 | the same |
//! | `timeouts.upstream_final` | 10 min | RFC 5321 §4.5.3.2.6 | the same |
//! | `timeouts.message` | 2 min | well below the ten minutes a client waits, so that it has its answer | Rspamd 8 s, then passed unscanned |
//! | `timeouts.hold` | 5 s | a body that takes longer would hold a process of the MTA | Postfix: as long as the client likes |
//! | `unpack.size` | 60 MiB | with the message itself, a bomb takes less than 64 MiB; an attachment of 36 MiB, the most that 50 MiB of mail can hold, fits | ClamAV 400 MB |
//! | `unpack.files` | 2000 | presentations have some hundreds | ClamAV 10000, Amavis 3000 |
//! | `unpack.depth` | 10 | mail, archive, document, object and archive again are six | ClamAV 17, Amavis 14 |
//! | `unpack.ratio` | 250 | a spreadsheet has 50, deflate can do 1032 | Amavis 500 |
//! | `unpack.time` | 1 s | of a processor, so that load changes no verdict | ClamAV 2 min |
//! | `smtp.bare_newline` | normalize | old scripts send LF; it is made CRLF, which harms nobody, and a look-alike is refused all the same | Postfix 3.9 normalize |
//! | `tls.acme`, before the first certificate | a self-signed one; no TLS where `auth` is taken; no console | see below | Debian's Postfix: a self-signed one everywhere; Caddy: no handshake |
//! | `quarantine.keep`, `.size` | 30 d, 10 GiB | of every class; where it is full the sender waits, and nothing that is held goes | Proxmox 7 d, mailcow: the oldest goes |
//! | `journal.keep`, `.size` | 90 d, 10 GiB | a quarter of a year to find out what came; the oldest goes, since a row is no message | Microsoft 365 90 d of message trace |
//! | `stage.timeout` | 10 s | | Postfix milters 30 s, 300 s |
//! | `stage.on_error` | tempfail | mail that was not looked at is not let in, and the sender tries again | Rspamd, PMG: let in |
//! | `stage.breaker_failures`, `breaker_pause` | 5, 10 s | a scanner that restarts is not given up for a hiccup; one that is dead is not waited for with every message | Rspamd's proxy: 2 errors, 10 s |
//! | `stage.poison_after` | 3 | a retry is worth two tries; after that it is the message | none of them has one |
//! | `dns.timeout`, `attempts` | 3 s, 2 | together less than a stage's 10 s, so that DNS that is silent is `temperror` and not a stage that failed | glibc 5 s, 2 |
//! | `dns.cache` | 2048 a worker | what a busy hour asks for again; at the very worst 128 MiB a worker, as an answer may have 64 KiB | unbound by octets |
//! | `auth.ambiguous` | reject | what people write has one author: refusals are rarer than one in a thousand | Gmail refuses several From fields |
//! | `auth.spf_fail`, `dmarc` | report | what forwarding breaks is for the administrator to weigh, with rules | opendmarc, Rspamd: report |
//! | `auth.temperror` | accept | broken zones are many, and defer mail for days | opendmarc: accept |
//! | `spamd`'s `max_size` | 50 MiB | as much as the gate takes; SpamAssassin 4 looks at the beginning of large parts only | spamc 500 kB, MailScanner 200 kB, then unseen |
//! | `exec`'s `processes`, `memory`, `cpu` | 8, 1 GiB, 1 min | a program that runs wild is stopped before the machine is | Postfix `pipe`: 20 processes, no other bound |
//!
//! ## Before the first certificate
//!
//! With `[tls.acme]` and no other certificate there is none for some seconds, or for as long as the
//! authority cannot be convinced. Three things could be done, and each is, where it belongs:
//!
//! * Where anybody hands in mail, listeners show a certificate that octroi has just made and signed
//!   itself. A server that does not look at certificates, which most do not, sends over TLS instead of
//!   in clear (RFC 7435), out of reach of whoever only listens. One that looks (DANE, RFC 7672 §2.2;
//!   MTA-STS, RFC 8461 §5) waits, as it would have waited for a server that offers no TLS at all.
//! * Where passwords are taken (`auth = "forward"`) there is no TLS, and so no AUTH. A program that
//!   does not look would hand its password to whoever stands between; and one that does look asks its
//!   user to make an exception, which outlives the reason for it.
//! * The console answers nobody. People sign in there, passkeys are not to be had over a certificate
//!   that is in doubt, and browsers that were there before refuse any other (`Strict-Transport-Security`).
//!   Who wants it from the first second gives it a certificate of its own in `[console]`.
//!
//! The log says so at start, `octroi_tls_placeholder` is 1, the console's overview has a line, and `octroi
//! certs --config` tells of it. The first certificate takes over without a restart.

//! # Standards, and where octroi deviates
//!
//! | standard | what of it | where | deviation |
//! | --- | --- | --- | --- |
//! | RFC 5321 | SMTP | [`smtp`](crate::smtp) | source routes are taken off and not used (§4.1.1.3 allows it); VRFY is always 252, EXPN 502; a line that ends with a bare LF is refused |
//! | RFC 1870 | SIZE | [`smtp::Mail`](crate::smtp::Mail) | |
//! | RFC 2034, 3463, 5248 | enhanced status codes | [`smtp::Reply`](crate::smtp::Reply) | offered only where every upstream has them, since its replies are relayed word for word |
//! | RFC 2920 | PIPELINING | [`smtp::server`](crate::smtp::server) | octets behind a command that ends a group close the connection |
//! | RFC 3030 | CHUNKING, BINARYMIME | [`smtp::data`](crate::smtp::data) | a look-alike of the end of data is refused in chunks too, also in BINARYMIME; a chunk of more than twice the size limit closes the connection |
//! | RFC 3207 | STARTTLS | [`gate`](crate::gate) | octets behind STARTTLS close the connection |
//! | RFC 3461 | DSN | [`smtp::Recipient`](crate::smtp::Recipient) | passed on; octroi writes no delivery reports, it has no queue |
//! | RFC 3848, 6531 §4.3 | protocol names in `Received` | [`message::Client`](crate::message::Client) | |
//! | RFC 4954 | AUTH | [`upstream::Exchange`](crate::upstream::Exchange) | relayed to the upstream, line by line, over TLS only |
//! | RFC 6152, 6531 | 8BITMIME, SMTPUTF8 | | offered where every upstream has them; nothing is converted |
//! | RFC 6376, 8301, 8463 | DKIM | stage `auth` | `l=` and SHA-1 never pass; at most eight signatures are verified; `r=` and ATPS are not looked at |
//! | RFC 7208 | SPF | stage `auth` | HELO and the reverse-path, each for itself; unknown mechanisms are passed over, void look-ups not counted, and of several records the first is taken, where the RFC has `permerror` |
//! | RFC 7372 | codes of refusals by SPF, DMARC, iprev | stage `auth` | |
//! | RFC 7435 | opportunistic TLS to the upstream | [`upstream`](crate::upstream) | |
//! | RFC 7504 | 521 | | understood from upstreams |
//! | RFC 8314 | implicit TLS | [`gate`](crate::gate) | |
//! | RFC 8555, 8737 | ACME | [`acme`](crate::acme) | HTTP-01 and TLS-ALPN-01; no DNS-01, and so no wildcards; nothing is revoked |
//! | RFC 8601 | `Authentication-Results` | [`gate`](crate::gate), stage `auth` | those in our name are removed; `iprev` is `fail` also where the address has no name at all |
//! | RFC 8617 | ARC | stage `auth` | verified, not sealed; at most twenty sets |
//! | RFC 8689 | REQUIRETLS | | offered over TLS where every upstream has it, and kept on a verified connection only |
//! | RFC 8996 | no TLS below 1.2 | [`gate::tls`](crate::gate::tls) | |
//! | RFC 9422 | LIMITS | | RCPTMAX only |
//! | RFC 9989 | DMARC | stage `auth` | several authors are judged each, where the RFC judges none; no reports are sent |
//! | PROXY protocol 1, 2 | | [`gate::proxy`](crate::gate::proxy) | believed from listed networks only, and required there |
//! | XCLIENT | Postfix's XCLIENT_README | [`upstream`](crate::upstream) | NAME is always `[UNAVAILABLE]`: octroi asks no DNS |
//! | OTLP 1.x | traces, over HTTP as protobuf | [`telemetry::traces`](crate::telemetry::traces) | no gRPC, no compression; a date in `Retry-After` is not heeded |
//! | W3C Trace Context 2 | ids, `tracestate` of exported spans | [`telemetry::traces`](crate::telemetry::traces) | `traceparent` is neither read nor written: a header field of a message is its sender's |
//! | systemd | `sd_notify(3)`, `sd_listen_fds(3)` | [`cli`](crate::cli), [`gate`](crate::gate) | |
//!
//! ## What a client is told when
//!
//! MAIL is answered by octroi: which MTA it would have to be checked with is not known before the
//! first recipient is. It goes to the MTA together with the first RCPT, in one write, and a refusal
//! of it is what RCPT is answered, in the MTA's own words. Postfix does the same with its own
//! restrictions (`smtpd_delay_reject`), for the reason that clients understand it better.
//!
//! The reply to the end of data is the MTA's own. Where it was refused for good by one MTA of
//! several, the client is told so; where none answered, `451`.
//!
//! ## When a message may arrive twice
//!
//! If the connection breaks after the last octet of a message and before its reply, nobody knows
//! whether the other side has it (RFC 1047). Octroi then says `451`, the client sends it again, and
//! the message may be there twice: the only other choice is to lose it (RFC 5321 §4.5.4.1 and
//! §6.1). Nothing is sent twice in any other case.

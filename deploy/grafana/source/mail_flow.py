from kit import GREEN, ORANGE, RED, YELLOW, Board, heatmap, query, series, stat, timeline

BOARD = Board(
    "octroi-mail-flow", "Octroi / Mail flow",
    "What comes in, what becomes of it, how long it takes and over what TLS.",
    own=("listener", "octroi_connections_active"),
)

BOARD.row(
    "Now",
    stat("Messages", "Messages a second, whatever became of them.", "mps",
         "sum(rate(octroi_messages_total{@listener}[$__rate_interval]))", decimals=2, runbook="OctroiNoMail"),
    stat("Delivered", "Share of messages that the MTA took. What is held, refused or deferred is the rest.", "percentunit",
         'sum(rate(octroi_messages_total{@listener,verdict="delivered"}[$__rate_interval]))'
         " / (sum(rate(octroi_messages_total{@listener}[$__rate_interval])) > 0)", decimals=1, none="no mail"),
    stat("Deferred", "Share of messages whose senders were told to come again: a stage or the MTA cannot be reached, or a limit is used up. "
         "A few per mille are usual where greylisting or rate limits are at work.", "percentunit",
         'sum(rate(octroi_messages_total{@listener,verdict="deferred"}[$__rate_interval]))'
         " / (sum(rate(octroi_messages_total{@listener}[$__rate_interval])) > 0)",
         limits=(GREEN, 0.05, YELLOW, 0.2, RED), decimals=1, none="no mail", runbook="OctroiDeferring"),
    stat("Dot to reply, p95", "Nineteen of twenty messages are answered within this time after the final dot: the chain after the end of the message, "
         "and the MTA. Senders give up after ten minutes (RFC 5321 §4.5.3.2.6).", "s",
         "histogram_quantile(0.95, sum by (le) (rate(octroi_message_duration_seconds_bucket{@}[$__rate_interval])))",
         limits=(GREEN, 10, YELLOW, 60, RED), none="no mail", runbook="OctroiSlow"),
    stat("Over TLS", "Share of messages that came over TLS.", "percentunit",
         'sum(rate(octroi_messages_by_tls_total{@listener,version!="none"}[$__rate_interval]))'
         " / (sum(rate(octroi_messages_by_tls_total{@listener}[$__rate_interval])) > 0)",
         limits=(ORANGE, 0.7, YELLOW, 0.9, GREEN), decimals=1, none="no mail"),
    stat("Not fully inspected", "Messages delivered within the time shown although a stage had not finished with them (its `on_error` is `accept`). "
         "They carry X-Octroi-Incomplete.", "short",
         "sum(increase(octroi_messages_incomplete_total{@listener}[$__range]))",
         limits=(GREEN, 1, ORANGE), decimals=0, runbook="OctroiDeliveredUninspected"),
)

BOARD.row(
    "Messages",
    series("By verdict", "What became of messages. `lost`: the client went away before it was answered, and has the message still.", "mps",
           query("sum by (verdict) (rate(octroi_messages_total{@listener}[$__rate_interval]))", "{{verdict}}"), stack="normal"),
    series("By listener", "Messages a second of each listener, whatever became of them.", "mps",
           query("sum by (listener) (rate(octroi_messages_total{@listener}[$__rate_interval]))", "{{listener}}")),
    series("Recipients", "Recipients accepted a second; beside messages it shows mailings to many.", "cps",
           query("sum by (listener) (rate(octroi_recipients_total{@listener}[$__rate_interval]))", "{{listener}}"), width=8),
    series("Connections", "Connections open now.", "short",
           query("sum by (listener) (octroi_connections_active{@listener})", "{{listener}}"), width=8, runbook="OctroiConnectionsExhausted"),
    series("Octets", "What clients sent and what was sent to them, inside TLS.", "Bps",
           query("sum(rate(octroi_received_bytes_total{@listener}[$__rate_interval]))", "received"),
           query("sum(rate(octroi_sent_bytes_total{@listener}[$__rate_interval]))", "sent"), width=8),
)

QUANTILES = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)]

BOARD.row(
    "Time and size",
    heatmap("From dot to reply", "How long senders waited for the reply to the final dot: the chain after the end of the message, and the MTA.", "s",
            "sum by (le) (increase(octroi_message_duration_seconds_bucket{@}[$__rate_interval]))", runbook="OctroiSlow"),
    series("From dot to reply, quantiles", "The same as lines. The chain's own part stands in the dashboard Stages, the MTA's in Upstreams.", "s",
           *(query(f"histogram_quantile({q}, sum by (le) (rate(octroi_message_duration_seconds_bucket{{@}}[$__rate_interval])))", name)
             for name, q in QUANTILES), runbook="OctroiSlow"),
    heatmap("Size", "Size of messages as received.", "bytes",
            "sum by (le) (increase(octroi_message_size_bytes_bucket{@}[$__rate_interval]))"),
    series("Size, quantiles", "The same as lines, and the mean.", "bytes",
           *(query(f"histogram_quantile({q}, sum by (le) (rate(octroi_message_size_bytes_bucket{{@}}[$__rate_interval])))", name)
             for name, q in QUANTILES),
           query("sum(rate(octroi_message_size_bytes_sum{@}[$__rate_interval])) / (sum(rate(octroi_message_size_bytes_count{@}[$__rate_interval])) > 0)",
                 "mean")),
)

BOARD.row(
    "TLS",
    series("Messages by TLS", "Share of messages by what they came over; `none` is in clear.", "mps",
           query("sum by (version) (rate(octroi_messages_by_tls_total{@listener}[$__rate_interval]))", "{{version}}"), stack="percent", width=6),
    series("Handshakes", "TLS handshakes with clients. Those that fail are mostly scanners; many at once are clients that do not like our certificate.", "cps",
           query("sum by (result) (rate(octroi_tls_handshakes_total{@listener}[$__rate_interval]))", "{{result}}"), width=6),
    stat("Certificates", "Time until a certificate that is served ends. It is read again when its file changes.", "s",
         "min by (certificate) (octroi_tls_certificate_expiry_timestamp_seconds{@}) - time()",
         legend="{{certificate}}", limits=(RED, 3 * 86400, YELLOW, 14 * 86400, GREEN), width=6, height=8, text="value_and_name", graph="none",
         none="no certificate", runbook="OctroiCertificateExpiring"),
    timeline("The first certificate", "Whether `[tls.acme]` has one. Until then listeners show one of octroi's own making, and no password is taken.",
             "octroi_tls_placeholder{@}", "{{instance}}", [(0, "there", GREEN), (1, "not yet", YELLOW)], width=6, runbook="OctroiNoCertificate"),
)

BOARD.row(
    "SMTP",
    series("Replies", "Replies sent, by their first digit.", "cps",
           query("sum by (class) (rate(octroi_replies_total{@listener}[$__rate_interval]))", "{{class}}yz"), width=8),
    series("Commands", "Commands received.", "cps",
           query("sum by (command) (rate(octroi_commands_total{@listener}[$__rate_interval])) > 0", "{{command}}"), width=8),
    series("AUTH", "AUTH exchanges that were forwarded to the MTA, by its answer.", "cps",
           query("sum by (result) (rate(octroi_auth_attempts_total{@listener}[$__rate_interval]))", "{{result}}"), width=8,
           runbook="OctroiAuthGuessing"),
)

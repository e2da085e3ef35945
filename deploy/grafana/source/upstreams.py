from kit import GREEN, ORANGE, RED, YELLOW, Board, heatmap, query, series, stat

BOARD = Board(
    "octroi-upstreams", "Octroi / Upstreams",
    "The mail servers behind the gate: whether they answer, how fast, and what goes wrong.",
    own=("upstream", "octroi_upstream_servers"),
)

BOARD.row(
    "Now",
    stat("Servers that answer", "Of each upstream; 0 means that its mail waits with the senders.", "short",
         "sum by (upstream) (octroi_upstream_servers_healthy{@upstream})", legend="{{upstream}}", limits=(RED, 1, GREEN), width=6,
         text="value_and_name", runbook="OctroiNoUpstream"),
    stat("Servers that do not", "Servers of an upstream that did not answer when they were last asked.", "short",
         "sum(octroi_upstream_servers{@upstream}) - sum(octroi_upstream_servers_healthy{@upstream})", limits=(GREEN, 1, ORANGE),
         runbook="OctroiUpstreamServerDown"),
    stat("Errors", "What went wrong a second, between octroi and the chosen upstreams.", "short",
         "sum(rate(octroi_upstream_errors_total{@upstream}[$__rate_interval]))", limits=(GREEN, 0.1, YELLOW, 1, RED), decimals=2,
         runbook="OctroiUpstreamErrors"),
    stat("Reply to the dot, p95", "Nineteen of twenty final dots are answered by the MTA within this time.", "s",
         'histogram_quantile(0.95, sum by (le) (rate(octroi_upstream_latency_seconds_bucket{@upstream,phase="final_reply"}[$__rate_interval])))',
         limits=(GREEN, 5, YELLOW, 30, RED), width=5, none="no mail", runbook="OctroiUpstreamSlow"),
    stat("Fullest pool", "Share of an upstream's connections that are in use. At 100 % further transactions wait for one, and are answered with 451 "
         "when none comes free in time.", "percentunit",
         'max(sum by (upstream, instance) (octroi_upstream_connections_open{@upstream,state="busy"})'
         " / sum by (upstream, instance) (octroi_upstream_connections_limit{@upstream}))",
         limits=(GREEN, 0.8, YELLOW, 0.95, RED), width=5, runbook="OctroiUpstreamPoolFull"),
)

BOARD.row(
    "Health",
    series("Servers that answer", "Of each upstream and instance: each instance asks for itself.", "short",
           query("octroi_upstream_servers_healthy{@upstream}", "{{upstream}} ({{instance}})"), width=8, runbook="OctroiNoUpstream"),
    series("Errors", "`connect`: nobody there; `timeout`: no answer in time; `closed`: hung up; `garbage`: no SMTP; `shutdown`: 421; `tls`; `capability`: it lacks "
           "what is configured; `none_healthy`: no server of it answers.", "cps",
           query("sum by (upstream, kind) (rate(octroi_upstream_errors_total{@upstream}[$__rate_interval])) > 0", "{{upstream}}: {{kind}}"), width=8,
           runbook="OctroiUpstreamErrors"),
    series("Replies", "Replies of upstreams, by their first digit. 5yz at RCPT is the MTA that refuses recipients, and usual.", "cps",
           query("sum by (upstream, class) (rate(octroi_upstream_replies_total{@upstream}[$__rate_interval]))", "{{upstream}}: {{class}}yz"), width=8),
)

BOARD.row(
    "Time",
    heatmap("Reply to the dot", "How long the MTA takes to answer the final dot: its own filters and its disk.", "s",
            'sum by (le) (increase(octroi_upstream_latency_seconds_bucket{@upstream,phase="final_reply"}[$__rate_interval]))',
            runbook="OctroiUpstreamSlow"),
    series("By step, p95", "`connect`: from the SYN to the reply to EHLO; `envelope`: MAIL and RCPT; `final_reply`: to the dot; `auth`.", "s",
           query("histogram_quantile(0.95, sum by (upstream, phase, le) (rate(octroi_upstream_latency_seconds_bucket{@upstream}[$__rate_interval])))",
                 "{{upstream}}: {{phase}}"), runbook="OctroiUpstreamSlow"),
)

BOARD.row(
    "Connections",
    series("Open", "Connections to upstreams now; `idle` ones stand ready in the pool.", "short",
           query("sum by (upstream, state) (octroi_upstream_connections_open{@upstream})", "{{upstream}}: {{state}}"),
           query("sum by (upstream) (octroi_upstream_connections_limit{@upstream})", "{{upstream}}: limit"), width=8,
           runbook="OctroiUpstreamPoolFull"),
    series("New or from the pool", "Transactions by where their connection came from. Many new ones: `identity` takes a connection for each session, or the "
           "upstream hangs up early.", "cps",
           query("sum by (source) (rate(octroi_upstream_connections_total{@upstream}[$__rate_interval]))", "{{source}}"), stack="normal", width=8),
    series("TLS", "TLS handshakes with upstreams.", "cps",
           query("sum by (upstream, result) (rate(octroi_upstream_tls_handshakes_total{@upstream}[$__rate_interval])) > 0", "{{upstream}}: {{result}}"),
           width=8),
    series("Octets", "Sent to upstreams.", "Bps",
           query("sum by (upstream) (rate(octroi_upstream_sent_bytes_total{@upstream}[$__rate_interval]))", "{{upstream}}"), width=24),
)

from kit import GREEN, ORANGE, RED, YELLOW, Board, heatmap, query, series, stat

BOARD = Board(
    "octroi-quarantine", "Octroi / Quarantine",
    "What is held, for how long, how much room it takes, and what became of it.",
    own=("class", "octroi_quarantine_entries"),
)

DAY = 86400
FULL = "max by (class) (octroi_quarantine_bytes{@class} / octroi_quarantine_limit_bytes{@class})"
QUEUE = "/quarantine"

BOARD.row(
    "Now",
    stat("Waiting", "Entries that nobody has decided on yet.", "short", "sum(octroi_quarantine_waiting{@class})", limits=(GREEN, 100, YELLOW), width=5,
         console=QUEUE, runbook="OctroiQuarantineUnattended"),
    stat("Oldest", "How long the oldest of them has waited.", "s", "max(octroi_quarantine_oldest_age_seconds{@class})",
         limits=(GREEN, 3 * DAY, YELLOW, 7 * DAY, ORANGE), width=5, graph="none", console=QUEUE, runbook="OctroiQuarantineUnattended"),
    stat("Next to go", "Share of its `keep` that the oldest entry of a class has waited, of the class nearest to it. At 100 % it is removed, decided on or not.",
         "percentunit", "max(octroi_quarantine_oldest_age_seconds{@class} / octroi_quarantine_keep_seconds{@class})",
         limits=(GREEN, 0.7, YELLOW, 0.9, RED), width=5, graph="none", console=QUEUE, runbook="OctroiQuarantineUnattended"),
    stat("Fullest class", "Share of its `size` that a class takes, of the fullest. At 100 % nothing more is held, and senders are told to come again.",
         "percentunit", f"max({FULL})", limits=(GREEN, 0.8, YELLOW, 0.95, RED), width=5, graph="none", runbook="OctroiQuarantineNearLimit"),
    stat("Not stored", "Messages within the time shown that were to be held and could not be; their senders keep them.", "short",
         "sum(increase(octroi_quarantine_failures_total{@}[$__range]))", limits=(GREEN, 1, RED), decimals=0, runbook="OctroiQuarantineFailing"),
)

BOARD.row(
    "What is held",
    series("Waiting", "Entries that nobody has decided on yet.", "short",
           query("sum by (class) (octroi_quarantine_waiting{@class})", "{{class}}"), stack="normal", console=QUEUE, runbook="OctroiQuarantineUnattended"),
    series("Oldest", "How long the oldest entry of each class has waited.", "s",
           query("max by (class) (octroi_quarantine_oldest_age_seconds{@class})", "{{class}}"), console=QUEUE, runbook="OctroiQuarantineUnattended"),
    series("Entries", "All that is on disk: what is released stays until its class's `keep` is over.", "short",
           query("sum by (class) (octroi_quarantine_entries{@class})", "{{class}}"), stack="normal", width=8, console=QUEUE),
    series("On disk", "Octets on disk, compressed.", "bytes",
           query("sum by (class) (octroi_quarantine_bytes{@class})", "{{class}}"), stack="normal", width=8, runbook="OctroiQuarantineNearLimit"),
    series("Of its limit", "Share of its `size` that a class takes.", "percentunit", query(FULL, "{{class}}"), limits=(GREEN, 0.8, YELLOW, 0.95, RED),
           ceiling=1, width=8, runbook="OctroiQuarantineNearLimit"),
)

BOARD.row(
    "What comes and goes",
    series("Stored", "Entries an hour.", "short", query("3600 * sum by (class) (rate(octroi_quarantine_stored_total{@class}[$__rate_interval]))", "{{class}}"),
           stack="normal", width=8, console=QUEUE),
    series("Decisions", "An hour, by the service itself: recipients released to, entries deleted by a reviewer or by age. What `octroi quarantine` does on "
           "the command line is not counted here; it shows in what waits.", "short",
           query("3600 * sum(rate(octroi_quarantine_released_total{@}[$__rate_interval]))", "released"),
           query("3600 * sum by (reason) (rate(octroi_quarantine_deleted_total{@}[$__rate_interval]))", "deleted: {{reason}}"), width=8, console=QUEUE),
    series("Not stored", "Messages an hour that were to be held and could not be, by why.", "short",
           query("3600 * sum by (reason) (rate(octroi_quarantine_failures_total{@}[$__rate_interval]))", "{{reason}}"), width=8,
           runbook="OctroiQuarantineFailing"),
    heatmap("Time to store", "From the verdict until an entry is on disk, synced: the sender waits for it.", "s",
            "sum by (le) (increase(octroi_quarantine_store_duration_seconds_bucket{@}[$__rate_interval]))"),
    series("Time to store, quantiles", "The same as lines.", "s",
           *(query(f"histogram_quantile({q}, sum by (le) (rate(octroi_quarantine_store_duration_seconds_bucket{{@}}[$__rate_interval])))", name)
             for name, q in [("p50", 0.5), ("p95", 0.95)])),
)

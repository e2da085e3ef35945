from kit import GREEN, RED, YELLOW, Board, query, series, stat, timeline

BOARD = Board(
    "octroi-process", "Octroi / Process",
    "The process itself: its memory budget, spool, connections, descriptors and processor.",
)

USED = 'max(octroi_spool_used_bytes{{@,place="{0}"}} / octroi_spool_limit_bytes{{@,place="{0}"}})'


def _spool(title, about, place, runbook):
    return series(title, about, "bytes",
                  query(f'octroi_spool_used_bytes{{@,place="{place}"}}', "{{instance}}"),
                  query(f'min(octroi_spool_limit_bytes{{@,place="{place}"}})', "limit"), width=8, runbook=runbook)


BOARD.row(
    "Now",
    stat("Instances", "Instances that answer Prometheus.", "short", "sum(up{@})", limits=(RED, 1, GREEN), width=3, runbook="OctroiDown"),
    stat("Version", "What runs; more than one while an upgrade is under way.", "short", "count by (version) (octroi_build_info{@})", legend="{{version}}",
         width=3, text="name", graph="none"),
    stat("Up for", "Since the youngest instance was started.", "s", "time() - max(process_start_time_seconds{@})", width=4, graph="none",
         runbook="OctroiRestarting"),
    stat("Configuration", "Whether the last reading of the configuration succeeded; if not, the one before it is still in force.", "bool_yes_no",
         "min(octroi_config_last_reload_successful{@})", limits=(RED, 1, GREEN), width=3, graph="none", runbook="OctroiReloadFailed"),
    stat("Memory budget", "Share of `limits.memory` that messages under way take, of the fullest instance. What does not fit goes to disk.", "percentunit",
         USED.format("memory"), limits=(GREEN, 0.8, YELLOW, 0.95, RED), width=4, runbook="OctroiMemoryBudgetExhausted"),
    stat("Spool", "Share of `limits.spool` that messages under way take on disk. What does not fit is answered with 452.", "percentunit",
         USED.format("disk"), limits=(GREEN, 0.8, YELLOW, 0.95, RED), width=4, runbook="OctroiSpoolExhausted"),
    stat("Lines lost", "Log lines lost within the time shown, because the log was not read fast enough.", "short",
         "sum(increase(octroi_log_lines_dropped_total{@}[$__range]))", limits=(GREEN, 1, RED), width=3, decimals=0, runbook="OctroiLogDropping"),
)

BOARD.row(
    "Messages under way",
    _spool("Memory budget", "Octets of messages held in memory, over all sessions of an instance, and `limits.memory`.", "memory", "OctroiMemoryBudgetExhausted"),
    _spool("Spool", "Octets of messages on disk until they are delivered, and `limits.spool`.", "disk", "OctroiSpoolExhausted"),
    series("Shortages", "Times a second that a limit left no room. Memory: a message goes to disk, or is not looked into; disk: its client is told to come again.",
           "cps", query("sum by (place) (rate(octroi_spool_shortages_total{@}[$__rate_interval]))", "{{place}}"), width=8,
           runbook="OctroiMemoryBudgetExhausted"),
)

BOARD.row(
    "Connections and descriptors",
    series("Connections", "Open now, over all listeners, and `limits.connections`.", "short",
           query("sum by (instance) (octroi_connections_active{@})", "{{instance}}"),
           query("min(octroi_connections_limit{@})", "limit"), runbook="OctroiConnectionsExhausted"),
    series("Descriptors", "Open files and sockets, and how many the process may have (LimitNOFILE).", "short",
           query("process_open_fds{@}", "{{instance}}"), query("min(process_max_fds{@})", "limit"), runbook="OctroiDescriptorsExhausted"),
)

BOARD.row(
    "The machine's share",
    series("Processor", "Cores in use.", "short", query("rate(process_cpu_seconds_total{@}[$__rate_interval])", "{{instance}}"), width=8),
    series("Memory", "Resident. Beyond `limits.memory` there are some 15 KiB for each connection, rules, and the libraries of stages.", "bytes",
           query("process_resident_memory_bytes{@}", "{{instance}}"), width=8, runbook="OctroiMemoryBudgetExhausted"),
    series("Threads", "Workers, blocking calls, log, monitoring.", "short", query("process_threads{@}", "{{instance}}"), width=8),
)

BOARD.row(
    "The journal",
    series("Rows", "Rows written a second.", "cps", query("rate(octroi_journal_rows_total{@}[$__rate_interval])", "{{instance}}"), width=6,
           runbook="OctroiJournalDropping"),
    series("Without a row", "Messages and refusals a minute that have none: `queue_full`, written too slowly; `not_written`, it cannot be; `rate`, a flood of "
           "refusals. `unexamined`: a row without attachments and URLs.", "cpm",
           query("60 * sum by (reason) (rate(octroi_journal_dropped_total{@}[$__rate_interval]))", "{{reason}}"),
           query("60 * sum(rate(octroi_journal_unexamined_total{@}[$__rate_interval]))", "unexamined"), width=6, runbook="OctroiJournalDropping"),
    series("On disk", "What its rows take, and `[journal] size`: beyond that the oldest go.", "bytes",
           query("octroi_journal_bytes{@}", "{{instance}}"), query("min(octroi_journal_limit_bytes{@})", "limit"), width=6),
    series("Reaches back", "Age of the oldest row: how far a search can look.", "s",
           query("time() - (octroi_journal_oldest_timestamp_seconds{@} > 0)", "{{instance}}"), width=6),
)

BOARD.row(
    "Traces",
    series("Exported", "Messages a second whose spans the receiver of `[traces]` took; 0 where nothing is configured.", "cps",
           query("rate(octroi_traces_exported_total{@}[$__rate_interval])", "{{instance}}"), width=12, runbook="OctroiTracesDropping"),
    series("Lost", "Messages a minute that have no trace: `not_sent`, nobody took them in time; `queue_full`, too many waited; `refused`, the receiver "
           "will not have them. `rejected spans`: it threw those away. Mail goes on.", "cpm",
           query("60 * sum by (reason) (rate(octroi_traces_dropped_total{@}[$__rate_interval]))", "{{reason}}"),
           query("60 * sum(rate(octroi_traces_rejected_spans_total{@}[$__rate_interval]))", "rejected spans"), width=12,
           runbook="OctroiTracesDropping"),
)

BOARD.row(
    "Monitoring itself",
    timeline("Up", "Whether Prometheus reaches each instance.", "up{@}", "{{instance}}", [(0, "down", RED), (1, "up", GREEN)],
             limits=(RED, 1, GREEN), runbook="OctroiDown"),
    series("Scrapes", "How long Prometheus takes to read the metrics.", "s", query("scrape_duration_seconds{@}", "{{instance}}"), width=6),
    series("Log lines lost", "A minute, because the log was not read fast enough. Mail goes on.", "cpm",
           query("60 * sum by (instance) (rate(octroi_log_lines_dropped_total{@}[$__rate_interval]))", "{{instance}}"), width=6,
           runbook="OctroiLogDropping"),
)

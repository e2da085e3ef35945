from kit import GREEN, ORANGE, RED, YELLOW, Board, heatmap, query, series, stat, table, timeline

BOARD = Board(
    "octroi-stages", "Octroi / Stages",
    "What each stage of the chain says, how long it takes, and when it does not finish.",
    own=("stage", "octroi_stage_breaker_open"),
)

INCOMPLETE = ("sum by (stage) (rate(octroi_stage_incomplete_total{@stage}[$__rate_interval]))"
              " / (sum by (stage) (rate(octroi_stage_results_total{@stage}[$__rate_interval])) > 0)")
P95 = "histogram_quantile(0.95, sum by (stage, le) (rate(octroi_stage_duration_seconds_bucket{@stage}[$__rate_interval])))"

BOARD.row(
    "Now",
    stat("Stages not finishing", "Stages that did not finish with some message in the last minutes. What a message meets then is the stage's `on_error`.",
         "short", "count(sum by (stage) (increase(octroi_stage_incomplete_total{@stage}[$__rate_interval])) > 0) or vector(0)",
         limits=(GREEN, 1, RED), runbook="OctroiStageFailing"),
    stat("Breakers open", "Stages that failed too often in a row and are left alone for a while; their messages meet `on_error` at once.", "short",
         "sum(octroi_stage_breaker_open{@stage})", limits=(GREEN, 1, RED), runbook="OctroiBreakerOpen"),
    stat("Panics", "Times within the time shown that a stage panicked: a fault of octroi's own, caught, and worth a report.", "short",
         'sum(increase(octroi_stage_incomplete_total{@stage,reason="panicked"}[$__range]))', limits=(GREEN, 1, RED), decimals=0,
         runbook="OctroiStagePanicked"),
    stat("Not fully inspected", "Messages delivered within the time shown although a stage had not finished with them.", "short",
         "sum(increase(octroi_messages_incomplete_total{@}[$__range]))", limits=(GREEN, 1, ORANGE), decimals=0,
         runbook="OctroiDeliveredUninspected"),
    stat("Slowest stage, p95", "The stage that takes longest: nineteen of twenty messages are through it within this time.", "s", f"topk(1, {P95})",
         legend="{{stage}}", limits=(GREEN, 5, YELLOW, 30, RED), width=8, text="value_and_name", none="no mail", runbook="OctroiStageSlow"),
)

BOARD.row(
    "Stages",
    table("All of them", "A row for each stage: messages a second, share of those it did not finish with, time, share it refused, findings.", "stage", [
        ("Messages/s", "mps", (), "sum by (stage) (rate(octroi_stage_results_total{@stage}[$__range]))"),
        ("Incomplete", "percentunit", (GREEN, 0.001, YELLOW, 0.05, RED),
         "sum by (stage) (rate(octroi_stage_incomplete_total{@stage}[$__range]))"
         " / (sum by (stage) (rate(octroi_stage_results_total{@stage}[$__range])) > 0)"),
        ("p50", "s", (), "histogram_quantile(0.5, sum by (stage, le) (rate(octroi_stage_duration_seconds_bucket{@stage}[$__range])))"),
        ("p95", "s", (GREEN, 5, YELLOW, 30, RED), "histogram_quantile(0.95, sum by (stage, le) (rate(octroi_stage_duration_seconds_bucket{@stage}[$__range])))"),
        ("Refused", "percentunit", (),
         'sum by (stage) (rate(octroi_stage_results_total{@stage,result="refuse"}[$__range]))'
         " / (sum by (stage) (rate(octroi_stage_results_total{@stage}[$__range])) > 0)"),
        ("Findings", "short", (), "sum by (stage) (increase(octroi_stage_findings_total{@stage}[$__range]))"),
    ]),
)

BOARD.row(
    "Time",
    heatmap("Duration", "How long the chosen stages took over one message, all their calls together. Choose one stage above to see it alone.", "s",
            "sum by (le) (increase(octroi_stage_duration_seconds_bucket{@stage}[$__rate_interval]))", runbook="OctroiStageSlow"),
    series("Duration, p95", "Nineteen of twenty messages are through a stage within this time.", "s", query(P95, "{{stage}}"), runbook="OctroiStageSlow"),
)

BOARD.row(
    "What they do not finish",
    series("Share not finished", "Share of a stage's messages that it did not finish with.", "percentunit", query(INCOMPLETE, "{{stage}}"),
           ceiling=1, width=8, runbook="OctroiStageFailing"),
    series("Why", "`late`: its deadline passed; `failed`: it could not be asked, or answered nonsense; `too_large`: beyond its `max_size`; "
           "`breaker_open`: left alone; `poisoned`: it fails on this message again and again; `panicked`: a fault of octroi's.", "cps",
           query("sum by (stage, reason) (rate(octroi_stage_incomplete_total{@stage}[$__rate_interval])) > 0", "{{stage}}: {{reason}}"), width=8,
           runbook="OctroiStageSkipping"),
    timeline("Circuit breakers", "Open: a stage failed too often in a row and is not asked for a while.", "max by (stage) (octroi_stage_breaker_open{@stage})",
             "{{stage}}", [(0, "closed", GREEN), (1, "open", RED)], limits=(GREEN, 1, RED), width=8, runbook="OctroiBreakerOpen"),
)

BOARD.row(
    "What they say",
    series("Results", "What the chosen stages said of messages. `edit`: let through, with changes.", "mps",
           query("sum by (result) (rate(octroi_stage_results_total{@stage}[$__rate_interval]))", "{{result}}"), stack="normal", width=8),
    series("Findings", "What stages found out a second, for rules and people to see; it is not a verdict.", "cps",
           query("sum by (stage) (rate(octroi_stage_findings_total{@stage}[$__rate_interval]))", "{{stage}}"), width=8),
    series("Rules", "Messages a second that a rule held for, also one that only observes.", "mps",
           query("sum by (rule) (rate(octroi_rule_matches_total{@}[$__rate_interval]))", "{{rule}}"), width=8),
)

from kit import GREEN, ORANGE, YELLOW, Board, query, series, stat

BOARD = Board(
    "octroi-attacks", "Octroi / Attacks",
    "What clients do that no mail client does, and who is turned away. Who they are stands in the log.",
    own=("listener", "octroi_connections_active"),
)

ATTACKS = "smuggling|command_injection|forbidden_command|forged_results"


def _times(title, about, kinds, **more):
    expr = f'sum(increase(octroi_violations_total{{@listener,kind=~"{kinds}"}}[$__range]))'
    return stat(title, about, "short", expr, limits=(GREEN, 1, ORANGE), decimals=0, **more)


BOARD.row(
    "Within the time shown",
    _times("Smuggling", "Messages that carried a look-alike of the end of data, for another server to read as two messages. All were refused.", "smuggling",
           runbook="OctroiSmuggling"),
    _times("Command injection", "Commands sent in clear behind STARTTLS, to be taken for commands inside TLS. They were not.", "command_injection",
           runbook="OctroiAttacks"),
    _times("Forged results", "Authentication-Results in our own name, in mail from outside. They were removed.", "forged_results", runbook="OctroiAttacks"),
    stat("Turned away", "Connections that were refused at accept: too many at once, or no PROXY header where one is due.", "short",
         'sum(increase(octroi_connections_total{@listener,result!="accepted"}[$__range]))', limits=(GREEN, 100, YELLOW), decimals=0,
         runbook="OctroiConnectionsExhausted"),
    stat("AUTH failed", "Passwords that the MTA did not accept.", "short",
         'sum(increase(octroi_auth_attempts_total{@listener,result="failed"}[$__range]))', limits=(GREEN, 100, ORANGE), decimals=0,
         runbook="OctroiAuthGuessing"),
    stat("Violations per connection", "All violations, by accepted connection. Above one, most of who comes is no mail client.", "short",
         "sum(rate(octroi_violations_total{@listener}[$__rate_interval]))"
         ' / (sum(rate(octroi_connections_total{@listener,result="accepted"}[$__rate_interval])) > 0)',
         limits=(GREEN, 1, YELLOW, 5, ORANGE), decimals=2, none="nobody came"),
)

BOARD.row(
    "Violations",
    series("Attacks", "What is nothing else than an attack, a minute.", "cpm",
           query(f'60 * sum by (kind) (rate(octroi_violations_total{{@listener,kind=~"{ATTACKS}"}}[$__rate_interval]))', "{{kind}}"),
           runbook="OctroiAttacks"),
    series("Other violations", "What spam engines, scanners and broken programs do, a minute.", "cpm",
           query(f'60 * sum by (kind) (rate(octroi_violations_total{{@listener,kind!~"{ATTACKS}"}}[$__rate_interval])) > 0', "{{kind}}"),
           runbook="OctroiAttacks"),
    series("By listener", "All violations, a minute.", "cpm",
           query("60 * sum by (listener) (rate(octroi_violations_total{@listener}[$__rate_interval]))", "{{listener}}"), width=24),
)

BOARD.row(
    "Turned away",
    series("Connections refused", "At accept, a minute: `too_many` at once over all clients, `too_many_from_client`, `bad_proxy_header`, `draining`.", "cpm",
           query('60 * sum by (result) (rate(octroi_connections_total{@listener,result!="accepted"}[$__rate_interval]))', "{{result}}"), width=8,
           runbook="OctroiConnectionsExhausted"),
    series("TLS handshakes that failed", "With clients, a minute.", "cpm",
           query('60 * sum by (result) (rate(octroi_tls_handshakes_total{@listener,result=~"failed|timed_out"}[$__rate_interval]))', "{{result}}"), width=8),
    series("AUTH", "Exchanges a minute by the MTA's answer.", "cpm",
           query("60 * sum by (result) (rate(octroi_auth_attempts_total{@listener}[$__rate_interval]))", "{{result}}"), width=8,
           runbook="OctroiAuthGuessing"),
    series("Messages refused", "Share of messages that were refused for good.", "percentunit",
           query('sum(rate(octroi_messages_total{@listener,verdict="rejected"}[$__rate_interval]))'
                 " / (sum(rate(octroi_messages_total{@listener}[$__rate_interval])) > 0)", "refused"), ceiling=1),
    series("Refusals", "Replies 5yz a second: recipients that do not exist, messages refused, commands nobody knows.", "cps",
           query('sum by (listener) (rate(octroi_replies_total{@listener,class="5"}[$__rate_interval]))', "{{listener}}")),
)

BOARD.row(
    "Console",
    series("Sign-ins", "Attempts to sign in to the console, a minute. `wrong_factor`: the password was right.", "cpm",
           query("60 * sum by (result) (rate(octroi_console_sign_ins_total{@}[$__rate_interval]))", "{{result}}"), width=24,
           runbook="OctroiConsoleGuessing"),
)

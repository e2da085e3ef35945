"""What the dashboards are built from: panels, their place on the page, and what all dashboards share.

In queries, `@` stands for the selectors every query has (job and instance), and `@listener`,
`@stage`, `@upstream` for those and the dashboard's own variable.
"""

import re

# Classic JSON: Grafana 9 to 13 read it as it is.
SCHEMA_VERSION = 39
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, BLUE, YELLOW, ORANGE, RED, PURPLE, GREY = "green", "blue", "yellow", "orange", "red", "purple", "#8e8e8e"
# By the label that tells lines apart: a verdict has the same colour everywhere.
COLOURS = {
    "{{verdict}}": {
        "delivered": GREEN, "quarantined": ORANGE, "rejected": RED, "deferred": YELLOW, "discarded": PURPLE, "lost": GREY,
    },
    "{{version}}": {"none": RED, "tlsv1.2": BLUE, "tlsv1.3": GREEN},
    "{{class}}": {"malware": RED, "phishing": ORANGE, "spam": YELLOW, "policy": BLUE, "incomplete": PURPLE},
}


def query(expr, legend="", *, instant=False, kind="time_series"):
    """One query of a panel."""
    return {"expr": expr, "legendFormat": legend, "instant": instant, "range": not instant, "format": kind}


def steps(*limits):
    """Thresholds: a colour, then pairs of a value and the colour from there on."""
    first, *rest = limits
    pairs = [(None, first), *zip(rest[::2], rest[1::2])]
    return [{"value": value, "color": colour} for value, colour in pairs]


def _panel(kind, title, about, unit, queries, *, limits=(), width, height=8, runbook=None, console=None, defaults=None, options=None, overrides=()):
    links = []
    if runbook:
        links.append(_link(f"Runbook: {runbook}", "${runbook_url}#" + runbook.lower()))
    if console:
        links.append(_link("Console", "${console_url}" + console))
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": DATASOURCE,
        "links": links,
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "thresholds": {"mode": "absolute", "steps": steps(*(limits or (GREEN,)))},
                **(defaults or {}),
            },
            "overrides": list(overrides),
        },
        "options": options or {},
        "targets": [{"refId": chr(ord("A") + n), "datasource": DATASOURCE, **one} for n, one in enumerate(queries)],
        "gridPos": {"h": height, "w": width},
    }


def stat(title, about, unit, expr, *, limits=(), width=4, height=4, legend="", text="auto", graph="area", decimals=None, none=None, **more):
    """One number, or one for each label."""
    defaults = {"color": {"mode": "thresholds"}}
    if decimals is not None:
        defaults["decimals"] = decimals
    if none is not None:
        defaults["noValue"] = none
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "auto", "textMode": text, "wideLayout": True, "colorMode": "value", "graphMode": graph, "justifyMode": "auto",
        "showPercentChange": False, "percentChangeColorMode": "standard",
    }
    queries = [query(expr, legend)]
    return _panel("stat", title, about, unit, queries, limits=limits, width=width, height=height, defaults=defaults, options=options, **more)


def series(title, about, unit, *queries, limits=(), stack=None, width=12, floor=0, ceiling=None, **more):
    """Lines over time; `stack` is "normal" or "percent"."""
    custom = {
        "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 60 if stack else 10, "gradientMode": "none",
        "showPoints": "never", "spanNulls": False, "stacking": {"mode": stack or "none", "group": "A"}, "axisPlacement": "auto",
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    defaults = {"color": {"mode": "palette-classic"}, "custom": custom}
    if floor is not None:
        defaults["min"] = floor
    if ceiling is not None:
        defaults["max"] = ceiling
    options = {
        "legend": {"displayMode": "table", "placement": "right" if width > 12 else "bottom", "showLegend": True, "calcs": ["mean", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    legends = [one["legendFormat"] for one in queries]
    overrides = [_coloured(name, colour) for legend in legends for name, colour in COLOURS.get(legend, {}).items()]
    return _panel("timeseries", title, about, unit, queries, limits=limits, width=width, defaults=defaults, options=options,
                  overrides=overrides, **more)


def heatmap(title, about, unit, expr, *, width=12, **more):
    """How often, by bucket of a histogram, over time. `expr` keeps the label `le`."""
    custom = {"scaleDistribution": {"type": "linear"}, "hideFrom": {"legend": False, "tooltip": False, "viz": False}}
    options = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "scale": "exponential", "exponent": 0.5, "steps": 64, "reverse": False},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "cellGap": 1,
        "yAxis": {"unit": unit, "axisPlacement": "left", "reverse": False},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
    }
    return _panel("heatmap", title, about, "short", [query(expr, "{{le}}", kind="heatmap")], width=width, options=options,
                  defaults={"custom": custom}, **more)


def timeline(title, about, expr, legend, states, *, width=12, **more):
    """What state something was in, over time; `states` are (value, text, colour)."""
    mapping = {str(value): {"text": text, "color": colour, "index": n} for n, (value, text, colour) in enumerate(states)}
    defaults = {
        "color": {"mode": "thresholds"},
        "mappings": [{"type": "value", "options": mapping}],
        "custom": {"lineWidth": 0, "fillOpacity": 80},
    }
    options = {
        "mergeValues": True, "showValue": "auto", "alignValue": "left", "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return _panel("state-timeline", title, about, "short", [query(expr, legend)], width=width, defaults=defaults, options=options, **more)


def table(title, about, by, columns, *, width=24, **more):
    """A row for each value of the label `by`; `columns` are (name, unit, thresholds, expr)."""
    queries = [query(expr, instant=True, kind="table") for *_, expr in columns]
    renamed = {by: by.capitalize(), **{f"Value #{chr(ord('A') + n)}": name for n, (name, *_) in enumerate(columns)}}
    overrides = [_column(name, unit, limits) for name, unit, limits, _ in columns]
    panel = _panel("table", title, about, "short", queries, width=width, overrides=overrides,
                   defaults={"custom": {"align": "auto", "filterable": False}},
                   options={"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": columns[0][0], "desc": True}]}, **more)
    order = {name: n for n, name in enumerate([by, *(key for key in renamed if key != by)])}
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": renamed}},
    ]
    return panel


def _column(name, unit, limits):
    properties = [{"id": "unit", "value": unit}]
    if limits:
        properties.append({"id": "thresholds", "value": {"mode": "absolute", "steps": steps(*limits)}})
        properties.append({"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}})
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def _coloured(name, colour):
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
    }


def _link(title, url):
    return {
        "title": title, "type": "link", "url": url, "icon": "external link", "tooltip": "", "tags": [],
        "asDropdown": False, "targetBlank": True, "includeVars": False, "keepTime": False,
    }


class Board:
    """A dashboard. Panels are laid out in the order they are added, line by line, in rows with a heading."""

    def __init__(self, name, title, about, own=None):
        """`name` is its uid and its file's name; `own` a further variable: (name, metric it is a label of)."""
        self.name, self.title, self.about, self.own = name, title, about, own
        self.panels, self.x, self.y, self.line = [], 0, 0, 0

    def row(self, title, *panels):
        self._new_line()
        self._place({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": COLUMNS}})
        self._new_line()
        for panel in panels:
            if self.x + panel["gridPos"]["w"] > COLUMNS:
                self._new_line()
            self._place(panel)

    def _place(self, panel):
        panel["id"] = len(self.panels) + 1
        panel["gridPos"] |= {"x": self.x, "y": self.y}
        self.x += panel["gridPos"]["w"]
        self.line = max(self.line, panel["gridPos"]["h"])
        self.panels.append(panel)

    def _new_line(self):
        self.y += self.line
        self.x, self.line = 0, 0

    def json(self):
        variables = [
            {
                "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1, "regex": "", "hide": 0,
                "current": {"selected": True, "text": "default", "value": "default"}, "options": [], "includeAll": False, "multi": False,
            },
            self._labels("job", "octroi_build_info"),
            self._labels("instance", 'octroi_build_info{job=~"$job"}'),
        ]
        if self.own:
            name, metric = self.own
            variables.append(self._labels(name, f"{metric}{{{SELECTORS}}}"))
        variables += [
            _text("console_url", "Console", "https://localhost:8443", "Where octroi's console is"),
            _text("runbook_url", "Runbook", "file:///usr/share/doc/octroi/RUNBOOK.md", "Where the runbook is"),
        ]
        others = {
            "title": "Octroi", "type": "dashboards", "icon": "external link", "tooltip": "The other dashboards", "url": "", "tags": ["octroi"],
            "asDropdown": True, "targetBlank": False, "includeVars": True, "keepTime": True,
        }
        return self._selected({
            "id": None,
            "uid": self.name,
            "title": self.title,
            "description": self.about,
            "tags": ["octroi", "mail"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "timezone": "browser",
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "timepicker": {},
            "fiscalYearStartMonth": 0,
            "weekStart": "",
            "links": [others, _link("Console", "${console_url}"), _link("Runbook", "${runbook_url}")],
            "annotations": {"list": [{
                "name": "Configuration read", "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": BLUE,
                "expr": "changes(octroi_config_last_reload_success_timestamp_seconds{@}[$__interval]) > 0",
            }]},
            "templating": {"list": variables},
            "panels": self.panels,
        })

    @staticmethod
    def _labels(name, metric):
        expr = f"label_values({metric}, {name})"
        return {
            "type": "query", "name": name, "label": name.capitalize(), "datasource": DATASOURCE,
            "query": {"query": expr, "refId": "Variable"}, "refresh": 2, "sort": 1, "regex": "", "hide": 0,
            "multi": True, "includeAll": True, "allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "options": [],
        }

    def _selected(self, value):
        """With `@` and `@variable` replaced in all queries."""
        if isinstance(value, list):
            return [self._selected(one) for one in value]
        if isinstance(value, dict):
            return {key: self._expand(one) if key == "expr" else self._selected(one) for key, one in value.items()}
        return value

    def _expand(self, expr):
        def selectors(found):
            own = found.group(1)
            assert not own or own == self.own[0], f"{self.name} has no variable {own}: {expr}"
            return f'{SELECTORS},{own}=~"${own}"' if own else SELECTORS
        return re.sub(r"@([a-z]*)", selectors, expr)


SELECTORS = 'job=~"$job",instance=~"$instance"'


def _text(name, label, value, about):
    chosen = {"selected": True, "text": value, "value": value}
    return {
        "type": "textbox", "name": name, "label": label, "description": about, "query": value, "hide": 2, "current": chosen, "options": [chosen],
    }

#!/usr/bin/env python3
"""Writes the dashboards into ../dashboards. With --check, only says what would change; exit 1 if anything does."""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import attacks, mail_flow, process, quarantine, stages, upstreams

TO = Path(__file__).resolve().parent.parent / "dashboards"


def main():
    check = sys.argv[1:] == ["--check"]
    stale = []
    for module in (mail_flow, stages, upstreams, attacks, quarantine, process):
        board = module.BOARD
        path = TO / f"{board.name.removeprefix('octroi-')}.json"
        text = json.dumps(board.json(), indent=1, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if not check:
                path.write_text(text)
    if stale:
        print(("not what their source makes: " if check else "written: ") + ", ".join(stale))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Checks dashboards against Grafana's own published schema, as its SDK has it (grafana-foundation-sdk).

The SDK is generated from that schema: a class for each object, with its fields and their types. A
dashboard is read into these classes, every field is compared with its declared type, and what comes
out of them again must be what went in: a key that the schema does not know is lost on the way.
"""

import enum
import json
import sys
import types
import typing

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model

def encoded(read):
    """An object of the SDK as JSON again."""
    return json.loads(JSONEncoder(sort_keys=True).encode(read))


def keys_lost(given, back, at=""):
    """Paths of keys that are in `given` and not in `back`."""
    if isinstance(given, dict) and isinstance(back, dict):
        for key, value in given.items():
            if key not in back:
                # A default that is left out again is no key that nobody knows.
                if value is not None:
                    yield f"{at}.{key}"
            else:
                yield from keys_lost(value, back[key], f"{at}.{key}")
    elif isinstance(given, list) and isinstance(back, list):
        for one, other in zip(given, back):
            yield from keys_lost(one, other, f"{at}[]")
    elif type(given) is not type(back) and not (isinstance(given, (int, float)) and isinstance(back, (int, float))):
        yield f"{at}: {given!r} became {back!r}"


def wrong_types(value, wanted, at):
    """Where `value` is not of its declared type."""
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        # What a value that is there lacks of being nothing is not the interesting part.
        candidates = [one for one in inner if one is not type(None) or value is None]
        candidates = [one for one in candidates if isinstance(one, type) and type(value) is one] or candidates
        problems = [list(wrong_types(value, one, at)) for one in candidates]
        if all(problems):
            yield from min(problems, key=len)
    elif origin is typing.Literal:
        if value not in inner:
            yield f"{at}: {value!r} is none of {inner}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{at}: {value!r} is no list"
            return
        for one in value:
            yield from wrong_types(one, inner[0], f"{at}[]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{at}: {value!r} is no object"
            return
        for key, one in value.items():
            yield from wrong_types(one, inner[1], f"{at}.{key}")
    elif wanted in (object, typing.Any) or not isinstance(wanted, type):
        yield from of_object(value, at)
    elif wanted is type(None):
        if value is not None:
            yield f"{at}: {value!r} instead of nothing"
    elif issubclass(wanted, enum.Enum):
        if value not in [one.value for one in wanted]:
            yield f"{at}: {value!r} is none of {[one.value for one in wanted]}"
    elif wanted is float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            yield f"{at}: {value!r} is no number"
    elif wanted in (int, str, bool):
        # For Python, True is an int.
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            yield f"{at}: {value!r} is no {wanted.__name__}"
    elif isinstance(value, dict) and hasattr(wanted, "from_json"):
        # Some lists of objects the SDK leaves as they are.
        read = wanted.from_json(value)
        yield from (f"{lost}: the schema does not know it" for lost in keys_lost(value, encoded(read), at))
        yield from of_object(read, at)
    elif not isinstance(value, wanted):
        yield f"{at}: {value!r} is no {wanted.__name__}"
    else:
        yield from of_object(value, at)


def of_object(value, at):
    """The same for all fields of an object of the SDK; anything else is free."""
    if isinstance(value, list):
        for one in value:
            yield from of_object(one, f"{at}[]")
    if not type(value).__module__.startswith("grafana_foundation_sdk."):
        return
    module = sys.modules[type(value).__module__]
    for name, wanted in typing.get_type_hints(type(value), vars(module)).items():
        yield from wrong_types(getattr(value, name), wanted, f"{at}.{name}")


def main(paths):
    register_default_plugins()
    bad = 0
    for path in paths:
        given = json.load(open(path))
        read = model.Dashboard.from_json(given)
        problems = [f"{lost}: the schema does not know it" for lost in keys_lost(given, encoded(read))]
        problems += of_object(read, "")
        for problem in sorted(set(problems)):
            print(f"{path}: {problem}")
        bad += bool(problems)
    return 1 if bad or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

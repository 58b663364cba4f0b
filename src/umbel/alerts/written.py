"""A rule as a file writes it: the reverse of reading one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from umbel.alerts.rules import Kind, Rule, keys_of, needed, plain, span

#: Kinds whose threshold is a duration; the others' are numbers.
_TIMED: Final = (Kind.LATENCY, Kind.QUEUE_AGE, Kind.SCHEDULE)
_WRITE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "hold": span,
    "keep": span,
    "repeat": span,
    "within": span,
    "per_name": lambda value: "name" if value else "all",
    "severity": str,
    "to": list,
}


def table_of(rule: Rule) -> dict[str, Any]:
    """The table that `read_rule` makes this rule of, without what is by default as it is."""
    usual, must = plain(rule.on), {key for choices in needed(rule.on) for key in choices}
    table: dict[str, Any] = {"name": rule.name, "on": rule.on.value}
    for key, field in keys_of(rule.on).items():
        value = getattr(rule, field)
        if (value == getattr(usual, field) and key not in must) or _stands_back(rule, key):
            continue
        if field == "over":
            table[key] = span(value) if rule.on in _TIMED else _number(value)
        else:
            table[key] = _WRITE.get(field, _number)(value)
    return table


def _stands_back(rule: Rule, key: str) -> bool:
    """Of `over` and `under`, the one that does not count."""
    return key == ("under" if rule.under is None else "over")


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value == int(value) else value


def toml_of(rule: Rule) -> str:
    """The lines that a file of rules would have."""
    # JSON's texts, numbers and lists are TOML's.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table_of(rule).items()]
    return "\n".join(["[[rule]]", *lines])

"""Rules that were made on the page: in the book, beside those of the configuration, which no page changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from umbel.alerts.book import AlertBook, Row, Shelf
from umbel.alerts.config import Config, checked
from umbel.alerts.records import Made, record
from umbel.alerts.rules import RULES, Rule, read_rule
from umbel.errors import SettingsError

#: What errors name in place of a file.
HERE: Final = "the page of alerts"


@dataclass(frozen=True, slots=True)
class Kept:
    """A rule of the page."""

    name: str
    made: Made
    #: When it was last changed, UTC seconds.
    at: float
    #: The rule, and why it is not judged, "" where it is; None where it cannot even be read.
    rule: Rule | None
    problem: str = ""


def read_made(config: Config, table: Mapping[str, Any]) -> Rule:
    """The rule of a table that somebody wants to keep; raises `SettingsError` where it cannot be."""
    rule = checked(config, read_rule(table, HERE), HERE)
    if not rule.name.isprintable():
        # It is a key, and not every engine keeps all characters in one.
        raise SettingsError(f"{HERE}: rule {rule.name!r}: a name has printable characters alone")
    if config.rule(rule.name) is not None:
        raise SettingsError(f"{HERE}: rule {rule.name!r} stands in the configuration; give this one another name")
    return rule


def kept_rules(config: Config, rows: Sequence[Row]) -> list[Kept]:
    """The rules of the page by name; what a configuration has become that they do not fit is told, not judged."""
    found = [_kept(config, one) for one in sorted(rows, key=lambda one: one.key)]
    judged, room = 0, RULES - len(config.rules)
    for index, one in enumerate(found):
        if not one.problem and (judged := judged + 1) > room:
            found[index] = replace(one, problem=f"there are more than {RULES} rules")
    return found


def _kept(config: Config, found: Row) -> Kept:
    made = record(found, Made)
    try:
        return Kept(found.key, made, found.at, read_made(config, made.table))
    except SettingsError as error:
        return Kept(found.key, made, found.at, None, str(error))


def all_rules(config: Config, kept: Sequence[Kept]) -> Config:
    """The configuration with the rules of the page behind its own."""
    return replace(config, rules=[*config.rules, *(one.rule for one in kept if one.rule and not one.problem)])


def with_made(config: Config, book: AlertBook) -> Config:
    """The same with what stands in the book; raises `StoreError`."""
    return all_rules(config, kept_rules(config, book.read(Shelf.RULE)))

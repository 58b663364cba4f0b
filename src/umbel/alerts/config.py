"""Everything that is set of alerting: rules, destinations, how often it is looked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from umbel.alerts.rules import DEFAULTS, RULES, Rule, read_rule
from umbel.errors import SettingsError
from umbel.retention import parse_duration

#: Destinations, and the shortest time between two looks (seconds).
DESTINATIONS: Final = 50
SHORTEST: Final = 1.0
#: Seconds between two looks unless told otherwise.
EVERY: Final = 15.0
#: What a destination of `--alert-to` is called, before its number.
UNNAMED: Final = "default"

#: Services that keep an incident open until they are told that it is over, and take what comes twice as one by its key.
INCIDENTS: Final = frozenset({"pagerduty", "opsgenie", "goalert", "ilert", "incidentio", "firehydrant", "squadcast"})
_KEYS: Final = ("rule", "destinations", "defaults", "every")
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*(?=://)")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where notices go; the URL holds secrets, and is neither shown nor logged."""

    name: str
    url: str = field(repr=False)

    @property
    def scheme(self) -> str:
        """What kind it is, such as `slack` or `mailtos`: all that may be shown of the URL."""
        found = _SCHEME.match(self.url)
        return found[0].lower() if found else ""

    @property
    def incidents(self) -> bool:
        """Whether it keeps incidents: then each rule has its own there."""
        return self.scheme in INCIDENTS


@dataclass(frozen=True, slots=True)
class Config:
    """What is watched, and who is told."""

    rules: Sequence[Rule] = ()
    destinations: Sequence[Destination] = ()
    #: Seconds between two looks.
    every: float = EVERY

    def rule(self, name: str) -> Rule | None:
        """The rule of that name."""
        return next((rule for rule in self.rules if rule.name == name), None)

    def lost(self, rule: Rule) -> str:
        """Whom the rule names and nobody knows, "" where there is no such destination."""
        known = {one.name.partition("/")[0] for one in self.destinations}
        return next((name for name in rule.to if name not in known), "")

    def receivers(self, rule: Rule) -> list[Destination]:
        """Whom a rule tells: a name stands for all URLs that were given under it."""
        return [one for one in self.destinations if not rule.to or one.name.partition("/")[0] in rule.to]


def configure(table: Mapping[str, Any], where: str, urls: Sequence[str] = ()) -> Config:
    """From the file's table, and the URLs given without a name; raises `SettingsError`.

    The default rules hold where anybody is to be told, unless `defaults = false`; a rule of the same name replaces one.
    """
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise SettingsError(f"{where}: unknown keys {', '.join(unknown)}; known are {', '.join(_KEYS)}")
    destinations = [*_destinations(table.get("destinations", {}), where), *_numbered(UNNAMED, urls, "--alert-to")]
    if len(destinations) > DESTINATIONS:
        raise SettingsError(f"{where}: {len(destinations)} destinations are given; {DESTINATIONS} are possible")
    given = table.get("rule", [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise SettingsError(f"{where}: rule must be a list of tables, each begun by [[rule]]")
    rules = [read_rule(one, where) for one in given]
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"{where}: two rules are named {twice[0]!r}; give each a name of its own")
    if _switch(table, "defaults", where) and destinations:
        rules += [rule for rule in DEFAULTS if rule.name not in names]
    if len(rules) > RULES:
        raise SettingsError(f"{where}: {len(rules)} rules are given; {RULES} are possible")
    config = Config(rules, destinations, _every(table.get("every", EVERY), where))
    for rule in rules:
        checked(config, rule, where)
    return config


def checked(config: Config, rule: Rule, where: str) -> Rule:
    """The rule; raises `SettingsError` where it names a destination that there is not."""
    if lost := config.lost(rule):
        known = ", ".join(sorted({one.name.partition("/")[0] for one in config.destinations}))
        raise SettingsError(f"{where}: rule {rule.name!r}: no destination is named {lost!r}; known: {known or 'none'}")
    return rule


def _switch(table: Mapping[str, Any], key: str, where: str) -> bool:
    value = table.get(key, True)
    if not isinstance(value, bool):
        raise SettingsError(f"{where}: {key} = {value!r} cannot be used: true or false is expected")
    return value


def _every(value: Any, where: str) -> float:
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise SettingsError(f"{where}: every = {value!r} cannot be used: {error}") from error
    if not SHORTEST <= seconds <= 3_600:
        raise SettingsError(f"{where}: every = {value!r} cannot be used: {SHORTEST:g} s to 1 h are possible")
    return seconds


def _destinations(table: Any, where: str) -> list[Destination]:
    if not isinstance(table, Mapping):
        raise SettingsError(f'{where}: destinations must be a table, such as ops = "slack://…"')
    found: list[Destination] = []
    for name, value in table.items():
        if not re.fullmatch(r"[\w .-]{1,50}", name):
            raise SettingsError(f"{where}: the name of a destination has 1 to 50 letters, digits, '-', '.' and ' '")
        urls = [value] if isinstance(value, str) else value
        if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
            raise SettingsError(f"{where}: destination {name!r}: a URL, or a list of some, is expected")
        found += _numbered(name, urls, f"{where}: destination {name!r}")
    return found


def _numbered(name: str, urls: Sequence[str], where: str) -> list[Destination]:
    """Each URL is a destination of its own, so that one that fails does not make the others come twice."""
    made = [Destination(f"{name}/{number}" if number > 1 else name, url.strip()) for number, url in enumerate(urls, 1)]
    for one in made:
        if not one.scheme:
            # Not the text itself: it may hold a secret.
            raise SettingsError(f"{where}: no URL of Apprise's; one such as mailtos://… or json://… is expected")
    return made

"""What is kept and for how long: `14d`, or `state:FAILURE 90d, name:shop.report.* 1d, 14d`.

Rules are separated by commas; the first that matches a task decides. One without a condition, the last if there is
one, is for all other tasks. An age of 0 is for ever.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

#: Celery's names of states, as `model.task.State` has them.
STATES: Final = ("PENDING", "RECEIVED", "STARTED", "RETRY", "REJECTED", "SUCCESS", "FAILURE", "REVOKED")
#: Rules that there may be.
MAX_RULES: Final = 50
_UNITS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "": 1.0, "w": 604_800.0}
_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")


def parse_duration(value: Any) -> float:
    """Seconds from a number or a text such as `90s`, `5m`, `12h`, `14d`."""
    match = _AGE.fullmatch(str(value).strip().lower())
    if not match:
        raise ValueError("a duration such as 90s, 12h or 14d is expected")
    return float(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, slots=True)
class KeepRule:
    """How long the tasks of some names and states are kept."""

    #: Seconds since a task was last seen; None: for ever.
    age: float | None
    #: Task names: `*` stands for any run of characters, the rest is exact.
    name: str = "*"
    #: States by Celery's names; none: any.
    states: frozenset[str] = frozenset()

    def matches(self, name: str, state: str) -> bool:
        """Is the rule about tasks of this name and state?"""
        return (not self.states or state in self.states) and (self.name == "*" or _matches(self.name, name))

    def __str__(self) -> str:
        words = [f"state:{state}" for state in STATES if state in self.states]
        words += [f"name:{self.name}"] if self.name != "*" else []
        return " ".join([*words, _age(self.age)])


@dataclass(frozen=True, slots=True)
class Retention:
    """What to keep: all bounds hold; None is no bound.

    A part of the store that holds nothing younger than the longest age goes whole, its rollups with it. Where rules
    keep some tasks of a part for longer than others, the others are dropped when the part is next rewritten, within
    about a tenth of their age; the rollups go on counting them for as long as the part lives.
    """

    #: Seconds since a task was last seen, for those that no rule is about.
    age: float | None = None
    #: Bytes of the whole store.
    size: int | None = None
    #: The first that matches a task decides.
    rules: Sequence[KeepRule] = ()

    def age_of(self, name: str, state: str) -> float | None:
        """How long a task of this name and state is kept after it was last seen (seconds); None: for ever."""
        return next((rule.age for rule in self.rules if rule.matches(name, state)), self.age)

    @property
    def longest(self) -> float | None:
        """Seconds after which nothing is kept; None where something is for ever."""
        ages = [self.age, *(rule.age for rule in self.rules)]
        return None if None in ages else max(age for age in ages if age is not None)

    @property
    def shortest(self) -> float | None:
        """Seconds before which nothing is dropped for its age; None where nothing ever is."""
        ages = [age for age in (self.age, *(rule.age for rule in self.rules)) if age is not None]
        return min(ages, default=None)

    def __str__(self) -> str:
        """The text that `parse_retention` reads; the size is no part of it."""
        return ", ".join([*map(str, self.rules), _age(self.age)])


def parse_retention(value: Any) -> Retention:
    """A retention from its text, or from a list of its rules; raises `ValueError` for the first that is none."""
    if isinstance(value, Retention):
        return value
    texts = value if isinstance(value, list | tuple) else str(value).split(",")
    if len(texts) > MAX_RULES:
        raise ValueError(f"at most {MAX_RULES} rules are expected")
    rules = [_rule(str(text)) for text in texts]
    for rule in rules[:-1]:
        if rule.name == "*" and not rule.states:
            raise ValueError(f"the rule after {rule} is never reached; what has no state: or name: comes last")
    last = rules[-1]
    if last.name == "*" and not last.states:
        return Retention(last.age, rules=tuple(rules[:-1]))
    return Retention(None, rules=tuple(rules))


def _rule(text: str) -> KeepRule:
    *conditions, age = text.split() or [""]
    name, states = "*", set()
    for condition in conditions:
        field, _, wanted = condition.partition(":")
        if field == "state" and wanted.upper() in STATES:
            states.add(wanted.upper())
        elif field == "name" and wanted and name == "*":
            name = wanted
        else:
            raise ValueError(f"{condition!r}: state:STATE ({', '.join(STATES)}) or one name:PATTERN is expected")
    try:
        seconds = parse_duration(age)
    except ValueError as error:
        raise ValueError(f"{error}, or rules such as 'state:FAILURE 90d, name:shop.* 1d, 14d'") from error
    return KeepRule(seconds or None, name, frozenset(states))


def _age(seconds: float | None) -> str:
    """An age in the largest unit (up to days) that divides it."""
    if seconds is None:
        return "0"
    unit = next((unit for unit, size in _UNITS.items() if not seconds % size), "")
    return f"{int(seconds / _UNITS[unit])}{unit}" if unit else repr(seconds)


@lru_cache(maxsize=1_000)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in glob.split("*")), re.DOTALL)


def _matches(glob: str, name: str) -> bool:
    return _pattern(glob).fullmatch(name) is not None

"""Rules of alerting, as a TOML file writes them; docs/alerts.md is the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from umbel.errors import QueryError, SettingsError
from umbel.model.search import parse
from umbel.retention import parse_duration

#: Rules, and characters of a rule's name and text.
RULES: Final = 200
NAME: Final = 80
TEXT: Final = 500
#: The longest span that a rule may look back, seconds.
LONGEST: Final = 7 * 86_400.0


class Severity(StrEnum):
    """How much it matters, the least first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Kind(StrEnum):
    """What a rule looks at; the value is what the file says as `on`."""

    #: How many tasks a search finds.
    SEARCH = "search"
    #: The share of tasks that fail.
    FAILURES = "failures"
    #: A percentile of how long tasks wait or run.
    LATENCY = "latency"
    #: Messages that wait in a queue.
    QUEUE = "queue"
    #: How long the task has waited that waits longest in a queue.
    QUEUE_AGE = "queue_age"
    #: A worker that fell silent without saying goodbye.
    WORKER = "worker"
    #: An entry of beat that did not run when it was due.
    SCHEDULE = "schedule"
    #: A kind of failure that was never seen before.
    EXCEPTION = "exception"
    #: Events that were lost, by the ledger.
    EVENTS = "events"
    #: Umbel itself: what /readyz says.
    UMBEL = "umbel"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; durations are seconds. What a kind does not take has its default and means nothing."""

    name: str
    on: Kind
    severity: Severity = Severity.WARNING
    #: How long it must hold before it is told, and how long it must be over before it counts as over.
    hold: float = 0.0
    keep: float = 0.0
    #: Destinations by name; none: all.
    to: tuple[str, ...] = ()
    #: What whoever is woken should know.
    text: str = ""
    #: Seconds after which it is told again while it holds; 0: never.
    repeat: float = 0.0
    search: str = ""
    #: The threshold, and whether it holds below it instead: a count, percent, or seconds.
    over: float = 0.0
    under: float | None = None
    within: float = 600.0
    #: `wait` or `run`, and the percentile.
    of: str = "run"
    percentile: float = 95.0
    #: Tasks that must have ended for a share or percentile to mean anything.
    at_least: int = 20
    #: Whether each task name is judged by itself.
    per_name: bool = True
    #: Names that it is about (tasks, queues, workers or entries): `*` stands for any run of characters.
    pattern: str = "*"

    @property
    def recovers(self) -> bool:
        """Whether its end is worth a notice: that of a new kind of failure is only that it is no longer new."""
        return self.on is not Kind.EXCEPTION


def span(seconds: float) -> str:
    """A duration as the query language writes it: `10m`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size and not seconds % size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


Read = Callable[[Any], Any]


def _number(low: float, high: float) -> Read:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g} is expected")
        return float(value)

    return read


def _whole(low: int) -> Read:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= 10**9:
            raise ValueError(f"a whole number from {low} on is expected")
        return value

    return read


def _duration(low: float = 0.0, high: float = LONGEST) -> Read:
    def read(value: Any) -> float:
        if isinstance(value, bool):
            raise TypeError("a duration such as 500ms, 90s or 10m is expected")
        text = str(value).strip().lower()
        # Latencies are short, and searches write them so.
        seconds = parse_duration(text[:-2]) / 1000 if text.endswith("ms") else parse_duration(text)
        if not low <= seconds <= high:
            raise ValueError(f"a duration of {low:g} s to {high / 86_400:g} days is expected")
        return seconds

    return read


def _text(most: int) -> Read:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not 0 < len(value.strip()) <= most:
            raise ValueError(f"a text of 1 to {most} characters is expected")
        return value.strip()

    return read


def _one_of(*words: str) -> Read:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)} is expected")
        return str(value)

    return read


def _names(value: Any) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise ValueError("the name of a destination, or a list of some, is expected")
    return tuple(dict.fromkeys(given))


def _search(value: Any) -> str:
    text = str(_text(2_000)(value))
    try:
        parse(text, 0.0)
    except QueryError as error:
        raise ValueError(str(error)) from error
    return text


#: Of every rule: key, field of `Rule`, and what reads it.
_ALL: Final[Mapping[str, tuple[str, Read]]] = {
    "severity": ("severity", lambda value: Severity(_one_of(*Severity)(value))),
    "for": ("hold", _duration()),
    "keep_firing_for": ("keep", _duration()),
    "to": ("to", _names),
    "text": ("text", _text(TEXT)),
    "repeat": ("repeat", _duration(60.0)),
}
_WITHIN: Final = ("within", _duration(60.0))
_PATTERN: Final = ("pattern", _text(200))
_COUNT: Final = ("over", _whole(0))
_SHARE: Final[Mapping[str, tuple[str, Read]]] = {
    "within": _WITHIN,
    "at_least": ("at_least", _whole(1)),
    "task": _PATTERN,
    "per": ("per_name", lambda value: _one_of("name", "all")(value) == "name"),
}
#: Besides these, of each kind.
_KEYS: Final[Mapping[Kind, Mapping[str, tuple[str, Read]]]] = {
    Kind.SEARCH: {
        "search": ("search", _search),
        "over": _COUNT,
        "under": ("under", _whole(1)),
        "within": _WITHIN,
    },
    Kind.FAILURES: {"over": ("over", _number(0, 100)), **_SHARE},
    Kind.LATENCY: {
        "over": ("over", _duration()),
        "of": ("of", _one_of("run", "wait")),
        "percentile": ("percentile", _number(1, 100)),
        **_SHARE,
    },
    Kind.QUEUE: {"over": _COUNT, "queue": _PATTERN},
    Kind.QUEUE_AGE: {"over": ("over", _duration(1.0)), "within": _WITHIN, "queue": _PATTERN},
    Kind.WORKER: {"within": _WITHIN, "worker": _PATTERN},
    Kind.SCHEDULE: {"over": ("over", _duration()), "entry": _PATTERN},
    Kind.EXCEPTION: {"within": _WITHIN, "task": _PATTERN},
    Kind.EVENTS: {"over": _COUNT, "within": _WITHIN},
    Kind.UMBEL: {},
}
#: Keys without which a rule of the kind means nothing; of a tuple, exactly one.
_NEEDED: Final[Mapping[Kind, tuple[str | tuple[str, ...], ...]]] = {
    Kind.SEARCH: ("search", ("over", "under")),
    Kind.FAILURES: ("over",),
    Kind.LATENCY: ("over",),
    Kind.QUEUE: ("over",),
    Kind.QUEUE_AGE: ("over",),
}
#: What differs from the defaults of `Rule`, by kind: a worker is waited for, a share may tremble.
_DEFAULTS: Final[Mapping[Kind, Mapping[str, Any]]] = {
    Kind.FAILURES: {"keep": 60.0},
    Kind.LATENCY: {"keep": 60.0},
    Kind.QUEUE: {"keep": 60.0},
    Kind.QUEUE_AGE: {"keep": 60.0, "within": 86_400.0},
    Kind.WORKER: {"hold": 60.0, "within": 3_600.0},
    Kind.SCHEDULE: {"over": 300.0},
    Kind.EXCEPTION: {"within": 3_600.0, "severity": Severity.INFO},
    Kind.UMBEL: {"hold": 60.0, "keep": 60.0, "severity": Severity.CRITICAL},
}


def keys_of(kind: Kind) -> Mapping[str, str]:
    """The keys that a rule of the kind may have, its own first, each with the field of `Rule` that it fills."""
    return {key: field for key, (field, _) in {**_KEYS[kind], **_ALL}.items()}


def needed(kind: Kind) -> tuple[tuple[str, ...], ...]:
    """Of each of these, exactly one has to be given."""
    return tuple((one,) if isinstance(one, str) else one for one in _NEEDED.get(kind, ()))


def plain(kind: Kind) -> Rule:
    """A rule of the kind that has all its defaults and no name."""
    return Rule("", kind, **_DEFAULTS.get(kind, {}))


def read_rule(table: Mapping[str, Any], where: str) -> Rule:
    """The rule of a table; raises `SettingsError` that names place, rule, key and remedy."""
    try:
        name = str(_text(NAME)(table.get("name")))
    except ValueError as error:
        raise SettingsError(f"{where}: a rule needs a name: {error}") from error
    whole = f"{where}: rule {name!r}"
    word = table.get("on")
    if word not in list(Kind):
        raise SettingsError(f"{whole}: on = {word!r} is nothing to watch; one of {', '.join(Kind)} is expected")
    kind = Kind(word)
    keys = {**_ALL, **_KEYS[kind]}
    fields: dict[str, Any] = dict(_DEFAULTS.get(kind, {}))
    for key, value in table.items():
        if key in ("name", "on"):
            continue
        if key not in keys:
            raise SettingsError(f'{whole}: unknown key {key!r}; on = "{kind}" takes {", ".join(keys)}')
        field, read = keys[key]
        try:
            fields[field] = read(value)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"{whole}: {key} = {value!r} cannot be used: {error}") from error
    for choices in needed(kind):
        if sum(choice in table for choice in choices) != 1:
            raise SettingsError(
                f'{whole}: on = "{kind}" needs {" or ".join(choices)}{", not both" * (len(choices) > 1)}'
            )
    return Rule(name=name, on=kind, **fields)


#: What is watched where a destination is given and the file says nothing else.
DEFAULTS: Final = (
    Rule("umbel", Kind.UMBEL, **_DEFAULTS[Kind.UMBEL]),
    Rule("events missed", Kind.EVENTS),
    Rule("worker gone", Kind.WORKER, Severity.CRITICAL, **_DEFAULTS[Kind.WORKER]),
    Rule("tasks fail", Kind.FAILURES, over=25.0, hold=120.0, keep=300.0),
    Rule("new exception", Kind.EXCEPTION, **_DEFAULTS[Kind.EXCEPTION]),
    Rule("tasks wait", Kind.QUEUE_AGE, over=600.0, hold=120.0, keep=60.0, within=86_400.0),
    Rule("run missed", Kind.SCHEDULE, over=300.0),
)

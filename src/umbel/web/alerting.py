"""What fires, as pages, API and metrics read it: from the book, at most every two seconds, whoever asks."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from umbel.alerts.book import AlertBook, Row, Shelf
from umbel.alerts.config import Config
from umbel.alerts.machine import Instance, Phase, Reading, State
from umbel.alerts.made import Kept, all_rules, kept_rules, read_made
from umbel.alerts.notice import Notice, test_notice
from umbel.alerts.records import Made, Past, Round, Silence, Total, record, row
from umbel.alerts.rules import RULES, Rule
from umbel.alerts.written import table_of
from umbel.brokers.base import QueueDepths
from umbel.clock import Clock
from umbel.control.schedules import ReadPlan
from umbel.errors import SettingsError, StoreError
from umbel.stores.base import StoreReader
from umbel.web.pipeline import Pipeline

log = logging.getLogger(__name__)

#: Seconds for which what was read is believed; what this web enters itself is seen at once.
AGE: Final = 2.0
#: Rounds that may be late before it is said that nobody judges the rules, and seconds beside them.
LATE: Final = 3
GRACE: Final = 15.0
#: Turns of the history that are read.
PAST: Final = 100


class Sight(Protocol):
    """Where a look is taken from; the web's `Deps` are one."""

    @property
    def reader(self) -> StoreReader: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def queues(self) -> QueueDepths | None: ...
    @property
    def plan(self) -> ReadPlan | None: ...

    def pipeline(self) -> Pipeline:
        """How events flow just now."""
        ...


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """When a rule would have begun to fire (UTC seconds, the oldest first), and since when that was looked at."""

    times: Sequence[float]
    since: float


@dataclass(frozen=True, slots=True)
class Trial:
    """What a rule found when it was tried."""

    reading: Reading
    #: None: no history is kept of what it looks at, or it could not be read.
    rehearsal: Rehearsal | None


@dataclass(frozen=True, slots=True)
class Alerts:
    """What the web is given of alerts."""

    config: Config
    book: AlertBook
    #: Looks at what a rule is about, now, and at what it would have done; nothing is stored or told.
    trial: Callable[[Rule, Sight], Trial]


@dataclass(frozen=True, slots=True)
class Held:
    """Something that a rule holds for."""

    rule: Rule
    key: str
    instance: Instance
    silence: Silence | None

    @property
    def firing(self) -> bool:
        return self.instance.phase is Phase.FIRING


@dataclass(frozen=True, slots=True)
class View:
    """What the book says; everything is empty where alerts are not set up."""

    kept: bool = False
    #: All that are judged: those of the configuration, then those of the page.
    rules: Sequence[Rule] = ()
    #: Those of the page by name, also what cannot be judged.
    made: Mapping[str, Kept] = field(default_factory=dict)
    #: Why it cannot be read, or why nothing of it is of now; "" where all is well.
    trouble: str = ""
    round: Round | None = None
    #: The gravest first, then the newest; what is over and has yet to be told is left out.
    held: Sequence[Held] = ()
    #: By its key, what keeps what quiet; the newest first.
    silences: Mapping[str, Silence] = field(default_factory=dict)
    #: When each notice was decided (UTC seconds), the oldest first.
    waiting: Sequence[tuple[float, Notice]] = ()
    totals: Mapping[str, Total] = field(default_factory=dict)
    #: What happened and when (UTC seconds), the newest first.
    past: Sequence[tuple[float, Past]] = ()

    @property
    def firing(self) -> Sequence[Held]:
        return [one for one in self.held if one.firing]


class Board:
    """One for each app; may be used from any thread."""

    def __init__(self, alerts: Alerts | None, clock: Clock) -> None:
        self._alerts = alerts
        self._clock = clock
        self._lock = threading.Lock()
        self._until = float("-inf")
        self._view = View(kept=alerts is not None, rules=self.config.rules)

    @property
    def config(self) -> Config:
        """The rules and destinations of the configuration; none where alerts are not set up."""
        return self._alerts.config if self._alerts else Config()

    def view(self) -> View:
        """The latest; while one thread reads, the others get the one before. Where it cannot be read: it says so."""
        if self._alerts is None or self._clock.monotonic() < self._until or not self._lock.acquire(blocking=False):
            return self._view
        try:
            self._view = self._read(self._alerts)
        except StoreError as error:
            self._view = View(True, self.config.rules, trouble=f"what fires cannot be read: {error}")
        finally:
            self._until = self._clock.monotonic() + AGE
            self._lock.release()
        return self._view

    def trial(self, rule: Rule, sight: Sight) -> Trial:
        """What the rule would find now, and how often it would have fired; raises `StoreError`."""
        return self._given().trial(rule, sight)

    def receivers(self, rule: Rule) -> list[str]:
        """Whom a rule tells, by name."""
        return [one.name for one in self.config.receivers(rule)]

    def readable(self, table: Mapping[str, Any]) -> Rule:
        """The rule of a table as the page may keep it; raises `SettingsError` where it may not."""
        return read_made(self.config, table)

    def keep(self, rule: Rule, who: str) -> None:
        """Keep a rule of the page, in place of the one of its name; raises `SettingsError` and `StoreError`."""
        book, now = self._given().book, self._clock.now()
        names = {one.key for one in book.read(Shelf.RULE)} | {rule.name}
        if len(names) + len(self.config.rules) > RULES:
            raise SettingsError(f"there are {RULES} rules already; delete one first")
        kept = row(Shelf.RULE, rule.name, now, Made(table_of(rule), who))
        book.write([kept, self._happened(Past("kept", rule.name, detail=f"by {who or 'somebody'}"))])
        self._until = float("-inf")

    def drop(self, name: str, who: str) -> bool:
        """Forget a rule of the page; False where there is none. Raises `StoreError`."""
        book = self._given().book
        if name not in {one.key for one in book.read(Shelf.RULE)}:
            return False
        book.write([self._happened(Past("dropped", name, detail=f"by {who or 'somebody'}"))], [(Shelf.RULE, name)])
        self._until = float("-inf")
        return True

    def test(self, destination: str, who: str) -> None:
        """Put a test message into the outbox, from where it goes the way of every other; raises `StoreError`."""
        now = self._clock.now()
        notice = row(Shelf.OUTBOX, f"{now:.6f} test {secrets.token_hex(3)}", now, test_notice(destination, who))
        self._given().book.write([notice])
        self._until = float("-inf")

    def silence(self, silence: Silence) -> str:
        """Keep something quiet; its key. Raises `StoreError`."""
        key, now = secrets.token_hex(6), self._clock.now()
        past = Past("silenced", silence.rule, silence.subject, f"by {silence.who or 'somebody'}: {silence.reason}")
        self._given().book.write([row(Shelf.SILENCE, key, now, silence), self._happened(past)])
        self._until = float("-inf")
        return key

    def end(self, key: str, who: str) -> Silence | None:
        """End a silence; None for one that there is not. Raises `StoreError`."""
        book = self._given().book
        found = next((record(one, Silence) for one in book.read(Shelf.SILENCE) if one.key == key), None)
        if found is not None:
            past = Past("unsilenced", found.rule, found.subject, f"by {who or 'somebody'}")
            book.write([self._happened(past)], [(Shelf.SILENCE, key)])
            self._until = float("-inf")
        return found

    def _happened(self, past: Past) -> Row:
        now = self._clock.now()
        return row(Shelf.PAST, f"{now:.6f} {secrets.token_hex(3)}", now, past)

    def _given(self) -> Alerts:
        if self._alerts is None:
            raise StoreError("there are no alerts here: start Umbel with --alerts or --alert-to")
        return self._alerts

    def _read(self, alerts: Alerts) -> View:
        book, now = alerts.book, self._clock.now()
        made = kept_rules(alerts.config, book.read(Shelf.RULE))
        rules = all_rules(alerts.config, made).rules
        states = {one.key: record(one, State) for one in book.read(Shelf.STATE)}
        silences = {one.key: record(one, Silence) for one in book.read(Shelf.SILENCE)}
        silences = {key: silence for key, silence in silences.items() if silence.until > now}
        rounds = book.read(Shelf.ROUND)
        latest = record(rounds[0], Round) if rounds else None
        held = [
            Held(rule, key, instance, _silence(silences.values(), rule, key, now))
            for rule in rules
            for key, instance in states.get(rule.name, State()).instances.items()
            if instance.phase is not Phase.OVER
        ]
        held.sort(key=lambda one: (not one.firing, -one.rule.severity.rank, -one.instance.since))
        return View(
            kept=True,
            rules=rules,
            made={one.name: one for one in made},
            trouble=_trouble(latest, now),
            round=latest,
            held=held,
            silences=silences,
            waiting=[(one.at, record(one, Notice)) for one in reversed(book.read(Shelf.OUTBOX))],
            totals={one.key: record(one, Total) for one in book.read(Shelf.TOTAL)},
            past=[(one.at, record(one, Past)) for one in book.read(Shelf.PAST, PAST)],
        )


def _silence(silences: Iterable[Silence], rule: Rule, key: str, now: float) -> Silence | None:
    return next((one for one in silences if one.covers(rule.name, key, now)), None)


def _trouble(latest: Round | None, now: float) -> str:
    if latest is None:
        return "no rule has been judged yet: is `umbel alert` running on this store?"
    silent = now - latest.at
    if silent > LATE * latest.every + GRACE:
        return f"no rule has been judged for {silent:.0f} s: is `umbel alert` running on this store?"
    return ""

"""One round after the other: look, decide, and store what follows, all of it or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from umbel.alerts.book import ROWS, AlertBook, NotLeading, Row, Shelf
from umbel.alerts.config import Config, Destination
from umbel.alerts.machine import SAID, Phase, Reading, State, Step, Turn, removed, step
from umbel.alerts.made import with_made
from umbel.alerts.notice import News, Notice, compose, compose_incident
from umbel.alerts.records import Measured, Past, Round, Silence, Total, record, row
from umbel.alerts.rules import Rule, read_rule
from umbel.errors import SettingsError, StoreError
from umbel.logs import Limited
from umbel.watch.failures import Seen
from umbel.watch.measure import measure, needs_failures
from umbel.watch.sight import Look
from umbel.web.alerting import Sight

log = logging.getLogger(__name__)
limited = Limited(log)

#: Turns of one round that the history tells one by one.
TURNS: Final = 50


class Rounds:
    """Looks at every rule; one thread uses it. What it remembers lies in the book, so any may take over."""

    def __init__(self, config: Config, book: AlertBook, sight: Sight, who: str, address: str = "") -> None:
        """`who` leads; `address` is where people reach the pages."""
        self._given = config
        #: The same with the rules of the page, as this round found them.
        self._config = config
        self._book = book
        self._sight = sight
        self._who = who
        self._address = address
        self._seen = Seen(book)
        #: Whether the round before this one was ours and was stored.
        self._leading = False

    def round(self) -> bool:
        """Look and decide; False where another leads, or the store took nothing: then nothing has happened."""
        try:
            self._round()
        except NotLeading:
            self._leading = False
        except StoreError as error:
            limited.warning("alerts", f"alerts could not be judged: {error}")
            self._leading = False
        else:
            self._leading = True
        return self._leading

    def _round(self) -> None:
        clock = self._sight.clock
        now, began = clock.now(), clock.monotonic()
        if not self._leading:
            self._seen.forget()
        self._config = with_made(self._given, self._book)
        states = {found.key: record(found, State) for found in self._book.read(Shelf.STATE)}
        silences = {found.key: record(found, Silence) for found in self._book.read(Shelf.SILENCE)}
        before = self._before()
        seen = self._failures(now)
        look = Look(self._sight, now, self._seen.with_rows(seen))
        steps: dict[str, Step] = {}
        measured: dict[str, Measured] = {}
        for rule in self._config.rules:
            reading = measure(rule, look)
            state = states.get(rule.name, State())
            # Where there is nobody to tell, nothing counts as told: whoever comes later hears of what fires still.
            silenced = quiet(rule, silences.values(), now) if self._config.receivers(rule) else _nobody
            steps[rule.name] = step(rule, state, reading, now, silenced)
            measured[rule.name] = _measured(reading, before.get(rule.name), now)
        puts = [row(Shelf.STATE, name, now, one.state) for name, one in steps.items() if one.state != states.get(name)]
        gone = _gone({name: state for name, state in states.items() if name not in steps}, now)
        notices = self._notices([*self._news(steps), *_ended(gone)], now)
        steps |= {rule.name: one for rule, one in gone}
        crowded, given_up = self._crowded(len(notices), now)
        puts += [*seen, *notices, *crowded, *_history(steps, now)]
        puts.append(row(Shelf.ROUND, "-", now, self._told(measured, now, clock.monotonic() - began)))
        drops = [*given_up, *((Shelf.STATE, name) for name in states if name not in measured)]
        drops += [(Shelf.SILENCE, key) for key, silence in silences.items() if silence.until <= now]
        self._book.write(puts, drops, leader=self._who)
        self._seen.commit(seen)
        for name, one in steps.items():
            for turn in one.turns:
                log.info("alert %s: %s %s", "fires" if turn.fired else "is over", name, turn.key)

    def _failures(self, now: float) -> list[Row]:
        if not needs_failures(self._config.rules):
            return []
        try:
            return self._seen.look(self._sight.reader, now)
        except StoreError as error:
            limited.warning("failures", f"failures could not be looked at: {error}")
            return []

    def _before(self) -> Mapping[str, Measured]:
        latest = self._book.read(Shelf.ROUND)
        return record(latest[0], Round).rules if latest else {}

    def _told(self, measured: dict[str, Measured], now: float, took: float) -> Round:
        return Round(self._who, now, took, self._config.every, measured)

    def _news(self, steps: Mapping[str, Step]) -> list[News]:
        return [
            News(rule, steps[rule.name].firing, steps[rule.name].over, _lasts(steps[rule.name].state))
            for rule in self._config.rules
            if steps[rule.name].firing or steps[rule.name].over
        ]

    def _notices(self, news: Sequence[News], now: float) -> list[Row]:
        """For each destination one notice with all that it is to be told now; where it keeps incidents, one a rule."""
        rows = []
        for destination in self._config.destinations:
            mine = [one for one in news if destination in self._config.receivers(one.rule)]
            for number, notice in enumerate(self._composed(destination, mine)):
                rows.append(row(Shelf.OUTBOX, f"{now:.6f} {destination.name} {number:03}", now, notice))
        return rows

    def _composed(self, destination: Destination, news: list[News]) -> list[Notice]:
        if destination.incidents:
            return [compose_incident(destination.name, one, self._address) for one in news]
        return [compose(destination.name, news, self._address)] if news else []

    def _crowded(self, coming: int, now: float) -> tuple[list[Row], list[tuple[Shelf, str]]]:
        """What is put and dropped where the outbox has no room for as many more: its oldest are given up."""
        waiting = self._book.read(Shelf.OUTBOX) if coming else ()
        oldest = waiting[max(0, ROWS[Shelf.OUTBOX] - coming) :]
        if not oldest:
            return [], []
        limited.warning("outbox", "more notices wait than can be kept, so the oldest are given up", len(oldest))
        totals = {found.key: record(found, Total) for found in self._book.read(Shelf.TOTAL)}
        pasts = []
        for number, found in enumerate(oldest):
            notice = record(found, Notice)
            total = totals.get(notice.to, Total())
            totals[notice.to] = Total(total.sent, total.failed + 1)
            past = Past("failed", notice.title, notice.to, "more notices waited than can be kept")
            pasts.append(row(Shelf.PAST, f"{now:.6f} outbox {number:04}", now, past))
        changed = [row(Shelf.TOTAL, name, now, total) for name, total in totals.items()]
        return [*pasts, *changed], [(Shelf.OUTBOX, found.key) for found in oldest]


def quiet(rule: Rule, silences: Iterable[Silence], now: float) -> Callable[[str], bool]:
    """Whether something of the rule is silenced."""
    given = list(silences)
    return lambda key: any(silence.covers(rule.name, key, now) for silence in given)


def _gone(states: Mapping[str, State], now: float) -> list[tuple[Rule, Step]]:
    """What follows from rules that are no longer judged, as they were when somebody was told of them."""
    found = []
    for name, state in states.items():
        if state.rule:
            try:
                rule = read_rule(state.rule, "the book")
            except SettingsError as error:
                log.warning("rule %r is gone, and nobody is told that what it fired for is over: %s", name, error)
                continue
            found.append((rule, removed(rule, state, now)))
    return found


def _ended(gone: Iterable[tuple[Rule, Step]]) -> list[News]:
    return [News(rule, {}, one.over, removed=True) for rule, one in gone if one.over]


def _nobody(_key: str) -> bool:
    return True


def _lasts(state: State) -> bool:
    """Whether anything that was told of fires still."""
    return any(one.phase is Phase.FIRING and one.told_at is not None for one in state.instances.values())


def _measured(reading: Reading, before: Measured | None, now: float) -> Measured:
    blind = (before.blind_since if before and before.blind_since else now) if reading.error else 0.0
    return Measured(reading.now[:SAID], reading.error[:SAID], len(reading.found), blind)


def _history(steps: Mapping[str, Step], now: float) -> list[Row]:
    turns: list[tuple[str, Turn]] = [(name, turn) for name, one in steps.items() for turn in one.turns]
    rows = []
    for number, (name, turn) in enumerate(turns[:TURNS]):
        past = Past("fired" if turn.fired else "over", name, turn.key, turn.instance.detail)
        rows.append(row(Shelf.PAST, f"{now:.6f} {number:02}", now, past))
    return rows

"""From what was measured to what is told: pending, firing, over.

What is told follows from what holds and from what was told before, and from nothing else. So a crash, a restart or a
second evaluator can neither lose a notice nor double it, as long as both are stored together; and what trembles is
told once for as long as it trembles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from umbel.alerts.rules import Rule
from umbel.alerts.written import table_of

#: Things that one rule follows at once (the worst), and those that it remembers until their end is told.
FOLLOWED: Final = 100
KEPT: Final = 200
#: Characters kept of what a thing is called, of what is said of it, and of the search that shows it.
NAMED: Final = 200
SAID: Final = 300
SEARCH: Final = 2_500
#: Seconds between two notices of one rule: what happens meanwhile is told together.
GATHER: Final = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing for which a rule holds."""

    #: For people: `p95 of run is 12 s (over 5 s)`.
    detail: str
    #: How bad it is, by the measure of its rule; the greatest are followed.
    weight: float = 0.0
    #: Where it can be seen: a path of the pages, and the search to put there.
    path: str = ""
    query: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look found: by name (of a task, worker, queue, …; "" where there is but one) what the rule holds for."""

    found: Mapping[str, Finding] = field(default_factory=dict)
    #: What was measured, whether or not the rule holds: `worst: 12 s, shop.pay`.
    now: str = ""
    #: Why nothing could be judged, "" where it could; then everything stays as it was.
    error: str = ""


class Phase(StrEnum):
    """How far something has come."""

    PENDING = "pending"
    FIRING = "firing"
    #: It no longer holds, and that has yet to be told.
    OVER = "over"


class Instance(Struct, gc=False):
    """One thing that a rule holds for; times are UTC seconds."""

    #: Since when it holds, and when it was last seen to.
    since: float
    seen_at: float
    detail: str = ""
    path: str = ""
    query: str = ""
    #: When it began to fire; None while it is pending.
    fired_at: float | None = None
    #: When it was over; None while it holds.
    over_at: float | None = None
    #: When it was last told that it fires; None: never.
    told_at: float | None = None

    @property
    def phase(self) -> Phase:
        if self.fired_at is None:
            return Phase.PENDING
        return Phase.FIRING if self.over_at is None else Phase.OVER


class State(Struct):
    """What is remembered of a rule."""

    instances: dict[str, Instance] = {}
    #: When anything of it was last told; 0: never.
    told_at: float = 0.0
    #: The rule as a file would write it, while somebody was told of what it fires for: it may be gone before that ends.
    rule: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that happened, for the history: it fired, or it was over."""

    key: str
    fired: bool
    instance: Instance


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from one look."""

    state: State
    #: What is to be told now, by name; copies, as they are told.
    firing: Mapping[str, Instance] = field(default_factory=dict)
    over: Mapping[str, Instance] = field(default_factory=dict)
    turns: Sequence[Turn] = ()


def step(
    rule: Rule, before: State, reading: Reading, now: float, silenced: Callable[[str], bool] = lambda _key: False
) -> Step:
    """What follows from a reading at `now` (UTC seconds); `before` stays as it was."""
    if reading.error:
        return Step(before)
    look = _Look(rule, {key: _copy(instance) for key, instance in before.instances.items()}, now)
    look.seen(reading.found)
    look.unseen(reading.found)
    state = State(look.instances, min(before.told_at, now))
    firing, over = _told(rule, state, now, silenced)
    _bounded(state.instances)
    if any(one.told_at is not None for one in state.instances.values()):
        state.rule = table_of(rule)
    return Step(state, firing, over, look.turns)


def removed(rule: Rule, before: State, now: float) -> Step:
    """What follows where the rule itself is gone: whoever was told of something hears that it is no longer watched."""
    over: dict[str, Instance] = {}
    turns: list[Turn] = []
    for key, instance in before.instances.items():
        one = _copy(instance)
        if one.phase is Phase.FIRING:
            one.over_at = now
            turns.append(Turn(key, fired=False, instance=one))
        if one.told_at is not None and rule.recovers:
            over[key] = one
    return Step(State(), {}, over, turns)


def _copy(instance: Instance) -> Instance:
    return Instance(**{name: getattr(instance, name) for name in Instance.__struct_fields__})


@dataclass(slots=True)
class _Look:
    """One look's work on what is remembered of a rule."""

    rule: Rule
    instances: dict[str, Instance]
    now: float
    turns: list[Turn] = field(default_factory=list)

    def seen(self, found: Mapping[str, Finding]) -> None:
        """What the rule holds for: the worst of it, what is followed already before anything new."""
        for name in sorted(found, key=lambda name: (name[:NAMED] not in self.instances, -found[name].weight, name))[
            :FOLLOWED
        ]:
            finding, key, now = found[name], name[:NAMED], self.now
            instance = self.instances.setdefault(key, Instance(now, now))
            # A clock that was set back must not make it wait for ever.
            instance.since = min(instance.since, now)
            instance.seen_at = now
            instance.detail = finding.detail[:SAID]
            # A search that is cut would be another one.
            fits = len(finding.path) + len(finding.query) <= SEARCH
            instance.path, instance.query = (finding.path, finding.query) if fits else ("", "")
            if instance.over_at is not None:
                # It is back before its end was told: to whoever was told of it, it never ended.
                instance.over_at = None
                self._turn(key, fired=True)
            if instance.fired_at is None and now - instance.since >= self.rule.hold:
                instance.fired_at = now
                self._turn(key, fired=True)

    def unseen(self, found: Mapping[str, Finding]) -> None:
        """What was followed and is not found any more."""
        still = {name[:NAMED] for name in found}
        for key, instance in list(self.instances.items()):
            if key in still:
                continue
            instance.seen_at = min(instance.seen_at, self.now)
            if instance.fired_at is None:
                del self.instances[key]
            elif instance.over_at is None and self.now - instance.seen_at >= self.rule.keep:
                instance.over_at = self.now
                self._turn(key, fired=False)

    def _turn(self, key: str, *, fired: bool) -> None:
        self.turns.append(Turn(key, fired, _copy(self.instances[key])))


def _told(
    rule: Rule, state: State, now: float, silenced: Callable[[str], bool]
) -> tuple[dict[str, Instance], dict[str, Instance]]:
    """What is told now; marks it as told, and forgets what is over."""
    firing: dict[str, Instance] = {}
    over: dict[str, Instance] = {}
    for key, instance in list(state.instances.items()):
        told = instance.told_at is not None
        if instance.phase is Phase.FIRING and not silenced(key) and _due(rule, instance, now):
            firing[key] = instance
        elif instance.phase is Phase.OVER:
            # Whoever was told of it hears of its end, silence or not; what nobody was told of ends in silence.
            if rule.recovers if told else not silenced(key):
                over[key] = instance
            else:
                del state.instances[key]
    if not (firing or over) or (state.told_at and now - state.told_at < GATHER):
        return {}, {}
    state.told_at = now
    for instance in firing.values():
        instance.told_at = now
    for key in over:
        del state.instances[key]
    return {key: _copy(one) for key, one in firing.items()}, {key: _copy(one) for key, one in over.items()}


def _due(rule: Rule, instance: Instance, now: float) -> bool:
    if instance.told_at is None:
        return True
    return bool(rule.repeat) and now - instance.told_at >= rule.repeat


def _bounded(instances: dict[str, Instance]) -> None:
    """The oldest of what is over goes, should it be more than can be kept."""
    ended = sorted((key for key in instances if instances[key].over_at is not None), key=lambda k: instances[k].since)
    for key in ended[: max(0, len(instances) - KEPT)]:
        del instances[key]

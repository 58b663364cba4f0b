"""What a store holds, part by part, and what a retention would drop of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from umbel.clock import Clock
from umbel.retention import Retention


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the store that is dropped as a whole: a segment's file, a partition of a day."""

    #: Unique within the store.
    name: str
    tasks: int
    #: On disk, with its indexes.
    bytes: int
    #: The earliest and the latest time that any of its tasks has (UTC seconds); None while it is empty.
    first_at: float | None
    last_at: float | None
    #: Compacted, with its texts indexed for search.
    sealed: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """Some of what a retention would drop."""

    tasks: int = 0
    #: Their share of the parts that they are in.
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class RetentionEffect:
    """What a retention would drop if it were applied to the store as it is now; each task counts once."""

    #: By each rule of the retention, in its order.
    rules: Sequence[Dropped]
    #: By the age for all other tasks.
    age: Dropped
    #: By the bound of bytes, after all of these.
    size: Dropped
    #: Whether the whole of the store was looked at before the time was up; if not, it is at least this much.
    complete: bool = True

    @property
    def total(self) -> Dropped:
        every = [*self.rules, self.age, self.size]
        return Dropped(sum(one.tasks for one in every), sum(one.bytes for one in every))


#: Of a part: its tasks that are beyond their age, by index of the rule (the last: no rule's); None where it is too
#: large to be looked at in time.
Expired = Callable[[Part], Iterable[tuple[int, int]] | None]


@dataclass(slots=True)
class _Left:
    """What a part holds, and what of it is still to stay."""

    tasks: int
    bytes: int
    staying: int

    def share(self, tasks: int) -> int:
        return round(self.bytes * tasks / self.tasks) if self.tasks else 0


def preview(
    parts: Sequence[Part],
    expired: Expired,
    held: int,
    retention: Retention,
    now: float,
    *,
    clock: Clock,
    budget: float,
) -> RetentionEffect:
    """What would go at `now` (UTC seconds) of the parts, the newest first; `held`: bytes of the whole store.

    Looks at parts for at most `budget` seconds.
    """
    deadline = clock.monotonic() + budget
    ages = [*(rule.age for rule in retention.rules), retention.age]
    tasks, bytes_ = [0] * len(ages), [0] * len(ages)
    left: list[_Left] = []
    complete = True
    for part in reversed(parts):
        mine = _Left(part.tasks, part.bytes, part.tasks)
        left.append(mine)
        if retention.shortest is None or (part.first_at or 0.0) >= now - retention.shortest:
            continue
        found = expired(part) if clock.monotonic() < deadline else None
        complete = complete and found is not None
        for rule, count in found or ():
            tasks[rule] += count
            bytes_[rule] += mine.share(count)
            mine.staying -= count
    *rules, age = map(Dropped, tasks, bytes_)
    too_large = held - sum(bytes_) - retention.size if retention.size else 0
    return RetentionEffect(rules, age, _oversize(left, too_large), complete)


def cutoffs(retention: Retention, now: float) -> list[float]:
    """The moments before which the tasks of some rule, or of none, are beyond their age, the earliest first."""
    return sorted({now - age for age in (retention.age, *(rule.age for rule in retention.rules)) if age is not None})


def rule_of(retention: Retention, name: str, state: str) -> tuple[int, float | None]:
    """The index of the rule that decides for such tasks (the number of rules: none does), and their age."""
    for at, rule in enumerate(retention.rules):
        if rule.matches(name, state):
            return at, rule.age
    return len(retention.rules), retention.age


def _oversize(left: Sequence[_Left], too_large: int) -> Dropped:
    """What goes of the oldest parts for the store to be smaller by so many bytes; the newest stays."""
    tasks = bytes_ = 0
    for part in left[:-1]:
        if bytes_ >= too_large:
            break
        tasks += part.staying
        bytes_ += part.share(part.staying)
    return Dropped(tasks, bytes_)

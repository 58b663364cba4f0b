"""Zones: when the tasks of each run of order numbers had events, so that a search for times need not walk whole parts.

Each commit widens those of the tasks that it touches, in rows of its slot. Of a part that an older Umbel began, or
wrote to since, they don't tell everything: there readers walk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from umbel.model.task import Summary

if TYPE_CHECKING:
    from umbel.stores.postgres.session import Session

#: Order numbers of a zone; part of the stored form.
SIZE: Final = 2_048
#: Beyond every time.
_NEVER: Final = float("inf")


class Zones:
    """The times of the tasks of one commit, by part and zone."""

    def __init__(self) -> None:
        self._times: dict[tuple[int, int], tuple[float, float]] = {}

    def widen(self, part: int, n: int, summary: Summary) -> None:
        """A task was touched."""
        key = part, n // SIZE
        first, last = self._times.get(key, (_NEVER, -_NEVER))
        for at in (summary.sent_at, summary.received_at, summary.started_at, summary.finished_at, summary.updated_at):
            if at is not None and at < first:
                first = at
        self._times[key] = first, max(last, summary.updated_at)

    def of_part(self, part: int) -> tuple[float, float]:
        """The span of all times of all tasks touched in a part."""
        times = [times for (number, _), times in self._times.items() if number == part]
        return min((first for first, _ in times), default=_NEVER), max((last for _, last in times), default=-_NEVER)

    def write(self, session: Session) -> None:
        """Widen the zones that are stored."""
        if self._times:
            rows = [(part, number, *times) for (part, number), times in sorted(self._times.items())]
            session.execute("put_zones", session.slot, *map(list, zip(*rows, strict=True)))


def ranges(low: int, high: int, passed: Collection[int]) -> Iterator[tuple[int, int]]:
    """What is left of low <= n < high without the zones that are passed over, ascending."""
    at = low
    for number in range(low // SIZE, (high - 1) // SIZE + 1 if high > low else 0):
        if number in passed:
            begin = max(low, number * SIZE)
            if at < begin:
                yield at, begin
            at = (number + 1) * SIZE
    if at < high:
        yield at, high

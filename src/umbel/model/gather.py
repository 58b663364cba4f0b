"""The events of a batch by task, in one pass: the usual task stays as its few events, any other is folded.

A task is *plain* in a batch that brings at most one event of each usual kind about it: sent, received, started, and
one end (succeeded or failed). Nothing displaces anything then: its record is those events themselves, and a store may
work out what it writes from them at once, without making registers first. The law that allows this second way:
whatever is worked out from a plain task equals what follows from `fold` of the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskSent, TaskStarted, TaskSucceeded
from umbel.model.merge import Task, fold
from umbel.model.usual import Alike, usual_tasks
from umbel.model.worker import WorkerKey

#: The events of a plain task: [sent, received, started, succeeded or failed], None where there was none.
Plain = list[Any]

_PLACE: Final = {TaskSent: 0, TaskReceived: 1, TaskStarted: 2, TaskSucceeded: 3, TaskFailed: 3}
_place: Final = _PLACE.get
#: Those that workers send; publishers send the others.
_OF_WORKERS: Final = frozenset(_PLACE) - {TaskSent}


class Gathered(Mapping[str, Task]):
    """The tasks of a batch as `fold` gives them, in the order of first sight; a plain one is made when asked for."""

    __slots__ = ("alike", "parts", "usual")

    def __init__(self, parts: dict[str, Plain | Task]) -> None:
        #: By task id: a list is a plain task. Never changed once made.
        self.parts: Final = parts
        #: The usual ones among the plain tasks, each with those that it is like.
        self.usual: Final[dict[str, Alike]] = usual_tasks(parts)
        #: All of those.
        self.alike: Final = tuple(dict.fromkeys(self.usual.values()))

    def __getitem__(self, id_: str) -> Task:
        part = self.parts[id_]
        return task_of(id_, part) if type(part) is list else part  # type: ignore[return-value]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __contains__(self, id_: object) -> bool:
        return id_ in self.parts


class Gatherer:
    """Brings the events of a batch together, a piece of it at a time."""

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}
        #: The events of other kinds than plain tasks have, those about no task among them.
        self.others: list[AnyEvent] = []
        #: The events of tasks that are not plain; None holds the place of each in `_parts`.
        self._others: dict[str, list[AnyEvent]] = {}

    def take(self, events: Iterable[AnyEvent]) -> None:
        """Take the next events."""
        parts, place_of = self._parts, _place
        find, odd = parts.get, self.others.append
        for event in events:
            place = place_of(type(event))
            if place is None:
                odd(event)
                other: str | None = getattr(event, "uuid", None)
                if other is not None:
                    self._mixed(other).append(event)
                continue
            id_: str = event.uuid  # type: ignore[union-attr, assignment]  # those of `_PLACE` have one
            plain = find(id_)
            if plain is None:
                if id_ not in parts:
                    parts[id_] = plain = [None, None, None, None]
                    plain[place] = event
                else:
                    self._others[id_].append(event)
            elif plain[place] is None:
                plain[place] = event
            else:
                self._mixed(id_).append(event)

    def _mixed(self, id_: str) -> list[AnyEvent]:
        """The events so far of a task that is not plain, or is so no longer."""
        mixed = self._others.get(id_)
        if mixed is None:
            mixed = self._others[id_] = events_of(self._parts.get(id_) or ())
            self._parts[id_] = None
        return mixed

    def processes(self, gathered: Gathered) -> set[WorkerKey]:
        """The worker processes that `others` does not tell of; `gathered` is what `done` gave."""
        found = {(alike.worker, alike.pid or 0) for alike in gathered.alike}
        rest = [plain for id_, plain in self._parts.items() if id_ not in gathered.usual and type(plain) is list]
        for events in (*rest, *self._others.values()):
            for event in events:
                if type(event) in _OF_WORKERS:
                    found.add((event.hostname, event.pid or 0))
        return found

    def done(self, refuse: Callable[[AnyEvent, Exception], None] | None = None) -> Gathered:
        """All that was taken; nothing is to be taken after it.

        Events that cannot be folded are handed to `refuse`, with the error, and the others stay; without it they raise.
        """
        for id_, mixed in self._others.items():
            try:
                self._parts[id_] = fold(mixed)[id_]
            except Exception:
                if refuse is None:
                    raise
                good = [event for event in mixed if _folds(event, refuse)]
                if good:
                    self._parts[id_] = fold(good)[id_]
                else:
                    del self._parts[id_]
        return Gathered(self._parts)


def _folds(event: AnyEvent, refuse: Callable[[AnyEvent, Exception], None]) -> bool:
    try:
        fold([event])
    except Exception as error:  # noqa: BLE001 - the event is at fault, whatever it raises
        refuse(event, error)
        return False
    return True


def gather(events: Iterable[AnyEvent]) -> Gathered:
    """The tasks among `events`; events about no task are passed over."""
    gatherer = Gatherer()
    gatherer.take(events)
    return gatherer.done()


def events_of(plain: Iterable[Any]) -> list[AnyEvent]:
    """The events that a plain task has."""
    return [event for event in plain if event is not None]


def task_of(id_: str, plain: Plain) -> Task:
    """The record of a plain task."""
    return fold(events_of(plain))[id_]


def union(plain: Plain, other: Plain) -> Plain | None:
    """What two batches brought about one task, where it is plain still: no kind of event came in both."""
    joined = list(plain)
    for place, event in enumerate(other):
        if event is not None:
            if joined[place] is not None:
                return None
            joined[place] = event
    return joined


def ended(tasks: Mapping[str, Task]) -> list[str]:
    """The ids of the tasks that ended in this batch, as far as its events tell; makes no records."""
    parts = tasks.parts if isinstance(tasks, Gathered) else tasks
    return [id_ for id_, part in parts.items() if _has_end(part)]


def _has_end(part: Plain | Task) -> bool:
    if isinstance(part, list):
        return part[3] is not None
    return part.succeeded is not None or part.failed is not None or part.revoked is not None

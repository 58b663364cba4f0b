"""What a new run of a task would be: its true arguments, from the best of what tells of them, and where it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from umbel.brokers.base import QueueMessages
from umbel.control.commands import Outcome, QueryTask
from umbel.errors import BrokerError, ControlError
from umbel.model.delayed import undelayed
from umbel.model.merge import Sent, Task
from umbel.model.message import Parcel, Source, cut, of_info, of_message, suggestion
from umbel.model.task import ENDED, State, Summary, epoch, summarize
from umbel.web.deps import Deps

#: Seconds that a worker has to tell of a task, and messages of a queue that are looked at.
PATIENCE: Final = 3.0
LOOK: Final = 1_000
#: The same where looking leaves a mark on each.
LOOK_MARKING: Final = 100

_WAITING: Final = frozenset({State.PENDING, State.RECEIVED, State.RETRY})
_STEMS: Final = {
    Source.RESULT: "the result backend",
    Source.WORKER: "the worker that holds it",
    Source.QUEUE: "its message in the queue",
    Source.TEXT: "the text that its events told",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A task that may be run again."""

    task: Summary
    source: Source
    #: Without arguments where the source is `TEXT`: those are for a person to write.
    parcel: Parcel
    #: What a person may begin with where the source is `TEXT`, and whether each is JSON.
    args: str
    kwargs: str
    legible: bool
    #: Seconds from its sending to its expiry; None where it had none, or it is not known.
    lifetime: float | None
    #: What is to be known before it is sent.
    notes: Sequence[str]
    #: Why better sources did not tell.
    misses: Sequence[str]

    @property
    def exact(self) -> bool:
        """Whether the arguments are true."""
        return self.source is not Source.TEXT

    @property
    def told_by(self) -> str:
        """The source, in words."""
        return _STEMS[self.source]


class Finder:
    """Asks, in turn: the result backend, the worker, the queue; else gives the text of the events."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    def find(self, task_id: str, *, touch: bool = False) -> Found | None:
        """None where no event told of the task.

        `touch`: look into its queue even where that leaves marks. May wait for a worker, the broker and the backend.
        """
        record = self._deps.reader.task(task_id)
        return None if record is None else self._found(record, touch)

    def ended(self, record: Task) -> tuple[Found | None, str]:
        """The same by the result backend alone; else why not. For many tasks at once."""
        summary = summarize(record)
        if summary.state not in ENDED:
            return None, f"it has not ended ({summary.state.value})"
        parcel, why = _tried(lambda: self._result(record.id))
        if parcel is None:
            return None, why
        found = _with_address(record, summary, Source.RESULT, parcel, [])
        return (None, "nothing tells its queue") if found.parcel.exchange is None else (found, "")

    def _found(self, record: Task, touch: bool) -> Found:
        summary = summarize(record)
        misses: list[str] = []
        ways: tuple[tuple[Source, Callable[[], tuple[Parcel | None, str]]], ...] = (
            (Source.RESULT, lambda: self._result(record.id)),
            (Source.WORKER, lambda: self._worker(summary)),
            (Source.QUEUE, lambda: self._queue(record, summary, touch)),
        )
        for source, way in ways:
            parcel, why = _tried(way)
            if parcel is not None:
                return _with_address(record, summary, source, parcel, misses)
            misses.append(why)
        told = record.description
        return _with_address(record, summary, Source.TEXT, Parcel(told.name if told else ""), misses)

    def _result(self, task_id: str) -> tuple[Parcel | None, str]:
        runs = self._deps.runs()
        if runs is None or not runs.has_backend:
            return None, "no result backend is known (--result-backend or -A)"
        return runs.recall(task_id), "the result backend does not tell them (set result_extended)"

    def _worker(self, summary: Summary) -> tuple[Parcel | None, str]:
        control = self._deps.control()
        if summary.state in ENDED or not summary.worker or control is None:
            return None, "no worker holds it"
        for reply in control.call(QueryTask((summary.worker,), ids=(summary.id,)), PATIENCE):
            if reply.outcome is not Outcome.OK:
                return None, f"{summary.worker} does not tell: {reply.error}"
            known = reply.value.get(summary.id) if isinstance(reply.value, dict) else None
            if isinstance(known, list) and len(known) == 2 and isinstance(known[1], dict):
                return of_info(known[1]), ""
        return None, f"{summary.worker} does not hold it any more"

    def _queue(self, record: Task, summary: Summary, touch: bool) -> tuple[Parcel | None, str]:
        queue, messages = summary.queue, self._deps.messages
        if summary.state not in _WAITING or messages is None:
            return None, "it does not wait in a queue"
        if not queue:
            return None, "nothing tells in which queue it waits"
        if messages.marks and not touch:
            return None, f"its message may wait in {queue}, and looking there marks messages as delivered once more"
        return _in_queue(messages, queue, record.id)


def _in_queue(messages: QueueMessages, queue: str, task_id: str) -> tuple[Parcel | None, str]:
    limit = LOOK_MARKING if messages.marks else LOOK
    message = messages.find(queue, task_id, limit)
    if message is None:
        return None, f"it is not among the next {limit:,} messages of {queue}"
    if message.content_type != "application/json":
        return None, f"its message is {message.content_type or 'of no known type'}, and only JSON is read"
    return of_message(message.headers, message.body, message.exchange, message.routing_key, message.priority), ""


def _tried(way: Callable[[], tuple[Parcel | None, str]]) -> tuple[Parcel | None, str]:
    """A source that fails is one that does not tell."""
    try:
        return way()
    except (ControlError, BrokerError) as error:
        return None, str(error)


def _with_address(record: Task, summary: Summary, source: Source, parcel: Parcel, misses: Sequence[str]) -> Found:
    """With what the events tell of its address, name and expiry."""
    told = record.description
    notes = [*_notes(summary, parcel)]
    if parcel.exchange is None:
        parcel, note = _addressed(parcel, record.sent)
        notes += [note] if note else []
    name = told.name if told else ""
    if source is not Source.TEXT and name and name != parcel.name and not parcel.shadow:
        # Events tell the name that the task goes by.
        parcel = replace(parcel, shadow=name)
    args, kwargs = (told.args, told.kwargs) if told else ("", "")
    if source is Source.TEXT and cut(args + kwargs):
        notes.append("The text of the arguments was shortened where it was made: mend it before it is sent.")
    lifetime, note = _lifetime(record, told.expires if told else "")
    (args, plain), (kwargs, plainer) = suggestion(args, "[]"), suggestion(kwargs, "{}")
    return Found(
        task=summary,
        source=source,
        parcel=parcel,
        args=args,
        kwargs=kwargs,
        legible=plain and plainer,
        lifetime=lifetime,
        notes=[*notes, note] if note else notes,
        misses=misses,
    )


def _addressed(parcel: Parcel, sent: Sent | None) -> tuple[Parcel, str]:
    """By the event of its sending, else by its routing key alone; and what is to be known of that."""
    if sent is not None and (sent.routing_key or sent.queue):
        exchange, key = undelayed(sent.exchange, sent.routing_key)
        return replace(parcel, exchange=exchange, routing_key=key or sent.queue), ""
    if parcel.routing_key:
        note = f"Only its routing key is known: it goes to the queue {parcel.routing_key}."
        return replace(parcel, exchange=""), note
    return parcel, "Nothing tells its queue: say to which it goes."


def _notes(summary: Summary, parcel: Parcel) -> list[str]:
    notes = []
    if summary.state not in ENDED:
        notes.append(f"It has not ended ({summary.state.value}): both may run.")
    if parcel.woven:
        notes.append(
            "It was part of a group, chord or chain: the new run stands alone, and what was to follow is not called."
        )
    return notes


def _lifetime(record: Task, expires: str) -> tuple[float | None, str]:
    """How long it was to live from its sending on; and what is to be known of that."""
    end = epoch(expires)
    if end is None:
        return None, ""
    begun = record.sent.at if record.sent else record.received_first if record.received else None
    if begun is None or end <= begun:
        return None, "It had an expiry, but not for how long: say how long the new run has."
    return round(end - begun, 3), ""

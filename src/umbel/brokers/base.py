"""What a broker's queues hold, what may be done to them, and what a look at the broker found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """One queue; None where the broker does not tell."""

    name: str
    #: Messages ready for a worker.
    ready: int | None
    #: Messages that a worker holds and has not acknowledged.
    unacked: int | None = None
    consumers: int | None = None
    #: Ready messages by priority step, where the transport has steps.
    by_priority: tuple[tuple[int, int], ...] = ()


class QueueDepths(Protocol):
    """Asks the broker; may be called from any thread; raises `BrokerError`."""

    #: Queues in which Celery lets tasks wait for their time; none on most transports.
    delayed: Sequence[str]

    def depths(self, names: Sequence[str]) -> Sequence[QueueDepth]:
        """One answer for each name that the broker knows or cannot deny; bounded in time (5 s)."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it waits in a queue."""

    headers: Mapping[str, Any]
    #: As it was sent, cut where `size` is greater.
    body: bytes
    #: Bytes of the whole body.
    size: int
    content_type: str = ""
    exchange: str = ""
    routing_key: str = ""
    priority: int | None = None
    #: It was given to somebody before.
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """A queue into which others put what they give up."""

    name: str
    ready: int
    #: The queues whose dead letters it takes, as far as their arguments and policies tell.
    sources: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a queue's messages that were to be put back."""

    #: How many went into which queue.
    into: Mapping[str, int] = field(default_factory=dict)
    #: Messages that were left where they were, and why the first of them was.
    left: int = 0
    why: str = ""


class QueueMessages(Protocol):
    """Looks into queues and changes them; may be called from any thread; bounded in time; raises `BrokerError`."""

    #: Whether a look leaves a mark: the messages count as delivered once more afterwards.
    marks: bool

    def peek(self, queue: str, limit: int) -> Sequence[Message]:
        """The next messages, the first to be delivered first; they stay, in their order. Bounded in bytes as well."""
        ...

    def find(self, queue: str, task_id: str, limit: int) -> Message | None:
        """The message of a task, if it is among the next `limit` of the queue; all stay, in their order."""
        ...

    def purge(self, queue: str) -> int:
        """Throw away all messages that wait; how many. Those that a worker holds stay."""
        ...

    def dead_letters(self) -> Sequence[DeadLetters] | None:
        """The queues of dead letters; None where the transport has none."""
        ...

    def put_back(self, queue: str, limit: int, into: str = "") -> Moved:
        """Move up to `limit` messages of a queue of dead letters, the oldest first, to where each came from, or `into`.

        A message leaves only after the broker has confirmed that the other queue has it: should the connection break in
        between, it is in both.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `umbel doctor` found out about the broker."""

    level: Literal["ok", "warn", "error"]
    #: A few words: what was looked at.
    title: str
    #: What was found, in plain words; never a password.
    detail: str = ""
    #: What to do about it; "" where nothing need be done.
    remedy: str = ""

"""What the parts need to tell of their own work, and how spans are delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from umbel.model.spans import Kind, Span, Value


class Delivery(StrEnum):
    """What became of some spans."""

    TAKEN = "taken"
    #: For good: trying again would not help.
    REFUSED = "refused"
    #: Nobody answered, or asked to wait.
    AWAY = "away"


class Sink(Protocol):
    """Takes spans; one thread uses it."""

    def send(self, spans: Sequence[Span]) -> Delivery:
        """Deliver them, waiting for the answer."""
        ...

    def close(self) -> None: ...


class Tracer(Protocol):
    """Takes spans of Umbel's own work; may be called from any thread, blocks nobody and raises nothing."""

    #: Spans that were not delivered.
    dropped: int

    def wanted(self) -> bool:
        """Whether to trace what begins now."""
        ...

    def record(
        self,
        name: str,
        kind: Kind,
        begin: float,
        end: float,
        attributes: Mapping[str, Value],
        *,
        failure: str | None = None,
    ) -> None:
        """Something that was wanted has ended; times in UTC seconds."""
        ...

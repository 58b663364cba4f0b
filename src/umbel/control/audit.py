"""The audit trail: who let Umbel change what, when, from where, and what each worker answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

#: Actions kept, and bytes of them; the oldest go first.
ACTIONS: Final = 100_000
ACTION_BYTES: Final = 64 * 1024 * 1024
#: Bytes kept of one action's arguments, and of all its replies.
DETAIL_BYTES: Final = 16 * 1024
#: Replies kept of one action.
REPLIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Action:
    """Something that somebody asked for."""

    #: Wall time, UTC seconds.
    at: float
    #: The signed-in user; "" where nobody signs in.
    who: str
    #: The client's address.
    origin: str
    #: The command or operation, such as `revoke`, and the way it came: `api`, `page`, `flower` or `timer`.
    what: str
    via: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: The workers it was addressed to; empty: all.
    destination: Sequence[str] = ()


class Told(NamedTuple):
    """One reply as the trail keeps it; a failure as a whole has no worker."""

    worker: str
    outcome: str
    text: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """An action of the trail with what came of it."""

    id: int
    action: Action
    #: None while it is under way, or when the process died over it.
    ended_at: float | None
    replies: Sequence[Told]


class Audit(Protocol):
    """The trail: only ever added to, except that the oldest go. May be used from any thread; raises `StoreError`."""

    def begin(self, action: Action) -> int:
        """Write down an action before it is carried out; its number."""
        ...

    def end(self, number: int, at: float, replies: Sequence[Told]) -> None:
        """Write down what came of it."""
        ...

    def read(self, limit: int, before: int | None = None) -> Sequence[Recorded]:
        """The newest first; `before`: only those with a smaller number."""
        ...

    def close(self) -> None: ...

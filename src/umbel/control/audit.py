"""The audit trail: who let Umbel change what, when, from where, what each worker answered, and who was refused."""

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
#: Attempts kept that were refused, apart from the actions, which they never displace; of whoever has the most of them
#: the oldest go first. And bytes kept of the arguments of one.
DENIALS: Final = 5_000
DENIAL_BYTES: Final = 1_024
#: Seconds within which the same attempt again is the same entry, counted.
ALIKE: Final = 60.0


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


#: The outcome of what somebody asked for and was not allowed.
DENIED: Final = "denied"


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
    #: None while it is under way, or when the process died over it; of what was denied, when it was last tried.
    ended_at: float | None
    #: Of what was denied one without a worker, its outcome `DENIED`, its text why.
    replies: Sequence[Told]
    #: How often it was tried; more than once only where it was denied.
    times: int = 1


class Audit(Protocol):
    """The trail: only ever added to, except that the oldest go. May be used from any thread; raises `StoreError`."""

    def begin(self, action: Action) -> int:
        """Write down an action before it is carried out; its number."""
        ...

    def end(self, number: int, at: float, replies: Sequence[Told]) -> None:
        """Write down what came of it."""
        ...

    def deny(self, action: Action, why: str) -> None:
        """Write down what somebody asked for and was not allowed."""
        ...

    def read(self, limit: int, before: int | None = None) -> Sequence[Recorded]:
        """The newest first; `before`: only those with a smaller number."""
        ...

    def close(self) -> None: ...

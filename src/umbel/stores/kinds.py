"""What engines store as a number: kinds of runs and states. Part of the stored form, only ever extended."""

from __future__ import annotations

from typing import Any, Final

from umbel.model.merge import Cancelled, Failed, Received, Rejected, Retried, Revoked, Sent, Started, Succeeded
from umbel.model.task import State

#: Kinds of runs by their number.
KINDS: Final[tuple[type[Any], ...]] = (
    Sent,
    Received,
    Started,
    Succeeded,
    Failed,
    Retried,
    Rejected,
    Revoked,
    Cancelled,
)
KIND_NUMBER: Final = {kind: number for number, kind in enumerate(KINDS)}

#: States by their number, where rows hold one of their own.
STATES: Final = (
    State.PENDING,
    State.RECEIVED,
    State.STARTED,
    State.RETRY,
    State.REJECTED,
    State.SUCCESS,
    State.FAILURE,
    State.REVOKED,
)
STATE_NUMBER: Final = {state: number for number, state in enumerate(STATES)}

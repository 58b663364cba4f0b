"""Starting tasks and reading their results, through Celery: what the web asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from umbel.errors import ControlError
from umbel.model.message import Outgoing, Parcel


class UnknownTask(ControlError):
    """The app has no task of this name."""


class WrongArguments(ControlError):
    """The arguments do not fit the task."""


class NoBackend(ControlError):
    """No result backend is known."""


@dataclass(frozen=True, slots=True)
class Order:
    """A task to be sent."""

    name: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    #: Celery's options of `apply_async`; the others are refused.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Whether the name must be one that the app knows; without an app this cannot be told.
    registered: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """What the result backend says of a task; an id that it does not know is PENDING."""

    state: str
    ready: bool = False
    #: As JSON can hold it, else its `repr`.
    value: Any = None
    traceback: str | None = None
    #: When it was stored, UTC seconds, and by which worker, as far as the backend tells.
    stored_at: float | None = None
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Kin:
    """How a task's result says it belongs to others; ids, "" and empty where it says nothing."""

    #: The group that it is a member of.
    group_id: str = ""
    #: Tasks that it sent.
    children: Sequence[str] = ()
    #: Groups that it sent, with their members.
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Chord bodies that it sent, with the group that each joins.
    bodies: Mapping[str, str] = field(default_factory=dict)


#: What may be told to Celery about a task that is sent.
OPTIONS: Final = frozenset(
    {
        "task_id",
        "queue",
        "exchange",
        "routing_key",
        "priority",
        "countdown",
        "eta",
        "expires",
        "serializer",
        "compression",
        "shadow",
        "headers",
        "ignore_result",
        "time_limit",
        "soft_time_limit",
        "retry",
        "retry_policy",
        "delivery_mode",
    }
)


class Runs(Protocol):
    """May be called from any thread; each call may wait for the broker or the backend; raises `ControlError`."""

    @property
    def has_backend(self) -> bool:
        """Whether results can be read."""
        ...

    def knows(self, name: str) -> bool | None:
        """Whether the app has a task of this name; None where there is no app to ask."""
        ...

    def send(self, order: Order) -> str:
        """Send a task; its id. Raises `UnknownTask` and `WrongArguments` as well."""
        ...

    def result(self, task_id: str) -> Result:
        """What is known of a task's result; raises `NoBackend` as well."""
        ...

    def kin(self, task_ids: Sequence[str], patience: float) -> Mapping[str, Kin]:
        """What results say of kinship, of as many as can be read within `patience` seconds; raises `NoBackend` as well.

        A task whose result is not there is told as a `Kin` that says nothing.
        """
        ...

    def recall(self, task_id: str) -> Parcel | None:
        """A task's true arguments by the result backend (`result_extended`); None where it does not tell them.

        Of its address it knows the routing key alone. Raises `NoBackend` as well.
        """
        ...

    def publish(self, outgoing: Outgoing) -> str:
        """Send a task as it stands, to where it says; its id. Raises `WrongArguments` as well."""
        ...

    def names(self) -> Sequence[str]:
        """The tasks that the app has; empty without an app."""
        ...

    def abort(self, task_id: str) -> None:
        """Ask an abortable task to end itself; raises `NoBackend` as well."""
        ...

    def close(self) -> None: ...

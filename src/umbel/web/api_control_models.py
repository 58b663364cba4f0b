"""The shapes of what the API answers to commands: workers' replies, the audit trail, messages, tasks that are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from umbel.web.api_models import Time


@dataclass(frozen=True, slots=True)
class ReplyOut:
    """What one worker answered to a command."""

    worker: str
    outcome: Annotated[
        str,
        Field(
            description="ok; refused: it answered with an error; unreadable: no JSON, or too much of it; silent: no"
            " answer in time, it may still carry the command out; sent: the command has no answer."
        ),
    ]
    value: Annotated[Any, Field(description="Its answer, as Celery gives it.")]
    error: str | None
    seconds: Annotated[float, Field(description="From the sending of the command to the answer.")]


@dataclass(frozen=True, slots=True)
class ControlOut:
    """What came of a command."""

    command: str
    outcomes: Annotated[dict[str, int], Field(description="Workers by outcome.")]
    replies: list[ReplyOut]


@dataclass(frozen=True, slots=True)
class AuditReplyOut:
    """A worker's answer as the audit trail keeps it; without a worker: why nothing was done."""

    worker: str | None
    outcome: str
    text: str


@dataclass(frozen=True, slots=True)
class AuditOut:
    """Something that somebody had Umbel do, or was not allowed to."""

    id: int
    at: Time | None
    who: Annotated[str | None, Field(description="The signed-in user; null where nobody signs in.")]
    origin: Annotated[str, Field(description="The client's address.")]
    via: Annotated[str, Field(description="api, page, or flower for Flower's routes.")]
    action: str
    arguments: dict[str, Any]
    destination: Annotated[list[str], Field(description="The workers addressed; none: all of them.")]
    ended_at: Annotated[Time | None, Field(description="null while it is under way, or if the process died over it.")]
    replies: Annotated[
        list[AuditReplyOut], Field(description="Of what somebody was not allowed one, `denied`, its text why.")
    ]
    times: Annotated[int, Field(description="More than 1: denied, and tried so often within a minute.")]


@dataclass(frozen=True, slots=True)
class AuditsOut:
    """Entries of the audit trail, the newest first."""

    items: list[AuditOut]


@dataclass(frozen=True, slots=True)
class RunOut:
    """A new run of a task, as it was or would be sent."""

    id: Annotated[str | None, Field(description="Of the new run; null in a dry run.")]
    task_id: Annotated[str, Field(description="The task that is run again.")]
    source: Annotated[str, Field(description="What told its arguments: result, worker, queue or text.")]
    exact: Annotated[bool, Field(description="Whether the arguments found are the true ones.")]
    name: str
    args: Annotated[list[Any], Field(description="In kombu's JSON.")]
    kwargs: dict[str, Any]
    exchange: str | None
    routing_key: str | None
    priority: int | None
    time_limit: float | None
    soft_time_limit: float | None
    expires_in: Annotated[float | None, Field(description="Seconds from its sending to its expiry.")]
    notes: Annotated[list[str], Field(description="What is to be known before it is sent.")]
    misses: Annotated[list[str], Field(description="Why better sources did not tell.")]


@dataclass(frozen=True, slots=True)
class StartedOut:
    """A task that was sent."""

    id: str


@dataclass(frozen=True, slots=True)
class MessageOut:
    """A message as it waits in a queue."""

    headers: dict[str, Any]
    body: Annotated[str, Field(description="Base64 of its bytes, cut where `size` is greater.")]
    size: Annotated[int, Field(description="Bytes of the whole body.")]
    content_type: str | None
    exchange: str
    routing_key: str
    priority: int | None
    redelivered: bool


@dataclass(frozen=True, slots=True)
class MessagesOut:
    """Messages, the first to be delivered first."""

    items: list[MessageOut]


@dataclass(frozen=True, slots=True)
class PurgedOut:
    """What was thrown away."""

    purged: Annotated[int, Field(description="Messages.")]


@dataclass(frozen=True, slots=True)
class MovedOut:
    """What became of dead letters that were to be put back."""

    moved: Annotated[dict[str, int], Field(description="Messages by the queue that they went into.")]
    left: int
    why: Annotated[str | None, Field(description="Why the first of those left was left.")]


@dataclass(frozen=True, slots=True)
class DeadLetterOut:
    """A queue into which others put what they give up."""

    name: str
    ready: int
    sources: list[str]


@dataclass(frozen=True, slots=True)
class DeadLettersOut:
    """Queues of dead letters; null where the broker has none to be known."""

    items: list[DeadLetterOut] | None


@dataclass(frozen=True, slots=True)
class VerdictOut:
    """What was found out about a task that had not ended."""

    task_id: str
    at: Time | None
    outcome: Annotated[str, Field(description="held, ended, orphaned or unknown.")]
    evidence: str


@dataclass(frozen=True, slots=True)
class VerdictsOut:
    """What was found out about each."""

    items: list[VerdictOut]

"""What may be asked of a store: conditions, order, pages. The text form is read by `search.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Field(StrEnum):
    """What a condition looks at; the name is the one of the query language."""

    ID = "id"
    NAME = "name"
    STATE = "state"
    WORKER = "worker"
    QUEUE = "queue"
    ARGS = "args"
    KWARGS = "kwargs"
    #: Of its task-succeeded, whatever came later.
    RESULT = "result"
    #: The one that the summary shows.
    EXCEPTION = "exception"
    #: That exception's.
    TRACEBACK = "traceback"
    #: Any of name, worker, args, kwargs, result, exception; or the id, of which `Op.CONTAINS` looks at the beginning
    #: only: a number that stands in an argument stands in many ids by chance.
    TEXT = "text"
    RUN = "run"
    WAIT = "wait"
    RETRIES = "retries"
    SENT = "sent"
    RECEIVED = "received"
    STARTED = "started"
    FINISHED = "finished"
    ROOT = "root"
    PARENT = "parent"


#: Fields whose value is a number: seconds, a count, or UTC seconds since the epoch.
DURATIONS = frozenset({Field.RUN, Field.WAIT})
TIMES = frozenset({Field.SENT, Field.RECEIVED, Field.STARTED, Field.FINISHED})
NUMBERS = DURATIONS | TIMES | {Field.RETRIES}
#: Texts searched for what they contain, regardless of ASCII case.
CONTENTS = frozenset({Field.ARGS, Field.KWARGS, Field.RESULT, Field.EXCEPTION, Field.TRACEBACK, Field.TEXT})


class Op(StrEnum):
    """How a condition compares."""

    EQ = "="
    #: Text contained, ASCII case ignored.
    CONTAINS = "contains"
    #: Text with `*` for any run of characters; the rest exact.
    GLOB = "glob"
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@dataclass(frozen=True, slots=True)
class Compare:
    """One condition; the value is a float for `NUMBERS`, text otherwise (a state's is a `State` value)."""

    field: Field
    op: Op
    value: str | float


@dataclass(frozen=True, slots=True)
class Not:
    """What the node does not match."""

    node: Node


@dataclass(frozen=True, slots=True)
class And:
    """All of the nodes; no node at all: everything."""

    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Or:
    """Any of the nodes."""

    nodes: tuple[Node, ...]


Node = Compare | Not | And | Or

EVERYTHING = And()


def span_of(node: Node) -> tuple[float | None, float | None]:
    """The span (UTC seconds, from and to; None: unbounded) that some time of every match lies in."""
    if isinstance(node, Compare) and node.field in TIMES and isinstance(node.value, float | int):
        since = node.value if node.op in (Op.GT, Op.GE, Op.EQ) else None
        until = node.value if node.op in (Op.LT, Op.LE, Op.EQ) else None
        return since, until
    if isinstance(node, And):
        spans = [span_of(part) for part in node.nodes]
        return (
            max((since for since, _ in spans if since is not None), default=None),
            min((until for _, until in spans if until is not None), default=None),
        )
    if isinstance(node, Or) and node.nodes:
        begins, ends = zip(*map(span_of, node.nodes), strict=True)
        # One branch without a bound and there is none.
        return (
            None if None in begins else min(begins),
            None if None in ends else max(ends),
        )
    return None, None


class Order(StrEnum):
    """By when Umbel first saw the task."""

    NEWEST = "newest"
    OLDEST = "oldest"


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of an answer; `cursor` is what the store gave as `next`, "" for the beginning."""

    limit: int = 50
    cursor: str = ""
    order: Order = Order.NEWEST
    #: Seconds after which the store is to answer with what it has found; None: as many as it takes by itself.
    within: float | None = None

"""Compare: two tasks side by side, and what differs between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import ndiff
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from umbel.model.laid_out import parsed, pretty
from umbel.model.merge import Task
from umbel.model.query import And, Compare, Field, Not, Op, Page
from umbel.model.task import Attempt, Summary, attempts, summarize
from umbel.web.deps import Deps, get_deps
from umbel.web.filters import duration, moment
from umbel.web.render import page

router = APIRouter()

#: Lines of a text that are compared, and characters of one line.
LINES: Final = 300
LINE: Final = 500
#: Other runs that are offered.
OTHERS: Final = 20


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure of both."""

    title: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A text of both, line by line: the mark is `-` (only the first has it), `+` (only the second) or a space."""

    title: str
    lines: Sequence[tuple[str, str]]
    same: bool
    cut: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two."""

    task: Summary
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows; a side is None where its task is not known."""

    ids: tuple[str, str]
    a: Side | None
    b: Side | None
    facts: Sequence[Fact]
    differences: Sequence[Difference]
    #: Runs of the same name to choose from.
    others: Sequence[Summary]


@router.get("/compare", response_class=HTMLResponse)
def show(
    request: Request,
    deps: Annotated[Deps, Depends(get_deps)],
    a: Annotated[str, Query(max_length=1_000)] = "",
    b: Annotated[str, Query(max_length=1_000)] = "",
) -> HTMLResponse:
    """The page; with one id only, it offers other runs of the same name."""
    context = load(deps, a.strip(), b.strip())
    return page(request, "compare", context, 200 if context.a else 404)


def load(deps: Deps, a: str, b: str) -> Context:
    """Everything that the page shows, read from the store."""
    records = deps.reader.records([id_ for id_ in dict.fromkeys((a, b)) if id_])
    one, two = records.get(a), records.get(b)
    first, second = _side(one), _side(two)
    both = one is not None and two is not None and first is not None and second is not None
    return Context(
        (a, b),
        first,
        second,
        [Fact(title, read(first), read(second)) for title, read in _FACTS] if both and first and second else (),
        [_difference(title, read(one), read(two)) for title, read in _TEXTS] if one and two else (),
        _others(deps, first.task) if first else (),
    )


def _side(record: Task | None) -> Side | None:
    return Side(summarize(record), attempts(record)) if record is not None else None


def _others(deps: Deps, task: Summary) -> Sequence[Summary]:
    same = And((Compare(Field.NAME, Op.EQ, task.name), Not(Compare(Field.ID, Op.EQ, task.id))))
    return deps.reader.tasks(same, Page(OTHERS, within=0.2)).items if task.name else ()


_FACTS: Final[Sequence[tuple[str, Callable[[Side], str]]]] = (
    ("Name", lambda side: side.task.name),
    ("State", lambda side: side.task.state.value),
    ("Wait", lambda side: duration(side.task.wait_seconds)),
    ("Run", lambda side: duration(side.task.run_seconds)),
    ("Retries", lambda side: str(side.task.retries)),
    ("Attempts", lambda side: "; ".join(_attempt(attempt) for attempt in side.attempts[:10]) or "–"),
    ("Worker", lambda side: side.task.worker or "–"),
    ("Queue", lambda side: side.task.queue or "–"),
    ("Sent", lambda side: moment(side.task.sent_at)),
    ("Received", lambda side: moment(side.task.received_at)),
    ("Started", lambda side: moment(side.task.started_at)),
    ("Ended", lambda side: moment(side.task.finished_at)),
)


def _attempt(attempt: Attempt) -> str:
    began, ended = attempt.started_at, attempt.finished_at
    took = attempt.runtime
    if took is None and began is not None and ended is not None:
        took = ended - began
    ran = duration(took) if took is not None else "not ended"
    return f"{attempt.state.value} on {attempt.worker}, {ran}"


def _failure(record: Task) -> str:
    last = record.failed or record.retried
    return f"{last.exception}\n{last.traceback}".strip() if last else ""


_TEXTS: Final[Sequence[tuple[str, Callable[[Task], str]]]] = (
    ("Arguments", lambda record: record.description.args if record.description else ""),
    ("Keyword arguments", lambda record: record.description.kwargs if record.description else ""),
    ("Result", lambda record: record.succeeded.result if record.succeeded else ""),
    ("Exception", _failure),
)


def _difference(title: str, a: str, b: str) -> Difference:
    first, second = _lines(a), _lines(b)
    cut = max(len(first), len(second)) > LINES
    marked = ndiff(first[:LINES], second[:LINES]) if first != second else [f"  {line}" for line in first[:LINES]]
    lines = [(line[0], line[2:]) for line in marked if line[0] in "-+ "]
    return Difference(title, lines, a == b, cut)


def _lines(text: str) -> list[str]:
    """What is a literal or JSON one part a line, anything else as it stands."""
    value = parsed(text)
    if isinstance(value, dict):
        found = [f"{key!r}: {line}" for key, part in value.items() for line in (pretty(part),)]
    elif isinstance(value, list | tuple):
        found = [pretty(part) for part in value]
    else:
        found = [text]
    return [line[:LINE] for part in found for line in part.splitlines()]

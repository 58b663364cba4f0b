"""What may follow in a search box: the language's own words, and values that the store knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field as FieldInfo

from umbel.model.query import EVERYTHING, Field, Page
from umbel.model.search import MAX_LENGTH
from umbel.model.suggest import expected, matching
from umbel.web.api_bodies import answer
from umbel.web.api_models import ErrorBody
from umbel.web.deps import Deps, Injected
from umbel.web.pages.shared import Shared

#: Suggestions in one answer; names, tasks and exceptions that values are taken from, the newest.
ITEMS: Final = 20
NAMES: Final = 1_000
RECENT: Final = 1_000
EXCEPTIONS: Final = 100
#: Seconds: how far back exceptions are looked for, and for how long an app keeps the values of a field.
SPAN: Final = 86_400.0
FRESH: Final = 5.0

_values: Final[Shared[Sequence[str]]] = Shared()

router = APIRouter(prefix="/api/v1", responses={"default": {"model": ErrorBody, "description": "400: too long."}})


@dataclass(frozen=True, slots=True)
class SuggestionOut:
    """A text that may stand there."""

    text: str
    kind: Annotated[str, FieldInfo(description="field, operator or value.")]
    detail: str


@dataclass(frozen=True, slots=True)
class SuggestOut:
    """What may replace the characters from `start` to before `end` of `q`."""

    start: int
    end: int
    items: list[SuggestionOut]


@router.get("/suggest", response_model=SuggestOut, tags=["tasks"])
def suggest(
    request: Request,
    deps: Injected,
    q: Annotated[str, Query(max_length=MAX_LENGTH, description="A search that may be unfinished.")] = "",
    at: Annotated[int | None, Query(ge=0, description="Characters before the cursor; its end unless given.")] = None,
) -> Response:
    """What may stand at the cursor, the best first."""
    what = expected(q, len(q) if at is None else at)
    items = list(what.items)
    if what.values_of is not None:
        field = what.values_of
        values = _values.get(request.app, field.value, FRESH, deps.clock, lambda: _known(deps, field))
        items += matching(values, what, ITEMS)
    shown = [SuggestionOut(item.text, item.kind.value, item.detail) for item in items[:ITEMS]]
    return answer(SuggestOut(what.start, what.end, shown))


def _known(deps: Deps, field: Field) -> Sequence[str]:
    """The values of a field that were seen lately, the latest first."""
    reader, now = deps.reader, deps.clock.now()
    if field is Field.NAME:
        return reader.names(NAMES)
    found: Iterable[str]
    if field is Field.WORKER:
        found = (worker.hostname for worker in reader.workers())
    elif field is Field.QUEUE:
        found = (task.queue for task in reader.tasks(EVERYTHING, Page(RECENT)).items)
    else:
        found = (failure.exception_type for failure in reader.exceptions(now - SPAN, now + 60, EXCEPTIONS))
    return tuple(dict.fromkeys(found))

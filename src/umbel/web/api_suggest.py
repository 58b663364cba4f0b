"""What may follow in a search box: the language's own words, and values that the store knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field as FieldInfo

from umbel.model.search import MAX_LENGTH
from umbel.model.suggest import expected, matching
from umbel.web.api_bodies import answer
from umbel.web.api_document import problems
from umbel.web.deps import Injected
from umbel.web.seen import values_of

#: Suggestions in one answer.
ITEMS: Final = 20

router = APIRouter(prefix="/api/v1", responses=problems(400))


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


@router.get("/suggest", response_model=SuggestOut, operation_id="suggest", tags=["tasks"])
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
        items += matching(values_of(request.app, deps, what.values_of), what, ITEMS)
    shown = [SuggestionOut(item.text, item.kind.value, item.detail) for item in items[:ITEMS]]
    return answer(SuggestOut(what.start, what.end, shown))

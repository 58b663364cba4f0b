"""Tasks: a search, the newest first; rows that are shown never move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from umbel.access.identity import STRANGER, Identity
from umbel.errors import QueryError
from umbel.model import search
from umbel.model.merge import Task
from umbel.model.query import EVERYTHING, And, Compare, Field, Node, Op, Or
from umbel.model.task import State, Summary, summarize
from umbel.stores.base import Count
from umbel.web.deps import Deps, get_deps, identity_of
from umbel.web.pages import task_columns
from umbel.web.pages.deeds import controllable
from umbel.web.pages.task_address import canonical
from umbel.web.pages.task_columns import Column
from umbel.web.pages.task_sides import Searched, Sides, as_curl, as_umbel, found
from umbel.web.pages.task_states import Chips, chips
from umbel.web.pages.views import View, keeps_own, own_views, shared_views
from umbel.web.render import page

router = APIRouter()

#: Rows of one page, and the greatest number that "+n new" counts to.
ROWS: Final = 50
NEW: Final = 100
FORMATS: Final = {"csv": "CSV", "jsonl": "JSON lines", "parquet": "Parquet"}
#: Seconds after which the first page shows what was found so far; "Go on" takes as long as the store allows.
SOON: Final = 0.2
#: Characters of the arguments that a row carries.
ARGS: Final = 160


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    task: Summary
    #: Positional and keyword arguments as Python would write them, and the result; cut.
    args: str
    result: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A search that cannot be understood, taken apart at the character that is wrong."""

    reason: str
    before: str
    at: str
    after: str


@dataclass(frozen=True, slots=True)
class Context:
    """What the template shows."""

    q: str
    #: States that the address lists, and all of them to choose from.
    chosen: frozenset[State]
    states: Sequence[State]
    state: str
    #: None where the search cannot be understood.
    chips: Chips | None
    rows: Sequence[Row]
    count: Count | None
    #: Cursor of this page and of the next one.
    cursor: str
    next: str | None
    #: Whether the whole history was looked at.
    complete: bool
    #: Where it was not: every task first seen since then has been looked at (UTC seconds; None where nothing tells).
    covered_since: float | None
    #: Newer tasks that match and are not shown.
    new: Count
    problem: Problem | None
    #: The cursor is none of this store's: an address that was cut or is old.
    lost_place: bool
    #: Whether the store holds any task at all.
    any_task: bool
    #: The latest of the first page: it keeps its rows while new ones come in.
    first: bool
    #: Formats of an export, as the API and as people name them, and the search that says what is shown.
    formats: Mapping[str, str]
    export_q: str
    #: Columns that are shown and those that are not, and what the address says of them ("": the usual ones).
    columns: Sequence[Column]
    others: Sequence[Column]
    cols: str
    #: Whether times are told as how long ago.
    natural: bool
    #: Umbel's own choice of columns, of which a narrow list leaves some out.
    fitted: bool
    #: None where the search cannot be understood.
    sides: Sides | None
    #: The search as commands for a shell.
    curl: str
    command: str
    #: Shared views and one's own, what a view of this page would keep, and whether one may save or delete some.
    views: Sequence[View]
    own: Sequence[View]
    keeps_own: bool
    query: str
    may_share: bool
    #: Whether tasks may be revoked and terminated from here.
    controls: bool


@router.get("/tasks", response_class=HTMLResponse)
def show(
    request: Request,
    deps: Annotated[Deps, Depends(get_deps)],
    *,
    q: str = "",
    state: str = "",
    cursor: str = "",
    cols: Annotated[Sequence[str], Query(max_length=100)] = (),
    since: Annotated[Sequence[str], Query(max_length=2 * ROWS)] = (),
) -> Response:
    """The page; `state` is a list of states with commas between, `since` the ids of the rows to keep."""
    tidied = canonical(request.query_params, deps.settings.tasks_columns)
    if tidied is not None:
        return RedirectResponse(f"{deps.settings.url_prefix}/tasks{tidied}", 303)
    base = str(request.base_url).rstrip("/")
    context = load(deps, q, state, cursor, since, cols=",".join(cols), base=base, who=identity_of(request))
    return page(request, "tasks", context, 400 if context.problem or context.lost_place else 200)


def load(
    deps: Deps,
    q: str = "",
    state: str = "",
    cursor: str = "",
    since: Sequence[str] = (),
    *,
    cols: str = "",
    base: str = "",
    who: Identity = STRANGER,
) -> Context:
    """Everything that the page shows, read from the store; `base` is the address that people reach Umbel at."""
    chosen = frozenset(State(name) for name in state.upper().split(",") if name in State.__members__)
    asked, problem = _asked(q, deps.clock.now())
    choice = None if asked is None else chips(q, chosen)
    listed = Found()
    if asked and choice:
        stateless = _stateless(asked, q, choice, deps.clock.now())
        listed = _find(
            deps, Searched(q, ",".join(sorted(chosen)), _with_states(asked, chosen), stateless), cursor, since
        )
    usual = deps.settings.tasks_columns
    shown = task_columns.columns_of(cols, usual)
    asks = {"q": q, "state": ",".join(sorted(chosen)), "cols": task_columns.as_text(shown, usual)}
    return Context(
        q=q,
        chosen=chosen,
        states=tuple(State),
        state=asks["state"],
        chips=choice,
        rows=listed.rows,
        count=listed.sides.count if listed.sides else None,
        cursor=cursor,
        next=listed.next,
        complete=listed.complete,
        covered_since=listed.covered_since,
        new=listed.new,
        problem=problem,
        lost_place=listed.lost_place,
        any_task=deps.pipeline().tasks > 0,
        first=not cursor,
        formats={form: FORMATS.get(form, form) for form in deps.formats},
        export_q=_whole(q, chosen),
        columns=shown,
        others=task_columns.others(shown),
        cols=asks["cols"],
        natural=deps.settings.natural_time,
        fitted=[column.key for column in shown] == list(task_columns.USUAL),
        sides=listed.sides,
        curl=as_curl(base, _whole(q, chosen)),
        command=as_umbel(_whole(q, chosen)),
        views=shared_views(deps),
        own=own_views(deps, who),
        keeps_own=keeps_own(deps, who),
        query=urlencode({name: value for name, value in asks.items() if value}),
        may_share=deps.entries.kept and not deps.settings.read_only and deps.rules.anything(who),
        controls=controllable(deps, who),
    )


@dataclass(frozen=True, slots=True)
class Found:
    """What a search finds, as the fields of `Context` say it."""

    rows: Sequence[Row] = ()
    sides: Sides | None = None
    next: str | None = None
    complete: bool = True
    covered_since: float | None = None
    new: Count = Count(0, capped=False)  # noqa: RUF009 - it is frozen
    lost_place: bool = False


def _find(deps: Deps, searched: Searched, cursor: str, since: Sequence[str]) -> Found:
    try:
        listed, around = found(deps, searched, cursor, NEW if since else ROWS, SOON)
    except QueryError:
        return Found(sides=found(deps, searched, "", ROWS, SOON)[1], lost_place=True)
    if since and not cursor:
        return Found(_kept(deps.reader.records(since), since), around, new=_new(listed.items, since))
    rows = _rows(listed.items, deps.reader.records([task.id for task in listed.items]))
    return Found(rows, around, listed.next, listed.complete, listed.covered_since)


def _asked(q: str, now: float) -> tuple[Node | None, Problem | None]:
    """What is searched for, or what is wrong with it."""
    try:
        return search.parse(q, now), None
    except QueryError as error:
        return None, _problem(q, error)


def _stateless(asked: Node, q: str, choice: Chips, now: float) -> Node:
    """What is asked without what it says of states."""
    return asked if choice.q == q else search.parse(choice.q, now)


def _with_states(asked: Node, chosen: frozenset[State]) -> Node:
    if not chosen:
        return asked
    states = Or(tuple(Compare(Field.STATE, Op.EQ, state.value) for state in sorted(chosen)))
    return states if asked == EVERYTHING else And((asked, states))


def _whole(q: str, chosen: frozenset[State]) -> str:
    """The search with the chosen states, as one text."""
    states = " OR ".join(f"state:{state.value}" for state in sorted(chosen))
    return f"({q}) ({states})" if q.strip() and states else q or states


def _rows(items: Sequence[Summary], records: Mapping[str, Task]) -> list[Row]:
    return [_row(task, records.get(task.id)) for task in items]


def _kept(records: Mapping[str, Task], ids: Sequence[str]) -> list[Row]:
    """The rows that a browser shows, in its order, as they are now."""
    known = [records[id_] for id_ in ids if id_ in records]
    return [_row(summarize(record), record) for record in known]


def _row(task: Summary, record: Task | None) -> Row:
    result = record.succeeded.result if record is not None and record.succeeded else ""
    return Row(task, _arguments(record), _cut(result))


def _new(items: Sequence[Summary], since: Sequence[str]) -> Count:
    shown = set(since)
    n = next((n for n, task in enumerate(items) if task.id in shown), len(items))
    return Count(n, capped=n >= NEW)


def _arguments(record: Task | None) -> str:
    if record is None or record.description is None:
        return ""
    args, kwargs = record.description.args, record.description.kwargs
    parts = [args if args not in ("()", "[]") else "", kwargs if kwargs != "{}" else ""]
    return _cut(" ".join(part for part in parts if part))


def _cut(text: str) -> str:
    return text if len(text) <= ARGS else text[:ARGS] + "…"


def _problem(q: str, error: QueryError) -> Problem:
    at = min(error.position, len(q))
    return Problem(error.reason, q[:at], q[at : at + 1] or " ", q[at + 1 :])

"""Flower's lists of tasks: `/api/tasks`, one task, the names, and the rows of its tasks table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from umbel.model.query import EVERYTHING, And, Compare, Field, Node, Not, Op, Or, Order, Page
from umbel.model.task import State, Summary
from umbel.stores.base import StoreReader
from umbel.web.deps import Deps, Injected
from umbel.web.flower import shapes
from umbel.web.flower.params import Params, of_query, of_request
from umbel.web.flower.route import JSON, FlowerRoute, GatedRoute, Refusal, answer
from umbel.web.flower.search import Mistake, parse

#: Tasks asked of the store at once.
PAGE: Final = 500
#: Tasks that are sorted by something else than their arrival: the newest ones that match.
SORTED: Final = 10_000
#: Rows that the tasks table may ask for at once.
ROWS: Final = 1_000
NAMES: Final = 10_000
SORT_KEYS: Final = ("name", "received", "started", "state")
_DATE: Final = "%Y-%m-%d %H:%M"

router = APIRouter(route_class=GatedRoute)
table = APIRouter(route_class=FlowerRoute)

Key = Callable[[Summary], Any]


@router.get("/api/tasks", include_in_schema=False)
async def tasks(request: Request, deps: Injected) -> Response:
    """Tasks by id, streamed a page of the store at a time."""
    given = of_query(request)
    limit, offset = given.whole("limit"), max(given.whole("offset", 0) or 0, 0)
    sort_by = given.text("sort_by") or ""
    if sort_by and sort_by.lstrip("-") not in SORT_KEYS:
        raise Refusal(400, f"Invalid sort_by '{sort_by[:200]}', expected one of {', '.join(SORT_KEYS)}")
    try:
        where = await to_thread.run_sync(_where, deps.reader, given)
    except Mistake as mistake:
        return answer({"error": str(mistake)}, 400)
    if limit is not None and limit <= 0:
        return answer({})
    found = _sorted(deps.reader, where, sort_by) if _is_sorted(sort_by) else _pages(deps.reader, where, sort_by)
    pieces = _object(deps.reader, _cut(found, offset, limit))
    # The first page is asked for before the answer begins, so that a store that cannot be read is a 503.
    first = await to_thread.run_sync(next, pieces)
    return StreamingResponse(_after(first, pieces), media_type=JSON)


def _after(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


@router.get("/api/task/info/{task_id:path}", include_in_schema=False)
def info(deps: Injected, task_id: str) -> Response:
    """One task."""
    record = deps.reader.task(task_id)
    if record is None:
        raise Refusal(404, f"Unknown task '{task_id[:200]}'")
    return answer(shapes.task(record, [child.id for child in deps.reader.related(task_id)]))


@router.get("/api/task/types", include_in_schema=False)
def types(deps: Injected) -> Response:
    """Names of the tasks seen."""
    return answer({"task-types": sorted(name for name in deps.reader.names(NAMES) if name)})


@table.api_route("/tasks/datatable", methods=["GET", "POST"], include_in_schema=False)
async def datatable(request: Request, deps: Injected) -> Response:
    """Rows of the tasks table, as the DataTables of a page ask for them."""
    given = await of_request(request)
    return await to_thread.run_sync(_rows, deps, given)


def _rows(deps: Deps, given: Params) -> Response:
    draw, start, length = (given.required_whole(name) for name in ("draw", "start", "length"))
    column = given.required_whole("order[0][column]")
    sort_by = given.text(f"columns[{column}][data]") or ""
    descending = given.text("order[0][dir]") == "desc"
    total = deps.reader.state().tasks
    try:
        where = parse(given.text("search[value]") or "")
    except Mistake as mistake:
        rows: dict[str, Any] = {"draw": draw, "data": [], "recordsTotal": total, "recordsFiltered": 0}
        return answer({**rows, "searchError": str(mistake)})
    order = ("-" if descending else "") + sort_by
    found = _sorted(deps.reader, where, order) if _is_sorted(order) else _pages(deps.reader, where, order)
    page = list(_cut(found, max(start, 0), min(max(length, 0), ROWS)))
    records = deps.reader.records([summary.id for summary in page])
    filtered = total if where == EVERYTHING else deps.reader.count(where).n
    rows = [shapes.task(records[item.id]) for item in page if item.id in records]  # type: ignore[assignment] # two shapes
    return answer({"draw": draw, "data": rows, "recordsTotal": total, "recordsFiltered": filtered})


def _where(reader: StoreReader, given: Params) -> Node:
    """What the filters and the search ask for."""
    nodes = [parse(given.text("search") or "")]
    nodes += _dates(given.text("received_start"), Op.GE) + _dates(given.text("received_end"), Op.LE)
    state = given.text("state")
    if state and state != "All":
        known = [one.value for one in State if one.value == state.upper()]
        nodes.append(Compare(Field.STATE, Op.EQ, known[0]) if known else Or(()))
    name = given.text("taskname")
    if name and name != "All":
        nodes.append(_named(Field.NAME, name, reader.names(NAMES)))
    worker = given.text("workername")
    if worker and worker != "All":
        nodes.append(_named(Field.WORKER, worker, [found.hostname for found in reader.workers()]))
    return And(tuple(nodes))


def _named(field: Field, name: str, known: Sequence[str]) -> Node:
    """The whole name, whatever its case."""
    same = {name, *(one for one in known if one.casefold() == name.casefold())}
    return Or(tuple(Compare(field, Op.EQ, one) for one in sorted(same)))


def _dates(text: str | None, op: Op) -> list[Node]:
    """A bound on `received`, a local time of this machine; tasks that no worker has received pass."""
    if not text:
        return []
    try:
        # Flower reads these in the server's own zone, and scripts rely on it.
        moment = time.mktime(datetime.strptime(text, _DATE).timetuple())  # noqa: DTZ007 - see above
    except (ValueError, OverflowError) as error:
        words = "Invalid received_start or received_end, expected format 'YYYY-MM-DD HH:MM'"
        raise Refusal(400, words) from error
    return [Or((Compare(Field.RECEIVED, op, moment), Not(Compare(Field.RECEIVED, Op.GE, 0.0))))]


def _is_sorted(sort_by: str) -> bool:
    return bool(sort_by) and sort_by.lstrip("-") != "received"


def _pages(reader: StoreReader, where: Node, sort_by: str) -> Iterator[Summary]:
    """Every task that matches by its arrival, the newest first unless `received` is asked for."""
    order = Order.OLDEST if sort_by == "received" else Order.NEWEST
    cursor: str | None = ""
    while cursor is not None:
        page = reader.tasks(where, Page(PAGE, cursor, order))
        yield from page.items
        cursor = page.next


def _sorted(reader: StoreReader, where: Node, sort_by: str) -> Iterator[Summary]:
    """The newest `SORTED` tasks that match, by a key; what has none comes first, as in Flower."""
    newest = list(_cut(_pages(reader, where, ""), 0, SORTED))
    key = _KEYS.get(sort_by.lstrip("-"), _KEYS["received"])
    newest.sort(key=key, reverse=sort_by.startswith("-"))
    return iter(newest)


def _number(value: float | None) -> tuple[bool, float]:
    return (value is not None, value or 0.0)


_KEYS: Final[dict[str, Key]] = {
    "name": lambda task: task.name,
    "uuid": lambda task: task.id,
    "state": lambda task: task.state.value,
    "received": lambda task: _number(task.received_at),
    "started": lambda task: _number(task.started_at),
    "runtime": lambda task: _number(task.run_seconds),
    "worker": lambda task: task.worker,
    "retries": lambda task: task.retries,
    "exception": lambda task: task.exception,
}


def _cut(found: Iterator[Summary], offset: int, limit: int | None) -> Iterator[Summary]:
    for number, summary in enumerate(found):
        if limit is not None and number >= offset + limit:
            return
        if number >= offset:
            yield summary


def _object(reader: StoreReader, found: Iterator[Summary]) -> Iterator[str]:
    """A JSON object of tasks by id, in pieces of a page; never empty."""
    comma = ""
    yielded = False
    page: list[Summary] = []

    def text() -> str:
        nonlocal comma
        records = reader.records([summary.id for summary in page])
        pairs = [f"{json.dumps(item['uuid'])}: {json.dumps(item)}" for item in shapes.of(page, records)]
        piece = comma + ", ".join(pairs)
        comma = ", " if pairs or comma else ""
        page.clear()
        return piece

    for summary in found:
        page.append(summary)
        if len(page) == PAGE:
            yield ("" if yielded else "{") + text()
            yielded = True
    yield ("" if yielded else "{") + text() + "}"

"""The rows of a plain task, straight from its events: the fast way into the store, which most tasks take.

The general way (`rows_of`) makes registers of the events, a summary, a contribution, and of these the rows, so that
any history can be joined. A plain task (see `model/gather.py`) has nothing to join: most of that work would hand its
few fields from one object to the next. The law that ties the two: for every plain task, `PlainRows` gives exactly what
`rows_of` gives for the fold of its events. tests/properties/test_plain.py holds them to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, Final

import msgspec

from umbel.model.event import TaskReceived, TaskSent, TaskSucceeded
from umbel.model.gather import Plain
from umbel.model.latency import bucket
from umbel.model.merge import Task
from umbel.model.rollup import RUN, WAIT, Series, contribution
from umbel.model.task import State, exception_type, queue_of, summarize, wait_seconds
from umbel.model.usual import Alike
from umbel.stores.kinds import STATE_NUMBER
from umbel.stores.sqlite.ids import BoundKey, bound_key
from umbel.stores.sqlite.records import record_row
from umbel.stores.sqlite.rollups import CELL_BITS, Added, added
from umbel.stores.sqlite.rows import ITSELF, NONE, task_row
from umbel.stores.sqlite.words import Remembered, WordWriter

#: What the rows of usual tasks that are alike share: the numbers of name, worker and queue, and the body of the record.
Shared = tuple[int, int, int, bytearray]
#: What one task brings to its segment: the rows of `task` and `record`, what it adds to the rollups, and the earliest
#: and the latest time of its events.
Rows = tuple[tuple[Any, ...], tuple[Any, ...], Added, float, float]

#: Client, queue, exchange and routing key, as a `task-sent` has them.
_Way = tuple[str, str | None, str | None, str | None]

_SENT, _RECEIVED, _STARTED = int(Series.SENT), int(Series.RECEIVED), int(Series.STARTED)
_SUCCEEDED, _FAILED = int(Series.SUCCEEDED), int(Series.FAILED)
_PENDING_STATE, _RECEIVED_STATE = STATE_NUMBER[State.PENDING], STATE_NUMBER[State.RECEIVED]
_STARTED_STATE, _SUCCESS_STATE = STATE_NUMBER[State.STARTED], STATE_NUMBER[State.SUCCESS]
_FAILURE_STATE: Final = STATE_NUMBER[State.FAILURE]
_pack: Final = msgspec.msgpack.Encoder().encode


def rows_of(n: int, key: BoundKey, task: Task, words: WordWriter) -> Rows:
    """The rows of any task."""
    summary = summarize(task)
    times = summary.sent_at, summary.received_at, summary.started_at, summary.finished_at, summary.updated_at
    return (
        task_row(n, key, summary, words.optional),
        record_row(n, task, summary, words.id),
        added(contribution(task, summary)),
        min(at for at in times if at is not None),
        summary.updated_at,
    )


def _cells(times: Sequence[float | None], wait: float | None, run: float | None, end: int) -> tuple[int, ...]:
    """The cells of the rollups in the order of `contribution`; `times` of sent, received, started and ended."""
    sent, received, started, ended = (None if time is None else int(time) // 60 << CELL_BITS for time in times)
    cells = []
    if sent is not None:
        cells.append(sent | _SENT)
    if received is not None:
        cells.append(received | _RECEIVED)
    if started is not None:
        cells.append(started | _STARTED)
        if wait is not None:
            cells.append(started | WAIT + bucket(wait))
    if ended is not None:
        cells.append(ended | end)
        if run is not None:
            cells.append(ended | RUN + bucket(run))
    return tuple(cells)


class PlainRows:
    """Makes the rows of plain tasks of one segment."""

    def __init__(self, words: WordWriter) -> None:
        self._words = words
        #: (client, queue, exchange, routing key) as a `task-sent` has them: the numbers of the route and of its queue.
        self._routes: Remembered[_Way, tuple[int, int]] = Remembered()
        #: (worker, pid): the numbers of both, and of the worker alone.
        self._workers: Remembered[tuple[str, int | None], tuple[int, int]] = Remembered()

    def shrink(self) -> None:
        """Remember few routes and workers from now on."""
        self._routes.shrink()
        self._workers.shrink()

    def shared(self, alike: Alike) -> Shared:
        """What the rows of usual tasks that are alike have in common."""
        who, worker = self._worker((alike.worker, alike.pid))
        route, queue = (None, NONE) if alike.route is None else self._route(alike.route)
        return self._words.id(alike.name), worker, queue, bytearray(_pack([1, route, who, who, who]))

    # One long function on purpose: a call or an object more for each event costs more than what it would do.
    def make(self, n: int, key: BoundKey, id_: str, plain: Plain) -> Rows:  # noqa: C901, PLR0912, PLR0915 - see above
        """The rows of the plain task that has the number `n` in its segment."""
        sent, received, started, ended = plain
        words, workers = self._words, self._workers
        # The parts of the record's body (see `records.py`).
        rank: Any = None
        route: Any = None
        taken: Any = None
        ran: Any = None
        done: Any = None
        failed: Any = None
        sent_at = received_at = started_at = finished_at = wait = run = raised = None
        name = args = kwargs = result = traceback = exception = eta = ""
        queue = worker = retries = end = 0
        state, first, last = _PENDING_STATE, inf, 0.0
        root: Any = ""
        parent: Any = NONE
        described: TaskReceived | TaskSent | None = received or sent
        if described is not None:
            name, args, kwargs = described.name or "", described.args or "", described.kwargs or ""
            rank = 0 if received is None else 1
            if described.root_id == id_:
                root = ITSELF
            elif described.root_id:
                root = bound_key(described.root_id)
            if described.parent_id:
                parent = bound_key(described.parent_id)
            if described.eta or described.expires:
                eta = described.eta or ""
                rank = [rank, None, eta or None, described.expires] if described.expires else [rank, None, eta]
        if sent is not None:
            sent_at = first = last = sent.timestamp
            way = (sent.hostname, sent.queue, sent.exchange, sent.routing_key)
            route, queue = self._routes.get(way) or self._route(way)
            if sent.retries:
                retries = sent.retries
                route = [route, retries]
        if received is not None:
            received_at = received.timestamp
            if received_at < first:
                first = received_at
            if received_at > last:
                last = received_at
            process = (received.hostname, received.pid)
            taken, worker = workers.get(process) or self._worker(process)
            state = _RECEIVED_STATE
            if received.retries:
                taken = [taken, received.retries]
                if received.retries > retries:
                    retries = received.retries
        if started is not None:
            started_at = started.timestamp
            process = (started.hostname, started.pid)
            ran, its = workers.get(process) or self._worker(process)
            if received_at is None or started_at >= received_at:
                state, worker = _STARTED_STATE, its
            if started_at < first:
                first = started_at
            if started_at > last:
                last = started_at
            wait = wait_seconds(sent_at, received_at, started_at, eta)
        if ended is not None:
            finished_at = ended.timestamp
            process = (ended.hostname, ended.pid)
            done, worker = workers.get(process) or self._worker(process)
            if finished_at < first:
                first = finished_at
            if finished_at > last:
                last = finished_at
            if type(ended) is TaskSucceeded:
                state, end, run = _SUCCESS_STATE, _SUCCEEDED, ended.runtime
                result = ended.result or ""
                if run is None:
                    done = [done, None, -1.0]
            else:
                state, end, failed, done = _FAILURE_STATE, _FAILED, done, None
                exception, traceback = ended.exception or "", ended.traceback or ""
                raised = int(finished_at) // 60, exception_type(exception)
            if run is None and started_at is not None and started_at <= finished_at:
                run = finished_at - started_at
        rerun = (
            finished_at is not None
            and last > finished_at
            and ((started_at or 0.0) > finished_at or (received_at or 0.0) > finished_at)
        )
        minute = int(first) // 60
        if sent and received and wait is not None and run is not None and int(last) // 60 == minute:
            # All four, and in one minute, as most have it.
            at = minute << CELL_BITS
            waited, ran_for = at | WAIT + bucket(wait), at | RUN + bucket(run)
            cells: tuple[int, ...] = (at | _SENT, at | _RECEIVED, at | _STARTED, waited, at | end, ran_for)
        else:
            cells = _cells((sent_at, received_at, started_at, finished_at), wait, run, end)
        body = [rank, route, taken, ran, done] if failed is None else [rank, route, taken, ran, done, failed]
        while body[-1] is None:
            body.pop()
        return (
            (
                n,
                key,
                words.id(name) if name else NONE,
                state,
                worker,
                queue,
                sent_at,
                received_at,
                started_at,
                finished_at,
                wait,
                run,
                retries,
                last,
                int(rerun),
                root,
                parent,
                exception,
            ),
            (n, bytearray(_pack(body)), args, kwargs, result, traceback),
            (name, cells, raised),
            first,
            last,
        )

    def _route(self, way: _Way) -> tuple[int, int]:
        client, queue, exchange, routing_key = way
        route = (client, queue or "", exchange or "", routing_key or "")
        found = self._words.id(route), self._words.optional(queue_of(*route[1:]))
        self._routes.keep(way, found)
        return found

    def _worker(self, process: tuple[str, int | None]) -> tuple[int, int]:
        hostname, pid = process
        found = self._words.id((hostname, pid or 0)), self._words.optional(hostname)
        self._workers.keep(process, found)
        return found


def usual_rows(n: int, key: BoundKey, plain: Plain, shared: Shared) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The parameters of `add_usual_task` and `put_record` for a usual task."""
    sent, received, started, ended = plain
    name, worker, queue, body = shared
    sent_at = None if sent is None else sent.timestamp
    received_at, started_at = received.timestamp, started.timestamp
    wait = started_at - (received_at if sent_at is None else sent_at)
    return (
        (n, key, name, worker, queue, sent_at, received_at, started_at, ended.timestamp, wait, ended.runtime),
        (n, body, received.args or "", received.kwargs or "", ended.result or "", ""),
    )

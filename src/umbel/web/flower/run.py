"""Flower's ways to start a task, and to read or abort one: sent by a thread of few, waited for without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from umbel.access.rules import Target
from umbel.control.audit import Told
from umbel.control.commands import Registered
from umbel.control.runs import NoBackend, Order, Result, Runs, UnknownTask, WrongArguments
from umbel.web.actions import BUSY, Actions, actor
from umbel.web.api_bodies import read_body
from umbel.web.deps import Deps, get_deps
from umbel.web.flower.params import of_query
from umbel.web.flower.route import UNAVAILABLE, GatedRoute, Refusal, answer, writes
from umbel.web.turns import Turns

router = APIRouter(route_class=GatedRoute)

#: Seconds that a result is waited for at most, and requests that wait at once.
LONGEST: Final = 600.0
WAITERS: Final = 200
#: Seconds between two looks for a result, at first and at most.
FIRST_LOOK: Final = 0.02
LAST_LOOK: Final = 1.0
NAMES: Final = 10_000
_DATE: Final = "%Y-%m-%d %H:%M:%S.%f"


class Waiting:
    """Requests that wait for a result hold no thread, and their number is bounded."""

    def __init__(self) -> None:
        self.turns = Turns(8, 64, BUSY)
        self._count = 0

    async def for_result(self, runs: Runs, task_id: str, patience: float) -> Result:
        """The result once it is there; what is known of it after `patience` seconds."""
        if self._count >= WAITERS:
            raise Refusal(503, "Too many requests wait for results; use async-apply")
        self._count += 1
        try:
            return await self._look(runs, task_id, min(patience, LONGEST))
        finally:
            self._count -= 1

    async def _look(self, runs: Runs, task_id: str, patience: float) -> Result:
        end = asyncio.get_running_loop().time() + patience
        pause = FIRST_LOOK
        while True:
            result = await self.turns.run(lambda: runs.result(task_id))
            left = end - asyncio.get_running_loop().time()
            if result.ready or left <= 0:
                return result
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, LAST_LOOK)


@router.post("/api/task/apply/{name:path}", include_in_schema=False)
async def apply(request: Request, name: str) -> Response:
    """Send a task and wait for its result."""
    runs, waiting = _runs(request), _waiting(request)
    order, options = await _order(request)
    await _registered(request, runs, name)
    try:
        patience = float(options.pop("timeout", None) or LONGEST)
    except (TypeError, ValueError) as error:
        raise Refusal(400, "Invalid timeout") from error
    task_id = await _send(request, runs, Order(name, *order, _normal(options)))
    told: dict[str, Any] = {"task-id": task_id}
    try:
        result = await waiting.for_result(runs, task_id, patience)
    except NoBackend:
        return answer({**told, "result": None})
    if not result.ready:
        return answer({**told, "state": result.state})
    return answer({**told, **_value(result), "state": result.state})


@router.post("/api/task/async-apply/{name:path}", include_in_schema=False)
async def async_apply(request: Request, name: str) -> Response:
    """Send a task whose name is known."""
    runs = _runs(request)
    order, options = await _order(request)
    await _registered(request, runs, name)
    return await _sent(request, runs, Order(name, *order, _normal(options)))


@router.post("/api/task/send-task/{name:path}", include_in_schema=False)
async def send_task(request: Request, name: str) -> Response:
    """Send a task of any name."""
    runs = _runs(request)
    order, options = await _order(request)
    return await _sent(request, runs, Order(name, *order, _normal(options), registered=False))


@router.get("/api/task/result/{task_id:path}", include_in_schema=False)
async def result(request: Request, task_id: str) -> Response:
    """What the result backend says."""
    runs, waiting = _backed(request), _waiting(request)
    patience = of_query(request).number("timeout")
    try:
        found = await waiting.for_result(runs, task_id, max(0.0, patience or 0.0))
    except NoBackend as error:
        raise Refusal(503, "") from error
    told = {"task-id": task_id, "state": found.state}
    return answer({**told, **_value(found)} if found.ready else told)


@router.post("/api/task/abort/{task_id:path}", include_in_schema=False)
async def abort(request: Request, task_id: str) -> Response:
    """Ask an abortable task to end itself."""
    runs = _runs(request)
    try:
        actions: Actions = request.app.state.actions
        work, targets = (lambda: runs.abort(task_id)), (lambda: actions.targets_of([task_id]))
        await _recorded(request, "abort", {"task_id": task_id}, work, targets)
    except NoBackend as error:
        raise Refusal(503, "") from error
    return answer({"message": f"Aborted '{task_id}'"})


def _runs(request: Request) -> Runs:
    """How tasks are started, for a request that may."""
    writes(get_deps(request))
    return _backed(request)


def _backed(request: Request) -> Runs:
    runs = get_deps(request).runs()
    if runs is None:
        raise Refusal(503, UNAVAILABLE)
    return runs


def _waiting(request: Request) -> Waiting:
    waiting: Waiting = request.app.state.waiting
    return waiting


async def _order(request: Request) -> tuple[tuple[Sequence[Any], dict[str, Any]], dict[str, Any]]:
    """Arguments and options of the body."""
    raw = await read_body(request)
    try:
        options = json.loads(raw) if raw else {}
    except (ValueError, RecursionError) as error:
        raise Refusal(400, str(error)) from error
    if not isinstance(options, dict):
        raise Refusal(400, "invalid options")
    args, kwargs = options.pop("args", []), options.pop("kwargs", {})
    if not isinstance(args, list):
        raise Refusal(400, "args must be an array")
    if not isinstance(kwargs, dict):
        raise Refusal(400, "kwargs must be an object")
    return (args, kwargs), options


def _normal(options: dict[str, Any]) -> dict[str, Any]:
    """The options with times as Celery takes them."""
    try:
        if "eta" in options:
            options["eta"] = _date(options["eta"])
        if "countdown" in options:
            options["countdown"] = float(options["countdown"])
        if "expires" in options:
            options["expires"] = _expiry(options["expires"])
    except (ValueError, TypeError) as error:
        raise Refusal(400, "Invalid option") from error
    return options


def _expiry(value: Any) -> float | datetime:
    try:
        return float(value)
    except ValueError:
        return _date(value)


def _date(text: Any) -> datetime:
    # Naive on purpose: Celery takes it for a time in the app's zone, as with Flower.
    return datetime.strptime(text, _DATE)  # noqa: DTZ007 - see above


async def _registered(request: Request, runs: Runs, name: str) -> None:
    """404 for a task that the app, or else no event and no online worker, knows."""
    deps: Deps = get_deps(request)
    turns = _waiting(request).turns
    known = await turns.run(lambda: runs.knows(name))
    if known is None:
        known = name in await to_thread.run_sync(deps.reader.names, NAMES) or await _at_a_worker(request, name)
    if not known:
        raise Refusal(404, f"Unknown task '{name[:200]}'")


async def _at_a_worker(request: Request, name: str) -> bool:
    """Whether a worker that is online has registered the name."""
    actions: Actions = request.app.state.actions
    replies = await actions.perform(Registered(), actor(request, "flower"), get_deps(request).settings.inspect_timeout)
    return any(name == str(item).partition(" [")[0] for reply in replies for item in reply.value or ())


async def _send(request: Request, runs: Runs, order: Order) -> str:
    arguments = {"name": order.name, "args": list(order.args), "kwargs": dict(order.kwargs)}
    try:
        routed = order.options.get("exchange") or order.options.get("routing_key")
        target = Target(order.name, "" if routed else str(order.options.get("queue") or ""))
        return await _recorded(request, "send_task", arguments, lambda: runs.send(order), lambda: [target])
    except UnknownTask as error:
        raise Refusal(404, f"Unknown task '{order.name[:200]}'") from error
    except WrongArguments as error:
        raise Refusal(400, str(error)) from error


async def _sent(request: Request, runs: Runs, order: Order) -> Response:
    task_id = await _send(request, runs, order)
    told = {"task-id": task_id}
    try:
        state = (await _waiting(request).turns.run(lambda: runs.result(task_id))).state
    except NoBackend:
        return answer(told)
    return answer({**told, "state": state})


async def _recorded(
    request: Request,
    what: str,
    arguments: dict[str, Any],
    work: Callable[[], str | None],
    targets: Callable[[], Sequence[Target]],
) -> str:
    """Do the work, if the rules allow it, with an entry in the audit trail; what it gives, as text."""
    deps: Deps = get_deps(request)
    actions: Actions = request.app.state.actions
    by = actor(request, "flower")
    action = by.asks(deps.clock.now(), what, arguments)

    def told() -> tuple[str, list[Told]]:
        done = work() or ""
        return done, [Told("", "ok", done)]

    def permitted() -> str:
        actions.permit(by, action, targets)
        return actions.recorded(action, told)

    return await _waiting(request).turns.run(permitted)


def _value(result: Result) -> dict[str, Any]:
    if result.state == "FAILURE":
        return {"result": result.value, "traceback": result.traceback}
    return {"result": result.value}

"""What goes wrong, told in plain words: a page for people, JSON for programs, a line of text for machines."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from umbel.errors import BrokerError, ControlError, QueryError, StoreError
from umbel.export.columns import UnknownColumn
from umbel.export.sheets import MissingPart, UnknownFormat
from umbel.web.render import ErrorPage, page

log = logging.getLogger(__name__)

#: Errors of ours: the status, and how the answer begins.
_OURS: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (UnknownColumn, 400, ""),
    (UnknownFormat, 400, ""),
    (MissingPart, 501, ""),
    (StoreError, 503, "The store cannot be used: "),
    (ControlError, 503, "Workers cannot be reached: "),
    (BrokerError, 503, "The broker does not answer: "),
)

#: Paths that no person looks at.
MACHINES: Final = ("/static/", "/hints", "/healthz", "/readyz", "/metrics")


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is told."""

    status: int
    message: str
    #: Offset into the search text, from 0.
    position: int | None = None
    headers: dict[str, str] | None = None


def install(app: FastAPI) -> None:
    """Register a handler for every kind of error; plain functions, so that they run in the thread pool."""
    for kind in (HTTPException, RequestValidationError, QueryError, *(kind for kind, _, _ in _OURS)):
        app.add_exception_handler(kind, _expected)
    app.add_exception_handler(Exception, _unexpected)


def _expected(request: Request, error: Exception) -> Response:
    return tell(request, _problem(error))


def _unexpected(request: Request, error: Exception) -> Response:
    """The server logs the error itself; a page that cannot even show this is told in one line of text."""
    # The server closes the connection then, and a client that asks for something else over it would meet nobody.
    gone = {"Connection": "close"}
    problem = Problem(500, f"Umbel failed at this: {type(error).__name__}. Its log has the details.", headers=gone)
    try:
        return tell(request, problem)
    except Exception:
        log.exception("the error page cannot be shown")
        return PlainTextResponse(f"{problem.message}\n", 500, gone)


def _problem(error: Exception) -> Problem:
    if isinstance(error, HTTPException):
        known = error.detail != HTTPStatus(error.status_code).phrase
        message = error.detail if known else _PHRASES.get(error.status_code, error.detail)
        return Problem(error.status_code, message, headers=dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        return Problem(400, "; ".join(_parameter(item) for item in error.errors()))
    if isinstance(error, QueryError):
        return Problem(400, str(error), error.position)
    return next(Problem(status, f"{begin}{error}") for kind, status, begin in _OURS if isinstance(error, kind))


_PHRASES: Final = {
    404: "There is nothing at this address.",
    405: "This address cannot be used with this method.",
}


def _parameter(item: dict[str, object]) -> str:
    where = item["loc"]
    name = where[-1] if isinstance(where, tuple) else where
    return f"{name}: {str(item['msg'])[:200]}"


def tell(request: Request, problem: Problem) -> Response:
    """The answer that tells the problem to whoever asked: a page, JSON or a line of text."""
    # The router's own path, whatever prefix the app is served under.
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    if path.startswith("/api/"):
        return _json(problem)
    if path.startswith(MACHINES):
        return PlainTextResponse(f"{problem.message}\n", problem.status, problem.headers)
    title = HTTPStatus(problem.status).phrase.capitalize()
    answer = page(request, "error", ErrorPage(problem.status, title, problem.message), problem.status)
    answer.headers.update(problem.headers or {})
    return answer


def _json(problem: Problem) -> Response:
    error: dict[str, str | int] = {"message": problem.message}
    if problem.position is not None:
        error["position"] = problem.position
    body = msgspec.json.encode({"error": error})
    return Response(body, problem.status, problem.headers, "application/json")

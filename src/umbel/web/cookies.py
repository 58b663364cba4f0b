"""The two cookies: a session's, and that of a sign-in under way at a provider."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

SESSION: Final = "umbel-session"
PENDING: Final = "umbel-signin"
#: Over TLS browsers take a cookie of this name from this very host alone, and no other one can put it there.
_HOST: Final = "__Host-"


def _name(request: Request, name: str) -> str:
    return _HOST + name if request.url.scheme == "https" else name


def read(request: Request, name: str) -> str:
    """The cookie's value, "" where it is not sent."""
    return request.cookies.get(_name(request, name), "")


def write(request: Request, response: Response, name: str, value: str, seconds: float) -> None:
    """Let the browser keep it for so long; no script sees it, and other sites' requests do not bring it."""
    secure = request.url.scheme == "https"
    response.set_cookie(
        _name(request, name), value, max_age=int(seconds), path="/", secure=secure, httponly=True, samesite="lax"
    )


def drop(request: Request, response: Response, name: str) -> None:
    """Let the browser forget it."""
    secure = request.url.scheme == "https"
    response.delete_cookie(_name(request, name), path="/", secure=secure, httponly=True, samesite="lax")

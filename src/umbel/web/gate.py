"""The one place where it is decided who asks and whether they may: ASGI middleware in front of every route."""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import urlencode

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from umbel.access.identity import EVERYBODY, HIDE, STRANGER, Identity, Permit
from umbel.clock import Clock
from umbel.errors import StoreError
from umbel.settings import Settings
from umbel.web.actions import Actions, actor
from umbel.web.attempts import origin
from umbel.web.cookies import SESSION, read
from umbel.web.errors import Problem, tell
from umbel.web.login import Login
from umbel.web.permits import PermitTable
from umbel.web.security import OPEN_TO_ALL, exposed
from umbel.web.throttle import Throttle
from umbel.web.turns import Busy, Turns

#: Requests of one user or address that change something, within a minute.
CHANGES: Final = 300
MINUTE: Final = 60.0
#: Threads that ask the vault or check passwords, so that no page that waits for the store keeps anybody out.
THREADS: Final = 4
#: Requests that may wait for one.
WAITING: Final = 200
#: What those hear who are more than that.
BUSY: Final = "Too many sign-ins wait. Try again in a moment."
#: Methods that change nothing.
SAFE: Final = frozenset({"GET", "HEAD"})
#: Characters of an Authorization header, and of a path that the audit trail keeps.
HEADER: Final = 8_192
PATH: Final = 300
#: What stands before the name of a command in its address.
COMMAND: Final = "/api/v1/control/"


class Refused(NamedTuple):
    """Why somebody is not let through."""

    status: int
    message: str
    #: Seconds to wait; 0: nothing to wait for.
    wait: float = 0.0


class Gate:
    """Puts the identity into `scope["umbel.identity"]`, or answers 401, 403 or 429 itself."""

    def __init__(
        self, app: ASGIApp, permits: PermitTable, login: Login | None, settings: Settings, clock: Clock
    ) -> None:
        self._app = app
        self._permits = permits
        self._login = login
        self._settings = settings
        self._nobody = STRANGER if exposed(settings) else EVERYBODY
        self._changes = Throttle(clock, CHANGES, MINUTE)
        self._turns = Turns(THREADS, WAITING, BUSY, abandon=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The pages of sign-in work on the same threads.
        scope = {**scope, "umbel.turns": self._turns}
        request = Request(scope, receive)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        refused = await self._refuse(request, scope, self._permit(scope["method"], path))
        if refused is None:
            await self._app(scope, receive, send)
            return
        answer = await to_thread.run_sync(lambda: self._answered(request, path, refused))
        await answer(scope, receive, send)

    def _permit(self, method: str, path: str) -> Permit:
        permit = self._permits.of(method, path)
        if permit is Permit.METRICS:
            return Permit.VIEW if self._settings.protect_metrics else Permit.OPEN
        # What no route answers is nobody's business who has not signed in.
        return Permit.VIEW if permit is None else permit

    async def _refuse(self, request: Request, scope: Scope, permit: Permit) -> Refused | None:
        """Why the request is refused; None lets it through, with the identity in its scope."""
        if permit is Permit.OPEN and "authorization" not in request.headers:
            who: Identity | Refused | None = await self._quietly(request)
        else:
            who = await self._recognise(request)
        if isinstance(who, Refused):
            return who
        if who is None and permit is not Permit.OPEN:
            return Refused(401, "Sign in first.")
        known = who or STRANGER
        if HIDE in request.headers:
            known = replace(known, data=False)
        scope["umbel.identity"], scope["umbel.user"] = known, known.name
        if permit is Permit.OPEN:
            return None
        return self._forbid(request, known, permit)

    def _forbid(self, request: Request, who: Identity, permit: Permit) -> Refused | None:
        rules = request.app.state.deps.rules
        key = who.name or address(request)
        wait = 0.0 if request.method in SAFE else self._changes.wait(key)
        if wait:
            return Refused(429, "Too many changes within a minute; wait a little.", wait)
        # Those that are refused count as well: each is written down.
        if request.method not in SAFE:
            self._changes.count(key)
        if not who.may(permit) or (permit is Permit.CONTROL and not rules.anything(who)):
            if self._login is None and self._nobody is STRANGER:
                return Refused(403, OPEN_TO_ALL)
            return Refused(403, f"Your role, {who.role.word}, may not do this: it needs the permission {permit.value}.")
        return None

    async def _quietly(self, request: Request) -> Identity | Refused | None:
        """Who asks for what is open to all; a store that is away keeps nobody from it."""
        if self._login is None:
            return self._nobody
        if not read(request, SESSION):
            return None
        try:
            return await self._recognise(request)
        except StoreError:
            return None

    async def _recognise(self, request: Request) -> Identity | Refused | None:
        login = self._login
        if login is None:
            return self._nobody
        given = request.headers.get("authorization", "")
        scheme, _, rest = given.partition(" ")
        try:
            # A Basic header that a proxy in front has looked at is passed on by many.
            if scheme.lower() == "bearer" or (scheme.lower() == "basic" and login.passwords is not None):
                return await self._by_header(login, request, scheme.lower(), rest.strip())
            by_proxy = login.by_proxy(peer(request), request.headers)
            if by_proxy is not None:
                return by_proxy
            cookie = read(request, SESSION)
            return await self._turns.run(lambda: login.by_session(cookie)) if cookie else None
        except StoreError:
            return Refused(503, "The store cannot be asked who you are. Try again in a moment.")
        except Busy as busy:
            return Refused(busy.status_code, busy.detail)

    async def _by_header(self, login: Login, request: Request, scheme: str, rest: str) -> Identity | Refused:
        key, attempts = origin(address(request)), login.attempts
        wait = attempts.quick(key)
        if not wait and scheme == "basic":
            # Nobody guesses a token, so only passwords are worth the question.
            wait = await self._turns.run(lambda: attempts.wait(key))
        if wait:
            return Refused(429, "Too many failed sign-ins from this address; wait a little.", wait)
        who: Identity | None = None
        if len(rest) <= HEADER:
            if scheme == "bearer":
                who = await self._turns.run(lambda: login.by_token(rest))
            else:
                pairs = basic(rest)
                who = await self._turns.run(lambda: _first(login, pairs))
        if who is None:
            await self._turns.run(lambda: attempts.count(key))
            return Refused(401, "The token is not known or has expired." if scheme == "bearer" else WRONG)
        return who

    def _answered(self, request: Request, path: str, refused: Refused) -> Response:
        """The answer; that somebody's role does not let them change something is written down first."""
        if refused.status == 403 and request.method not in SAFE:
            actions: Actions = request.app.state.actions
            what = self._permits.route(request.method, path).removeprefix(COMMAND) or path
            by = actor(
                request, "api" if path.startswith("/api/v1/") else "flower" if path.startswith("/api/") else "page"
            )
            actions.denied(by.asks(request.app.state.deps.clock.now(), what, {"path": path[:PATH]}), refused.message)
        return self._answer(request, path, refused)

    def _answer(self, request: Request, path: str, refused: Refused) -> Response:
        headers = {"Cache-Control": "no-store"}
        if refused.wait:
            headers["Retry-After"] = str(math.ceil(refused.wait))
        if refused.status == 401:
            place = _place(request, path)
            if "hx-request" in request.headers:
                headers["HX-Redirect"] = place
            elif _is_page(request, path):
                return RedirectResponse(place, 303, headers)
            else:
                offered = self._login is not None and self._login.passwords is not None
                headers["WWW-Authenticate"] = 'Basic realm="Umbel", charset="UTF-8"' if offered else "Bearer"
        return tell(request, Problem(refused.status, refused.message, headers=headers))


#: What a wrong name and a wrong password are told alike.
WRONG: Final = "The name or the password is wrong."


def _first(login: Login, pairs: list[tuple[str, str]]) -> Identity | None:
    return next((who for pair in pairs if (who := login.by_password(*pair))), None)


def basic(text: str) -> list[tuple[str, str]]:
    """User and password of a Basic header: as UTF-8, and where it is none as Latin-1, which old clients send."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return []
    try:
        decoded = raw.decode()
    except UnicodeDecodeError:
        decoded = raw.decode("latin-1")
    user, colon, password = decoded.partition(":")
    return [(user, password)] if colon else []


def address(request: Request) -> str:
    """Where a request comes from, as failed sign-ins are counted by it; what a trusted proxy says of it counts."""
    return request.client.host if request.client else "unix"


def peer(request: Request) -> str:
    """The address that the connection itself comes from, whatever headers say; `unix` for a socket file's."""
    found = request.scope.get("umbel.peer", request.scope.get("client"))
    return str(found[0]) if found and found[0] else "unix"


def _is_page(request: Request, path: str) -> bool:
    return (
        request.method in SAFE
        and not path.startswith(("/api/", "/hints", "/metrics"))
        and "text/html" in request.headers.get("accept", "")
    )


def _place(request: Request, path: str) -> str:
    """The address of the sign-in page, which leads back."""
    query = f"?{request.url.query}" if request.url.query else ""
    then = path + query if request.method in SAFE else ""
    asked = f"?{urlencode({'next': then})}" if then not in ("", "/") else ""
    return f"{request.scope.get('root_path', '')}/login{asked}"

"""What every answer says to browsers, and what no request may do: rebind our name or write from another site."""

from __future__ import annotations

import logging
from dataclasses import replace
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from umbel.logs import Limited
from umbel.settings import Settings

log = logging.getLogger(__name__)
limited = Limited(log)

#: Everything comes from ourselves; nothing inline, nothing evaluated, no frame around us.
POLICY: Final = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: Methods that change nothing.
SAFE: Final = frozenset({"GET", "HEAD"})
#: Names by which a machine knows itself.
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Security:
    """ASGI middleware, the outermost: refuses what is not allowed and puts `HEADERS` on every answer."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        #: None: bound to more than loopback, where any name may be ours.
        self._names = LOOPBACK | {host.strip("[]").lower()} if is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # What says nothing else is for whoever asked, and nobody's to keep.
                headers.setdefault("Cache-Control", "no-store")
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        reason = self._refusal(scope["method"], Headers(scope=scope))
        if reason:
            limited.warning("refused", f"refused {scope['method']} {scope['path'][:200]!r}: {reason}")
            await _refused(scope["path"], reason)(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    def _refusal(self, method: str, headers: Headers) -> str:
        host = headers.get("host", "")
        if self._names is not None and host and _name(host) not in self._names:
            return (
                f"Umbel listens on this machine only and does not go by the name {_name(host)[:100]!r}. "
                "Ask for it as localhost, or start it with --host to serve other names."
            )
        if method not in SAFE and not _same_site(headers, host):
            return "This request comes from another site, and Umbel changes nothing on behalf of other sites."
        return ""


#: What those hear who reach from elsewhere what has no login.
OPEN_TO_ALL: Final = (
    "Nobody signs in here, and others can reach it: so Umbel is read-only and hides arguments and results. "
    "Whoever runs it can give it a login."
)


def guarded(settings: Settings) -> Settings:
    """The settings to serve with: what others can reach without a login changes nothing, unless that is allowed."""
    if not exposed(settings):
        return settings
    log.warning(
        "listening on %s without a login: Umbel is read-only and hides arguments and results. Give it a login "
        "(--basic-auth, --auth-provider), or --allow-unauthenticated behind a proxy that has one",
        settings.host,
    )
    return replace(settings, read_only=True)


def exposed(settings: Settings) -> bool:
    """Whether others can reach what has no login, and nobody has allowed it."""
    reached = not settings.unix_socket and not is_loopback(settings.host)
    return reached and not settings.allow_unauthenticated and not settings.has_login


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refused(path: str, reason: str) -> Response:
    """As the API tells errors, and else as text: this stands before everything that could render a page."""
    if "/api/v1/" in path:
        return JSONResponse({"error": {"message": reason}}, 403)
    return PlainTextResponse(f"{reason}\n", 403)


def _name(host: str) -> str:
    """The name in a Host header, without the port; "" for one that is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _same_site(headers: Headers, host: str) -> bool:
    """Whether a request that writes comes from our own pages, the address bar or a program."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is not None:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    return not _from_browser(headers)


def _from_browser(headers: Headers) -> bool:
    if any(name.startswith("sec-") or name in ("referer", "cookie") for name in headers):
        return True
    return headers.get("user-agent", "").startswith("Mozilla/")

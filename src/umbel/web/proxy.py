"""What a proxy in front says of the client, believed only where the settings say that there is one."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send


class Proxied:
    """ASGI middleware: the client's address from X-Real-Ip (or X-Forwarded-For), the scheme from X-Scheme."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            # The proxy appends to X-Forwarded-For; only what it wrote itself, the last, can be believed.
            forwarded = headers.get("x-forwarded-for", "").rpartition(",")[2]
            client = _address(headers.get("x-real-ip", forwarded))
            scheme = headers.get("x-scheme", headers.get("x-forwarded-proto", "")).lower()
            scope = {
                **scope,
                # Who says all this: whether a proxy is trusted is judged by it.
                "umbel.peer": scope["client"],
                "client": (client, 0) if client else scope["client"],
                "scheme": scheme if scheme in ("http", "https") else scope["scheme"],
            }
        await self._app(scope, receive, send)


def _address(text: str) -> str:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return ""

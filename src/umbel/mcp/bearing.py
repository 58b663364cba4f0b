"""Carries on to the API the token that an assistant's request came with."""

from __future__ import annotations

import httpx2

from umbel.mcp.door import TOKEN


class Bearing(httpx2.BaseTransport):
    """Requests with a token of an assistant go by one way, with it; all others by the other."""

    def __init__(self, plain: httpx2.BaseTransport, tokens: httpx2.BaseTransport) -> None:
        self._plain = plain
        self._tokens = tokens

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        token = TOKEN.get()
        if not token:
            return self._plain.handle_request(request)
        request.headers["Authorization"] = f"Bearer {token}"
        return self._tokens.handle_request(request)

    def close(self) -> None:
        self._plain.close()
        if self._tokens is not self._plain:
            self._tokens.close()

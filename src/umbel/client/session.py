"""Requests to one Umbel: where it is, who asks, how long to wait, what is tried again, what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpx2
import msgspec

from umbel.client.errors import (
    ClientError,
    NotAccepted,
    NotAllowed,
    NotAnUmbel,
    NotFound,
    ServerFailed,
    Unavailable,
    Unreachable,
    WrongSearch,
)
from umbel.client.records import ProblemBody
from umbel.clock import Clock
from umbel.sources.backoff import Backoff

#: Seconds to connect.
CONNECT: Final = 10.0
#: Seconds that a wait before another try lasts at most, and that a server may ask for and be obeyed.
CAP: Final = 5.0
#: Bytes of an error that are looked at, and of an answer that is held in memory.
ERROR_BYTES: Final = 64 * 1024
ANSWER_BYTES: Final = 256 * 1024 * 1024
#: Answers of a proxy that has not reached the server.
PASSING: Final = frozenset({502, 504})
#: What a value of the query may be; a sequence is given once for each.
Value = str | int | float | Sequence[str]
Kind = TypeVar("Kind")

_MEANINGS: Final[Mapping[int, type[ClientError]]] = {401: NotAllowed, 403: NotAllowed, 404: NotFound}


class Session:
    """One Umbel; may be used from several threads."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        auth: tuple[str, str] | None,
        clock: Clock,
        *,
        timeout: float,
        retries: int,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """`timeout`: seconds of silence; `retries`: of requests that only look."""
        self.base, inside = _address(url)
        self._clock = clock
        self._retries = retries
        self._silence = timeout
        self._client = httpx2.Client(headers=dict(headers), auth=auth or inside, transport=transport)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, kind: type[Kind], query: Mapping[str, Value | None] | None = None) -> Kind:
        """What the address below `/api/v1` gives, tried again where that may help; raises `ClientError`."""
        backoff = Backoff(CAP)
        for tries_left in range(self._retries, -1, -1):
            try:
                with self.stream("GET", path, query=query) as response:
                    return self.decoded(response, kind)
            except (Unreachable, Unavailable) as error:
                wait = _wait(error, backoff)
                if not tries_left or wait is None:
                    raise
                self._clock.sleep(wait)
        raise AssertionError("every try returns or raises")

    def post(self, path: str, kind: type[Kind], body: object, query: Mapping[str, Value | None] | None = None) -> Kind:
        """What comes of a change; it is tried once. Raises `ClientError`."""
        with self.stream("POST", path, query=query, body=msgspec.json.encode(body)) as response:
            return self.decoded(response, kind)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Value | None] | None = None,
        body: bytes | None = None,
        patience: float = 0.0,
    ) -> Iterator[httpx2.Response]:
        """An answer as it comes; `patience`: seconds of silence that are expected on top.

        Raises `ClientError`, also while it is read: then what came is not the whole.
        """
        url = f"{self.base}/api/v1/{path}"
        given = {name: value for name, value in (query or {}).items() if value is not None}
        timeout = httpx2.Timeout(self._silence + patience, connect=CONNECT)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            with self._client.stream(
                method, url, params=given, content=body, headers=headers, timeout=timeout
            ) as response:
                if not response.is_success:
                    raise _problem(url, response)
                yield response
        except httpx2.TimeoutException as error:
            raise Unreachable(f"{self.base} cannot be asked: it was silent for too long; raise the timeout") from error
        except httpx2.RemoteProtocolError as error:
            text = f"{self.base} broke its answer off, what came is not the whole; its log says why"
            raise Unreachable(text) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise NotAccepted(f"{self.base} cannot be asked so: {error}") from error
        except httpx2.TransportError as error:
            raise Unreachable(f"{self.base} cannot be asked: {str(error) or type(error).__name__}") from error

    def decoded(self, response: httpx2.Response, kind: type[Kind]) -> Kind:
        """A whole answer; raises `ClientError` where it is too long, or no Umbel's."""
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > ANSWER_BYTES:
                raise NotAccepted(f"{self.base} answers with more than {ANSWER_BYTES:,} bytes; ask for less at once")
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError as error:
            raise NotAnUmbel(f"{self.base} answers what no Umbel would: {error}; is this its address?") from error


def _address(url: str) -> tuple[str, tuple[str, str] | None]:
    """Where to ask, and the user and password that stood within; raises `NotAccepted`."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError as error:
        raise NotAccepted(f"{url!r} is no address of an Umbel: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotAccepted(f"{url!r} is no address of an Umbel; one such as http://host:5555 is expected")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    inside = None if parts.username is None else (parts.username, parts.password or "")
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path.rstrip("/"), "", "")), inside


def _wait(error: ClientError, backoff: Backoff) -> float | None:
    """Seconds to wait before another try; None where none would help."""
    if not isinstance(error, Unavailable):
        return backoff.delay()
    asked = error.retry_after
    return None if asked is None or asked > CAP else max(asked, backoff.delay())


def _problem(url: str, response: httpx2.Response) -> ClientError:
    """What an answer that is no success means."""
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > ERROR_BYTES:
            break
    status = response.status_code
    try:
        told = msgspec.json.decode(body, type=ProblemBody).error
    except msgspec.DecodeError:
        return _foreign(url, response)
    if told.position is not None:
        return WrongSearch(told.message, told.position)
    message = f"{url} answers {status}: {told.message}"
    if status == 401:
        message += " A token from `umbel token create` is one way"
    if status in (429, 503):
        return Unavailable(message, _seconds(response.headers.get("Retry-After", "")))
    kind = _MEANINGS.get(status, NotAccepted if status < 500 or status == 501 else ServerFailed)
    return kind(message)


def _foreign(url: str, response: httpx2.Response) -> ClientError:
    status = response.status_code
    if status in PASSING:
        return Unavailable(f"{url} answers {status}: a proxy does not reach Umbel behind it", 0.0)
    if response.has_redirect_location:
        return NotAnUmbel(f"{url} leads elsewhere ({status}): give the address that it leads to")
    return NotAnUmbel(f"{url} answers {status}: is this the address of an Umbel?")


def _seconds(text: str) -> float | None:
    return float(text) if text.isdecimal() and len(text) < 9 else None

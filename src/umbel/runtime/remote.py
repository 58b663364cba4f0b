"""Another Umbel's answers, over its API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx2
import msgspec

from umbel.errors import QueryError, SettingsError, UmbelError

#: Seconds to connect, and of silence: a search may look for long before it finds a task.
CONNECT: Final = 10.0
SILENCE: Final = 120.0
#: Bytes of an error that are looked at.
ERROR_BYTES: Final = 64 * 1024


class RemoteError(UmbelError):
    """The other Umbel cannot be asked."""


class _Told(msgspec.Struct):
    message: str
    position: int | None = None


class _Error(msgspec.Struct):
    error: _Told


@contextmanager
def export(base: str, parameters: Mapping[str, str | int]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """An export of the Umbel at `base`: how many tasks matched, as it says it ("12", "10000+"), and the file's pieces.

    Raises `SettingsError` for a URL that is none, `QueryError` for a search that the other does not understand, and
    `RemoteError` for all else, also while the pieces come: then what came is not the whole.
    """
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"--url: {base!r} is no address of an Umbel; one such as http://host:5555 is expected")
    timeout = httpx2.Timeout(SILENCE, connect=CONNECT)
    url = f"{base.rstrip('/')}/api/v1/tasks/export"
    try:
        with httpx2.Client(timeout=timeout) as client, client.stream("GET", url, params=dict(parameters)) as response:
            if response.status_code != 200:
                raise _problem(url, response)
            yield response.headers.get("X-Umbel-Tasks", ""), response.iter_bytes()
    except httpx2.RemoteProtocolError as error:
        raise RemoteError(f"{base} broke its answer off, what came is not the whole; its log says why") from error
    except httpx2.TransportError as error:
        raise RemoteError(f"{base} cannot be asked: {str(error) or type(error).__name__}") from error
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise SettingsError(f"--url: {base!r} is no address: {error}") from error


def _problem(url: str, response: httpx2.Response) -> UmbelError:
    body = b""
    for piece in response.iter_bytes():
        body += piece
        if len(body) > ERROR_BYTES:
            break
    try:
        told = msgspec.json.decode(body, type=_Error).error
    except msgspec.DecodeError:
        return RemoteError(f"{url} answers {response.status_code}: is this the address of an Umbel?")
    if told.position is not None:
        return QueryError(told.message.removesuffix(f" at character {told.position + 1}"), told.position)
    return RemoteError(f"{url} answers {response.status_code}: {told.message}")

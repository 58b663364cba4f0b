"""Parameters as Flower reads them: from the address or a form, the last of each name, with its words for mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final, NoReturn
from urllib.parse import parse_qsl

from fastapi import Request

from umbel.web.api_bodies import read_body
from umbel.web.flower.route import Refusal

_TRUE: Final = frozenset({"y", "yes", "t", "true", "on", "1"})
_FALSE: Final = frozenset({"n", "no", "f", "false", "off", "0"})


class Params:
    """The parameters of one request."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str, default: str | None = None) -> str | None:
        """A text, or the default where the parameter is absent."""
        return self._values.get(name, default)

    def required(self, name: str) -> str:
        """A text that must be there, else 400."""
        found = self._values.get(name)
        if found is None:
            raise Refusal(400, f"Missing argument {name}")
        return found

    def whole(self, name: str, default: int | None = None) -> int | None:
        """A whole number."""
        text = self._values.get(name)
        try:
            return default if text is None else int(text)
        except ValueError:
            _wrong(text, "int")

    def number(self, name: str) -> float | None:
        """A number; None where the parameter is absent."""
        text = self._values.get(name)
        try:
            return None if text is None else float(text)
        except ValueError:
            _wrong(text, "float")

    def flag(self, name: str) -> bool:
        """Yes or no; no where the parameter is absent."""
        text = self._values.get(name, "no")
        if text.lower() not in _TRUE | _FALSE:
            _wrong(text, "bool")
        return text.lower() in _TRUE

    def required_whole(self, name: str) -> int:
        """A whole number that must be there, else 400."""
        self.required(name)
        return self.whole(name) or 0


def _wrong(text: str | None, kind: str) -> NoReturn:
    raise Refusal(400, f"Invalid argument '{(text or '')[:200]}' of type '{kind}'")


def of_query(request: Request) -> Params:
    """The parameters of the address alone."""
    return Params(_pairs(request.url.query))


async def of_request(request: Request) -> Params:
    """Those of the address and of a form in the body."""
    kind = request.headers.get("content-type", "")
    values = _pairs(request.url.query)
    if kind.startswith("application/x-www-form-urlencoded"):
        values |= _pairs((await read_body(request)).decode("utf-8", "replace"))
    elif kind.startswith("multipart/form-data"):
        values |= _parts(kind, await read_body(request))
    return Params(values)


def _pairs(text: str) -> dict[str, str]:
    return {name: value.strip() for name, value in parse_qsl(text, keep_blank_values=True)}


def _parts(kind: str, body: bytes) -> dict[str, str]:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n" + body)
    found = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        if name is not None:
            found[str(name)] = part.get_payload(decode=True).decode("utf-8", "replace").strip()  # type: ignore[union-attr] # a part of a form is no message
    return found

"""Forms as browsers send them, with a bound on bytes and fields."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request

from umbel.web.api_bodies import read_body

#: Bytes of a form unless a page says otherwise, and its fields.
FORM: Final = 64 * 1024
FIELDS: Final = 200


def parse(text: str, *, strip: bool = True) -> list[tuple[str, str]]:
    """The fields of a form or an address that are filled in; 400 where there are too many."""
    try:
        found = parse_qsl(text, max_num_fields=FIELDS)
    except ValueError as error:
        raise HTTPException(400, f"The form has more than {FIELDS} fields.") from error
    return [(name, value.strip() if strip else value) for name, value in found if value.strip()]


async def pairs(request: Request, limit: int = FORM, *, strip: bool = True) -> list[tuple[str, str]]:
    """The fields of a form that are filled in, one that comes twice as often as it comes; 413 beyond `limit` bytes."""
    return parse((await read_body(request, limit)).decode("utf-8", "replace"), strip=strip)


async def form(request: Request, limit: int = FORM, *, strip: bool = True) -> dict[str, str]:
    """The same by name."""
    return dict(await pairs(request, limit, strip=strip))

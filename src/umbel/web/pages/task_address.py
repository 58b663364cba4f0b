"""The address of the list of tasks: what its forms ask becomes the one address that says the same."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from umbel.errors import QueryError
from umbel.model import terms
from umbel.model.query import Field
from umbel.web.pages.task_columns import as_text, columns_of, moved_left


def canonical(given: QueryParams, usual: str = "") -> str | None:
    """The query part of the page's own address for what a form asked; None where the address is that already.

    `usual` is the list of columns that is shown unless the address names some.
    `from` and `to` are the bounds of a span of time, `cols` may come several times, `left` moves one of them.
    """
    start, end, left = given.get("from"), given.get("to"), given.get("left")
    cols = given.getlist("cols")
    if start is None and end is None and left is None and len(cols) < 2:
        return None
    q = given.get("q", "")
    if start is not None or end is not None:
        # A search that cannot be understood stays as it is: the page says what is wrong with it.
        with suppress(QueryError):
            q = terms.within(q, Field.RECEIVED, start or "", end or "")
    shown = as_text(columns_of(moved_left(cols, left or "")), usual)
    asked = {"q": q, "state": given.get("state", ""), "cols": shown}
    text = urlencode({name: value for name, value in asked.items() if value})
    return f"?{text}" if text else ""

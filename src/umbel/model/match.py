"""Comparing texts as conditions do: ASCII case ignored where they contain, exact otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable

from umbel.model.query import Op


def ascii_lower(text: str) -> str:
    """In lower case as the engines' `lower` makes it: letters beyond ASCII stay as they are."""
    return text.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")


def text_test(op: Op, value: str) -> Callable[[str], bool]:
    """The test of a text that `op` (EQ, CONTAINS or GLOB) makes with a value."""
    if op is Op.EQ:
        return lambda text: text == value
    if op is Op.CONTAINS:
        lowered = ascii_lower(value)
        return lambda text: lowered in ascii_lower(text)
    pattern = re.compile(".*".join(re.escape(part) for part in value.split("*")), re.DOTALL)
    return lambda text: pattern.fullmatch(text) is not None

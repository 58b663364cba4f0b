"""Texts as PostgreSQL can hold and compare them: it refuses the character NUL, so that one is written as two others."""

from __future__ import annotations

import re
from hashlib import md5
from typing import Final
from uuid import UUID

#: Begins a written NUL; where it stands in a text itself it is written as two characters as well.
_MARK: Final = "\ue000"
_NUL: Final = "\x00"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def stored(text: str) -> str:
    """The text as it is stored; no two texts are stored alike."""
    if _NUL in text or _MARK in text:
        return text.replace(_MARK, f"{_MARK}1").replace(_NUL, f"{_MARK}0")
    return text


def told(text: str) -> str:
    """The text that a stored one stands for."""
    return text.replace(f"{_MARK}0", _NUL).replace(f"{_MARK}1", _MARK) if _MARK in text else text


def sought(text: str) -> str:
    """The text to look for among stored ones; half a surrogate pair, which no stored text has, finds nothing."""
    return _SURROGATE.sub(f"{_MARK}2", stored(text))


def like_pattern(value: str) -> str:
    r"""A pattern in which only `*` is special, as LIKE … ESCAPE '\' wants it."""
    return escaped(value).replace("*", "%")


def escaped(value: str) -> str:
    """A text as it stands for itself in a pattern."""
    return re.sub(r"([\\%_])", r"\\\1", sought(value))


def key_of(name: str) -> UUID:
    """A digest of a task name: names may be too long for an index."""
    return UUID(bytes=md5(name.encode(errors="surrogatepass"), usedforsecurity=False).digest())

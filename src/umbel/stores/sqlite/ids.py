"""Task ids as they are stored: canonical UUIDs, which Celery makes, in 16 bytes, any other id as its text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: An id in its stored form.
Key = bytes | str
#: The same as a statement's parameter: sqlite3 looks for an adapter of `bytes`, at a cost, and takes this as it is.
BoundKey = bytearray | str

#: The stretches of tasks by which an open segment indexes its ids (`task_id` in segment.sql).
STRETCHES: Final = (
    "WITH RECURSIVE stretch (k) AS (SELECT min(n) >> 13 FROM task "
    "UNION ALL SELECT k + 1 FROM stretch WHERE k < (SELECT max(n) >> 13 FROM task))"
)
#: The order numbers of tasks by their ids, in segments of any kind: a query, to be followed by what to test `id` for.
WITH_ID: Final = f"{STRETCHES} SELECT n FROM stretch CROSS JOIN task ON n >> 13 = k WHERE id"  # noqa: S608 - ours

_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_CANONICAL: Final = re.compile(_UUID).fullmatch
_ALL_CANONICAL: Final = re.compile(f"(?:{_UUID})*+").fullmatch


def to_key(id_: str) -> Key:
    """The stored form of an id."""
    if len(id_) == 36 and _CANONICAL(id_):
        return bytes.fromhex(id_.replace("-", ""))
    return id_


def bound_key(id_: str) -> BoundKey:
    """The stored form of an id as a parameter."""
    if len(id_) == 36 and _CANONICAL(id_):
        return bytearray.fromhex(id_.replace("-", ""))
    return id_


def bound_keys(ids: Sequence[str]) -> list[BoundKey]:
    """The stored forms of many ids, for less where all are canonical UUIDs."""
    joined = "".join(ids)
    if any(map((36).__ne__, map(len, ids))) or not _ALL_CANONICAL(joined):
        return list(map(bound_key, ids))
    raw = bytearray.fromhex(joined.replace("-", ""))
    return [raw[at : at + 16] for at in range(0, len(raw), 16)]


def to_text(key: Key) -> str:
    """The id that a stored form stands for."""
    if isinstance(key, str):
        return key
    text = key.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

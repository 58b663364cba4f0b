"""Counts of a rollup by their code, as engines keep them in one value: msgpack, {code: count}."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

Cells = dict[int, int]

pack_cells: Final = msgspec.msgpack.Encoder().encode
decode_cells: Final[Callable[[bytes], Cells]] = msgspec.msgpack.Decoder(dict[int, int]).decode


def add(into: Cells, cells: Mapping[int, int]) -> None:
    """Add counts to counts."""
    get = into.get
    for code, count in cells.items():
        into[code] = get(code, 0) + count


def add_named(into: dict[str, Cells], rows: Iterable[tuple[str, Mapping[int, int]]]) -> None:
    """Add counts to those of their names."""
    for name, cells in rows:
        found = into.get(name)
        if found is None:
            into[name] = dict(cells)
        else:
            add(found, cells)

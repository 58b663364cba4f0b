"""Rollups of ten minutes: every segment keeps them but those that were begun before there were any."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from itertools import groupby
from pathlib import Path
from typing import Final

from umbel.model.series import MINUTE, TEN_MINUTES
from umbel.stores.sqlfile import load
from umbel.stores.sqlite.vectors import Sum

#: Minutes of a row.
MINUTES: Final = TEN_MINUTES // MINUTE

_SQL: Final = load(Path(__file__).with_name("segment.sql"))


def make(connection: sqlite3.Connection) -> None:
    """Note that a segment has rows of ten minutes, and make them where it has none yet; inside a transaction."""
    connection.execute(_SQL["note_tens"])
    if connection.execute(_SQL["first_of"], (TEN_MINUTES,)).fetchone():
        return
    rows = connection.cursor().execute(_SQL["minutes"], (MINUTE,))
    for at, minutes in groupby(rows, lambda row: row[0] // MINUTES):
        names: defaultdict[int, Sum] = defaultdict(Sum)
        for _, name, cells in minutes:
            names[name].add(cells)
        sums = [(TEN_MINUTES, at, name, found.packed()) for name, found in names.items()]
        connection.executemany(_SQL["put_rollup"], sums)

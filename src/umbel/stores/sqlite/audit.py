"""The audit trail in a small SQLite file of its own: any number of web processes write to it, and it survives them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from umbel.clock import Clock
from umbel.control.audit import (
    ACTION_BYTES,
    ACTIONS,
    ALIKE,
    DENIAL_BYTES,
    DENIALS,
    DENIED,
    DETAIL_BYTES,
    REPLIES,
    Action,
    Recorded,
    Told,
)
from umbel.stores import migrate
from umbel.stores.sqlfile import load
from umbel.stores.sqlite.beside import Beside

_SQL: Final = load(Path(__file__).with_name("audit.sql"))
_MIGRATIONS: Final = migrate.load(Path(__file__).parent / "migrations" / "audit")
#: Actions after which the bounds are looked at.
TRIM_EVERY: Final = 100
_NEWEST: Final = 1 << 62


class SqliteAudit:
    """`umbel.control.audit.Audit` in a file; a damaged one is set aside under a dated name and a new one begun."""

    def __init__(
        self, file: Path, clock: Clock, actions: int = ACTIONS, size: int = ACTION_BYTES, denials: int = DENIALS
    ) -> None:
        remedy = "give another --data-dir"
        self._beside = Beside(file, clock, _MIGRATIONS, "the audit trail", remedy)
        self._actions = actions
        self._size = size
        self._denials = denials
        self._written = 0

    def begin(self, action: Action) -> int:
        with self._beside.open() as connection:
            number = connection.execute(_SQL["begin"], _row(action)).lastrowid
            if self._written % TRIM_EVERY == 0:
                self._trim(connection)
            self._written += 1
        return number or 0

    def deny(self, action: Action, why: str) -> None:
        row = _row(action, DENIAL_BYTES)
        told = {"at": action.at, "alike": _alike(action.at, row, why), "who": row[1], "why": why[:1_000]}
        with self._beside.transaction() as connection:
            if connection.execute(_SQL["denied_again"], told).rowcount:
                return
            number = connection.execute(_SQL["begin"], row).lastrowid
            connection.execute(_SQL["denied"], {**told, "action": number})
            if connection.execute(_SQL["trim_denied"], (self._denials,)).rowcount > 0:
                connection.execute(_SQL["forget_denied"])

    def end(self, number: int, at: float, replies: Sequence[Told]) -> None:
        with self._beside.open() as connection:
            connection.execute(_SQL["end"], (number, at, json.dumps(_within(replies[:REPLIES]))))

    def read(self, limit: int, before: int | None = None) -> Sequence[Recorded]:
        with self._beside.open() as connection:
            rows = connection.execute(_SQL["read"], (before or _NEWEST, limit)).fetchall()
        return [_recorded(row) for row in rows]

    def close(self) -> None:
        self._beside.close()

    def _trim(self, connection: sqlite3.Connection) -> None:
        gone = connection.execute(_SQL["trim"], (self._actions,)).rowcount
        gone += connection.execute(_SQL["trim_bytes"], (self._size,)).rowcount
        if gone > 0:
            connection.execute(_SQL["trim_outcomes"])


def _row(action: Action, bound: int = DETAIL_BYTES) -> tuple[Any, ...]:
    return (
        action.at,
        action.who[:1_000],
        action.origin[:1_000],
        action.what[:1_000],
        action.via,
        _cut(json.dumps(action.arguments, default=repr), bound),
        _cut(json.dumps(list(action.destination)), bound),
    )


def _alike(at: float, row: tuple[Any, ...], why: str) -> str:
    """What two attempts have in common that are told as one."""
    return f"{at // ALIKE:.0f} {sha256(json.dumps([*row[1:], why]).encode()).hexdigest()}"


def _cut(text: str, bound: int) -> str:
    """JSON within the bound; what is longer becomes a JSON text of its beginning."""
    return text if len(text) <= bound else json.dumps(f"{text[: bound // 2]}…")


def _within(replies: Sequence[Told]) -> list[Told]:
    """Texts shortened until all of them fit the bound."""
    room = max(20, DETAIL_BYTES // max(1, len(replies)))
    return [Told(worker, outcome, text[:room]) for worker, outcome, text in replies]


def _recorded(row: tuple[Any, ...]) -> Recorded:
    number, at, who, origin, what, via, arguments, destination, ended_at, replies, times, last_at, why = row
    given, addressed = json.loads(arguments), json.loads(destination)
    action = Action(
        at,
        who,
        origin,
        what,
        via,
        given if isinstance(given, dict) else {"cut": given},
        addressed if isinstance(addressed, list) else [addressed],
    )
    if times:
        return Recorded(number, action, last_at, [Told("", DENIED, why)], times)
    return Recorded(number, action, ended_at, [Told(*told) for told in json.loads(replies or "[]")])

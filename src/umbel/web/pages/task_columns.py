"""The columns of the list of tasks: which there are, and which an address asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `key` is its name in the API and in the address."""

    key: str
    title: str
    #: Classes of its cells: how they stand in a table, and on the cards of a narrow screen.
    style: str
    #: Of its head: how wide it is.
    width: str = ""


_ALL: Final = (
    Column("state", "State", "first", "w-state"),
    Column("name", "Name", "name", "w-name"),
    Column("id", "Id", "id mono quiet off", "w-id"),
    Column("args", "Arguments", "args wide", "w-args"),
    Column("worker", "Worker", "mid", "w-worker"),
    Column("queue", "Queue", "queue off soft", "w-queue"),
    Column("sent", "Sent", "end nowrap", "w-time"),
    Column("received", "Received", "end nowrap", "w-time"),
    Column("started", "Started", "end nowrap", "w-time"),
    Column("finished", "Ended", "end nowrap", "w-time"),
    Column("wait", "Wait", "num", "num w-dur"),
    Column("run", "Run", "num", "num w-dur"),
    Column("retries", "Retries", "num", "num w-retries"),
    Column("result", "Result", "args wide"),
    Column("exception", "Exception", "args wide"),
    Column("root", "Root", "id mono quiet off", "w-id"),
    Column("parent", "Parent", "id mono quiet off", "w-id"),
)
COLUMNS: Final = {column.key: column for column in _ALL}
USUAL: Final = ("state", "name", "id", "args", "worker", "queue", "received", "wait", "run", "retries")
#: What Flower calls them.
ALIASES: Final = {"uuid": "id", "kwargs": "args", "runtime": "run", "routing_key": "queue"} | dict.fromkeys(
    ("succeeded", "failed", "revoked"), "finished"
)


def columns_of(text: str, usual: str = "") -> list[Column]:
    """The columns that a list with commas names, in its order; what is unknown is left out, none at all: the usual.

    `usual` is the list that somebody set in place of `USUAL`.
    """
    found = _known(text) or _known(usual) or list(USUAL)
    return [COLUMNS[key] for key in found]


def _known(text: str) -> list[str]:
    keys = (ALIASES.get(name, name) for name in (part.strip().lower() for part in text.split(",")))
    return list(dict.fromkeys(key for key in keys if key in COLUMNS))


def others(shown: Sequence[Column]) -> list[Column]:
    """The columns that are not shown."""
    return [column for column in _ALL if column not in shown]


def as_text(shown: Sequence[Column], usual: str = "") -> str:
    """The list for the address; "" for the usual columns."""
    return "" if list(shown) == columns_of("", usual) else ",".join(column.key for column in shown)


def moved_left(keys: Sequence[str], key: str) -> str:
    """The list with one of its names a place further to the left."""
    found = [name for text in keys for name in text.split(",")]
    at = found.index(key) if key in found else 0
    if at > 0:
        found[at - 1], found[at] = found[at], found[at - 1]
    return ",".join(found)

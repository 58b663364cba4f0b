"""What alerting remembers, as rows of its book: what each shelf holds, and how it is written."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from umbel.access.identity import glob
from umbel.alerts.book import Row, Shelf

T = TypeVar("T")


class Measured(Struct, frozen=True):
    """What the latest round found of one rule."""

    now: str
    error: str = ""
    #: How many things it holds for, and since when nothing could be judged (UTC seconds), 0 where it can.
    holds: int = 0
    blind_since: float = 0.0


class Round(Struct, frozen=True):
    """The latest round."""

    who: str
    at: float
    #: Seconds that it took, and until the next.
    took: float
    every: float
    rules: dict[str, Measured] = {}


class Silence(Struct, frozen=True):
    """Until when nothing is told of what it matches; `*` in rule and subject stands for any run of characters."""

    until: float
    who: str
    reason: str
    rule: str = "*"
    subject: str = "*"

    def covers(self, rule: str, subject: str, now: float) -> bool:
        """Whether it keeps this quiet at `now`."""
        return now < self.until and bool(glob(self.rule).match(rule)) and bool(glob(self.subject).match(subject))


class Total(Struct, frozen=True):
    """What became of the notices to one destination."""

    sent: int = 0
    failed: int = 0


class Known(Struct, frozen=True):
    """A kind of failure that was seen; the row's time is when it was last seen."""

    first_at: float
    type: str = ""
    place: str = ""
    message: str = ""
    name: str = ""
    task: str = ""


class Made(Struct, frozen=True):
    """A rule that was made on the page: as a file would write it, and who wrote it last."""

    table: dict[str, Any]
    who: str


class Past(Struct, frozen=True):
    """Something that happened."""

    #: fired, over, sent, failed, silenced, unsilenced, kept, dropped.
    what: str
    #: A rule, or the title of a notice; and what it was about, or where it went.
    subject: str
    key: str = ""
    detail: str = ""


_encode: Final = msgspec.json.Encoder().encode


def row(shelf: Shelf, key: str, at: float, value: Struct) -> Row:
    """The row that holds a record."""
    return Row(shelf, key[:200] or "-", at, _encode(value).decode())


def record(found: Row, kind: type[T]) -> T:
    """The record that a row holds."""
    return msgspec.json.decode(found.data, type=kind)

"""Which kinds of failure were seen before: those of the first look are known, whatever comes after is new.

The first hour of a history is learnt from: nothing was seen before it, so everything would be new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from umbel.alerts.book import ROWS, AlertBook, Row, Shelf
from umbel.alerts.records import Known, record, row
from umbel.model.query import EVERYTHING, Order, Page
from umbel.model.workflow import first_at
from umbel.stores.base import StoreReader
from umbel.web.pages.failures import sample

#: Seconds looked back at first, learnt from at the beginning of a history, and looked back later: events may come late.
FIRST: Final = 86_400.0
LEARNT: Final = 3_600.0
LATER: Final = 600.0
#: Seconds after which it is noted again that a kind still occurs, so that it is not forgotten.
NOTED: Final = 3_600.0
#: Marks that there has been a first look; it was "first seen" when what comes begins to be new.
_BEGUN: Final = "begun"


class Seen:
    """The fingerprints on the shelf, kept in memory between the rounds of one leader."""

    def __init__(self, book: AlertBook) -> None:
        self._book = book
        self._known: dict[str, tuple[float, Known]] | None = None

    def forget(self) -> None:
        """Read them again: another may have led meanwhile."""
        self._known = None

    def known(self) -> Mapping[str, Known]:
        """By fingerprint; those of the first look are of old: they were first seen at 0."""
        return {key: one for key, (_at, one) in self._loaded().items() if key != _BEGUN}

    def look(self, reader: StoreReader, now: float) -> list[Row]:
        """Look at the newest failures; the rows that note what was not known. `commit` them once they are stored."""
        known = self._loaded()
        begun = _BEGUN in known
        kinds = sample(reader, now - (LATER if begun else FIRST)).kinds
        mark = known[_BEGUN][1] if begun else Known(max(now, _since(reader, now) + LEARNT))
        new = begun and now >= mark.first_at
        rows = [] if begun else [row(Shelf.KNOWN, _BEGUN, now, mark)]
        for kind in kinds:
            print_ = kind.fingerprint
            noted_at, one = known.get(print_.key, (0.0, None))
            if one is None:
                one = Known(
                    now if new else 0.0, print_.type, print_.place, print_.message, kind.latest.name, kind.latest.id
                )
            elif now - noted_at < NOTED:
                continue
            rows.append(row(Shelf.KNOWN, print_.key, now, one))
        if begun and rows and now - known[_BEGUN][0] >= NOTED:
            rows.append(row(Shelf.KNOWN, _BEGUN, now, mark))
        return rows

    def with_rows(self, rows: Sequence[Row]) -> Mapping[str, Known]:
        """What is known once these are stored."""
        return {**self.known(), **{one.key: record(one, Known) for one in rows if one.key != _BEGUN}}

    def commit(self, rows: Sequence[Row]) -> None:
        """These are stored."""
        known = self._loaded()
        known.update((one.key, (one.at, record(one, Known))) for one in rows)
        if len(known) > ROWS[Shelf.KNOWN]:
            # The book has dropped the oldest.
            self.forget()

    def _loaded(self) -> dict[str, tuple[float, Known]]:
        if self._known is None:
            self._known = {one.key: (one.at, record(one, Known)) for one in self._book.read(Shelf.KNOWN)}
        return self._known


def _since(reader: StoreReader, now: float) -> float:
    """When the history begins, UTC seconds."""
    oldest = reader.tasks(EVERYTHING, Page(1, order=Order.OLDEST)).items
    return min(first_at(oldest[0]), now) if oldest else now

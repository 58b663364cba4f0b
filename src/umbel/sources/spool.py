"""The spool as the collector's source: what `umbel receive` has captured and put on disk."""

from __future__ import annotations

import logging
from pathlib import Path

from umbel.buffer.reader import SpoolReader
from umbel.buffer.segments import list_aside
from umbel.clock import Clock
from umbel.errors import SourceError, SpoolError
from umbel.logs import Limited
from umbel.sources.base import Batch, Limits, SourceStatus

log = logging.getLogger(__name__)


class SpoolSource:
    """Reads the spool in `directory`; `limit` is its bound in bytes, for the status. See `umbel.sources.base.Source`.

    Whether the receiver has a connection to the broker is in the receiver's own status, not in this one.
    """

    name = "spool"

    def __init__(self, directory: Path, limit: int, clock: Clock) -> None:
        self._directory = directory
        self._limit = limit
        self._clock = clock
        self._limited = Limited(log, clock)
        self._reader: SpoolReader | None = None
        self._since = clock.now()
        self._error = "not open"

    def open(self, position: str | None) -> None:
        self.close()
        reader = SpoolReader(self._directory, self._clock)
        try:
            reader.open(position)
        except SpoolError as error:
            raise SourceError(str(error)) from error
        self._reader = reader
        self._tell("")

    def poll(self, limits: Limits) -> Batch:
        reader = self._opened()
        try:
            read = reader.read(limits.messages, limits.bytes, limits.wait)
        except (SpoolError, OSError) as error:
            # A disk that fails now may answer later; what was committed is safe in the store.
            self._tell(f"the spool in {self._directory} cannot be read: {error}")
            self._limited.warning("spool-read", self._error)
            self._clock.sleep(limits.wait)
            return Batch()
        self._tell("")
        return Batch(
            envelopes=read.messages,
            bytes=read.bytes,
            position=read.position,
            captured_at=read.captured_at,
            discarded=read.discarded,
            ledger=read.ledger,
            more=read.more,
        )

    def commit(self, position: str) -> None:
        self._opened().commit(position)

    def finished(self) -> bool:
        return False

    def status(self) -> SourceStatus:
        reader = self._reader
        if reader is None:
            return SourceStatus(connected=False, since=self._since, error=self._error, buffer_limit=self._limit)
        backlog = reader.backlog()
        return SourceStatus(
            connected=not self._error,
            since=self._since,
            error=self._error,
            backlog_events=backlog.events,
            buffer_bytes=backlog.bytes,
            buffer_limit=self._limit,
            oldest_at=backlog.oldest_at,
            set_aside=list_aside(self._directory),
        )

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            self._tell("not open")

    def _opened(self) -> SpoolReader:
        if self._reader is None:
            raise SourceError(f"the spool in {self._directory} is not open; call open() first")
        return self._reader

    def _tell(self, error: str) -> None:
        """Enter how it fares, with the time of a change."""
        if bool(error) != bool(self._error):
            self._since = self._clock.now()
        self._error = error

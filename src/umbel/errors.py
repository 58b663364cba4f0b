"""Every error that Umbel raises on purpose.

UmbelError
├── SettingsError      a wrong option, environment variable or configuration file
├── BrokerError        the broker cannot be reached, refuses us or lacks something
├── SourceError        events cannot be read (spool, queue, recording)
├── SpoolError         the spool cannot be written or read
├── StoreError         the store cannot be opened, read or written
│   └── StoreBusy      the store is locked or full just now; the same write may succeed later
├── QueryError         a search that cannot be understood; knows the position
├── ControlError       a remote control command failed or was refused
└── ProcessError       a part could not be started or kept alive

The docstring of a class is its default message; messages name the thing and the remedy.
"""

from __future__ import annotations


class UmbelError(Exception):
    """Umbel cannot go on."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class SettingsError(UmbelError):
    """An option has a value that cannot be used."""


class BrokerError(UmbelError):
    """The broker cannot be used."""


class SourceError(UmbelError):
    """Events cannot be read from their source."""


class SpoolError(UmbelError):
    """The spool cannot be used."""


class StoreError(UmbelError):
    """The store cannot be used."""


class StoreBusy(StoreError):
    """The store cannot take a write just now; try again."""


class QueryError(UmbelError):
    """The search cannot be understood."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at character {position + 1}")
        #: What is wrong, without the position.
        self.reason = message
        #: Offset into the search text, from 0.
        self.position = position


class ControlError(UmbelError):
    """The remote control command failed."""


class ProcessError(UmbelError):
    """A part of Umbel could not be started."""

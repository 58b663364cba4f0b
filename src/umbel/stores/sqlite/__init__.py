"""The store in SQLite files: nothing to install, one writer, any number of readers.

`PATH` is the catalog; `PATH.segments/` holds one file for each 250,000 tasks, which retention drops whole.
"""

from __future__ import annotations

from umbel.stores.sqlite.alerts import SqliteAlertBook
from umbel.stores.sqlite.files import path_of
from umbel.stores.sqlite.journal import SqliteJournal
from umbel.stores.sqlite.keeper import SqliteKeeper
from umbel.stores.sqlite.reader import SqliteReader
from umbel.stores.sqlite.vault import SqliteVault
from umbel.stores.sqlite.writer import SqliteWriter

__all__ = ["SqliteAlertBook", "SqliteJournal", "SqliteKeeper", "SqliteReader", "SqliteVault", "SqliteWriter", "path_of"]

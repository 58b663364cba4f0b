"""The store in a PostgreSQL database: several collectors, several webs.

Everything lies in one schema of the database. What a commit changes is one transaction.
"""

from __future__ import annotations

from umbel.stores.postgres.alerts import PostgresAlertBook
from umbel.stores.postgres.journal import PostgresJournal
from umbel.stores.postgres.keeper import PostgresKeeper
from umbel.stores.postgres.reader import PostgresReader
from umbel.stores.postgres.target import path_of
from umbel.stores.postgres.vault import PostgresVault
from umbel.stores.postgres.writer import PostgresWriter

__all__ = [
    "PostgresAlertBook",
    "PostgresJournal",
    "PostgresKeeper",
    "PostgresReader",
    "PostgresVault",
    "PostgresWriter",
    "path_of",
]

"""The store in ClickHouse: any number of collectors and webs, on one server or a cluster of them.

Every row is a piece of a join: what it adds up to does not depend on who wrote it, when, or how often. No record is
read to be written. See docs/clickhouse.md.
"""

from __future__ import annotations

from umbel.stores.clickhouse.alerts import ClickHouseAlertBook
from umbel.stores.clickhouse.journal import ClickHouseJournal
from umbel.stores.clickhouse.reader import ClickHouseReader
from umbel.stores.clickhouse.target import target_of as path_of
from umbel.stores.clickhouse.vault import ClickHouseVault
from umbel.stores.clickhouse.writer import ClickHouseWriter

__all__ = [
    "ClickHouseAlertBook",
    "ClickHouseJournal",
    "ClickHouseReader",
    "ClickHouseVault",
    "ClickHouseWriter",
    "path_of",
]

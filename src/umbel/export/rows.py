"""The rows of a search, page by page: one page is in memory, however many tasks match."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from umbel.export.columns import Column, Row
from umbel.model.merge import Task
from umbel.model.query import Node, Page
from umbel.model.task import Summary

#: Tasks asked of the store at once.
PAGE: Final = 500
#: The same where their texts are wanted: each may be as long as `--text-bytes`.
DEEP_PAGE: Final = 200


class Found(Protocol):
    """A page of tasks."""

    @property
    def items(self) -> Sequence[Summary]: ...

    @property
    def next(self) -> str | None: ...


class Finder(Protocol):
    """What a `StoreReader` does that an export needs."""

    def tasks(self, where: Node, page: Page) -> Found: ...

    def records(self, ids: Sequence[str]) -> Mapping[str, Task]: ...


def rows(reader: Finder, where: Node, columns: Sequence[Column], limit: int | None = None) -> Iterator[list[Row]]:
    """The tasks that match, the newest first, at most `limit`; a page may be empty while the store still looks.

    A task that comes while this runs is newer than the first page and not among them; none comes twice.
    """
    deep = any(column.deep for column in columns)
    size = DEEP_PAGE if deep else PAGE
    cursor: str | None = ""
    while cursor is not None and (limit is None or limit > 0):
        page = reader.tasks(where, Page(size if limit is None else min(limit, size), cursor))
        records = reader.records([task.id for task in page.items]) if deep and page.items else {}
        yield [_row(task, records.get(task.id), columns) for task in page.items]
        if limit is not None:
            limit -= len(page.items)
        cursor = page.next


def _row(summary: Summary, record: Task | None, columns: Sequence[Column]) -> Row:
    record = record or Task(summary.id)
    return [column.of(summary, record) for column in columns]

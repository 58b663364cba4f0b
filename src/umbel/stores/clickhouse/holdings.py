"""What the store holds, part by part, and what a retention would drop of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from typing import Final

from umbel.clock import Clock
from umbel.model.holdings import Part, RetentionEffect, cutoffs, rule_of
from umbel.model.holdings import preview as of_parts
from umbel.retention import Retention
from umbel.stores.clickhouse.connection import Connection
from umbel.stores.clickhouse.facts import facts_in
from umbel.stores.clickhouse.rows import STATES
from umbel.stores.clickhouse.scan import Range
from umbel.stores.clickhouse.size import bytes_of
from umbel.stores.clickhouse.spans import Span, source_of, spans_of, tasks_in, within
from umbel.stores.sqlfile import load

#: Tables whose partitions are the parts of time.
PARTED: Final = ("task", "place", "stray", "rollup")

_SQL: Final = load(Path(__file__).with_name("holdings.sql"))


def spans_by_part(connection: Connection, spans: Sequence[Span]) -> dict[int, list[Span]]:
    """The spans of each part, the oldest first."""
    layout = connection.target.layout
    found: dict[int, list[Span]] = {}
    for span in spans:
        found.setdefault(layout.part_of(span.number), []).append(span)
    return found


def parts(connection: Connection) -> list[Part]:
    """The partitions that hold tasks, the newest first."""
    spans = spans_of(connection)
    tasks = {span.number: span.tasks for span in spans if span.clean}
    tasks |= tasks_in(connection, [span.number for span in spans if not span.clean])
    sizes = _bytes(connection)
    found = [
        Part(
            name=str(number),
            tasks=sum(tasks.get(span.number, 0) for span in its),
            bytes=sizes.get(number, 0),
            first_at=min(span.first_at for span in its),
            last_at=max(span.last_at for span in its),
            sealed=False,
        )
        for number, its in spans_by_part(connection, spans).items()
    ]
    return [part for part in reversed(found) if part.tasks]


def _bytes(connection: Connection) -> dict[int, int]:
    """Bytes on disk by part."""
    target = connection.target
    tables = [f"{table}_local" if target.cluster else table for table in PARTED]
    name = "cluster_part_bytes" if target.cluster else "part_bytes"
    parameters = {"database": target.database, "tables": tables, "cluster": target.cluster}
    return {int(partition): size for partition, size in connection.query(_SQL[name], parameters)}


def told_by(ranges: Sequence[Range]) -> str:
    """SQL for the tasks first seen in the ranges, with what rules ask of them: id, n0, name, rank, updated_at."""
    template = _SQL["told"]
    return Template(template).substitute(
        facts=facts_in(template), source=source_of(ranges), chosen=within("n0", ranges)
    )


def preview(connection: Connection, retention: Retention, now: float, clock: Clock, budget: float) -> RetentionEffect:
    """What the retention would drop, by the times that the tasks' own events tell."""

    def expired(part: Part) -> Iterator[tuple[int, int]]:
        return _expired(connection, int(part.name), retention, now)

    return of_parts(parts(connection), expired, bytes_of(connection), retention, now, clock=clock, budget=budget)


def _expired(connection: Connection, part: int, retention: Retention, now: float) -> Iterator[tuple[int, int]]:
    """The tasks of a part that are beyond their age: by index of the rule (the last: no rule's), how many."""
    length = connection.target.layout.part
    ranges = [(part * length, (part + 1) * length)]
    moments = cutoffs(retention, now)
    older = ", ".join(f"countIf(updated_at < {moment!r})" for moment in moments)
    sql = Template(_SQL["ages"]).substitute(older=older, told=told_by(ranges))
    for name, rank, _, *counts in connection.query(sql):
        rule, age = rule_of(retention, name, STATES[rank])
        if age is not None:
            yield rule, counts[moments.index(now - age)]

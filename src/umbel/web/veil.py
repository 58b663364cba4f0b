"""The store as it is shown to those who do not see arguments and results: hidden, and not findable either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from umbel.model.ledger import Quarantined
from umbel.model.merge import Custom, Succeeded, Task
from umbel.model.query import And, Compare, Field, Node, Not, Or, Page
from umbel.model.tally import FACETS, Tally
from umbel.stores.base import Count, ScanPage, StoreReader, Survey, Surveying, TaskPage

#: What stands in place of a text.
HIDDEN: Final = "(hidden)"
#: Conditions that would tell what is hidden, and what a free text may still be looked for in.
SECRET: Final = frozenset({Field.ARGS, Field.KWARGS, Field.RESULT})
PLAIN: Final = (Field.NAME, Field.WORKER, Field.EXCEPTION)
#: Keys of a worker's answers that hold arguments.
ANSWERS: Final = frozenset({"args", "kwargs", "argsrepr", "kwargsrepr"})
_NOTHING: Final = Or(())


class Veiled:
    """A `StoreReader` that gives tasks without their arguments and results."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        # What tells nothing of arguments and results.
        return getattr(self._reader, name)

    def tasks(self, where: Node, page: Page) -> TaskPage:
        return self._reader.tasks(allowed(where), page)

    def count(self, where: Node, cap: int = 10_000, within: float | None = None) -> Count:
        return self._reader.count(allowed(where), cap, within)

    def tally(
        self, where: Node, most: int = 20_000, within: float | None = None, fields: Sequence[Field] = FACETS
    ) -> Tally:
        return self._reader.tally(allowed(where), most, within, fields)

    def survey(self, where: Node, asked: Surveying) -> Survey:
        return self._reader.survey(allowed(where), asked)

    def task(self, task_id: str) -> Task | None:
        found = self._reader.task(task_id)
        return found and veiled(found)

    def records(self, ids: Sequence[str]) -> Mapping[str, Task]:
        return {id_: veiled(record) for id_, record in self._reader.records(ids).items()}

    def scan(self, cursor: str = "", limit: int = 1_000) -> ScanPage:
        page = self._reader.scan(cursor, limit)
        return replace(page, tasks=[veiled(record) for record in page.tasks])

    def quarantine(self, limit: int = 100) -> Sequence[Quarantined]:
        return [replace(item, raw=HIDDEN.encode()) for item in self._reader.quarantine(limit)]


def veiled(record: Task) -> Task:
    """A record whose texts of arguments and results are hidden; what is not there stays so."""
    described = record.description
    return msgspec.structs.replace(
        record,
        description=described
        and msgspec.structs.replace(described, args=_hidden(described.args), kwargs=_hidden(described.kwargs)),
        succeeded=record.succeeded and _without_result(record.succeeded),
        custom=record.custom and _without_fields(record.custom),
        history=frozenset(_without_result(run) if isinstance(run, Succeeded) else run for run in record.history),
    )


def _hidden(text: str) -> str:
    return HIDDEN if text else text


def _without_result(run: Succeeded) -> Succeeded:
    return msgspec.structs.replace(run, result=_hidden(run.result))


def _without_fields(event: Custom) -> Custom:
    return msgspec.structs.replace(event, fields="{}")


def allowed(where: Node) -> Node:
    """The same search, where a condition on what is hidden matches nothing, whether it is negated or not."""
    return _told(where, negated=False)


def _told(node: Node, *, negated: bool) -> Node:
    if isinstance(node, Compare):
        if node.field in SECRET:
            return And() if negated else _NOTHING
        if node.field is Field.TEXT:
            # The id as well, which the text of a search is looked for in by itself.
            return Or((*(replace(node, field=field) for field in PLAIN), replace(node, field=Field.ID)))
        return node
    if isinstance(node, Not):
        return Not(_told(node.node, negated=not negated))
    return type(node)(tuple(_told(part, negated=negated) for part in node.nodes))


def scrubbed(value: Any, depth: int = 0) -> Any:
    """A worker's answer to an inspection without the arguments of tasks."""
    if depth > 20:
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: HIDDEN if key in ANSWERS and one else scrubbed(one, depth + 1) for key, one in value.items()}
    return [scrubbed(one, depth + 1) for one in value] if isinstance(value, list) else value

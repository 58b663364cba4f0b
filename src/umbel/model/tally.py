"""Which values tasks have, and how many have each: the facets beside a list. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from umbel.model.query import Compare, Field, Op
from umbel.model.task import Summary

#: Fields that are counted, in the order in which they are shown.
FACETS: Final = (Field.STATE, Field.NAME, Field.WORKER, Field.QUEUE, Field.EXCEPTION)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of the newest tasks that match have which value, by field of `FACETS`; "" stands for none."""

    counts: Mapping[Field, Mapping[str, int]]
    #: Tasks that were counted, and whether no others match.
    looked_at: int
    whole: bool
    #: Where others do: when the last one counted, or passed over, was first seen (UTC seconds; None: not known).
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a field."""

    text: str
    count: int
    #: What asks for tasks that have it.
    condition: Compare


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of one field, the most frequent first."""

    field: Field
    values: Sequence[Value]
    #: Further values that are left out.
    more: int


def condition_of(field: Field, text: str) -> Compare:
    """What asks for the tasks whose `field` is `text`; an exception is asked for by its class name."""
    return Compare(field, Op.CONTAINS if field is Field.EXCEPTION else Op.EQ, text)


def tally(tasks: Iterable[Summary]) -> dict[Field, Counter[str]]:
    """The counts of tasks; an exception counts by its class name."""
    counts: dict[Field, Counter[str]] = {field: Counter() for field in FACETS}
    for task in tasks:
        counts[Field.STATE][task.state.value] += 1
        counts[Field.NAME][task.name] += 1
        counts[Field.WORKER][task.worker] += 1
        counts[Field.QUEUE][task.queue] += 1
        counts[Field.EXCEPTION][task.exception_type] += 1
    return counts


def facet(field: Field, counts: Mapping[str, int], most: int) -> Facet:
    """Up to `most` values of a field; a task without one counts for none."""
    ordered = sorted(((text, n) for text, n in counts.items() if text), key=lambda item: (-item[1], item[0]))
    values = [Value(text, n, condition_of(field, text)) for text, n in ordered[:most]]
    return Facet(field, values, max(0, len(ordered) - most))

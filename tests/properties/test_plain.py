"""The law that allows two ways into the SQLite store: a plain task's rows are those of the fold of its events."""

from __future__ import annotations

import copy
import sqlite3
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tests.strategies import IDS, START, any_event, histories
from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskSent, TaskStarted, TaskSucceeded
from umbel.model.gather import Gatherer, events_of, gather, task_of, union
from umbel.model.merge import fold
from umbel.model.worker import fold_workers, saw_tasks
from umbel.stores import sqlfile, sqlite
from umbel.stores.cells import decode_cells
from umbel.stores.sqlite.ids import bound_key
from umbel.stores.sqlite.plain import PlainRows, rows_of, usual_rows
from umbel.stores.sqlite.rollups import Rollups
from umbel.stores.sqlite.segment import MIGRATIONS
from umbel.stores.sqlite.words import WordWriter

SQL = sqlfile.load(Path(sqlite.__file__).with_name("segment.sql"))

#: What a worker, a publisher or an application may write into each field, and what is odd but decodes.
ids = st.sampled_from([*IDS, "6F1D1F60-5C4A-4F0E-9D57-0A4F6D7A0001", ""])
texts = st.sampled_from([None, "", "(1, 2)", "ä✿", "ValueError('x')", "<mod.KeyError: 1>", "a" * 300])
names = st.sampled_from([None, "", "shop.pay", "ünï.code"])
moments = st.one_of(
    st.sampled_from([0.0, START, START + 59.999, START + 60, 32_503_680_000.0]),
    st.integers(0, 60).map(lambda step: START + step / 8),
)
common: dict[str, Any] = {
    "hostname": st.sampled_from(["w1@a", "w2@b", "gen1@a"]),
    "timestamp": moments,
    "pid": st.sampled_from([None, 0, 10, 2**63 - 1]),
    "uuid": st.just(IDS[0]),
}
described: dict[str, Any] = {
    "name": names,
    "args": texts,
    "kwargs": texts,
    "root_id": st.none() | ids,
    "parent_id": st.none() | ids,
    "retries": st.none() | st.integers(0, 3),
    "eta": st.sampled_from([None, "", "2025-06-15T15:06:42+00:00", "2025-06-15T15:06:42", "soon"]),
    "expires": st.sampled_from([None, "", "2025-06-16T00:00:00+00:00"]),
}
delayed = "0." * 24 + "1.0.1.1."
routes: dict[str, Any] = {
    "queue": st.sampled_from([None, "", "mail"]),
    "exchange": st.sampled_from([None, "", "celery_delayed_27"]),
    "routing_key": st.sampled_from([None, "", "mail", delayed + "mail"]),
}
runtimes = st.none() | st.sampled_from([0.0, 1e12]) | st.floats(0, 100)
ends = st.one_of(
    st.builds(TaskSucceeded, **common, result=texts, runtime=runtimes),
    st.builds(TaskFailed, **common, exception=texts, traceback=texts),
)
plains = st.tuples(
    st.none() | st.builds(TaskSent, **common, **described, **routes),
    st.none() | st.builds(TaskReceived, **common, **described),
    st.none() | st.builds(TaskStarted, **common),
    st.none() | ends,
).filter(any)


def segment() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in MIGRATIONS:
        connection.executescript(migration.script)
    return connection


def words() -> WordWriter:
    return WordWriter(segment())


@st.composite
def almost_usual(draw: st.DrawFn) -> list[AnyEvent]:
    """The four events of a task as most are, with now and then something special about one of them."""
    times = draw(st.lists(st.floats(START, START + 20), min_size=4, max_size=4).map(sorted))
    who: dict[str, Any] = {"uuid": IDS[0], "hostname": "w1@a", "pid": 10}
    what: dict[str, Any] = {
        "name": "shop.pay",
        "args": draw(texts),
        "kwargs": draw(texts),
        "root_id": IDS[0],
        "retries": 0,
    }
    events: list[AnyEvent] = [
        TaskSent(**who | what, timestamp=times[0], queue=draw(names), exchange="", routing_key=draw(names)),
        TaskReceived(**who | what, timestamp=times[1]),
        TaskStarted(**who, timestamp=times[2]),
        TaskSucceeded(**who, timestamp=times[3], result=draw(texts), runtime=draw(runtimes)),
    ]
    if draw(st.booleans()):
        del events[0]
    place = draw(st.sampled_from([None, None, *range(len(events))]))
    if place is not None:
        special = {**common, **(described if hasattr(events[place], "root_id") else {})}
        field = draw(st.sampled_from([name for name in special if name != "uuid"]))
        events[place] = structs.replace(events[place], **{field: draw(special[field])})
    return events


def stored(events: list[AnyEvent], *, usual: bool) -> list[Any] | None:
    """All that a segment holds of a task, written by the shortest way (None: it may not) or by the general one."""
    connection = segment()
    numbers = WordWriter(connection)
    rollups, rows = Rollups(connection, numbers), PlainRows(numbers)
    gathered = gather(events)
    ((id_, plain),) = gathered.parts.items()
    assert isinstance(plain, list)
    if not gathered.usual:
        return None
    (alike,) = gathered.alike
    # Words get their numbers in the order in which they are asked for.
    shared = rows.shared(alike)
    if usual:
        task, record = usual_rows(7, bound_key(id_), plain, shared)
        connection.execute(SQL["add_usual_task"], task)
        connection.execute(SQL["put_record"], record)
        rollups.add_alike(alike)
    else:
        task, record, added, _, _ = rows_of(7, bound_key(id_), fold(events)[id_], numbers)
        connection.execute(SQL["put_task"], task)
        connection.execute(SQL["put_record"], record)
        rollups.add(added)
    rollups.flush()
    tables = [connection.execute(f"SELECT * FROM {name}").fetchall() for name in ("task", "record", "word")]
    return [*tables, {row[:3]: decode_cells(row[3]) for row in connection.execute("SELECT * FROM rollup")}]


@settings(max_examples=400)
@given(almost_usual())
def test_a_usual_task_is_stored_the_shortest_way_as_by_the_general_one(events: list[AnyEvent]) -> None:
    straight = stored(events, usual=True)
    assert straight == stored(events, usual=False)


def test_the_task_that_most_are_takes_the_shortest_way() -> None:
    who: dict[str, Any] = {"uuid": IDS[0], "hostname": "w1@a", "pid": 10}
    events: list[AnyEvent] = [
        TaskSent(**who, timestamp=START, name="shop.pay", root_id=IDS[0], queue="mail"),
        TaskReceived(**who, timestamp=START + 1, name="shop.pay", root_id=IDS[0]),
        TaskStarted(**who, timestamp=START + 2),
        TaskSucceeded(**who, timestamp=START + 3, runtime=0.5),
    ]
    assert stored(events, usual=True) is not None


@settings(max_examples=400)
@given(plains)
def test_a_plain_task_gives_the_rows_of_the_fold_of_its_events(events: tuple[AnyEvent | None, ...]) -> None:
    numbers = words()
    ((id_, plain),) = gather(events_of(events)).parts.items()
    assert isinstance(plain, list)
    straight = PlainRows(numbers).make(7, bound_key(id_), id_, plain)
    assert straight == rows_of(7, bound_key(id_), fold(events_of(events))[id_], numbers)
    assert list(map(type, straight[0])) == list(map(type, rows_of(7, bound_key(id_), task_of(id_, plain), numbers)[0]))
    assert list(map(type, straight[1])) == [int, bytearray, str, str, str, str]


@given(histories())
def test_gathering_gives_the_records_of_folding(history: list[AnyEvent]) -> None:
    gathered = gather(history)
    assert dict(gathered) == fold(history)
    assert list(gathered) == list(fold(history))
    assert len(gathered) == len(fold(history))


@given(histories())
def test_gathering_tells_of_every_worker_that_an_event_came_from(history: list[AnyEvent]) -> None:
    gatherer = Gatherer()
    gatherer.take(history)
    gathered = gatherer.done()
    workers = fold_workers(gatherer.others, START)
    saw_tasks(gatherer.processes(gathered), START, workers)
    assert workers == fold_workers(history, START)


@given(st.lists(any_event(st.just(IDS[0])), max_size=4), st.lists(any_event(st.just(IDS[0])), max_size=4))
def test_plain_tasks_unite_to_the_fold_of_all_their_events_or_not_at_all(a: list[AnyEvent], b: list[AnyEvent]) -> None:
    one, other = (gather(events).parts.get(IDS[0]) for events in (a, b))
    if isinstance(one, list) and isinstance(other, list):
        before = copy.copy(one), copy.copy(other)
        both = union(one, other)
        assert (one, other) == before
        kinds = [place for part in before for place, event in enumerate(part) if event is not None]
        assert (both is None) is (len(kinds) != len(set(kinds)))
        assert both is None or task_of(IDS[0], both) == fold([*a, *b])[IDS[0]]

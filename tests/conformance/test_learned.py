"""Ends that the result backend told of come through the journal into the records, once, in every engine."""

from __future__ import annotations

import threading
from contextlib import closing

from tests.conformance.store_rigs import StoreRig
from tests.support.commits import collected
from tests.unit.test_ingest import ListSource
from tests.web.events import WORKER, T, received, started, succeeded
from umbel.clock import ManualClock
from umbel.ingest import END_AGE, Collector
from umbel.model.learned import End, learned
from umbel.model.query import Page
from umbel.model.rollup import Series
from umbel.model.search import parse
from umbel.model.task import State, summarize
from umbel.sources.base import Batch
from umbel.stores.journal import Entry, Kind


def test_a_collector_joins_them_into_their_tasks_and_the_journal_forgets_them(rig: StoreRig) -> None:
    clock = ManualClock(T)
    clock.advance(60.0)
    with closing(rig.writer()) as writer:
        opened = [event for id_ in ("lost", "late", "old") for event in (received(id_), started(id_))]
        writer.write(collected(opened, clock.now()))
    journal = rig.journal()
    ends = {id_: End(id_, "SUCCESS", T + 2, WORKER, result="'stored'") for id_ in ("lost", "late", "old")}
    age = {"lost": 0.0, "late": 0.0, "old": END_AGE + 1}
    journal.put(*(Entry(Kind.END, id_, clock.now() - age[id_], end.texts()) for id_, end in ends.items()))
    journal.put(Entry(Kind.END, "broken", clock.now(), {"state": "SUCCESS"}))

    for _ in range(2):
        # Another collector finds the same once more: it makes no difference.
        with closing(rig.writer()) as writer:
            Collector(ListSource([Batch()]), writer, clock, journal=journal).run(threading.Event())
        assert journal.read(Kind.END) == []
        journal.put(Entry(Kind.END, "lost", clock.now(), ends["lost"].texts()))
    with closing(rig.writer()) as writer:
        writer.write(collected([succeeded("late")], clock.now()))

    reader = rig.reader()
    found = reader.records(["lost", "late", "old"])
    states = {id_: (summarize(task).state, learned(task)) for id_, task in found.items()}
    assert states == {
        "lost": (State.SUCCESS, True),
        "late": (State.SUCCESS, False),
        "old": (State.STARTED, False),
    }
    assert found["lost"].succeeded is not None
    assert found["lost"].succeeded.result == "'stored'"
    query = parse(f"state:SUCCESS worker:{WORKER}", clock.now())
    assert {task.id for task in reader.tasks(query, Page(10)).items} == {"lost", "late"}
    counts = [point.counts.get(Series.SUCCEEDED, 0) for point in reader.rollup(T - 600, T + 600, 60)]
    assert sum(counts) == 2
    # It was no event.
    assert reader.state().books.stored == 7

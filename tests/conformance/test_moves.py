"""A store moved from any engine to any other is the same store; one that does not agree with itself is told so."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.store_oracle import check
from tests.conformance.store_process import START, history
from tests.conformance.store_rigs import RIGS, StoreRig
from umbel.alerts.book import AlertBook, Row, Shelf
from umbel.clock import SystemClock
from umbel.errors import StoreError
from umbel.model.event import AnyEvent, EventClass, TaskStarted
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.model.merge import fold
from umbel.model.worker import fold_workers
from umbel.runtime import move as moving
from umbel.runtime.checks import consistent
from umbel.runtime.move import Move
from umbel.runtime.move_entries import SHELVES, Entries, Memory
from umbel.stores.base import Commit, Position
from umbel.stores.journal import Entry, Kind

SPAN = (START - 3_600, START + 90_000)
#: Of 200 tasks, in the order of their batches.
ALL = [event for batch in history() for event in batch]
IDS = set(list(fold(ALL))[:200])
EVENTS = [event for event in ALL if getattr(event, "uuid", "") in IDS]
LOST = (Reason.MALFORMED, EventClass.UNKNOWN)

pytestmark = pytest.mark.timeout(1_200)


@pytest.fixture(params=sorted(itertools.product(sorted(RIGS), repeat=2)), ids="-to-".join)
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[StoreRig, StoreRig]]:
    """A filled store, and a place for another."""
    made = []
    for which, name in enumerate(request.param):
        RIGS[name].use(*map(request.getfixturevalue, RIGS[name].services))
        directory = tmp_path / str(which)
        directory.mkdir()
        made.append(RIGS[name](directory))
    with closing(made[0]), closing(made[1]):
        fill(made[0])
        yield made[0], made[1]
        while BOOKS:
            BOOKS.pop().close()


def fill(rig: StoreRig) -> None:
    with closing(rig.writer(small=False)) as writer:
        for number, at in enumerate(range(0, len(EVENTS), 100)):
            events = EVENTS[at : at + 100]
            missed = LedgerEntry(
                Reason.NOT_SENT, EventClass.RUNNING, START + at, START + at, 3, estimated=True, worker=f"w{number % 2}"
            )
            writer.write(
                Commit(
                    at=START + number,
                    tasks=fold(events),
                    workers=fold_workers(events, START + number),
                    stored=len(events),
                    discarded={LOST: 2},
                    ledger=[missed, LedgerEntry(*LOST, START + number, START + number, 2, detail="no json")],
                    quarantine=[Quarantined(START + number, Reason.MALFORMED, "no json", "x/y", bytes([number]))],
                    position=Position("spool", str(number)),
                )
            )
    journal = rig.journal()
    for entry in (*ENTERED, TURN):
        journal.put(entry)
    with closing(rig.alert_book()) as book:
        book.write([*ALERTS, ROUND])


#: What people entered, and a turn that is a running web's alone.
ENTERED = [
    Entry(Kind.VIEW, "Payments", START, {"query": "q=name%3Apay"}),
    Entry(Kind.OWN_VIEW, "0f/Mine", START, {"query": "q=name%3Amail"}),
    Entry(Kind.DEPLOY, "1.2", START + 5, {"version": "1.2"}),
    Entry(Kind.RESOLVED, "a1b2", START + 9, {"who": "ann"}),
]
TURN = Entry(Kind.TURN, "alerts", START, {"who": "web-1"})


#: What alerting remembers, and a round that is a running process's alone.
ALERTS = [Row(shelf, f"ünï {shelf}", START + 3, '{"a": "\\ue000💐"}') for shelf in SHELVES]
ROUND = Row(Shelf.ROUND, "-", START, "{}")


def begin(source: StoreRig, target: StoreRig) -> Move:
    writer = target.writer(small=False)
    entries, memory = Entries(source.journal(), target.journal()), Memory(book_of(source), book_of(target))
    return Move(source.reader(), writer, target.reader(), "source", SystemClock(), entries=entries, memory=memory)


def book_of(rig: StoreRig) -> AlertBook:
    book = rig.alert_book()
    BOOKS.append(book)
    return book


#: Those of one test.
BOOKS: list[AlertBook] = []


def ignored(_: int) -> None:
    """Progress is not looked at."""


def test_a_moved_store_answers_as_the_first_one_did(ends: tuple[StoreRig, StoreRig]) -> None:
    source, target = ends
    move = begin(source, target)
    moved: list[int] = []
    move.run(moved.append)
    assert list(move.differences(ignored)) == []
    before, after = source.reader(), target.reader()
    assert sum(moved) == before.state().tasks
    check(after, EVENTS, SPAN)
    assert after.state().books == before.state().books
    assert list(after.ledger()) == list(before.ledger())
    journal = target.journal()
    assert [entry for kind in Kind for entry in journal.read(kind)] == sorted(
        ENTERED, key=lambda entry: list(Kind).index(entry.kind)
    )
    remembered = book_of(target)
    assert [row for shelf in Shelf for row in remembered.read(shelf)] == sorted(
        ALERTS, key=lambda row: list(Shelf).index(row.shelf)
    )
    assert list(after.quarantine()) == list(before.quarantine())
    assert {name: value for name, value in after.positions().items() if not name.startswith("move:")} == {
        "spool": before.positions()["spool"]
    }
    assert not [finding for finding in consistent(after, ignored) if finding.problem]


def test_a_move_goes_on_from_where_it_was_cut_and_moves_nothing_twice(
    ends: tuple[StoreRig, StoreRig], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = ends
    monkeypatch.setattr(moving, "PAGE", 20)

    class Cut(Exception):
        pass

    def cut(moved: int) -> None:
        raise Cut

    done = 0
    for _ in range(4):
        move = begin(source, target)
        assert move.progress.tasks == done, "it begins where the one before it has committed to"
        with pytest.raises(Cut):
            move.run(cut)
        done = len_of(move)
        close(target)
    move = begin(source, target)
    moved: list[int] = []
    move.run(moved.append)
    assert sum(moved) == source.reader().state().tasks - done
    assert list(move.differences(ignored)) == []
    assert target.reader().state().books == source.reader().state().books


def len_of(move: Move) -> int:
    return move.progress.tasks


def close(rig: StoreRig) -> None:
    rig.close()


def test_a_source_that_is_written_to_meanwhile_is_not_taken_for_moved(ends: tuple[StoreRig, StoreRig]) -> None:
    source, target = ends
    late: list[AnyEvent] = [TaskStarted(hostname="w@h", pid=1, timestamp=START + 5_000, uuid="late")]
    move = begin(source, target)
    with closing(source.writer(small=False)) as writer:
        writer.write(Commit(at=START + 5_000, tasks=fold(late), stored=1, discarded={}))
    with pytest.raises(StoreError, match="stop its collector"):
        move.run(ignored)
    assert target.reader().state().books.received == 0, "books come last, and once"
    close(target)
    again = begin(source, target)
    again.run(ignored)
    assert list(again.differences(ignored)) == []
    check(target.reader(), [*EVENTS, *late], SPAN)


def test_a_store_that_holds_something_else_is_no_target(ends: tuple[StoreRig, StoreRig]) -> None:
    source, target = ends
    fill(target)
    with pytest.raises(StoreError, match="give an empty --to"):
        begin(source, target)


def test_what_differs_afterwards_is_told(ends: tuple[StoreRig, StoreRig]) -> None:
    source, target = ends
    move = begin(source, target)
    move.run(ignored)
    known = next(iter(fold(EVENTS)))
    changed: list[AnyEvent] = [TaskStarted(hostname="other@h", pid=1, timestamp=START + 9_000, uuid=known)]
    entry = LedgerEntry(Reason.NOT_SENT, EventClass.RUNNING, START, START, 5, estimated=True, worker="w9")
    move._target.write(
        Commit(
            at=START, tasks=fold(changed), stored=7, ledger=[entry], workers=fold_workers(changed, START), discarded={}
        )
    )
    book_of(target).write([], [(Shelf.SILENCE, ALERTS[0].key.replace(ALERTS[0].shelf, Shelf.SILENCE))])
    told = " / ".join(move.differences(ignored))
    for what in ("checksum", "stored", "missed_estimate", "ledger", "workers", "rows of alerts (silence)"):
        assert what in told

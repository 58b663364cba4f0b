"""What every engine's book of alerts promises: changed together or not at all, by one leader at a time, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.conformance.store_rigs import StoreRig
from umbel.alerts.book import BYTES, KEY, ROWS, AlertBook, NotLeading, Row, Shelf
from umbel.errors import StoreError

T = 1_750_000_000.0
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def book(rig: StoreRig) -> Iterator[AlertBook]:
    """Of a store that no collector has begun."""
    with closing(rig.alert_book()) as book:
        yield book


def row(key: str, at: float = T, data: str = "{}", shelf: Shelf = Shelf.OUTBOX) -> Row:
    return Row(shelf, key, at, data)


def test_rows_are_read_by_others_the_newest_first_each_shelf_apart(rig: StoreRig, book: AlertBook) -> None:
    odd = row("ünï\ue000💐 'x'; --", T + 5, '{"text": "\\u0000 \ue000"}')
    book.write([row("a"), odd, row("a", T + 9, "[]", Shelf.STATE)])
    with closing(rig.alert_book()) as other:
        assert other.read(Shelf.OUTBOX) == [odd, row("a")]
        assert other.read(Shelf.OUTBOX, 1) == [odd]
        assert other.read(Shelf.STATE) == [row("a", T + 9, "[]", Shelf.STATE)]
        assert other.read(Shelf.PAST) == []


def test_a_row_replaces_the_one_of_its_key_and_a_dropped_one_is_gone_until_it_is_put_again(book: AlertBook) -> None:
    book.write([row("a", T + 5), row("b")])
    book.write([row("a", T, "[1]")], [(Shelf.OUTBOX, "b"), (Shelf.OUTBOX, "never")])
    assert book.read(Shelf.OUTBOX) == [row("a", T, "[1]")]
    book.write([], [(Shelf.OUTBOX, "a")])
    book.write([], [(Shelf.OUTBOX, "a")])
    assert book.read(Shelf.OUTBOX) == []
    book.write([row("a")])
    assert book.read(Shelf.OUTBOX) == [row("a")]


def test_one_has_the_lead_until_its_time_is_over_or_it_leaves(rig: StoreRig, book: AlertBook) -> None:
    with closing(rig.alert_book()) as other:
        assert book.leader() is None
        assert book.lead("a", T, 30.0)
        assert not other.lead("b", T + 29, 30.0)
        assert book.lead("a", T + 10, 30.0)
        assert other.leader() == ("a", T + 40)
        assert not other.lead("b", T + 39, 30.0)
        assert other.lead("b", T + 41, 30.0)
        assert not book.lead("a", T + 42, 30.0)
        book.leave("a")
        assert not book.lead("a", T + 43, 30.0)
        other.leave("b")
        assert book.lead("a", T + 44, 30.0)


def test_what_a_leader_of_before_writes_is_refused_whole(rig: StoreRig, book: AlertBook) -> None:
    with pytest.raises(NotLeading):
        book.write([row("x")], leader="a")
    assert book.lead("a", T, 1.0)
    book.write([row("x")], leader="a")
    with closing(rig.alert_book()) as other:
        assert other.lead("b", T + 2, 30.0)
        with pytest.raises(NotLeading):
            book.write([row("y")], [(Shelf.OUTBOX, "x")], leader="a")
        assert other.read(Shelf.OUTBOX) == [row("x")]
        other.write([], [(Shelf.OUTBOX, "x")], leader="b")
        book.write([row("z")])
        assert other.read(Shelf.OUTBOX) == [row("z")]


def test_of_several_that_want_the_lead_at_once_one_gets_it(rig: StoreRig) -> None:
    books = [rig.alert_book() for _ in range(4)]
    try:
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda n: books[n].lead(f"n{n}", T, 30.0), range(4)))
        assert sum(got) == 1
        assert books[0].leader() == (f"n{got.index(True)}", T + 30)
    finally:
        for one in books:
            one.close()


def test_each_shelf_is_bounded_and_its_oldest_go(book: AlertBook) -> None:
    most = ROWS[Shelf.SILENCE]
    book.write([row(f"{n:04}", T + n, shelf=Shelf.SILENCE) for n in range(most - 1)])
    book.write([row("k", T - 9)])
    book.write([row(f"{n:04}", T + n, shelf=Shelf.SILENCE) for n in range(most - 1, most + 2)])
    kept = book.read(Shelf.SILENCE)
    assert (len(kept), kept[0].key, kept[-1].key) == (most, f"{most + 1:04}", "0002")
    assert len(book.read(Shelf.OUTBOX)) == 1


def test_what_is_too_large_is_refused_with_all_that_comes_with_it(book: AlertBook) -> None:
    for large in (row("k" * (KEY + 1)), row(""), row("a", data="x" * (BYTES + 1))):
        with pytest.raises(StoreError, match="may have"):
            book.write([row("fine"), large])
    assert book.read(Shelf.OUTBOX) == []

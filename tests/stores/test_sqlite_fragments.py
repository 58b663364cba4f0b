"""What the index of texts of a sealed segment leaves out: no search misses a task for it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.store_process import START
from tests.conformance.store_rigs import all_tasks
from tests.conformance.test_stores import commit
from umbel.clock import ManualClock
from umbel.model.event import TaskReceived
from umbel.model.query import Compare, Field, Op
from umbel.retention import Retention
from umbel.stores.sqlite import SqliteReader, SqliteWriter
from umbel.stores.sqlite.blocks import SQL
from umbel.stores.sqlite.fragments import LEAST, Fragments, fragments_of
from umbel.stores.sqlite.grams import Grams, grams_of, match_of

#: What most texts have of these, in any order and next to anything.
PHRASES = [
    "'customer': 'nr-",
    "please deliver to the ",
    "@Example.org', ",
    "deliver to them all",
    "aaaaaaaaaaaa",
    "take the kiosk's Key",
    "ab",
]
_piece = st.sampled_from(PHRASES) | st.text("ab 'nKk\u212aé\n", max_size=4) | st.integers(0, 99_999).map(str)
_text = st.lists(_piece, max_size=9).map("".join)


def index_of(connection: sqlite3.Connection, texts: list[str], pieces: list[str]) -> Grams:
    """The index of texts as a sealed segment has it, and what a reader knows of it."""
    fragments = Fragments(pieces)
    connection.executescript("CREATE TABLE left_out (gram TEXT PRIMARY KEY) STRICT, WITHOUT ROWID")
    connection.executemany(SQL["put_left_out"], [(gram,) for gram in fragments.grams])
    connection.execute(SQL["grams"])
    connection.executemany(SQL["put_grams"], [(n, fragments.without(text)) for n, text in enumerate(texts)])
    connection.execute("INSERT INTO grams (grams) VALUES ('optimize')")
    return Grams(connection, 1_000_000)


@settings(max_examples=500)
@given(st.lists(_text, min_size=1, max_size=12), st.data())
def test_whatever_is_left_out_every_text_is_found_by_any_piece_of_it(texts: list[str], data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.sampled_from([p for p in PHRASES if len(p) >= LEAST]), unique=True))
    text = data.draw(st.sampled_from(texts))
    start = data.draw(st.integers(0, len(text)))
    # Short ones: of many entries a search looks up a few only.
    wanted = text[start : start + data.draw(st.integers(3, 6))]
    wanted = data.draw(st.sampled_from([wanted, wanted.upper(), wanted.replace("K", "\u212a")]))
    with closing(sqlite3.connect(":memory:")) as connection:
        chosen = index_of(connection, texts, pieces).choose(grams_of(Op.CONTAINS, wanted))
        found = {n for (n,) in connection.execute(SQL["texts"], (match_of(chosen),))} if chosen else set(range(99))
    # FTS5 may take more letters for the same than a search does, but never fewer.
    assert {n for n, one in enumerate(texts) if _lower(wanted) in _lower(one)} <= found


def _lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


@pytest.fixture
def orders() -> list[str]:
    """Texts as tasks have them: mostly alike, with numbers of their own; some are of another kind."""
    random = Random(3)
    return [
        f"({n}, 'customer-{random.randrange(10**6)}@example.org')\n{{'note': 'please deliver', 'city': 'Bonn'}}"
        if n % 4
        else f"report {n} of {random.randrange(10**6)}"
        for n in range(1_000)
    ]


def test_what_most_texts_share_is_found_and_left_out_and_makes_the_index_small(orders: list[str]) -> None:
    pieces = fragments_of(orders)
    assert "@example.org')\n{'note': 'please deliver', 'city': 'Bonn'}" in pieces
    assert all(piece.isascii() and len(piece) >= LEAST for piece in pieces)
    assert not any("report" in piece for piece in pieces)
    sizes = []
    for left_out in ([], pieces):
        with closing(sqlite3.connect(":memory:")) as connection:
            grams = index_of(connection, orders, left_out)
            sizes.append(connection.execute("SELECT sum(length(block)) FROM grams_data").fetchone()[0])
            # A number between two pieces is found, as are words that only some have.
            for wanted in (orders[5][5:30], orders[8]):
                chosen = grams.choose(grams_of(Op.CONTAINS, wanted))
                assert chosen
                found = {n for (n,) in connection.execute(SQL["texts"], (match_of(chosen),))}
                assert orders.index(next(one for one in orders if wanted in one)) in found
    assert sizes[1] < sizes[0] * 0.6


def test_in_a_sealed_segment_every_piece_of_a_text_is_found_as_before(tmp_path: Path, orders: list[str]) -> None:
    writer = SqliteWriter(tmp_path / "umbel.db", clock=ManualClock(), segment_tasks=len(orders), quiet=0.0)
    writer.open()
    reader = SqliteReader(tmp_path / "umbel.db", budget=60.0)
    for n, text in enumerate([*orders, "the last"]):
        received = TaskReceived(hostname="w@h", timestamp=START + n, uuid=f"t{n}", name="shop.order", kwargs=text)
        writer.write(commit([received], START + n))
    random = Random(5)
    wanted = ["'note'", "deliver', 'cit", "@EXAMPLE.ORG')", "and more"]
    for text in random.choices(orders, k=60):
        start = random.randrange(len(text) - 4)
        wanted.append(text[start : start + random.randrange(4, 30)])
    try:
        while not reader.parts()[-1].sealed:
            writer.maintain(Retention(), START + 10_000)
            time.sleep(0.01)
        for some in wanted:
            matching = {f"t{n}" for n, text in enumerate(orders) if _lower(some) in _lower(text)}
            for field in (Field.TEXT, Field.KWARGS):
                found = all_tasks(reader, Compare(field, Op.CONTAINS, some), limit=500)
                assert {task.id for task in found} == matching
        with closing(sqlite3.connect(next(tmp_path.rglob("*-1.db")))) as sealed:
            assert sealed.execute("SELECT count(*) FROM left_out").fetchone()[0] > 30
    finally:
        reader.close()
        writer.close()


def test_texts_that_share_nothing_are_indexed_whole() -> None:
    random = Random(3)
    texts = ["".join(random.choices("abcdefghijklmnop", k=60)) for _ in range(200)]
    assert fragments_of(texts) == fragments_of([]) == fragments_of(["short", ""]) == []
    assert Fragments([]).without("as it is") == "as it is"

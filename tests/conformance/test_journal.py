"""What every engine's journal promises: what people enter is kept, read by all, and bounded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.conformance.store_rigs import StoreRig
from umbel.errors import StoreError
from umbel.retention import Retention
from umbel.stores.base import Commit
from umbel.stores.journal import BYTES, KEY, Entry, Kind

T = 1_750_000_000.0


@pytest.fixture
def rig(rig: StoreRig) -> StoreRig:
    """With a store that a collector has begun."""
    with closing(rig.writer()) as writer:
        writer.write(Commit(at=T))
    return rig


def deploy(key: str, at: float, **texts: str) -> Entry:
    return Entry(Kind.DEPLOY, key, at, texts)


def test_entries_are_read_by_others_the_newest_first_each_kind_apart(rig: StoreRig) -> None:
    first, second = rig.journal(), rig.journal()
    first.put(deploy("a", T, version="1.0", text="ünï\x00\ue000💐"))
    second.put(deploy("b", T + 5))
    first.put(Entry(Kind.RESOLVED, "a", T + 9, {"who": "ann"}))
    for journal in (first, second):
        assert journal.read(Kind.DEPLOY) == [
            deploy("b", T + 5),
            deploy("a", T, version="1.0", text="ünï\x00\ue000💐"),
        ]
        assert journal.read(Kind.DEPLOY, limit=1) == [deploy("b", T + 5)]
        assert journal.read(Kind.DEPLOY, since=T + 1) == [deploy("b", T + 5)]
        assert journal.read(Kind.RESOLVED) == [Entry(Kind.RESOLVED, "a", T + 9, {"who": "ann"})]


def test_the_latest_entry_of_a_key_counts_and_a_dropped_one_is_gone_until_it_is_put_again(rig: StoreRig) -> None:
    journal = rig.journal()
    journal.put(Entry(Kind.RESOLVED, "f", T + 50))
    journal.put(Entry(Kind.RESOLVED, "f", T, {"who": "bob"}))
    assert journal.read(Kind.RESOLVED) == [Entry(Kind.RESOLVED, "f", T, {"who": "bob"})]
    journal.drop(Kind.RESOLVED, "f")
    journal.drop(Kind.RESOLVED, "never")
    assert journal.read(Kind.RESOLVED) == []
    rig.journal().put(Entry(Kind.RESOLVED, "f", T + 1))
    assert journal.read(Kind.RESOLVED) == [Entry(Kind.RESOLVED, "f", T + 1)]


def test_several_entries_are_put_and_dropped_at_once_and_found_by_their_keys(rig: StoreRig) -> None:
    journal = rig.journal()
    keys = ["a", "ab", "b", "ünï\ue000\x00"]
    journal.put(*(deploy(key, T + n, text=key) for n, key in enumerate(keys)))
    journal.put(Entry(Kind.RESOLVED, "a", T))
    found = rig.journal().find(Kind.DEPLOY, [*keys, "never"])
    assert found == {key: deploy(key, T + n, text=key) for n, key in enumerate(keys)}
    assert journal.find(Kind.DEPLOY, []) == {}
    with pytest.raises(StoreError, match="shorten"):
        journal.put(deploy("new", T), deploy("k" * (KEY + 1), T))
    journal.drop(Kind.DEPLOY, "a", "b", "never")
    assert [entry.key for entry in journal.read(Kind.DEPLOY)] == [keys[3], "ab"]


def test_entries_are_found_by_how_their_keys_begin(rig: StoreRig) -> None:
    journal = rig.journal()
    for n, key in enumerate(("a.1", "a.2", "a", "ab", "A.3", "b.a.4", "a.\U0001f490")):
        journal.put(deploy(key, T + n))
    assert [entry.key for entry in journal.under(Kind.DEPLOY, "a.")] == ["a.\U0001f490", "a.2", "a.1"]
    assert [entry.key for entry in journal.under(Kind.DEPLOY, "a.", limit=1)] == ["a.\U0001f490"]
    assert journal.under(Kind.RESOLVED, "a.") == []
    assert journal.under(Kind.DEPLOY, "a%") == []


def test_entries_of_a_kind_are_bounded_and_the_oldest_go(rig: StoreRig) -> None:
    journal = rig.journal(entries=3)
    journal.put(Entry(Kind.RESOLVED, "other", T - 99))
    for n in (4, 1, 3, 0, 2):
        journal.put(deploy(str(n), T + n))
    assert [entry.key for entry in journal.read(Kind.DEPLOY)] == ["4", "3", "2"]
    assert len(journal.read(Kind.RESOLVED)) == 1


def test_what_is_too_long_is_refused_and_nothing_is_kept_of_it(rig: StoreRig) -> None:
    journal = rig.journal()
    for entry in (deploy("k" * (KEY + 1), T), deploy("", T), deploy("a", T, text="x" * BYTES)):
        with pytest.raises(StoreError, match="shorten"):
            journal.put(entry)
    assert journal.read(Kind.DEPLOY) == []


def test_retention_and_a_writer_at_work_leave_the_journal_alone(rig: StoreRig) -> None:
    journal, writer = rig.journal(), rig.writer()
    journal.put(deploy("old", 1.0))
    for n in range(20):
        writer.write(Commit(at=T + n))
        writer.maintain(Retention(age=1.0), T + 10_000_000)
    assert [entry.key for entry in journal.read(Kind.DEPLOY)] == ["old"]


def test_several_webs_that_write_at_once_lose_nothing(rig: StoreRig) -> None:
    journals = [rig.journal() for _ in range(4)]

    def write(number: int) -> None:
        for n in range(10):
            journals[number].put(deploy(f"{number}-{n}", T + n))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(journals[0].read(Kind.DEPLOY)) == 40

"""The audit trail: written before and after, by several processes, never changed, bounded, and kept when damaged."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from umbel.clock import ManualClock
from umbel.control.audit import DENIAL_BYTES, DENIED, Action, Told
from umbel.errors import StoreError
from umbel.stores import migrate
from umbel.stores.migrate import Migration, pending
from umbel.stores.sqlite import audit as home
from umbel.stores.sqlite import connect
from umbel.stores.sqlite.audit import TRIM_EVERY, SqliteAudit
from umbel.stores.sqlite.beside import Beside


def action(what: str = "revoke", **arguments: object) -> Action:
    return Action(1_750_000_000.0, "ann", "10.0.0.7", what, "api", arguments, ("w1@h",))


def test_an_action_is_there_before_it_ends_and_with_its_replies_after(tmp_path: Path) -> None:
    audit = SqliteAudit(tmp_path / "data/audit.db", ManualClock())
    number = audit.begin(action(task_id=["a"], terminate=True))
    (begun,) = audit.read(10)
    assert begun.ended_at is None
    assert begun.action == Action(
        1_750_000_000.0, "ann", "10.0.0.7", "revoke", "api", {"task_id": ["a"], "terminate": True}, ["w1@h"]
    )
    audit.end(number, 5.0, [Told("w1@h", "ok", '{"ok": "x"}'), Told("w2@h", "silent", "no answer")])
    audit.close()
    again = SqliteAudit(tmp_path / "data/audit.db", ManualClock())
    (ended,) = again.read(10)
    assert ended.ended_at == 5.0
    assert ended.replies == [("w1@h", "ok", '{"ok": "x"}'), ("w2@h", "silent", "no answer")]
    again.close()


def test_of_those_who_make_a_file_at_once_each_step_is_taken_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All read the version before anybody has taken a step, which is when each would take all of them."""
    several = 4
    ready = threading.Barrier(several)

    def read_by_all(*told: Any) -> Sequence[Migration]:
        steps = pending(*told)
        ready.wait(60)
        return steps

    monkeypatch.setattr(connect, "pending", read_by_all)
    file, steps = tmp_path / "audit.db", migrate.load(Path(home.__file__).parent / "migrations" / "audit")
    failed: list[StoreError] = []

    def make() -> None:
        connection = connect.connect_writer(file, cache_kib=256, checkpoint_pages=1_000)
        with closing(connection):
            connection.execute("PRAGMA busy_timeout = 60000")
            try:
                connect.migrate(connection, file, steps)
            except StoreError as error:
                failed.append(error)

    # The file is there, so that making it is not what they wait for.
    connect.connect_writer(file, cache_kib=256, checkpoint_pages=1_000).close()
    threads = [threading.Thread(target=make) for _ in range(several)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with closing(sqlite3.connect(file)) as made:
        assert made.execute("PRAGMA user_version").fetchone() == (len(steps),)


def test_several_webs_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    webs = [SqliteAudit(tmp_path / "audit.db", ManualClock()) for _ in range(4)]

    def write(web: SqliteAudit) -> None:
        for _ in range(50):
            web.end(web.begin(action()), 1.0, [])

    threads = [threading.Thread(target=write, args=(web,)) for web in webs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = webs[0].read(1_000)
    assert len({item.id for item in found}) == 200
    assert all(item.ended_at for item in found)
    assert [item.id for item in webs[0].read(2, before=found[4].id)] == [found[5].id, found[6].id]
    for web in webs:
        web.close()


def test_what_was_written_cannot_be_changed(tmp_path: Path) -> None:
    audit = SqliteAudit(tmp_path / "audit.db", ManualClock())
    audit.begin(action())
    with (
        sqlite3.connect(tmp_path / "audit.db") as other,
        pytest.raises(sqlite3.IntegrityError, match="only added to"),
    ):
        other.execute("UPDATE action SET who = 'nobody'")
    other.close()
    audit.close()


def test_it_is_bounded_in_count_and_bytes(tmp_path: Path) -> None:
    few = SqliteAudit(tmp_path / "few.db", ManualClock(), actions=10)
    for _ in range(TRIM_EVERY + 1):
        few.end(few.begin(action()), 1.0, [])
    assert len(few.read(1_000)) == 10
    few.close()
    small = SqliteAudit(tmp_path / "small.db", ManualClock(), size=1_000_000)
    for _ in range(15 * TRIM_EVERY + 1):
        small.begin(action(text="x" * 10_000))
    assert len(small.read(1_000)) <= 500
    small.close()


def test_what_was_denied_is_told_with_the_reason_and_the_same_again_within_a_minute_is_counted(tmp_path: Path) -> None:
    audit = SqliteAudit(tmp_path / "audit.db", ManualClock())
    webs = [audit, SqliteAudit(tmp_path / "audit.db", ManualClock())]
    for second in range(10):
        webs[second % 2].deny(replace(action("terminate", task_id=["a"]), at=1_200.0 + second), "no")
    audit.deny(replace(action("terminate", task_id=["b"]), at=1_211.0), "no")
    audit.deny(replace(action("terminate", task_id=["a"]), at=1_260.0), "no")
    found = audit.read(10)
    assert [(item.times, item.action.at, item.ended_at) for item in found] == [
        (1, 1_260.0, 1_260.0),
        (1, 1_211.0, 1_211.0),
        (10, 1_200.0, 1_209.0),
    ]
    assert {item.replies[0] for item in found} == {("", DENIED, "no")}
    assert (found[2].action.who, found[2].action.origin, found[2].action.what) == ("ann", "10.0.0.7", "terminate")
    assert found[2].action.arguments == {"task_id": ["a"]}
    for web in webs:
        web.close()


def test_a_flood_of_what_is_denied_displaces_neither_what_was_done_nor_what_others_were_denied(tmp_path: Path) -> None:
    audit = SqliteAudit(tmp_path / "audit.db", ManualClock(), actions=5, denials=20)
    done = [audit.begin(action()) for _ in range(TRIM_EVERY)]
    audit.end(done[0], 1.0, [Told("w1@h", "ok", "")])
    audit.deny(replace(action("shutdown"), who="bob"), "no")
    for number in range(2 * TRIM_EVERY):
        audit.deny(action("revoke", task_id=[f"{number}" * 1_000]), "no")
    # With this one the bound of what was done is looked at.
    done.append(audit.begin(action()))
    found = audit.read(1_000)
    denied = [item for item in found if item.replies and item.replies[0].outcome == DENIED]
    assert [item.id for item in found if item not in denied] == done[:-6:-1]
    assert [item.action.who for item in denied] == ["ann"] * 19 + ["bob"]
    assert len(json.dumps(dict(denied[0].action.arguments))) <= DENIAL_BYTES
    audit.close()
    with sqlite3.connect(tmp_path / "audit.db") as other:
        kept = [other.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("action", "denied", "outcome")]
    other.close()
    assert kept == [25, 20, 0]


def test_a_trail_from_before_is_taken_on(tmp_path: Path) -> None:
    old = Beside(tmp_path / "audit.db", ManualClock(), home._MIGRATIONS[:3], "the audit trail", "")
    with old.open() as connection:
        connection.execute("INSERT INTO action VALUES (1, 1.0, 'a', 'o', 'revoke', 'api', '{}', '[]')")
    old.close()
    audit = SqliteAudit(tmp_path / "audit.db", ManualClock())
    audit.deny(action(), "no")
    assert [(item.action.who, item.times) for item in audit.read(10)] == [("ann", 1), ("a", 1)]
    audit.close()


def test_long_arguments_and_replies_are_cut(tmp_path: Path) -> None:
    audit = SqliteAudit(tmp_path / "audit.db", ManualClock())
    number = audit.begin(action(ids=["x" * 100] * 1_000))
    audit.end(number, 1.0, [Told(f"w{n}", "ok", "y" * 10_000) for n in range(2_000)])
    (item,) = audit.read(1)
    assert list(item.action.arguments) == ["cut"]
    assert len(item.replies) == 1_000
    assert (tmp_path / "audit.db").stat().st_size < 1_000_000
    audit.close()


def test_a_damaged_trail_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / "audit.db").write_bytes(b"no database at all" * 1_000)
    audit = SqliteAudit(tmp_path / "audit.db", ManualClock())
    audit.begin(action())
    assert len(audit.read(10)) == 1
    assert [file.name for file in tmp_path.glob("audit.db.damaged-*")] == ["audit.db.damaged-1750000000"]
    audit.close()


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--data-dir"):
        SqliteAudit(tmp_path / "file/data/audit.db", ManualClock()).begin(action())

"""The look for tasks without an end from time to time: one of several webs, piece by piece, only where it may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.pages.agreeing import Workers
from tests.web.events import T, heartbeat, online, received, retried, started
from tests.web.stage import Stage
from umbel.control.runs import Result
from umbel.model.learned import End
from umbel.runtime.stores import open_journal
from umbel.stores.journal import Kind
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web import stuck
from umbel.web.actions import Actions
from umbel.web.stuck import Stuck
from umbel.web.stuck_timer import SETTLE, StuckTimer


class Backend:
    """Knows the results that a test says."""

    has_backend = True

    def __init__(self) -> None:
        self.known: dict[str, Result] = {}

    def result(self, task_id: str) -> Result:
        return self.known.get(task_id, Result("PENDING"))


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def stage(tmp_path: Path, backend: Any) -> Iterator[Stage]:
    with closing(Stage(tmp_path)) as made:
        made.clock.step(T + 7_200 - made.clock.now())
        made.settings = replace(made.settings, broker="redis://localhost:1/0", redact_keys=("password",))
        made.control = workers = Workers()
        workers.said = {"query_task": {}}
        made.runs = backend
        made.audit = SqliteAudit(made.directory / "audit.db", made.clock)
        made.commit([online(), heartbeat(at=T + 7_200)])
        yield made


def timer(stage: Stage) -> StuckTimer:
    """That of one more web."""
    deps = stage.deps()
    actions = Actions(deps)
    return StuckTimer(deps, Stuck(deps, actions), actions.turns)


def test_of_several_webs_one_looks_and_none_looks_again_too_soon(stage: Stage) -> None:
    first, second = timer(stage), timer(stage)
    with closing(open_journal(stage.settings, stage.clock)) as journal:
        assert first.claim(journal)
        # As it is where both had seen that a look is due before either entered itself.
        second._enter(journal, stage.clock.now(), "")
        assert [first.take(journal), second.take(journal)] == [False, True]
        assert [first.claim(journal), second.claim(journal)] == [False, False]
        stage.clock.step(stage.settings.stuck_every)
        assert first.claim(journal)
        assert not second.claim(journal)
        assert [second.take(journal), first.take(journal)] == [False, True]
        stage.clock.step(-7 * 86_400)
        assert second.claim(journal), "a clock that was ahead keeps nobody waiting"


def test_webs_that_look_often_do_not_take_each_others_turns_away(stage: Stage) -> None:
    stage.settings = replace(stage.settings, stuck_every=1.0)
    first, second = timer(stage), timer(stage)
    with closing(open_journal(stage.settings, stage.clock)) as journal:
        assert first.claim(journal)
        stage.clock.step(2.0)
        assert not second.claim(journal), "the first has not begun yet"
        stage.clock.step(SETTLE - 2.0)
        assert first.take(journal)
        stage.clock.step(2 * SETTLE)
        assert second.claim(journal)


@pytest.mark.parametrize("change", [{"stuck_every": 0.0}, {"read_only": True}, {"broker": ""}])
def test_nobody_looks_where_it_is_turned_off_or_not_allowed(stage: Stage, change: dict[str, Any]) -> None:
    assert timer(stage)._journal() is not None
    stage.settings = replace(stage.settings, **change)
    assert timer(stage)._journal() is None


def test_it_goes_on_where_it_stopped_and_writes_down_only_what_is_new(
    stage: Stage, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stuck, "LOOK", 2)
    ids = [f"t{n}" for n in range(5)]
    stage.commit([event for n, id_ in enumerate(ids) for event in (received(id_, T + n), started(id_, T + n))])
    assert stage.audit is not None
    backend.known["t3"] = Result("FAILURE", True, "E(password='x1y2')", "Traceback", T + 9.5, "w2@shop")
    looker = timer(stage)
    with closing(open_journal(stage.settings, stage.clock)) as journal:

        def look() -> None:
            stage.clock.step(stage.settings.stuck_every)
            stage.commit([heartbeat(at=stage.clock.now())])
            assert looker.claim(journal)
            assert looker.take(journal)

        for _ in range(3):
            look()
        verdicts = {entry.key: entry.texts["outcome"] for entry in journal.read(Kind.VERDICT)}
        assert verdicts == {"t0": "orphaned", "t1": "orphaned", "t2": "orphaned", "t3": "ended", "t4": "orphaned"}
        (end,) = journal.read(Kind.END)
        told = End.of(end.texts)
        assert (told.task_id, told.state, told.at, told.worker) == ("t3", "FAILURE", T + 9.5, "w2@shop")
        assert "x1y2" not in str(end.texts)
        assert len(stage.audit.read(10)) == 3
        # Another round over the first of them finds nothing new.
        look()
        assert [recorded.action.via for recorded in stage.audit.read(10)] == ["timer"] * 3
    with stage.client() as client:
        assert "t4" in client.get("/stuck").text
        assert "itself, from time to time" in client.get("/audit").text


def test_one_that_was_sent_once_more_is_not_called_orphaned(stage: Stage) -> None:
    stage.commit([received("r"), started("r"), retried("r")])
    looker = timer(stage)
    with closing(open_journal(stage.settings, stage.clock)) as journal:
        assert looker.claim(journal)
        assert looker.take(journal)
        (entry,) = journal.read(Kind.VERDICT)
    assert (entry.key, entry.texts["outcome"]) == ("r", "unknown")
    assert "may wait in its queue" in entry.texts["evidence"]

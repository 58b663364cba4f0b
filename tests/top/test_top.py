"""`umbel top` on the real store, driven by keys as a person would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from tests.web.events import T, failed, failure, heartbeat, online, success
from tests.web.stage import Stage, Unreadable
from umbel.stores.journal import Entry, Kind
from umbel.top.app import TaskScreen, Top
from umbel.top.paint import spark
from umbel.web.pages import errors
from umbel.web.pages.spans import SPANS


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A store with two tasks that succeeded, one that failed, one worker."""
    made = Stage(tmp_path)
    made.clock.step(T + 30 - made.clock.now())
    made.commit([*success("good-1"), *success("good-2"), *failure("bad-1"), online(at=T + 29), heartbeat(at=T + 29)])
    made.well()
    yield made
    made.close()


async def until(pilot: Pilot[None], check: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, what
        await pilot.pause(0.05)


def drive(stage: Stage, story: Callable[[Top, Pilot[None]], object], query: str = "") -> None:
    """Run the program at the size of a usual terminal and let the story press its keys."""

    async def run() -> None:
        app = Top(stage.deps(), query)
        async with app.run_test(size=(140, 40)) as pilot:
            await story(app, pilot)  # type: ignore[misc]

    asyncio.run(run())


def rows(app: Top, table: str) -> int:
    return app.query_one(f"#{table}", DataTable).row_count


def text(app: Top, static: str) -> str:
    return str(app.query_one(f"#{static}", Static).content)


def test_the_overview_shows_the_figures_and_what_fails(stage: Stage) -> None:
    async def story(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: rows(app, "failures") == 1, "the failures")
        assert "2 succeeded" in text(app, "figures")
        assert "33 % of what ended" in text(app, "figures")

    drive(stage, story)


def test_a_search_finds_tasks_and_enter_opens_one(stage: Stage) -> None:
    async def story(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: rows(app, "tasks") == 3, "three tasks")
        await pilot.press("slash", *"state:FAILURE", "enter")
        await until(pilot, lambda: rows(app, "tasks") == 1, "the failed one")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TaskScreen), "its screen")
        await until(pilot, lambda: "Traceback: no" in str(app.screen.query_one("#story", Static).content), "its story")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, TaskScreen), "the way back")

    drive(stage, story)


def test_a_mistake_in_a_search_is_said(stage: Stage) -> None:
    async def story(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "a duration such as" in text(app, "found"), "what is wrong")

    drive(stage, story, "run:>x")


def test_new_tasks_are_counted_and_shown_when_asked_for(stage: Stage) -> None:
    async def story(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: rows(app, "tasks") == 3, "three tasks")
        stage.commit(success("late"))
        await until(pilot, lambda: "+1 new" in text(app, "found"), "the count of new ones")
        assert rows(app, "tasks") == 3
        await pilot.press("n")
        await until(pilot, lambda: rows(app, "tasks") == 4, "all four")

    drive(stage, story)


def test_a_name_leads_to_its_tasks(stage: Stage) -> None:
    async def story(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        await until(pilot, lambda: rows(app, "names") == 1, "the name")
        await pilot.press("enter")
        await until(pilot, lambda: rows(app, "tasks") == 3, "its tasks")
        assert app.query_one("#q", Input).value == 'name:"shop.pay"'

    drive(stage, story)


def test_errors_and_workers_are_listed(stage: Stage) -> None:
    async def story(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        await until(pilot, lambda: rows(app, "errors") == 1, "the error")
        await pilot.press("5")
        await until(pilot, lambda: rows(app, "workers") == 1, "the worker")

    drive(stage, story)


def test_what_was_called_resolved_is_left_out_until_it_is_asked_for_or_fails_again(stage: Stage) -> None:
    (kind,) = errors.looked_at(stage.deps(), SPANS["24h"]).failures.sample.kinds
    stage.journal.put(Entry(Kind.RESOLVED, kind.fingerprint.key, stage.clock.now(), {"type": "ValueError"}))

    async def story(app: Top, pilot: Pilot[None]) -> None:
        def marks() -> list[str]:
            table = app.query_one("#errors", DataTable)
            return [str(table.get_row_at(row)[0]) for row in range(table.row_count)]

        await pilot.press("4")
        await until(pilot, lambda: text(app, "resolved") == "1 resolved", "the count of the resolved")
        assert marks() == []
        await pilot.press("r")
        await until(pilot, lambda: marks() == ["resolved"], "the resolved one")
        await pilot.press("r")
        stage.clock.advance(60)
        stage.commit([failed("bad-1", stage.clock.now() - 1)])
        await until(pilot, lambda: marks() == ["back"], "that it is back")
        assert text(app, "resolved") == "1 back again"

    drive(stage, story)


def test_a_store_that_cannot_be_read_is_said_and_what_is_shown_stays(stage: Stage) -> None:
    async def story(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: rows(app, "tasks") == 3, "three tasks")
        app.deps.reader = Unreadable()
        await until(pilot, lambda: "disk I/O error" in app.sub_title, "the trouble")
        assert rows(app, "tasks") == 3

    drive(stage, story)


def test_a_spark_is_as_high_as_its_values() -> None:
    assert spark([0, 1, 4, 8, None], 5) == " ▁▄█ "
    assert spark([0, 0], 5) == "  "

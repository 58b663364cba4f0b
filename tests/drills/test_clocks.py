"""Clocks that step back and clocks that are hours apart: order and states are right, and nothing is negative."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drills.checks import check, settled, start
from tests.drills.load import Publisher
from tests.support.environment import wait_until
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TASKS = 600
HOUR = 3_600.0
PAGES = ("/", "/tasks", "/workers", "/ingest")


def numbers(value: Any) -> Iterator[float]:
    """Every number in an answer."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, int | float):
        yield float(value)


def shown(page: bytes) -> str:
    """The text of a page, without its scripts and its examples of what may be typed."""
    text = re.sub(r"<(script|style|code)\b.*?</\1>", " ", page.decode(), flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", text))


def test_states_are_right_and_nothing_is_negative_though_clocks_step_and_differ(
    redis_factory: Callable[..., RedisServer], umbel_process: Callable[..., UmbelProcess], tmp_path: Path
) -> None:
    redis = redis_factory()
    umbel = start(redis, umbel_process)
    clocks = {"workers": 3, "life": 10**6, "back": HOUR, "apart": HOUR}
    with Publisher(redis.url, tmp_path, rate=1_500, tasks=TASKS, **clocks) as publisher:
        assert publisher.wait(timeout=120) == 0
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=120)
    tasks = umbel.json("/api/v1/tasks?limit=1000")["items"]
    whole = [umbel.json(f"/api/v1/tasks/{task['id']}") for task in tasks[:: TASKS // 50]]
    answers = [umbel.json(path) for path in ("/api/v1/workers", "/api/v1/ingest", "/api/v1/ledger")]
    pages = {path: shown(umbel.get(path)) for path in PAGES}
    pages |= {task["id"]: shown(umbel.get(f"/tasks/{task['id']}")) for task in tasks[:: TASKS // 10]}
    umbel.stop()
    check(tmp_path / "umbel.db", TASKS)
    # Tasks are told apart by their number, whose every tenth failed; some of them straddle the step of their clock.
    assert len(tasks) == TASKS
    assert sum(task["state"] == "FAILURE" for task in tasks) == TASKS // 10
    assert sum(task["state"] == "SUCCESS" for task in tasks) == TASKS - TASKS // 10
    straddling = [task for task in tasks if task["started_at"] < task["received_at"]]
    assert len(straddling) > 10
    assert all(number >= 0 for number in numbers([tasks, whole, answers]))
    for path, text in pages.items():
        assert not re.search(r"(?<![\w.,:<>–-])[-−]\d", text), path

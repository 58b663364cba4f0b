"""What real results say of groups, chords and children, and that nothing breaks on what no Celery wrote."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.services import CeleryWorker, RedisServer, wait_until
from umbel.control.client_kin import kin_of
from umbel.control.client_runs import CeleryRuns
from umbel.control.runs import Kin, NoBackend, Order
from umbel.runtime.app import load_app
from umbel.settings import Settings


@pytest.mark.slow
def test_results_tell_the_groups_that_events_do_not(redis_server: RedisServer, tmp_path: Path) -> None:
    url = redis_server.url.rstrip("/").removesuffix("/0") + "/12"
    worker = CeleryWorker(url, tmp_path, app="tests.control.canvas_app", backend=url, pool="solo")
    worker.start()
    try:
        with closing(CeleryRuns(Settings(broker=url, result_backend=url), load_app)) as runs:
            task_id = runs.send(Order("canvas.fan"))
            wait_until(lambda: runs.result(task_id).ready, "its end", timeout=120)
            told = runs.kin([task_id, "nobody"], 60.0)
            assert told["nobody"] == Kin()
            fan = told[task_id]
            assert sorted(map(len, fan.groups.values())) == [2, 3]
            members = {member for group in fan.groups.values() for member in group}
            assert len(members) == 5
            assert members < set(fan.children)
            joined, chord = next((id_, ids) for id_, ids in fan.groups.items() if len(ids) == 3)
            wait_until(lambda: runs.result(chord[0]).ready, "a member's end", timeout=120)
            assert runs.kin([chord[0]], 60.0)[chord[0]].group_id == joined
    finally:
        worker.kill()


def test_without_a_backend_that_keeps_results_it_says_so() -> None:
    for backend in ("", "rpc://"):
        settings = Settings(broker="memory://", result_backend=backend)
        with closing(CeleryRuns(settings, load_app)) as runs, pytest.raises(NoBackend):
            runs.kin(["a"], 1.0)


@pytest.mark.parametrize(
    "meta",
    [
        None,
        [],
        {"children": 7},
        {"children": [[]], "group_id": 9},
        {"children": [[["a"], None], [[1, 2], [3, [4]]], "x", [["b", None], {"c": 1}]]},
    ],
)
def test_what_no_celery_wrote_is_left_out(meta: Any) -> None:
    assert kin_of(meta).groups in ({}, {"": []})
    assert kin_of(meta).group_id == ""


def test_groups_within_groups_are_flattened_and_endless_ones_end() -> None:
    endless: list[Any] = []
    endless.append([["g", None], endless])
    inner = [["g2", None], [[["b", None], None]]]
    meta = {"children": [[["g1", None], [[["a", None], None], inner]], [["g3", None], endless]]}
    found = kin_of(meta)
    assert found.groups == {"g1": ["a", "b"], "g3": []}
    assert list(found.children) == ["a", "b"]


def test_a_body_whose_result_has_its_header_as_parent_is_told_to_join_it() -> None:
    header = [["g", None], [[["a", None], None], [["b", None], None]]]
    found = kin_of({"children": [[["body", header], None]], "group_id": "outer"})
    assert found == Kin("outer", ("body", "a", "b"), {"g": ["a", "b"]}, {"body": "g"})

"""A workflow's tree: what hangs below what, how it is told, and the path that made it last."""

from __future__ import annotations

from itertools import permutations

import pytest

from umbel.model.query import And, Compare, Field, Op, Or, span_of
from umbel.model.task import State, Summary
from umbel.model.workflow import Kinship, Link, build

T = 1_750_000_000.0


def task(
    id_: str,
    at: float,
    run: float | None = 1.0,
    *,
    parent: str = "",
    wait: float = 0.0,
    state: State = State.SUCCESS,
    sent: bool = True,
    name: str = "t",
) -> Summary:
    """A task first seen `at` seconds after `T` that waits and runs for so long; `run` None: it runs still."""
    first, started = T + at, T + at + wait
    finished = None if run is None else started + run
    return Summary(
        id_,
        name,
        State.STARTED if run is None else state,
        "w@h",
        "",
        first if sent else None,
        first,
        started,
        finished,
        wait,
        run,
        0,
        "",
        "",
        "root",
        parent,
        finished or started,
        rerun=False,
    )


def test_a_step_after_its_parents_run_is_told_from_a_call_while_it_ran() -> None:
    called = task("called", 0.5, parent="root")
    after = task("after", 2.0, parent="root")
    root = task("root", 0, 2.0)
    for tasks in permutations([root, called, after]):
        flow = build(tasks, "root", T + 9)
        links = {id_: node.link for id_, node in flow.nodes.items()}
        assert links == {"root": Link.ROOT, "called": Link.CALLED, "after": Link.AFTER}
        assert flow.roots == [flow.nodes["root"]]
        assert flow.nodes["root"].then is flow.nodes["after"]
        assert (flow.nodes["root"].below, flow.open) == (2, 0)


def test_two_that_follow_one_are_no_chain() -> None:
    flow = build([task("root", 0), task("a", 2, parent="root"), task("b", 2, parent="root")], "root", T)
    assert flow.nodes["root"].then is None


def test_a_retried_task_that_names_itself_as_its_parent_hangs_below_the_root() -> None:
    tasks = [task("root", 0, 5.0), task("mid", 1, parent="root"), task("x", 2, parent="x")]
    assert build(tasks, "root", T).nodes["x"].link is Link.ADRIFT
    told = build(tasks, "root", T, Kinship(parent_of={"x": "mid"}))
    assert told.nodes["x"].parent is told.nodes["mid"]


def test_what_hangs_below_itself_is_cut_and_nothing_is_lost() -> None:
    tasks = [task("a", 0, parent="c"), task("b", 1, parent="a"), task("c", 2, parent="b"), task("d", 3, parent="c")]
    flow = build(tasks, "root", T)
    assert len(flow.roots) == 1
    assert flow.roots[0].below == 3


def test_a_chain_of_ten_thousand_is_put_together() -> None:
    tasks = [task(f"{n:05}", 2 * n, parent=f"{n - 1:05}" if n else "") for n in range(10_000)]
    flow = build(tasks, "00000", T)
    assert flow.roots[0].below == 9_999
    assert len(flow.path) == 10_000
    assert sum(step.run for step in flow.path) == pytest.approx(10_000)
    assert sum(step.idle for step in flow.path) == pytest.approx(9_999)


def test_the_critical_path_leads_to_what_ended_last_and_its_parts_add_up() -> None:
    tasks = [
        task("root", 0, 2.0, wait=1.0),
        task("quick", 1.5, 0.1, parent="root"),
        task("slow", 2.0, 7.0, parent="root", wait=3.0),
        task("last", 13.0, 1.0, parent="slow"),
    ]
    flow = build(tasks, "root", T + 99)
    assert [step.node.task.id for step in flow.path] == ["root", "slow", "last"]
    assert not flow.nodes["quick"].critical
    steps = [(step.idle, step.wait, step.run) for step in flow.path]
    assert steps == [
        pytest.approx((0.0, 1.0, 1.0)),
        pytest.approx((0.0, 3.0, 7.0)),
        pytest.approx((1.0, 0.0, 1.0)),
    ]
    assert sum(map(sum, steps)) == pytest.approx(flow.end - flow.start)


def test_the_path_leads_to_what_still_runs() -> None:
    flow = build([task("root", 0), task("done", 0.1, 5.0, parent="root"), task("open", 0.2, None)], "root", T + 60)
    assert flow.path[-1].node.task.id == "open"
    assert (flow.open, flow.end) == (1, T + 60)


def test_skewed_clocks_make_no_time_negative() -> None:
    flow = build([task("root", 0, 1.0), task("early", -5.0, 20.0, parent="root", wait=1.0)], "root", T)
    assert all(part >= 0 for step in flow.path for part in (step.idle, step.wait, step.run))


def test_any_of_several_bounds_in_time_bounds_the_search_where_all_have_one() -> None:
    sent, done = Compare(Field.SENT, Op.GE, 5.0), Compare(Field.FINISHED, Op.GE, 3.0)
    assert span_of(Or((sent, done))) == (3.0, None)
    assert span_of(Or((sent, Compare(Field.NAME, Op.EQ, "x")))) == (None, None)
    assert span_of(And((Or((sent, done)), Compare(Field.SENT, Op.LT, 9.0)))) == (3.0, 9.0)
    assert span_of(Or(())) == (None, None)

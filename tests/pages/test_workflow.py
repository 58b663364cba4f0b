"""The page and the API route of a workflow, on the real store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace

from tests.web.events import T
from tests.web.stage import Stage
from umbel.control.runs import Kin, NoBackend
from umbel.errors import ControlError
from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskSent, TaskStarted, TaskSucceeded
from umbel.model.workflow import Link
from umbel.web import families
from umbel.web.kinship import Results
from umbel.web.pages import workflow, workflow_rows
from umbel.web.pages.workflow import Context
from umbel.web.pages.workflow_rows import ROWS, STEPS, Fold, Row


@pytest.fixture(autouse=True)
def now(stage: Stage) -> float:
    stage.clock.step(T + 600 - stage.clock.now())
    stage.well()
    return stage.clock.now()


def run(
    id_: str, at: float, seconds: float = 1.0, *, parent: str = "", name: str = "shop.step", fails: bool = False
) -> list[AnyEvent]:
    """A task of the workflow `root` that is sent `at` seconds after `T`, and started half a second later."""
    end: AnyEvent = TaskSucceeded(hostname="w1@a", pid=7, timestamp=T + at + 0.5 + seconds, uuid=id_, runtime=seconds)
    if fails:
        end = TaskFailed(hostname="w1@a", pid=7, timestamp=T + at + 0.5 + seconds, uuid=id_, exception="ValueError()")
    return [
        TaskSent(hostname="gen1@a", timestamp=T + at, uuid=id_, name=name, root_id="root", parent_id=parent or None),
        TaskReceived(
            hostname="w1@a",
            pid=7,
            timestamp=T + at + 0.1,
            uuid=id_,
            name=name,
            root_id="root",
            parent_id=parent or None,
        ),
        TaskStarted(hostname="w1@a", pid=7, timestamp=T + at + 0.5, uuid=id_),
        end,
    ]


class Backend:
    """Says what the test wants, as a result backend would."""

    has_backend = True

    def __init__(self, found: Mapping[str, Kin] | None = None, error: ControlError | None = None) -> None:
        self.found = found or {}
        self.error = error
        self.asked: list[list[str]] = []

    def kin(self, ids: Sequence[str], patience: float) -> Mapping[str, Kin]:
        self.asked.append(list(ids))
        if self.error is not None:
            raise self.error
        return {id_: self.found.get(id_, Kin()) for id_ in ids}


def loaded(stage: Stage, id_: str = "root", backend: Backend | None = None) -> Context:
    context = workflow.load(stage.deps(), id_, Results(lambda: backend))  # type: ignore[arg-type,return-value]  # only this is asked
    assert context is not None
    return context


def test_a_group_is_folded_by_name_and_what_failed_stays_visible(stage: Stage) -> None:
    events = run("root", 0, 2.0, name="shop.fan")
    for n in range(40):
        events += run(f"m{n:02}", 1.0, 3.0 + n / 100, parent="root", fails=n == 17)
    stage.commit(events)
    context = loaded(stage)
    rows = context.drawing.rows
    (fold,) = [row for row in rows if isinstance(row, Fold)]
    drawn = [row.node.task.id for row in rows if isinstance(row, Row)]
    # The first, the one that failed, and the one that ended last.
    assert drawn == ["root", "m00", "m17", "m39"]
    assert (fold.count, fold.names, fold.states) == (37, [("shop.step", 37)], [("SUCCESS", 37)])
    assert context.drawing.folded == 37
    assert fold.search == 'parent:"root" name:="shop.step"'
    assert [step.node.task.id for step in context.path] == ["root", "m39"]
    # The task that is looked at is drawn, wherever it is.
    at = loaded(stage, "m25")
    assert [row.node.task.id for row in at.drawing.rows if isinstance(row, Row) and row.here] == ["m25"]


def test_a_long_chain_is_folded_in_its_middle(stage: Stage) -> None:
    events: list[AnyEvent] = []
    for n in range(200):
        events += run("root" if not n else f"s{n:03}", 2.0 * n, parent=["", "root", f"s{n - 1:03}"][min(n, 2)])
    stage.commit(events)
    rows = loaded(stage).drawing.rows
    assert [row.level for row in rows] == [0] * len(rows)
    (fold,) = [row for row in rows if isinstance(row, Fold)]
    assert (fold.kind, fold.count, len(rows)) == ("steps", 200 - STEPS, STEPS + 1)
    assert all(row.node.link is Link.AFTER for row in rows[1:] if isinstance(row, Row))


@pytest.mark.slow
def test_ten_thousand_tasks_are_drawn_in_a_bounded_page_and_every_one_is_accounted_for(stage: Stage) -> None:
    events = run("root", 0, 50.0, name="shop.fan")
    for n in range(1_000):
        events += run(f"g{n:04}", 1.0, 5.0, parent="root", name=f"shop.kind{n % 400}")
    for n in range(8_999):
        events += run(f"h{n:04}", 7.0, 1.0, parent=f"g{n % 1_000:04}")
    stage.commit(events)
    context = loaded(stage)
    assert len(context.workflow.nodes) == 10_000
    assert not context.family.more
    drawing = context.drawing
    assert len(drawing.rows) <= ROWS
    drawn = sum(isinstance(row, Row) for row in drawing.rows)
    assert (drawn + drawing.folded, drawing.left_out) == (10_000, 0)
    with stage.client() as client:
        text = client.get("/tasks/root/workflow").text
    assert len(text) < 600_000
    assert "more do not fit" not in text


@pytest.mark.parametrize("here", ["root", "n3", "n3212"])
def test_of_a_tree_that_does_not_fit_what_tells_most_is_drawn_and_every_fold_can_be_opened(
    stage: Stage, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow_rows, "ROWS", 60)
    events = run("root", 0, 50.0, name="shop.fan")
    level, at = ["n"], 1.0
    # A tree of 4 levels, each task with 5 below it, whose last one lasts longest.
    for depth in range(4):
        at += 1
        grown = [f"{above}{n}" for above in level for n in range(5)]
        for id_ in grown:
            parent = "root" if depth == 0 else id_[:-1]
            events += run(id_, at, 100.0 if set(id_) == {"n", "4"} else 30.0, parent=parent)
        level = grown
    stage.commit(events)
    context = loaded(stage, here)
    rows = context.drawing.rows
    drawn = {row.node.task.id for row in rows if isinstance(row, Row)}
    assert len(rows) <= 60
    assert (len(drawn) + context.drawing.folded, context.drawing.left_out) == (781, 0)
    assert {"root", here} | {step.node.task.id for step in context.path} <= drawn
    closed = [row for row in rows if isinstance(row, Fold) and row.kind == "below"]
    assert closed
    for fold in closed[:3]:
        unfolded = {row.node.task.id for row in loaded(stage, fold.at).drawing.rows if isinstance(row, Row)}
        assert {node.task.id for node in fold.nodes} <= unfolded


def test_more_than_the_bound_are_said_to_be_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "TASKS", 300)
    events = run("root", 0, 50.0)
    for n in range(305):
        events += run(f"g{n:05}", 1.0, parent="root")
    stage.commit(events)
    context = loaded(stage)
    assert context.family.more
    assert len(context.workflow.nodes) == 300
    with stage.client() as client:
        assert "There may be more tasks than are shown" in client.get("/tasks/root/workflow").text
        answer = client.get("/api/v1/tasks/root/workflow?limit=3").json()
    assert (answer["complete"], len(answer["items"])) == (False, 3)


def test_the_result_backend_adds_groups_and_bodies_once(stage: Stage) -> None:
    stage.commit([*run("root", 0, 2.0), *run("a", 1.0, parent="root"), *run("body", 5.0, parent="a")])
    told = Kin(children=["a", "body"], groups={"g-1": ["a"]}, bodies={"body": "g-1"})
    backend = Backend({"root": told})
    results = Results(lambda: backend)  # type: ignore[arg-type,return-value]  # only this is asked
    contexts = [workflow.load(stage.deps(), "body", results) for _ in range(2)]
    context = contexts[1]
    assert context is not None
    tags = {row.node.task.id: (row.group, row.joins) for row in context.drawing.rows if isinstance(row, Row)}
    assert tags == {"root": ("", ""), "a": ("g-1", ""), "body": ("", "g-1")}
    assert backend.asked == [["body", "root", "a"]]


def test_the_only_task_that_follows_a_group_is_taken_for_its_chords_body(stage: Stage) -> None:
    events = run("root", 0, 2.0)
    for n in range(3):
        events += run(f"m{n}", 1.0, 1.0 + n, parent="root")
    stage.commit([*events, *run("body", 6.0, parent="m2")])
    backend = Backend({"root": Kin(groups={"g": ["m0", "m1", "m2"]})})
    rows = loaded(stage, backend=backend).drawing.rows
    assert {row.node.task.id: row.joins for row in rows if isinstance(row, Row) and row.joins} == {"body": "g"}
    stage.commit(run("callback", 6.0, parent="m1"))
    rows = loaded(stage, backend=backend).drawing.rows
    assert not any(row.joins for row in rows if isinstance(row, Row))


def test_where_no_backend_can_be_asked_the_page_says_so(stage: Stage) -> None:
    stage.commit(run("root", 0))
    assert not loaded(stage).told.backend
    assert not loaded(stage, backend=Backend(error=NoBackend("none"))).told.backend
    assert loaded(stage, backend=Backend(error=ControlError("it hangs"))).told.problem == "it hangs"
    with stage.client() as client:
        text = client.get("/tasks/root/workflow").text
    assert "No result backend is known" in text
    assert "On its own" in text


def test_the_api_tells_links_and_path(stage: Stage) -> None:
    stage.commit([*run("root", 0, 2.0), *run("a", 1.0, parent="root"), *run("next", 3.0, parent="root")])
    with stage.client() as client:
        answer = client.get("/api/v1/tasks/a/workflow").json()
        assert client.get("/api/v1/tasks/nobody/workflow").status_code == 404
        assert client.get("/tasks/nobody/workflow").status_code == 404
        assert "/tasks/a/workflow" in client.get("/tasks/a").text
    assert answer["root_id"] == "root"
    links = {item["id"]: (item["link"], item["parent_id"]) for item in answer["items"]}
    assert links == {"root": ("root", None), "a": ("called", "root"), "next": ("after", "root")}
    assert [step["id"] for step in answer["critical_path"]] == ["root", "next"]
    assert answer["ended_at"] == "2025-06-15T15:06:44.500000Z"


def test_a_workflow_that_had_ended_shows_what_was_added_at_once_and_older_changes_within_a_minute(stage: Stage) -> None:
    stage.commit([event for n in range(1, 80) for event in run(f"t{n:02}", n, parent="root")] + run("root", 0))

    def looked() -> Context:
        found = workflow.load(stage.deps(), "root", Results(lambda: None))
        assert found is not None
        return found

    assert (len(looked().workflow.nodes), looked().failed) == (80, 0)
    # Of one of the older tasks it becomes known late that it failed in the end.
    late = TaskFailed(hostname="w1@a", pid=7, timestamp=T + 500, uuid="t01", exception="ValueError()")
    stage.commit([late])
    assert looked().failed == 0
    stage.commit(run("added", 400, parent="root"))
    assert (len(looked().workflow.nodes), looked().failed) == (81, 1)
    stage.commit([replace(late, uuid="t02")])
    assert looked().failed == 1
    stage.clock.advance(families.AGE)
    assert looked().failed == 2
    stage.commit(run("more", 401, parent="root")[:2])
    assert looked().open == 1
    stage.commit(run("more", 401, parent="root"))
    assert looked().open == 0

"""What the page of storage says, and what it says that another retention would do."""

from __future__ import annotations

import pytest

from tests.web.events import T, failure, success
from tests.web.stage import Stage
from umbel.web.pages import storage


@pytest.fixture
def now(stage: Stage) -> float:
    """Ten days after what the events say."""
    stage.clock.step(T - stage.clock.now())
    stage.commit([event for n in range(6) for event in success(f"good-{n}")])
    stage.commit([event for n in range(3) for event in failure(f"bad-{n}")])
    stage.clock.advance(10 * 86_400)
    stage.well()
    return stage.clock.now()


def test_each_piece_is_listed_with_what_it_takes(stage: Stage, now: float) -> None:
    context = storage.load(stage.deps())
    assert context.tasks == sum(piece.part.tasks for piece in context.pieces) == 9
    assert context.bytes >= sum(piece.part.bytes for piece in context.pieces) > 0
    assert context.first_at == T
    assert (context.keep, context.preview, context.problem) == ("14d", None, "")


def test_a_retention_is_tried_rule_by_rule_and_nothing_is_dropped(stage: Stage, now: float) -> None:
    preview = storage.load(stage.deps(), "state:FAILURE 90d, 7d").preview
    assert preview is not None
    assert [(effect.rule, effect.dropped.tasks) for effect in preview.effects] == [
        ("state:FAILURE 90d", 0),
        ("older than 7d", 6),
    ]
    assert (preview.tasks, preview.complete) == (6, True)
    assert storage.load(stage.deps()).tasks == 9


def test_what_keeps_everything_says_so(stage: Stage, now: float) -> None:
    with stage.client() as client:
        assert "This keeps everything" in client.get("/storage?keep=0").text


@pytest.mark.parametrize(("query", "said"), [("keep=soon", "a duration such as"), ("bytes=lots", "a size such as")])
def test_a_retention_that_is_none_is_refused_in_words_and_kept_in_its_field(
    stage: Stage, now: float, query: str, said: str
) -> None:
    with stage.client() as client:
        answer = client.get(f"/storage?{query}")
    assert answer.status_code == 400
    assert said in answer.text
    assert f'value="{query.partition("=")[2]}"' in answer.text


def test_a_store_without_tasks_says_so(stage: Stage) -> None:
    stage.commit()
    stage.well()
    with stage.client() as client:
        assert "Nothing is kept yet" in client.get("/storage").text

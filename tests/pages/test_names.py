"""What the pages of names and errors say, on the real store."""

from __future__ import annotations

import pytest

from tests.web.events import T, failure, received, started, success
from tests.web.stage import Stage
from umbel.model.event import AnyEvent, TaskFailed, TaskReceived
from umbel.web.pages import errors, failure_cells, name, names, tasks
from umbel.web.pages.failures import SAMPLE


@pytest.fixture
def now(stage: Stage) -> float:
    """A minute after what the events say."""
    stage.clock.step(T + 60 - stage.clock.now())
    stage.well()
    return stage.clock.now()


def failed(id_: str, exception: str, task: str = "shop.charge", at: float = T) -> list[AnyEvent]:
    return [
        TaskReceived(hostname="w1@shop", timestamp=at, pid=7, uuid=id_, name=task, args=f"({len(id_)},)", kwargs="{}"),
        TaskFailed(
            hostname="w1@shop",
            timestamp=at + 1,
            pid=7,
            uuid=id_,
            exception=exception,
            traceback='  File "a/b.py", line 3, in f\n',
        ),
    ]


def test_each_name_has_its_figures_and_its_last_failure(stage: Stage, now: float) -> None:
    stage.commit([*success("a"), *failed("b", "KeyError(1)"), *failed("c", "KeyError(2)", at=T + 5)])
    rows = {row.name: row for row in names.load(stage.deps()).rows}
    charged = rows["shop.charge"]
    assert (charged.ended, charged.failed, charged.failure_share) == (2, 2, 1.0)
    assert charged.last_failure is not None
    assert charged.last_failure.id == "c"
    assert [bar.part == bar.height for bar in charged.spark] == [True]
    others = [row for found, row in rows.items() if found != "shop.charge"]
    assert [(row.ended, row.failed, row.last_failure) for row in others] == [(1, 0, None)]


@pytest.mark.parametrize("order", names.SORTS)
def test_every_order_puts_its_greatest_first(stage: Stage, now: float, order: str) -> None:
    stage.commit([*success("a"), *success("a2"), *failed("b", "KeyError(1)"), received("r"), started("r")])
    rows = names.load(stage.deps(), sort=order).rows
    found = [names.SORTS[order][1](row) for row in rows]
    assert found == sorted(found, reverse=True)


def test_only_so_many_names_are_shown_and_the_rest_is_counted(stage: Stage, now: float) -> None:
    stage.commit([e for n in range(names.ROWS + 3) for e in failed(f"t{n}", "KeyError(1)", f"shop.n{n}")])
    context = names.load(stage.deps())
    assert (len(context.rows), context.hidden) == (names.ROWS, 3)


def test_a_name_shows_what_it_fails_with_and_with_which_arguments(stage: Stage, now: float) -> None:
    stage.commit([*failed("x1", "KeyError(1)"), *failed("x2", "KeyError(2)"), *failed("x33", "ValueError('no')")])
    stage.commit(success("other"))
    context = name.load(stage.deps(), "shop.charge")
    assert [(kind.fingerprint.message, kind.count) for kind in context.failures.kinds] == [
        ("KeyError(<n>)", 2),
        ("ValueError('no')", 1),
    ]
    assert [(share.text, share.count) for share in context.arguments] == [("(2,)", 2), ("(3,)", 1)]
    assert [(share.text, share.count) for share in context.workers] == [("w1@shop", 3)]
    assert (context.ended, context.failed) == (3, 3)


def test_a_name_with_signs_of_its_own_is_searched_for_as_it_is(stage: Stage, now: float) -> None:
    odd = 'shop."odd"\\name/é <b>'
    stage.commit(failed("x", "KeyError(1)", odd))
    with stage.client() as client:
        listed = client.get("/names")
        assert "é <b>" not in listed.text
        assert "/names/shop.%22odd%22%5Cname/%C3%A9%20%3Cb%3E" in listed.text
        shown = client.get("/names/shop.%22odd%22%5Cname/%C3%A9%20%3Cb%3E")
    assert shown.status_code == 200
    (kind,) = name.load(stage.deps(), odd).failures.kinds
    assert kind.count == 1
    assert {row.task.id for row in tasks.load(stage.deps(), kind.query).rows} == {"x"}
    assert "q=name%3A%22shop.%5C%22odd%5C%22%5C%5Cname" in shown.text


def test_an_unknown_name_says_so(stage: Stage, now: float) -> None:
    stage.commit(success("a"))
    with stage.client() as client:
        answer = client.get("/names/no.such")
    assert answer.status_code == 200
    assert "No task of this name is kept" in answer.text


def test_failures_alike_are_one_kind_whoever_failed_and_lead_to_their_tasks(stage: Stage, now: float) -> None:
    stage.commit([*failed("x1", "KeyError(1)"), *failed("x2", "KeyError(22)", "shop.refund"), *failure("v")])
    context = errors.load(stage.deps())
    assert context.failed == 3
    kinds = {row.kind.fingerprint.type: row.kind for row in context.rows}
    assert {type_: kind.count for type_, kind in kinds.items()} == {"KeyError": 2, "ValueError": 1}
    assert set(kinds["KeyError"].names) == {"shop.charge", "shop.refund"}
    found = tasks.load(stage.deps(), kinds["KeyError"].query)
    assert {row.task.id for row in found.rows} == {"x1", "x2"}


def test_a_kind_that_began_lately_is_new_and_stands_first(stage: Stage, now: float) -> None:
    stage.commit([*failed("x1", "KeyError(1)"), *failed("x2", "KeyError(2)")])
    stage.clock.advance(3_000)
    stage.commit(failed("y", "ValueError('fresh')", at=T + 3_000))
    rows = errors.load(stage.deps()).rows
    assert [(row.kind.fingerprint.type, row.new) for row in rows] == [("ValueError", True), ("KeyError", False)]


def test_where_the_history_has_only_begun_nothing_is_new(stage: Stage, now: float) -> None:
    stage.commit(failed("x", "KeyError(1)", at=T))
    assert [row.new for row in errors.load(stage.deps()).rows] == [False]


def test_every_failure_of_the_span_is_counted_and_a_rare_kind_among_many_is_found(stage: Stage, now: float) -> None:
    rare = [*failed("rare", "ValueError('sku')"), *failed("other", "KeyError(1)", "shop.refund")]
    many = [e for n in range(SAMPLE + 100) for e in failed(f"t{n}", "KeyError(1)", at=T + 1)]
    stage.commit([*rare, *many])
    context = errors.load(stage.deps())
    assert (context.more, context.failed, context.unseen) == (True, SAMPLE + 102, 0)
    assert context.looked_at < context.failed
    found = {row.kind.fingerprint.type: row for row in context.rows}
    assert {type_: (row.count, row.rough) for type_, row in found.items()} == {
        "KeyError": (SAMPLE + 101, False),
        "ValueError": (1, False),
    }
    assert set(found["KeyError"].kind.names) == {"shop.charge", "shop.refund"}
    assert found["KeyError"].spark
    with stage.client() as client:
        assert f"of {SAMPLE + 102} failures looked at, all counted" in client.get("/errors").text


def test_failures_of_two_kinds_with_one_exception_are_shared_out_and_said_to_be_about_right(
    stage: Stage, now: float
) -> None:
    stage.commit([e for n in range(SAMPLE + 100) for e in failed(f"t{n}", f"KeyError({'ab'[n % 2]!r})")])
    rows = errors.load(stage.deps()).rows
    assert [row.rough for row in rows] == [True, True]
    assert abs(sum(row.count for row in rows) - (SAMPLE + 100)) <= 1
    with stage.client() as client:
        assert "≈" in client.get("/errors").text


def test_what_there_was_no_time_to_look_at_is_said(stage: Stage, now: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_cells, "SECONDS", -1.0)
    rare = failed("rare", "ValueError('sku')")
    stage.commit([*rare, *(e for n in range(SAMPLE + 1) for e in failed(f"t{n}", "KeyError(1)", at=T + 1))])
    context = errors.load(stage.deps())
    assert [row.kind.fingerprint.type for row in context.rows] == ["KeyError"]
    assert context.unseen == 1
    with stage.client() as client:
        assert "1 rare exception not looked at in time" in client.get("/errors").text

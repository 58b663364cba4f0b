"""The list of tasks: what stands around it, its columns, and what its forms do to the address."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web.events import T, failure, online, received, sent, success
from tests.web.stage import Stage
from umbel.model.query import Compare, Field, Op
from umbel.model.task import State
from umbel.model.terms import has
from umbel.web.pages import task_sides, tasks
from umbel.web.pages.task_columns import USUAL, as_text, columns_of


@pytest.fixture
def shop(stage: Stage) -> Stage:
    stage.clock.step(T + 60 - stage.clock.now())
    stage.well()
    others = [sent("r", name="shop.refund", queue="slow"), received("r", name="shop.refund")]
    stage.commit([*success("a"), *success("b"), *failure("c"), *others])
    return stage


def choices(found: tasks.Context, title: str) -> dict[str, int]:
    assert found.sides is not None
    return {one.text: one.count for group in found.sides.groups if group.title == title for one in group.choices}


def test_values_are_counted_beside_the_list_and_each_adds_its_term(shop: Stage) -> None:
    found = tasks.load(shop.deps(), "queue:mail")
    assert found.sides is not None
    assert choices(found, "Name") == {"shop.pay": 3}
    assert choices(found, "Exception") == {"ValueError": 1}
    assert found.sides.states == {State.SUCCESS: 2, State.FAILURE: 1}
    assert (found.sides.looked_at, found.sides.whole) == (3, True)
    (name,) = found.sides.groups[0].choices
    assert name.q is not None
    assert has(name.q, Compare(Field.NAME, Op.EQ, "shop.pay"))
    narrowed = tasks.load(shop.deps(), name.q).sides
    assert narrowed is not None
    assert (narrowed.groups[0].choices[0].chosen, narrowed.groups[0].choices[0].q) == (True, "queue:mail")


def test_what_stands_around_a_list_that_holds_all_it_found_agrees_with_it(shop: Stage) -> None:
    tasks.load(shop.deps(), "queue:mail")
    shop.commit(success("d"))
    # No time has passed: what is kept for others who search the same would speak of three.
    found = tasks.load(shop.deps(), "queue:mail")
    assert found.count is not None
    assert (found.count.n, found.count.capped, len(found.rows)) == (4, False, 4)
    assert found.sides is not None
    assert found.sides.states == {State.SUCCESS: 3, State.FAILURE: 1}
    assert choices(found, "Name") == {"shop.pay": 4}


def test_a_chosen_state_is_counted_as_the_list_is_though_the_others_are_too_many(
    shop: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.commit([event for n in range(8) for event in success(f"s{n}")])
    # The newest three that are counted, whatever their state, are none of the failures.
    monkeypatch.setattr(task_sides, "TALLIED", 3)
    found = tasks.load(shop.deps(), "", "failure")
    assert found.sides is not None
    assert found.count is not None
    assert found.sides.states[State.FAILURE] == found.count.n == 1
    assert found.sides.least == {State.SUCCESS}
    with shop.client() as client:
        assert 'class="count">1</span>' in client.get("/tasks?state=FAILURE").text


def test_a_task_that_no_worker_has_is_not_called_received(shop: Stage) -> None:
    shop.commit([sent("w", T)])
    with shop.client() as client:
        (cell,) = re.findall(r'id="t-w".*?</tr>', client.get("/tasks").text, re.DOTALL)
        assert "no worker has received it yet" in cell
        (other,) = re.findall(r'id="t-a".*?</tr>', client.get("/tasks").text, re.DOTALL)
        assert "no worker has received it yet" not in other


def test_without_the_broker_an_empty_list_says_so(stage: Stage) -> None:
    stage.commit([online()])
    with stage.client() as client:
        assert "No part that listens to the broker is running here" in client.get("/tasks").text


def test_states_are_counted_whatever_states_are_chosen(shop: Stage) -> None:
    found = tasks.load(shop.deps(), "", "failure")
    assert found.sides is not None
    assert found.sides.states == {State.SUCCESS: 2, State.FAILURE: 1, State.RECEIVED: 1}
    assert choices(found, "Name") == {"shop.pay": 1}


@pytest.mark.parametrize(
    ("q", "state", "marked", "rest"),
    [
        ("", "", set(), ""),
        ("queue:mail", "FAILURE", {"FAILURE"}, "queue:mail"),
        ("state:FAILURE queue:mail", "", {"FAILURE"}, "queue:mail"),
        ("state:FAILURE OR state:SUCCESS", "", {"FAILURE", "SUCCESS"}, ""),
        ("-state:FAILURE", "FAILURE,SUCCESS", {"SUCCESS"}, ""),
        ("state:FAILURE state:SUCCESS", "", set(), ""),
    ],
)
def test_states_that_the_search_names_are_marked_and_a_chip_takes_them_over(
    shop: Stage, q: str, state: str, marked: set[str], rest: str
) -> None:
    found = tasks.load(shop.deps(), q, state)
    assert found.chips is not None
    assert found.sides is not None
    assert {one.value for one in found.chips.marked} == marked
    assert found.chips.some == bool(q.startswith(("state", "-state")) or state)
    assert found.chips.q == rest
    assert set(found.chips.toggled[State.RETRY].split(",")) == marked | {"RETRY"}
    if rest == "":
        assert found.sides.states == {State.SUCCESS: 2, State.FAILURE: 1, State.RECEIVED: 1}
    with shop.client() as client:
        page = client.get("/tasks", params={"q": q, "state": state}).text
    everything = page[page.index('<a class="chip all"') :].partition(">")[0]
    assert ("aria-current" in everything) == (not found.chips.some)


def test_counts_are_of_the_whole_search_and_those_of_a_part_say_so(
    shop: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_sides, "WITHIN", 60.0)
    many = 500
    shop.commit([received(f"n{n}", T + 10 + n / 100) for n in range(many)])
    found = tasks.load(shop.deps()).sides
    assert found is not None
    assert (found.looked_at, found.whole, found.since) == (many + 4, True, None)
    assert found.states[State.RECEIVED] == many + 1
    monkeypatch.setattr(task_sides, "TALLIED", many)
    shop.clock.advance(10)
    with shop.client() as client:
        assert f"Counts of the newest {many} found, back to <time" in client.get("/tasks").text


@pytest.mark.parametrize("q", ["", "name:shop.*", "name:=shop.pay", "state:SUCCESS OR state:FAILURE", "received:>-1h"])
def test_what_rollups_can_tell_is_drawn_of_every_task(shop: Stage, q: str) -> None:
    sides = tasks.load(shop.deps(), q).sides
    assert sides is not None
    assert sides.activity is not None
    counted = {line.key: sum(value or 0 for value in line.values) for line in sides.activity.chart.lines}
    assert counted == {"succeeded": 2, "failed": 1}
    assert sides.activity.note.startswith("every one")


def test_what_they_cannot_is_drawn_of_those_that_were_found(shop: Stage) -> None:
    sides = tasks.load(shop.deps(), "worker:w1").sides
    assert sides is not None
    assert sides.activity is not None
    counted = {line.key: sum(value or 0 for value in line.values) for line in sides.activity.chart.lines}
    assert counted == {"succeeded": 2, "failed": 1, "open": 1}
    assert sides.activity.note == "all 4 found, by when they were received"


@pytest.mark.parametrize("q", ["finished:<2001-01-01", "name:=nothing", "worker:nothing", "received:>2100-01-01"])
def test_an_empty_span_has_no_bars(shop: Stage, q: str) -> None:
    sides = tasks.load(shop.deps(), q).sides
    assert sides is not None
    assert sides.activity is None or sides.activity.chart.lines == ()


def address(shop: Stage, query: str) -> dict[str, list[str]]:
    with shop.client() as client:
        answer = client.get(f"/tasks?{query}", follow_redirects=False)
    assert answer.status_code == 303
    return parse_qs(urlsplit(answer.headers["location"]).query)


def test_a_form_for_a_span_replaces_the_times_of_the_search(shop: Stage) -> None:
    asked = address(shop, "q=a+received:>-7d&from=-2h&to=2026-11-23+10:30&state=FAILURE&cols=id,name")
    expected = {"q": ["a received:>=-2h received:<2026-11-23T10:30"], "state": ["FAILURE"], "cols": ["id,name"]}
    assert asked == expected
    assert address(shop, "q=a+received:>-7d&from=&to=") == {"q": ["a"]}


def test_a_form_of_columns_becomes_one_list_and_one_may_move(shop: Stage) -> None:
    assert address(shop, "cols=state&cols=run&cols=name") == {"cols": ["state,run,name"]}
    assert address(shop, "cols=state&cols=run&cols=name&left=name") == {"cols": ["state,name,run"]}
    assert address(shop, "&".join(f"cols={key}" for key in USUAL)) == {}


def test_chosen_columns_are_shown_in_their_order_and_kept_by_every_link(shop: Stage) -> None:
    with shop.client() as client:
        text = client.get("/tasks?cols=run,name,result,parent").text
    heads = re.findall(r"<th [^>]*>(\w+)</th>", text)
    assert heads == ["Run", "Name", "Result", "Parent"]
    assert "&#39;done&#39;" in text
    links = [html.unescape(link) for link in re.findall(r'href="(/tasks\?[^"]*)"', text)]
    assert len(links) > 10
    kept = [link for link in links if "cols=run%2Cname%2Cresult%2Cparent" in link or "worker%3A" in link]
    assert [link for link in links if link not in kept] == []


def test_columns_go_by_flowers_names_too_and_unknown_ones_are_left_out() -> None:
    assert as_text(columns_of("uuid, runtime,nonsense,name,uuid")) == "id,run,name"
    assert as_text(columns_of("nonsense")) == ""
    assert as_text(columns_of("revoked,routing_key")) == "finished,queue"


def test_columns_that_are_set_are_shown_unless_the_address_names_others(shop: Stage) -> None:
    shop.settings = replace(shop.settings, tasks_columns="name,uuid,state,nonsense")
    with shop.client() as client:
        heads = re.findall(r"<th [^>]*>(\w+)</th>", client.get("/tasks").text)
        chosen = re.findall(r"<th [^>]*>(\w+)</th>", client.get("/tasks?cols=run").text)
        again = client.get("/tasks?cols=name&cols=id&cols=state", follow_redirects=False).headers["location"]
    assert heads == ["Name", "Id", "State"]
    assert chosen == ["Run"]
    assert again == "/tasks"


@pytest.mark.parametrize("natural", [True, False])
def test_times_of_the_list_are_told_as_how_long_ago_where_that_is_set(shop: Stage, natural: bool) -> None:
    shop.settings = replace(shop.settings, natural_time=natural, tasks_columns="received,started,revoked")
    with shop.client() as client:
        rows = client.get("/tasks").text.partition('<tbody id="rows">')[2].partition("</tbody>")[0]
    times = re.findall(r"<time [^>]*>", rows)
    assert times
    assert all(("data-rel" in time) is natural for time in times)


def test_a_search_is_told_for_a_shell_with_its_quotes(shop: Stage) -> None:
    shop.settings = replace(shop.settings, url_prefix="/umbel")
    with shop.client() as client:
        text = html.unescape(client.get("/umbel/tasks", params={"q": "-worker:it's", "state": "FAILURE"}).text)
    whole = "'(-worker:it'\"'\"'s) (state:FAILURE)'"
    assert f"umbel tasks -- {whole}" in text
    assert f"curl -G http://127.0.0.1:5555/umbel/api/v1/tasks --data-urlencode 'q={whole[1:]}" in text

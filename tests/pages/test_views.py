"""Saved views, all people's and one's own: kept by the store, with nothing of an address but search and columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.web.events import success
from tests.web.stage import Stage
from umbel.access.identity import EVERYBODY, Role
from umbel.control.audit import Action
from umbel.errors import StoreError
from umbel.stores.journal import Kind
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web.pages import views
from umbel.web.pages.views import own_views, shared_views


def test_a_view_is_saved_shown_to_all_replaced_and_deleted(stage: Stage) -> None:
    stage.commit(success("a"))
    stage.audit = SqliteAudit(stage.directory / "audit.db", stage.clock)
    with stage.client() as client:
        query = "q=state%3AFAILURE&cols=id&cursor=5&since=a"
        saved = client.post("/views", data={"name": "Bad <b>", "query": query}, follow_redirects=False)
        assert (saved.status_code, saved.headers["location"]) == (303, "/tasks?q=state%3AFAILURE&cols=id")
        text = client.get("/tasks").text
        assert "Bad &lt;b&gt;</a>" in text
        assert 'href="/tasks?q=state%3AFAILURE&amp;cols=id"' in text
        client.post("/views", data={"name": "Bad <b>", "query": "q=a"})
        assert [(view.name, view.query) for view in shared_views(stage.deps())] == [("Bad <b>", "q=a")]
        client.post("/views/delete", data={"name": "Bad <b>"})
        assert "Bad &lt;b&gt;" not in client.get("/tasks").text
    told: list[Action] = [item.action for item in stage.audit.read(10)]
    assert [action.what for action in told] == ["delete view", "save view", "save view"]


@pytest.mark.parametrize("data", [{"query": "q=a"}, {"name": "long", "query": "q=" + "a" * 4_000}])
def test_a_view_without_a_name_or_with_too_long_a_search_is_refused(stage: Stage, data: dict[str, str]) -> None:
    with stage.client() as client:
        assert client.post("/views", data=data).status_code == 400
        assert shared_views(stage.deps()) == []


def test_read_only_keeps_the_shared_views_as_they_are(stage: Stage) -> None:
    stage.commit(success("a"))
    stage.settings = replace(stage.settings, read_only=True)
    with stage.client() as client:
        assert client.post("/views", data={"name": "a", "query": ""}).status_code == 403
        assert client.post("/views/delete", data={"name": "a"}).status_code == 403
        assert "For all" not in client.get("/tasks").text


def headers(stage: Stage) -> dict[str, dict[str, str]]:
    """By name, what a viewer, another one and an operator send."""
    login = stage.sign_in_by(basic_auth=("eve:x",), data_dir=str(stage.directory / "data"))
    roles = {"ann": Role.VIEWER, "bob": Role.VIEWER, "eve": Role.OPERATOR}
    return {name: {"Authorization": f"Bearer {login.issue(name, role, 1, 'eve')}"} for name, role in roles.items()}


@pytest.mark.parametrize("who", ["ann", "eve"])
@pytest.mark.parametrize("read_only", [False, True])
def test_whoever_is_signed_in_keeps_views_that_nobody_else_sees(stage: Stage, who: str, *, read_only: bool) -> None:
    stage.well()
    stage.commit(success("a"))
    stage.settings = replace(stage.settings, read_only=read_only)
    by = headers(stage)
    with stage.client() as client:
        for query, kept in (("q=first", "q=first"), ("q=queue%3Amail&cols=id&cursor=5", "q=queue%3Amail&cols=id")):
            mine = {"name": "Mine <b>", "query": query}
            saved = client.post("/views/own", data=mine, headers=by[who], follow_redirects=False)
            assert (saved.status_code, saved.headers["location"]) == (303, f"/tasks?{kept}")
        shown = client.get("/tasks", headers=by[who]).text
        assert 'href="/tasks?q=queue%3Amail&amp;cols=id"' in shown
        assert shown.count("Mine &lt;b&gt;</a>") == 1
        assert ("For all" in shown) == (who == "eve" and not read_only)
        place = {"kind": "view", "title": "Mine <b>", "href": "/tasks?q=queue%3Amail&cols=id"}
        assert place in client.get("/api/v1/places?q=mine", headers=by[who]).json()["items"]
        assert "Mine" not in client.get("/tasks", headers=by["bob"]).text
        assert place not in client.get("/api/v1/places?q=mine", headers=by["bob"]).json()["items"]
        client.post("/views/own/delete", data={"name": "Mine <b>"}, headers=by["bob"])
        assert "Mine" in client.get("/tasks", headers=by[who]).text
        client.post("/views/own/delete", data={"name": "Mine <b>"}, headers=by[who])
        assert "Mine" not in client.get("/tasks", headers=by[who]).text


def test_the_views_of_one_person_are_bounded_and_one_may_be_replaced_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "LISTED", 2)
    stage.well()
    by = headers(stage)["ann"]
    with stage.client() as client:

        def save(**data: str) -> int:
            return client.post("/views/own", data=data, headers=by, follow_redirects=False).status_code

        assert [save(name=name, query="q=a") for name in ("one", "two", "three", "two")] == [303, 303, 400, 303]
        assert save(query="q=a") == 400
        assert save(name="x", query="q=" + "a" * 4_000) == 400
        assert client.post("/views/own/delete", headers=by).status_code == 400


def test_where_nobody_signs_in_ones_own_views_are_the_browsers(stage: Stage) -> None:
    stage.commit(success("a"))
    with stage.client() as client:
        assert client.post("/views/own", data={"name": "a", "query": ""}).status_code == 400
        text = client.get("/tasks").text
    assert own_views(stage.deps(), EVERYBODY) == ()
    assert "In this browser</button>" in text
    assert "For me" not in text


def test_views_that_cannot_be_read_keep_no_page_from_being_shown(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage.well()
    stage.commit(success("a"))
    by = headers(stage)["ann"]
    under = stage.journal.under

    def away(kind: Kind, *rest: Any) -> Any:
        if kind is Kind.OWN_VIEW:
            raise StoreError("the store is away")
        return under(kind, *rest)

    monkeypatch.setattr(stage.journal, "under", away)
    with stage.client() as client:
        assert [client.get("/tasks", headers=by).status_code for _ in range(2)] == [200, 200]
    told = [record.getMessage() for record in caplog.records if "cannot be read" in record.getMessage()]
    assert told == ["what people entered cannot be read: the store is away"]

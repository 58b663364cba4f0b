"""Saved views that all share: kept by the store, by name, with nothing of an address but the search and its columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.web.events import success
from tests.web.stage import Stage
from umbel.control.audit import Action
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web.pages.views import shared_views


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

"""Routes, prefixes, static files, HEAD and error pages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from tests.web import events
from tests.web.stage import Stage, Unreadable
from umbel.errors import UmbelError
from umbel.web.assets import Assets

PAGES = ("/", "/tasks", "/tasks/a", "/workers", "/workers/w1@shop", "/audit", "/ingest")
MACHINES = ("/healthz", "/readyz", "/metrics", "/api/v1/tasks", "/api/v1/tasks/a", "/api/v1/ingest")


@pytest.mark.parametrize("path", [*PAGES, *MACHINES])
def test_every_page_answers_get_and_head_alike(stage: Stage, path: str) -> None:
    stage.commit([events.online(), *events.success("a")])
    stage.well()
    with stage.client() as client:
        got, head = client.get(path), client.head(path)
    assert got.status_code == head.status_code == 200
    assert got.content
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers_before_there_is_a_store(stage: Stage, path: str) -> None:
    with stage.client() as client:
        answer = client.get(path)
    assert answer.status_code in (200, 404, 503)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<nav" in answer.text


def test_an_unknown_page_is_404_with_a_way_on(stage: Stage) -> None:
    stage.commit()
    with stage.client() as client:
        answer = client.get("/nope")
    assert answer.status_code == 404
    assert "There is nothing at this address." in answer.text
    assert 'href="/tasks"' in answer.text


def test_a_page_of_a_store_that_cannot_be_read_says_so(stage: Stage) -> None:
    stage.reader = Unreadable()
    with stage.client() as client:
        answer = client.get("/tasks")
    assert "disk I/O error" in answer.text
    assert "Traceback" not in answer.text


def test_a_failure_of_ours_is_a_page_too(stage: Stage) -> None:
    class Broken(Unreadable):
        def workers(self) -> None:
            raise ZeroDivisionError("secret")

    stage.reader = Broken()
    with stage.client() as client:
        answer = client.get("/workers")
    assert answer.status_code == 500
    assert answer.headers["connection"] == "close"
    assert "ZeroDivisionError" in answer.text
    assert "secret" not in answer.text


def test_machines_get_lines_not_pages(stage: Stage) -> None:
    with stage.client() as client:
        answer = client.get("/static/x/nope.css")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")


def test_no_page_needs_another_site(stage: Stage) -> None:
    app = stage.app()
    assert (app.docs_url, app.redoc_url) == (None, None)
    stage.commit(events.success("a"))
    with stage.client() as client:
        for path in PAGES:
            text = client.get(path).text
            assert 'src="http' not in text
            assert 'rel="stylesheet" href="http' not in text


@pytest.mark.parametrize("asked", ["/umbel{}", "{}"])
@pytest.mark.parametrize("path", ["/", "/tasks", "/healthz", "/api/v1/tasks"])
def test_a_prefix_works_whether_the_proxy_strips_it_or_not(stage: Stage, asked: str, path: str) -> None:
    stage.settings = replace(stage.settings, url_prefix="/umbel")
    stage.commit(events.success("a"))
    with stage.client() as client:
        assert client.get(asked.format(path)).status_code == 200
        assert client.get("/umbel").status_code == 200
        assert client.get("/umbelx").status_code == 404


def test_under_a_prefix_every_address_on_a_page_has_it(stage: Stage) -> None:
    stage.settings = replace(stage.settings, url_prefix="/umbel")
    stage.commit(events.success("a"))
    with stage.client() as client:
        text = client.get("/umbel/tasks").text
        error = client.get("/umbel/api/v1/nope")
    assert 'href="/umbel/workers"' in text
    assert 'href="/tasks' not in text
    assert 'src="/static' not in text
    assert error.json()["error"]["message"]


def test_static_files_may_be_kept_for_ever_under_their_hash(stage: Stage) -> None:
    app = stage.app()
    assets: Assets = app.state.assets
    url = assets.url("app.css")
    with stage.client() as client:
        answer = client.get(url)
        old = client.get("/static/0123456789abcdef/app.css")
    assert answer.status_code == old.status_code == 200
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    assert old.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "/etc/passwd", ".made", "vendor/.made"])
def test_nothing_outside_and_nothing_hidden_is_served(stage: Stage, path: str) -> None:
    with stage.client() as client:
        assert client.get(f"/static/x/{path}").status_code == 404


def test_a_changed_file_has_another_address(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("one")
    before = Assets(tmp_path).url("a.css")
    (tmp_path / "a.css").write_text("two")
    assert Assets(tmp_path).url("a.css") != before


def test_a_file_that_is_not_there_is_an_error_naming_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UmbelError, match="make assets"):
        Assets(tmp_path).url("vendor/htmx.min.js")


def test_health_touches_no_store(stage: Stage) -> None:
    stage.reader = Unreadable()
    stage.parts = ()
    with stage.client() as client:
        answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok")


def test_every_route_is_listed_once(stage: Stage) -> None:
    routes = [route for route in stage.app().routes if isinstance(route, APIRoute)]
    paths = [route.path for route in routes]
    assert len(paths) == len(set(paths))

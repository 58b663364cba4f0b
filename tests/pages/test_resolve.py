"""Kinds of failure that are called resolved, and come back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.web.events import T, failed, received, started
from tests.web.stage import Stage, Unreadable
from umbel.access.identity import Role
from umbel.clock import SystemClock
from umbel.errors import StoreError
from umbel.stores.journal import Kind
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web.pages import errors


@pytest.fixture(autouse=True)
def now(stage: Stage) -> float:
    stage.clock.step(T + 300 - stage.clock.now())
    stage.well()
    return stage.clock.now()


def fail(stage: Stage, id_: str, at: float) -> None:
    stage.commit([received(id_, T + at - 2), started(id_, T + at - 1), failed(id_, T + at)])


def key_of(stage: Stage) -> str:
    return errors.load(stage.deps()).rows[0].kind.fingerprint.key


def test_who_may_not_resolve_is_not_offered_it(stage: Stage) -> None:
    stage.audit = SqliteAudit(stage.directory / "audit.db", SystemClock())
    fail(stage, "one", 10)
    login = stage.sign_in_by(basic_auth=("ann:x",), roles=("ann=admin",))
    with stage.client() as client:
        for role, offered in ((Role.VIEWER, False), (Role.OPERATOR, True)):
            header = {"Authorization": f"Bearer {login.issue(role.word, role, 1, 'ann')}"}
            shown = client.get("/errors", headers=header).text
            assert "shop.pay" in shown
            assert ("Resolve</button>" in shown) is offered


def test_a_resolved_kind_leaves_the_page_and_comes_back_on_top_when_it_fails_again(stage: Stage) -> None:
    stage.audit = SqliteAudit(stage.directory / "audit.db", SystemClock())
    fail(stage, "one", 10)
    key = key_of(stage)
    with stage.client() as client:
        assert "Resolve</button>" in client.get("/errors").text
        answer = client.post(f"/errors/{key}/resolve", data={"range": "6h"}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/errors?range=6h")
        page = client.get("/errors?range=6h").text
        assert "No open failures" in page
        assert "ValueError" in client.get("/errors?range=6h&show=resolved").text
        trail = client.get("/api/v1/audit").json()["items"]
    assert [item["action"] for item in trail] == ["resolve error"]
    assert trail[0]["arguments"]["type"] == "ValueError"
    stage.clock.advance(60)
    fail(stage, "two", 340)
    context = errors.load(stage.deps())
    assert [(row.state, row.kind.count) for row in context.rows] == [("regressed", 2)]
    assert context.regressed == 1
    with stage.client() as client:
        assert "back again" in client.get("/errors").text
    stage.audit.close()


def test_a_kind_is_reopened_and_one_that_is_quiet_is_listed_still(stage: Stage) -> None:
    fail(stage, "one", 10)
    key = key_of(stage)
    with stage.client() as client:
        assert client.post(f"/api/v1/errors/{key}/resolve").json() == {"key": key, "state": "resolved"}
        stage.clock.advance(2 * 86_400)
        stage.well()
        quiet = errors.load(stage.deps(), show_="resolved").quiet
        assert [(one.key, one.type) for one in quiet] == [(key, "ValueError")]
        assert "Resolved and quiet" in client.get("/errors?show=resolved").text
        assert client.post(f"/api/v1/errors/{key}/reopen").json()["state"] == "open"
    assert errors.load(stage.deps(), show_="resolved").quiet == []


def test_unknown_kinds_and_deeds_are_refused_and_a_read_only_web_changes_nothing(stage: Stage) -> None:
    fail(stage, "one", 10)
    key = key_of(stage)
    with stage.client() as client:
        assert client.post("/api/v1/errors/0123456789abcdef/resolve").status_code == 404
        assert client.post(f"/api/v1/errors/{key}/destroy").status_code == 404
    stage.settings = replace(stage.settings, read_only=True)
    with stage.client() as client:
        assert client.post(f"/errors/{key}/resolve").status_code == 403
        assert "Resolve</button>" not in client.get("/errors").text
    assert stage.journal.read(Kind.RESOLVED) == []


def test_a_journal_that_cannot_be_read_does_not_stop_the_page(stage: Stage) -> None:
    fail(stage, "one", 10)
    deps = stage.deps()
    deps.entries._journal = Unreadable()
    assert [row.state for row in errors.load(deps).rows] == ["open"]
    with pytest.raises(StoreError):
        deps.entries.drop(Kind.RESOLVED, "x")

"""Every route with every role: who may call it, and what they are shown of arguments and results."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from tests.services import wait_until
from tests.web.stage import Stage
from umbel.access.identity import Claims, Identity, Permit, Role, Roles, Via
from umbel.access.rules import Rules, Target
from umbel.control.commands import COMMANDS, Command, Outcome, Reply
from umbel.errors import SettingsError, StoreError
from umbel.model.event import AnyEvent, TaskReceived, TaskStarted, TaskSucceeded
from umbel.model.ledger import Quarantined, Reason
from umbel.runtime.stores import open_audit
from umbel.web import pages, routes
from umbel.web.permits import PERMITS
from umbel.web.security import OPEN_TO_ALL

#: What no viewer may be shown, wherever it stands.
ARGUMENT, RESULT = "arg-7c1e", "result-92ab"
#: By permission, the roles that have it; `None` is somebody who has not signed in.
MAY: dict[Permit, Sequence[Role | None]] = {
    Permit.OPEN: (None, *Role),
    Permit.METRICS: (None, *Role),
    Permit.VIEW: tuple(Role),
    Permit.OWN: tuple(Role),
    Permit.DATA: (Role.OPERATOR, Role.ADMIN),
    Permit.CONTROL: (Role.OPERATOR, Role.ADMIN),
    Permit.ADMIN: (Role.ADMIN,),
}


def every_route() -> Iterator[tuple[str, str]]:
    for route in routes.every():
        assert isinstance(route, APIRoute)
        yield from ((method, route.path) for method in sorted(route.methods or ()))


ROUTES = list(every_route())


class Workers:
    """Stands for workers that tell everything."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def call(self, command: Command, timeout: float = 1.0, expected: Sequence[str] = ()) -> Iterator[Reply]:
        self.calls.append(command.method)
        task = {"id": "t1", "name": "mail.send", "args": [ARGUMENT], "kwargs": {"a": ARGUMENT}, "argsrepr": ARGUMENT}
        for worker in command.destination or ("w1@a",):
            yield Reply(worker, Outcome.OK, [{"request": task}, task, {"deep": [[task]]}])

    def send(self, command: Command) -> None:
        self.calls.append(command.method)

    def ask(self, command: Command, timeout: float = 1.0) -> dict[str, Any]:
        return {}

    def close(self) -> None: ...


def history(name: str = "mail.send", id_: str = "t1", at: float = 1_000.0) -> list[AnyEvent]:
    end: dict[str, Any] = {"hostname": "w1@a", "pid": 1}
    received = TaskReceived(
        **end, timestamp=at, uuid=id_, name=name, args=f"('{ARGUMENT}',)", kwargs=f"{{'k': '{ARGUMENT}'}}"
    )
    return [
        received,
        TaskStarted(**end, timestamp=at + 1, uuid=id_),
        TaskSucceeded(**end, timestamp=at + 2, uuid=id_, result=f"'{RESULT}'", runtime=1.0),
    ]


@pytest.fixture
def tokens(stage: Stage) -> Iterator[dict[Role | None, dict[str, str]]]:
    """A stage with a task, workers, an audit trail and a login; a header for each role."""
    stage.well()
    now = stage.clock.now()
    odd = Quarantined(now, Reason.MALFORMED, "no", "application/json", ARGUMENT.encode())
    stage.commit([*history(at=now), *history("pay.charge", "t2", now)], quarantine=[odd])
    stage.control = Workers()
    stage.settings = replace(stage.settings, broker="redis://localhost:1/0", data_dir=str(stage.directory / "data"))
    stage.audit = open_audit(stage.settings, stage.clock)
    login = stage.sign_in_by(basic_auth=("ann:x",), roles=("ann=admin",))
    made: dict[Role | None, dict[str, str]] = {
        role: {"Authorization": f"Bearer {login.issue(role.word, role, 1, 'ann')}"} for role in Role
    }
    yield {None: {}, **made}
    stage.audit.close()


def test_every_page_that_is_written_is_served() -> None:
    served = {id(route) for route in routes.every()}
    for found in pkgutil.iter_modules(pages.__path__):
        for router in vars(importlib.import_module(f"umbel.web.pages.{found.name}")).values():
            if isinstance(router, APIRouter):
                assert {id(route) for route in router.routes} <= served, found.name


def test_every_route_has_its_permission_and_no_permission_is_for_a_route_that_is_gone() -> None:
    declared = set(PERMITS) - {"GET /api/v1/openapi.json"}
    assert {f"{method} {path}" for method, path in ROUTES} == declared


def test_what_changes_something_is_never_open_to_those_who_only_look() -> None:
    for method, path in ROUTES:
        if method == "GET" or PERMITS[f"{method} {path}"] in (Permit.CONTROL, Permit.ADMIN):
            continue
        looks = path.startswith("/api/v1/control/") and (path.endswith("}") or COMMANDS[path.rpartition("/")[2]].looks)
        own = ("/login", "/logout", "/access/sessions/end", "/views/own", "/views/own/delete")
        assert looks or path in (*own, "/tasks/datatable"), path


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)(:path)?\}", lambda found: "revoke" if found[1] == "method" else "t1", path)


def test_every_role_gets_what_its_permissions_say_at_every_route(
    stage: Stage, tokens: dict[Role | None, dict[str, str]]
) -> None:
    with stage.client() as client:
        for method, path in ROUTES:
            # An endless stream; its permission is that of a page.
            if path == "/hints":
                continue
            permit = PERMITS[f"{method} {path}"]
            for role, header in tokens.items():
                answer = client.request(method, filled(path), headers=header, follow_redirects=False)
                # A sign-in by no name and no password fails, and says so.
                # The audit trail tells of those who were refused before.
                told = answer.status_code == 403 and "permission" in answer.text
                refused = told or "Sign in first" in answer.text
                assert refused is (role not in MAY[permit]), (method, path, role, answer.status_code, answer.text[:200])
                assert answer.status_code != 500, (method, path, answer.text[:200])


@pytest.mark.parametrize(
    "path",
    [
        "/", "/tasks", "/tasks/t1", "/errors", "/ingest", "/workers/w1@a", "/inspect/w1@a", "/names/mail.send",
        "/api/v1/tasks", "/api/v1/tasks/t1", "/api/v1/tasks/export", "/api/v1/tasks/export?format=jsonl",
        "/api/v1/suggest?q=args:", "/api/tasks", "/api/task/info/t1", "/api/workers", "/api/workers?workername=w1@a",
        "/tasks/datatable?draw=1&start=0&length=10&order[0][column]=0", "/control/revoke?task_ids=t1",
    ],
)  # fmt: skip
def test_a_viewer_is_shown_no_argument_and_no_result_and_an_operator_is(
    stage: Stage, tokens: dict[Role | None, dict[str, str]], path: str
) -> None:
    with stage.client() as client:
        shown = client.get(path, headers=tokens[Role.VIEWER]).text
        assert ARGUMENT not in shown
        assert RESULT not in shown
        full = client.get(path, headers=tokens[Role.OPERATOR]).text
    if path in ("/tasks/t1", "/api/v1/tasks", "/api/v1/tasks/export", "/api/tasks", "/api/task/info/t1"):
        assert ARGUMENT in full
        assert RESULT in full
        assert "(hidden)" in shown


@pytest.mark.parametrize("command", ["active", "reserved", "scheduled", "query_task"])
def test_a_viewer_is_shown_no_argument_in_the_workers_own_words(
    stage: Stage, tokens: dict[Role | None, dict[str, str]], command: str
) -> None:
    body = {"ids": ["t1"]} if command == "query_task" else {}
    with stage.client() as client:
        answer = client.post(f"/api/v1/control/{command}", json=body, headers=tokens[Role.VIEWER])
        assert answer.status_code == 200
        assert ARGUMENT not in answer.text
        assert ARGUMENT in client.post(f"/api/v1/control/{command}", json=body, headers=tokens[Role.ADMIN]).text


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (f"args:{ARGUMENT}", 0), (f"-args:{ARGUMENT}", 0), (f"kwargs:{ARGUMENT}", 0), (f"result:{RESULT}", 0),
        (ARGUMENT, 0), (RESULT, 0), (f"-{ARGUMENT}", 2), (f"name:mail.* OR args:{ARGUMENT}", 1), ("mail", 1), ("", 2),
        (f"-(args:{ARGUMENT} OR name:pay.*)", 0),
    ],
)  # fmt: skip
def test_what_a_viewer_is_not_shown_cannot_be_found_out_by_searching(
    stage: Stage, tokens: dict[Role | None, dict[str, str]], search: str, found: int
) -> None:
    with stage.client() as client:
        counted = client.get("/api/v1/tasks/count", params={"q": search}, headers=tokens[Role.VIEWER]).json()
        listed = client.get("/api/v1/tasks", params={"q": search}, headers=tokens[Role.VIEWER]).json()
        shown = client.get("/tasks", params={"q": search}, headers=tokens[Role.VIEWER]).text
    assert (f"Counts of all {found} found" in shown) == bool(found)
    assert (counted["n" if "n" in counted else "count"], len(listed["items"])) == (found, found)


def test_reached_from_elsewhere_without_a_login_umbel_shows_no_argument_and_changes_nothing(stage: Stage) -> None:
    stage.well()
    stage.commit(history(at=stage.clock.now()))
    stage.settings = replace(stage.settings, host="0.0.0.0")
    with stage.client() as client:
        assert ARGUMENT not in client.get("/api/v1/tasks").text
        assert ARGUMENT not in client.get("/tasks/t1").text
        refused = client.post("/api/v1/control/shutdown", json={"destination": ["w1@a"]})
        assert (refused.status_code, refused.json()["error"]["message"]) == (403, OPEN_TO_ALL)
        assert f'title="{OPEN_TO_ALL}">read-only<' in client.get("/").text
        assert client.get("/api/v1/audit").status_code == 403
    stage.settings = replace(stage.settings, allow_unauthenticated=True)
    with stage.client() as client:
        assert OPEN_TO_ALL not in client.get("/").text
        assert ARGUMENT in client.get("/api/v1/tasks").text


RULES = (
    "operators may revoke,send_task name:mail.*",
    "viewers may revoke name:pay.* ",
    "operators may add_consumer queue:m*",
)


def test_rules_say_which_tasks_and_queues_a_role_may_change_at_every_address(
    stage: Stage, tokens: dict[Role | None, dict[str, str]]
) -> None:
    now = stage.clock.now()
    stage.commit([*history("mail.send", "open1", now)[:1], *history("pay.charge", "open2", now)[:1]])
    stage.settings = replace(stage.settings, rules=RULES)
    workers = stage.control
    assert isinstance(workers, Workers)

    def tried(role: Role, command: str, body: dict[str, Any]) -> int:
        before = len(workers.calls)
        answer = client.post(f"/api/v1/control/{command}", json=body, headers=tokens[role])
        assert (len(workers.calls) > before) is (answer.status_code == 200)
        return answer.status_code

    with stage.client() as client:
        assert tried(Role.OPERATOR, "revoke", {"task_ids": ["t1"]}) == 200
        assert tried(Role.OPERATOR, "revoke", {"task_ids": ["t2"]}) == 403
        assert tried(Role.OPERATOR, "revoke", {"task_ids": ["t1", "t2"]}) == 403
        assert tried(Role.OPERATOR, "revoke", {"task_ids": ["t1", "unknown"]}) == 403
        assert tried(Role.OPERATOR, "terminate", {"task_ids": ["t1"]}) == 403
        assert tried(Role.OPERATOR, "shutdown", {"destination": ["w1@a"]}) == 403
        assert tried(Role.OPERATOR, "revoke_by_stamped_headers", {"headers": {"a": ["b"]}}) == 403
        assert tried(Role.OPERATOR, "add_consumer", {"queue": "mail"}) == 200
        assert tried(Role.OPERATOR, "add_consumer", {"queue": "pay"}) == 403
        assert tried(Role.VIEWER, "revoke", {"task_ids": ["t2"]}) == 200
        assert tried(Role.VIEWER, "revoke", {"task_ids": ["t1"]}) == 403
        assert tried(Role.ADMIN, "shutdown", {"destination": ["w1@a"]}) == 200
        flower = client.post("/api/task/revoke/t2", headers=tokens[Role.OPERATOR])
        page = client.post("/control/revoke", data={"task_ids": "t2", "sure": "yes"}, headers=tokens[Role.OPERATOR])
        assert (flower.status_code, page.status_code) == (403, 403)
        # Nothing tells which tasks carry a stamp.
        stamped = {"stamp": "customer", "values": "7", "sure": "yes"}
        page = client.post("/control/revoke_by_stamped_headers", data=stamped, headers=tokens[Role.OPERATOR])
        assert page.status_code == 403
        before = len(workers.calls)
        for id_, refused in (("open1", False), ("open2", True)):
            form = {"act": "revoke", "task_ids": id_, "sure": "yes"}
            begun = client.post("/bulk", data=form, headers=tokens[Role.OPERATOR], follow_redirects=False)
            assert ("may not revoke" in begun.text) is refused
        wait_until(lambda: len(workers.calls) > before, "the bulk that is allowed")
        trail = client.get("/api/v1/audit", headers=tokens[Role.ADMIN]).json()["items"]
    assert workers.calls[before:] == ["revoke"]
    assert {item["who"] for item in trail} == {"token operator", "token viewer", "token admin"}


@pytest.mark.parametrize(
    "rule",
    ["", "operator", "operator may", "boss may revoke", "operator may fly", "operator may revoke color:red",
     "operator may revoke name:", "operator may revoke name:a name"],
)  # fmt: skip
def test_a_rule_that_cannot_be_understood_is_an_error_and_not_a_hole(rule: str) -> None:
    with pytest.raises(SettingsError, match="--rules"):
        Rules([rule], tuple(COMMANDS))


def test_a_pattern_matches_the_whole_name() -> None:
    rules = Rules(["operator may * name:mail.*"], tuple(COMMANDS))
    who = Identity("ann", Role.OPERATOR)
    assert rules.allow(who, "revoke", [Target("mail.send")])
    for name in ("email.send", "mail", "xmail.send", "Mail.send", "", "mailxsend"):
        assert not rules.allow(who, "revoke", [Target(name)])


@pytest.mark.parametrize(
    ("name", "groups", "role"),
    [
        ("ann@example.com", (), Role.ADMIN), ("ANN@example.com", (), Role.ADMIN), ("ann@example.com.evil", (), None),
        ("xann@example.com", (), None), ("bob@example.com", ("ops",), Role.OPERATOR), ("bob@x.org", ("xops",), None),
        ("group:ops", (), None), ("carl@corp.example", (), Role.VIEWER), ("carl@corp.example.evil.com", (), None),
    ],
)  # fmt: skip
def test_the_first_entry_that_matches_whole_says_the_role(name: str, groups: Sequence[str], role: Role | None) -> None:
    roles = Roles(["ann@example.com=admin", "group:ops=operator", "*@corp.example=viewer"])
    found = roles.identity(Claims(name, Via.OPENID, groups))
    assert (found and found.role) == role


def test_a_provider_that_is_asked_for_roles_makes_nobody_an_admin_by_silence() -> None:
    assert Roles([], claimed=True).identity(Claims("ann", Via.OPENID)) is None
    with pytest.raises(SettingsError, match="--roles"):
        Roles(["ann"])


def test_the_audit_trail_is_exported_whole_with_who_and_from_where(
    stage: Stage, tokens: dict[Role | None, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.web.api_control.EXPORTED", 2)
    with stage.client() as client:
        for _ in range(5):
            client.post("/api/v1/control/enable_events", headers=tokens[Role.OPERATOR])
        lines = client.get("/api/v1/audit/export", headers=tokens[Role.ADMIN]).text.splitlines()
        listed = client.get("/api/v1/audit", headers=tokens[Role.ADMIN]).json()["items"]
    assert [json.loads(line) for line in lines] == listed
    assert [(item["who"], item["origin"]) for item in listed] == [("token operator", "testclient")] * 5


def test_what_a_role_or_a_rule_denies_is_written_down_with_who_from_where_what_and_why(
    stage: Stage, tokens: dict[Role | None, dict[str, str]]
) -> None:
    stage.settings = replace(stage.settings, rules=("operators may revoke name:mail.*",))
    viewer, operator, admin = (tokens[role] for role in Role)
    revoke = "/api/v1/control/revoke"
    with stage.client() as client:
        asked = [
            client.post(revoke, json={"task_ids": ["t1"]}, headers=viewer),
            client.post("/api/worker/shutdown/w1@a", headers=viewer),
            client.post("/queue/purge", data={"queue": "mail", "sure": "yes"}, headers=viewer),
            client.post("/api/v1/control/conf", json={}, headers=viewer),
            client.post(revoke, json={"task_ids": ["t2"]}, headers=operator),
            client.post("/api/v1/control/shutdown", json={"destination": ["w1@a"]}, headers=operator),
            client.post("/api/task/revoke/t2", headers=operator),
            client.post("/control/terminate", data={"task_ids": "t2", "sure": "yes"}, headers=operator),
            client.post("/api/v1/stuck", headers=operator),
            client.post("/bulk", data={"act": "revoke", "task_ids": "t2", "sure": "yes"}, headers=operator),
        ]
        # To look at what one may not, or to come as nobody, is no attempt to change anything.
        assert client.get("/audit", headers=viewer).status_code == 403
        assert client.post(revoke, json={"task_ids": ["t1"]}).status_code == 401
        assert client.post(revoke, json={"task_ids": ["t1"]}, headers=operator).status_code == 200
        listed = client.get("/api/v1/audit", headers=admin).json()["items"][::-1]
        lines = client.get("/api/v1/audit/export", headers=admin).text.splitlines()[::-1]
        page = client.get("/audit", headers=admin).text
    assert {answer.status_code for answer in asked} == {403}
    role, rule = (
        "Your role, viewer, may not do this: it needs the permission {}.",
        "Your role, operator, may not {} this",
    )
    expected = [
        ("token viewer", "revoke", "api", role.format("control")),
        ("token viewer", "/api/worker/shutdown/{worker:path}", "flower", role.format("control")),
        ("token viewer", "/queue/purge", "page", role.format("control")),
        ("token viewer", "conf", "api", role.format("data")),
        ("token operator", "revoke", "api", rule.format("revoke")),
        ("token operator", "shutdown", "api", rule.format("shutdown")),
        ("token operator", "revoke", "flower", rule.format("revoke")),
        ("token operator", "terminate", "page", rule.format("terminate")),
        ("token operator", "find_stuck", "api", rule.format("find_stuck")),
        ("token operator", "revoke", "page", rule.format("revoke")),
    ]
    *denied, allowed = listed
    said = [(one["who"], one["action"], one["via"], one["replies"][0]["text"].partition(": see")[0]) for one in denied]
    assert said == expected
    assert {(one["origin"], one["times"], one["replies"][0]["outcome"]) for one in denied} == {
        ("testclient", 1, "denied")
    }
    assert denied[1]["arguments"] == {"path": "/api/worker/shutdown/w1@a"}
    assert (denied[5]["destination"], denied[6]["arguments"]["task_id"]) == (["w1@a"], ["t2"])
    assert (allowed["action"], allowed["replies"][0]["outcome"]) == ("revoke", "ok")
    assert [json.loads(line) for line in lines] == listed
    assert "may not shutdown this" in page


def test_a_flood_of_denied_attempts_is_counted_and_then_held_up(
    stage: Stage, tokens: dict[Role | None, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.web.gate.CHANGES", 4)

    def tried() -> list[int]:
        body = {"destination": ["w1@a"]}
        return [
            client.post("/api/v1/control/shutdown", json=body, headers=tokens[Role.VIEWER]).status_code
            for _ in "123456"
        ]

    # A minute begins.
    stage.clock.step(60 - stage.clock.now() % 60)
    with stage.client() as client:
        assert tried() == [403] * 4 + [429] * 2
        stage.clock.advance(61)
        assert tried() == [403] * 4 + [429] * 2
        items = client.get("/api/v1/audit", headers=tokens[Role.ADMIN]).json()["items"]
        page = client.get("/audit", headers=tokens[Role.ADMIN]).text
    assert [(item["who"], item["times"]) for item in items] == [("token viewer", 4)] * 2
    assert "4 times within a minute" in page


def test_somebody_is_refused_even_if_that_cannot_be_written_down(
    stage: Stage, tokens: dict[Role | None, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(stage.audit, "deny", away)
    with stage.client() as client:
        answer = client.post("/api/v1/control/shutdown", json={"destination": ["w"]}, headers=tokens[Role.VIEWER])
    assert isinstance(stage.control, Workers)
    assert (answer.status_code, stage.control.calls) == (403, [])

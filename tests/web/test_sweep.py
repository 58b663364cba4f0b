"""Every route, swept: the headers of its answer, and hostile text in each of its parameters.

What a route reads is found in its own code, so a new parameter is swept without anybody thinking of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from tests.web import events
from tests.web.stage import Stage
from tests.web.test_permits import ROUTES, Workers, filled, history
from umbel import web
from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskSent, TaskStarted, TaskSucceeded
from umbel.runtime.stores import open_audit
from umbel.web import routes
from umbel.web.security import HEADERS

#: Names of parameters, of forms and of addresses: what routes declare, and whatever the web's code gets by name.
CODE = "\n".join(file.read_text() for file in sorted(Path(web.__file__).parent.rglob("*.py")))
DECLARED = {
    field.alias for route in routes.every() if isinstance(route, APIRoute) for field in route.dependant.query_params
}
NAMES = sorted({*re.findall(r"\.get\(\"(\w+)\"", CODE), *DECLARED})
#: Shown as it is, each of these would be a hole.
MARKUP = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}${7*7}"
HOSTILE = (
    f"' OR 1=1; DROP TABLE task; -- {MARKUP}",
    "x\r\nSet-Cookie: stolen=1\r\nLocation: //evil.example\r\n\r\n<script>alert(1)</script>",
    "../../../../etc/passwd\x00__proto__[x]=1&constructor=__class__\ud800\udfff\u202e\uffff" + "a" * 300,
    "//evil.example/\\evil.example",
    "99999999999999999999999999e999",
)
ORIGIN = {"Origin": "http://127.0.0.1:5555", "Accept": "text/html"}
#: Endless.
STREAMS = ("/hints",)


@pytest.fixture
def client(stage: Stage) -> Iterator[TestClient]:
    """Of a web with a task, workers and everything that can be entered; whoever comes may do everything."""
    stage.well()
    stage.commit(history(at=stage.clock.now()))
    stage.control = Workers()
    stage.settings = replace(stage.settings, broker="redis://localhost:1/0", data_dir=str(stage.directory / "data"))
    stage.audit = open_audit(stage.settings, stage.clock)
    assert stage.journal is not None, "made, so that what is entered can be"
    with stage.client() as client:
        yield client
    stage.audit.close()


def asked(text: str) -> str:
    """As a browser sends it in an address, whatever it is."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def in_path(path: str, text: str) -> str:
    return re.sub(r"\{\w+(:path)?\}", lambda _: asked(text), path)


def test_every_answer_of_every_route_says_what_browsers_may_do_with_it(client: TestClient) -> None:
    for method, path in ROUTES:
        if path in STREAMS:
            continue
        answer = client.request(method, filled(path), headers=ORIGIN, follow_redirects=False)
        for name, value in HEADERS.items():
            assert answer.headers.get(name) == value, (method, path, name)
        kept = answer.headers["Cache-Control"]
        assert kept == "no-store" or path.startswith("/static/"), (method, path, kept)
        assert "Server" not in answer.headers


def test_behind_tls_every_answer_demands_tls(stage: Stage) -> None:
    with stage.client("https://127.0.0.1:5555") as client:
        for path in ("/", "/healthz", "/nope", "/api/v1/tasks"):
            assert client.get(path).headers["Strict-Transport-Security"] == "max-age=31536000"
    with stage.client() as client:
        assert "Strict-Transport-Security" not in client.get("/").headers


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE, ids=[f"text {number}" for number in range(len(HOSTILE))])
def test_no_route_breaks_or_lets_hostile_text_through(client: TestClient, text: str) -> None:
    every = urlencode({name: text.encode("utf-8", "surrogatepass") for name in NAMES})
    # One wrong search or number ends an answer early, so each route is asked without those too.
    some = urlencode({n: text.encode("utf-8", "surrogatepass") for n in NAMES if n not in ("q", "cursor", "limit")})
    for method, path in ROUTES:
        if path in STREAMS:
            continue
        for query in (every, some):
            content = query if method == "POST" else None
            headers = {**ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
            place = in_path(path, text) if query is every else filled(path)
            answer = client.request(
                method, f"{place}?{query}", content=content, headers=headers, follow_redirects=False
            )
            harmless(answer, (method, path))
        if method == "POST":
            for body in ([text], {"q": text, "task_ids": [text], "destination": [text], "__proto__": {text: text}}):
                headers = {"Origin": ORIGIN["Origin"], "Content-Type": "application/json"}
                harmless(client.post(filled(path), content=json.dumps(body), headers=headers), (method, path))


def harmless(answer: object, where: tuple[str, str]) -> None:
    """What must hold of every answer to anything."""
    status, headers, text = answer.status_code, answer.headers, answer.text  # type: ignore[attr-defined]  # httpx's
    assert status not in range(500, 600) or status in (501, 503), (where, status, text[:300])
    assert "set-cookie" not in headers or "stolen" not in headers["set-cookie"], where
    if headers.get("content-type", "").startswith("text/html"):
        assert "<script>alert" not in text, where
        assert "<img src=x" not in text, where
        assert "49" not in re.findall(r"onerror=alert\(1\)&gt;(\d+)", text), where
    else:
        assert "html" not in headers.get("content-type", ""), where
    place = urlsplit(headers.get("location", "/"))
    assert not place.netloc, (where, headers["location"])
    assert not headers.get("location", "/").startswith(("//", "/\\", "\\")), (where, headers["location"])


def test_the_sweep_finds_what_the_routes_read() -> None:
    assert {"q", "next", "user", "password", "sure", "cursor", "limit", "columns"} <= set(NAMES)


def test_html_in_whatever_a_task_or_worker_says_is_shown_as_text_on_every_page(stage: Stage) -> None:
    end = {"hostname": f"w@{MARKUP}", "pid": 1}
    said: list[AnyEvent] = [
        TaskSent(**end, timestamp=events.T, uuid="odd", name=MARKUP, args=MARKUP, kwargs=MARKUP, queue=MARKUP),  # type: ignore[arg-type]
        TaskReceived(**end, timestamp=events.T + 1, uuid="odd", name=MARKUP, args=MARKUP, kwargs=MARKUP),  # type: ignore[arg-type]
        TaskStarted(**end, timestamp=events.T + 2, uuid="odd"),  # type: ignore[arg-type]
        TaskFailed(**end, timestamp=events.T + 3, uuid="odd", exception=MARKUP, traceback=MARKUP),  # type: ignore[arg-type]
        TaskReceived(**end, timestamp=events.T, uuid="fine", name=MARKUP, args=MARKUP, kwargs="{}"),  # type: ignore[arg-type]
        TaskSucceeded(**end, timestamp=events.T + 4, uuid="fine", result=MARKUP, runtime=1.0),  # type: ignore[arg-type]
    ]
    stage.clock.step(events.T + 30 - stage.clock.now())
    stage.commit(said)
    name, worker = quote(MARKUP, safe=""), quote(f"w@{MARKUP}", safe="")
    pages = ["/", "/tasks", "/tasks/odd", "/tasks/fine", "/tasks/odd/workflow", "/compare?a=odd&b=fine", "/names"]
    pages += [
        f"/names/{name}",
        "/errors",
        "/queues",
        "/workers",
        f"/workers/{worker}",
        f"/tasks?q={quote('name:=odd')}",
    ]
    shown = 0
    with stage.client() as client:
        for path in pages:
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert "<script>alert" not in answer.text, path
            assert "<img src=x" not in answer.text, path
            shown += "&lt;script&gt;alert(1)" in answer.text
    assert shown > 8, "the pages show what they were given"

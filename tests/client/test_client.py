"""`umbel.client` against a real server, and against answers that no good server gives."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tests.web import events
from tests.web.stage import Stage
from tests.web.test_api import Depths
from tests.web.test_control_api import Broker
from tests.web.test_server import Serving
from umbel.access.identity import Role
from umbel.client import (
    Client,
    ClientError,
    NotAccepted,
    NotAllowed,
    NotAnUmbel,
    NotFound,
    ServerFailed,
    Unavailable,
    Unreachable,
    WrongSearch,
    records,
)
from umbel.clock import ManualClock
from umbel.control.commands import Ping, Revoke
from umbel.runtime.alerting import open_alerts
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.watch.watch import Watch
from umbel.web.api_alerts import AlertRuleIn

DOCUMENT = Path(__file__).parents[2] / "docs" / "client.md"
#: Records by the shape of the API that they stand for.
SHAPES: dict[str, type[msgspec.Struct]] = {
    "TaskOut": records.Task,
    "AttemptOut": records.Attempt,
    "TasksOut": records.TaskPage,
    "CountOut": records.Count,
    "WorkerOut": records.Worker,
    "SoftwareOut": records.Software,
    "QueueOut": records.Queue,
    "PriorityOut": records.Priority,
    "IngestOut": records.Ingest,
    "SpoolOut": records.Spool,
    "LedgerOut": records.Ledger,
    "NameOut": records.Name,
    "PercentilesOut": records.Percentiles,
    "ErrorKindOut": records.ErrorKind,
    "ErrorsOut": records.Errors,
    "ChangeOut": records.Change,
    "ChangesOut": records.Changes,
    "DeployOut": records.Deploy,
    "ControlOut": records.Control,
    "ReplyOut": records.Reply,
    "RunOut": records.Run,
    "StartedOut": records.Started,
    "ErrorStateOut": records.ErrorState,
    "AlertsOut": records.Alerts,
    "AlertOut": records.Alert,
    "AlertRuleOut": records.AlertRule,
    "AlertRuleNameOut": records.AlertRuleName,
    "AlertTrialOut": records.AlertTrial,
    "SilenceOut": records.Silence,
    "ErrorBody": records.ProblemBody,
    "ErrorOut": records.Problem,
}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Seven tasks that succeeded, one that failed, one that waits; a worker, and somebody to command."""
    made = Stage(tmp_path)
    made.clock.step(events.T + 30 - made.clock.now())
    made.well()
    made.control, made.queues = Broker(), Depths()
    made.audit = SqliteAudit(tmp_path / "audit.db", made.clock)
    made.commit([event for number in range(7) for event in events.success(f"good/{number}")])
    made.commit([*events.failure("bad"), events.sent("."), events.online(at=events.T + 29)])
    yield made
    made.audit.close()
    made.close()


@pytest.fixture
def url(stage: Stage) -> Iterator[str]:
    with Serving(stage) as site:
        yield f"http://{site.host}:{site.port}"


def answering(*answers: httpx2.Response | Exception, **options: Any) -> tuple[Client, list[httpx2.Request]]:
    """A client whose server gives these answers in turn, and what it was asked."""
    asked: list[httpx2.Request] = []
    left = iter(answers)

    def give(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        given = next(left)
        if isinstance(given, Exception):
            raise given
        return given

    return Client("http://umbel", transport=httpx2.MockTransport(give), clock=ManualClock(), **options), asked


def problem(status: int, message: str = "no", headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(status, json={"error": {"message": message}}, headers=headers or {})


COUNTED = httpx2.Response(200, json={"count": 3, "capped": False})


def test_every_record_is_what_the_document_says(stage: Stage) -> None:
    schemas = stage.app().openapi()["components"]["schemas"]
    for name, record in SHAPES.items():
        told = schemas[name]["properties"]
        fields = {field.name: field.type for field in msgspec.structs.fields(record)}
        assert list(fields) == list(told), name
        for field, type_ in fields.items():
            moment = "date-time" in str(told[field])
            assert ("datetime" in str(type_)) is moment, (name, field)


def test_a_rule_of_alerts_has_the_keys_that_the_api_takes() -> None:
    taken = {field.encode_name: field for field in msgspec.structs.fields(AlertRuleIn)}
    assert records.RuleTable.__annotations__.keys() == taken.keys()
    assert records.RuleTable.__required_keys__ == {name for name, field in taken.items() if field.required}


def test_it_loads_neither_the_web_nor_a_driver() -> None:
    heavy = ("umbel.web", "fastapi", "starlette", "celery", "kombu", "redis", "pika", "psycopg", "sqlite3", "pydantic")
    program = f"import sys, umbel.client; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == "[]"


def test_what_only_looks(stage: Stage, url: str) -> None:
    with Client(url) as umbel:
        tasks = list(umbel.tasks(page=2))
        assert [task.id for task in tasks] == [".", "bad", *(f"good/{number}" for number in range(6, -1, -1))]
        assert [task.id for task in umbel.tasks("state:SUCCESS", limit=3)] == ["good/6", "good/5", "good/4"]
        assert list(umbel.tasks(limit=0)) == []
        for task in tasks:
            assert umbel.task(task.id) == task
        assert umbel.task("bad").finished_at == datetime.fromtimestamp(events.T + 3, UTC)
        assert umbel.count("state:FAILURE") == records.Count(1, capped=False)
        page = umbel.page(limit=4)
        assert len(page.items) == 4
        assert page.next is not None
        (name,) = umbel.names(sort="failed")
        assert (name.name, name.ended, name.failed) == ("shop.pay", 8, 1)
        assert (name.run.p95 or 0) > 1
        (kind,) = umbel.errors().items
        assert (kind.type, kind.state, kind.latest_id) == ("ValueError", "open", "bad")
        assert not umbel.changes().compared
        (worker,) = umbel.workers()
        assert (worker.hostname, worker.online) == (events.WORKER, True)
        assert [queue.name for queue in umbel.queues("mail", "images")] == ["mail", "images"]
        assert umbel.ingest().stored == 34
        assert umbel.ledger(since=datetime.now(UTC)) == []


def test_what_changes_something(stage: Stage, url: str) -> None:
    with Client(url) as umbel:
        done = umbel.control(Revoke(("w1",), task_ids=("bad",)))
        assert done.outcomes == {"ok": 1}
        assert umbel.control(Ping(("w1",)), timeout=1).replies[0].outcome == "ok"
        (kind,) = umbel.errors().items
        assert umbel.resolve(kind.key).state == "resolved"
        assert [one.state for one in umbel.errors(state="all").items] == ["resolved"]
        assert umbel.reopen(kind.key).state == "open"
        at = datetime(2025, 6, 15, 12, tzinfo=UTC)
        assert umbel.deploy("2.4.1", service="shop", at=at).at == at
        assert [deploy.version for deploy in umbel.deploys()] == ["2.4.1"]


def test_alerts_are_seen_tried_made_silenced_and_deleted(stage: Stage) -> None:
    file = stage.directory / "alerts.toml"
    file.write_text('defaults = false\n[[rule]]\nname = "fails"\non = "search"\nsearch = "state:FAILURE"\nover = 0\n')
    stage.settings = replace(stage.settings, alerts=str(file))
    stage.alerts = open_alerts(stage.settings, stage.clock)
    assert stage.alerts is not None
    rounds = Watch(stage.alerts.config, stage.alerts.book, stage.deps(), lambda *_: "", "one")
    rounds.lead.renew()
    rounds.look()
    rule: records.RuleTable = {"name": "a/b", "on": "search", "search": "name:shop.*", "over": 5, "for": "1m"}
    with Serving(stage) as site, Client(f"http://{site.host}:{site.port}") as umbel:
        told = umbel.alerts()
        assert [(one.rule, one.state, one.silenced) for one in told.items] == [("fails", "firing", False)]
        assert [(one.name, one.made_by) for one in told.rules] == [("fails", None)]
        tried = umbel.try_rule(rule)
        assert (tried.measured, list(tried.found)) == ("9 in 10m", [""])
        assert umbel.keep_rule(rule).name == "a/b"
        assert umbel.keep_rule({**rule, "over": 7}).made_at is not None
        silence = umbel.silence("known", 60, rule="fail*")
        assert (silence.rule, silence.subject, silence.reason) == ("fail*", "*", "known")
        told = umbel.alerts()
        assert [one.silenced for one in told.items] == [True]
        assert umbel.end_silence(silence.id) == told.silences[0] == silence
        assert umbel.delete_rule("a/b") == "a/b"
        with pytest.raises(NotFound):
            umbel.delete_rule("fails")
        with pytest.raises(NotAccepted, match="percentile"):
            umbel.keep_rule({**rule, "percentile": 5})
    stage.alerts.book.close()


def test_an_export_comes_in_pieces(stage: Stage, url: str) -> None:
    with Client(url) as umbel, umbel.export("state:SUCCESS", columns=["id"], limit=2) as export:
        assert export.total == "7"
        assert b"".join(export.pieces) == b'{"id":"good/6"}\n{"id":"good/5"}\n'


def test_a_token_lets_in_and_a_wrong_one_is_told_without_telling_it(stage: Stage) -> None:
    login = stage.sign_in_by(basic_auth=("ann:secret",))
    token = login.issue("test", Role.OPERATOR, 1, "ann")
    with Serving(stage) as site:
        url = f"http://{site.host}:{site.port}"
        for way in ({"token": token}, {"auth": ("ann", "secret")}):
            with Client(url, **way) as umbel:
                assert umbel.count().count == 9
        with Client(url.replace("//", "//ann:secret@")) as umbel:
            assert umbel.count().count == 9
        with Client(url, token="umbel_wrong") as umbel, pytest.raises(NotAllowed, match="umbel token create") as told:
            umbel.count()
    assert "umbel_wrong" not in str(told.value)


def test_who_wants_to_see_no_arguments_is_shown_none_and_finds_none(stage: Stage, url: str) -> None:
    with Client(url) as umbel:
        assert umbel.task("bad").args == "(42,)"
        assert umbel.count("args:42").count == 9
    with Client(url, hide=True) as umbel:
        assert umbel.task("bad").args == "(hidden)"
        assert umbel.count("args:42").count == 0


def test_what_goes_wrong_has_its_class_and_says_what(stage: Stage, url: str) -> None:
    stage.control = None
    with Client(url) as umbel:
        with pytest.raises(NotFound, match="no task 'nothing'"):
            umbel.task("nothing")
        with pytest.raises(WrongSearch, match="no such state") as wrong:
            umbel.count("state:BROKEN")
        assert (wrong.value.position, "at character" in wrong.value.reason) == (6, False)
        with pytest.raises(NotAccepted, match="limit"):
            umbel.names(limit=0)
        with pytest.raises(Unavailable, match="--broker"):
            umbel.control(Ping())
    with Client(f"{url}/static") as umbel, pytest.raises(NotAnUmbel, match="is this the address"):
        umbel.count()
    with Client("http://127.0.0.1:9", retries=0) as umbel, pytest.raises(Unreachable, match="cannot be asked"):
        umbel.count()


@pytest.mark.parametrize("url", ["host:5555", "ftp://host", "http://", "http://host:port", "http://[::1", ""])
def test_an_address_that_is_none_is_told_at_once(url: str) -> None:
    with pytest.raises(NotAccepted, match="is no address of an Umbel"):
        Client(url)


@pytest.mark.parametrize("token", ["a\nb", "ünï"])
def test_a_token_that_no_header_can_hold_is_told(token: str) -> None:
    with pytest.raises(NotAccepted, match="token"):
        Client("http://umbel", token=token)


@pytest.mark.parametrize(
    "trouble",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("late"),
        httpx2.Response(502),
        problem(503, headers={"Retry-After": "2"}),
    ],
    ids=["refused", "late", "proxy", "busy"],
)
def test_a_look_is_tried_again_and_a_change_is_not(trouble: httpx2.Response | Exception) -> None:
    umbel, asked = answering(trouble, trouble, COUNTED)
    assert umbel.count().count == 3
    assert len(asked) == 3
    umbel, asked = answering(trouble, COUNTED)
    with pytest.raises((Unreachable, Unavailable)):
        umbel.control(Ping())
    assert len(asked) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_what_another_try_cannot_help_is_told_at_once(status: int) -> None:
    umbel, asked = answering(problem(status), COUNTED)
    with pytest.raises(ClientError, match=rf"http://umbel/api/v1/tasks/count answers {status}: no"):
        umbel.count()
    assert len(asked) == 1


def test_tries_end() -> None:
    umbel, asked = answering(*[httpx2.ConnectError("refused")] * 9, retries=4)
    with pytest.raises(Unreachable):
        umbel.count()
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx2.Response(200, text="<html>"), "is this its address"),
        (httpx2.Response(200, json={"count": "x"}), "is this its address"),
        (httpx2.Response(301, headers={"Location": "https://umbel"}), "leads elsewhere"),
        (httpx2.Response(404, text="x" * 1_000_000), "is this the address"),
    ],
)
def test_what_answers_and_is_no_umbel_is_told(answer: httpx2.Response, words: str) -> None:
    umbel, _ = answering(answer)
    with pytest.raises(NotAnUmbel, match=words):
        umbel.count()


LINE = '{"task_id":"a","outcome":"sent","new_id":"b","text":"the result backend"}\n'


def test_many_runs_are_told_one_by_one_to_their_end() -> None:
    whole = LINE + '{"outcomes":{"sent":1},"seconds":0.1}\n'
    umbel, asked = answering(httpx2.Response(200, text=whole))
    assert [one.new_id for one in umbel.run_many_again(ids=["a"])] == ["b"]
    assert msgspec.json.decode(asked[0].read())["ids"] == ["a"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [(LINE, Unreachable), (LINE + '{"error":"disk I/O error"}\n', ServerFailed)],
    ids=["cut", "failed"],
)
def test_many_runs_that_break_off_are_not_taken_for_all(text: str, kind: type[ClientError]) -> None:
    umbel, _ = answering(httpx2.Response(200, text=text))
    runs = umbel.run_many_again(ids=["a", "b"])
    assert next(runs).task_id == "a"
    with pytest.raises(kind):
        next(runs)


def test_what_is_sent_is_what_was_said() -> None:
    run = {"id": "n", "task_id": "a", "source": "text", "exact": False, "name": "x", "args": [1], "kwargs": {}}
    run |= dict.fromkeys(("exchange", "routing_key", "priority", "time_limit", "soft_time_limit", "expires_in"))
    run |= {"notes": [], "misses": []}
    umbel, asked = answering(httpx2.Response(201, json=run), httpx2.Response(201, json={"id": "s"}))
    assert umbel.run_again("a/b", args=[1], queue="mail").id == "n"
    assert asked[0].url.raw_path == b"/api/v1/tasks/a%2Fb/run-again"
    assert msgspec.json.decode(asked[0].read()) == {"dry_run": False, "args": [1], "queue": "mail"}
    assert umbel.start("x", eta=datetime(2026, 1, 1, tzinfo=UTC)) == "s"
    assert datetime.fromisoformat(msgspec.json.decode(asked[1].read())["eta"]) == datetime(2026, 1, 1, tzinfo=UTC)


def test_the_examples_of_the_document_run(stage: Stage, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stage.directory)
    blocks: list[str] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) >= 5
    run: Callable[..., None] = exec
    names: dict[str, Any] = {}
    for block in blocks:
        assert "http://127.0.0.1:5555" in block
        run(block.replace("http://127.0.0.1:5555", url), names)
    assert (stage.directory / "failed.csv").read_text().splitlines()[1:] == ["bad,shop.pay,ValueError('no')"]

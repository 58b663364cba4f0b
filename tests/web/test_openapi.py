"""The OpenAPI document, and what a live server really answers held against it by schemathesis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema_rs import Draft202012Validator
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure as CheckFailed
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok

from tests.web import events
from tests.web.stage import Stage
from tests.web.test_api import Depths
from tests.web.test_control_api import Broker
from tests.web.test_server import Serving
from umbel.access.identity import Role
from umbel.control.commands import Command
from umbel.model.event import (
    AnyEvent,
    EventClass,
    TaskFailed,
    TaskReceived,
    TaskRejected,
    TaskRevoked,
    TaskSucceeded,
)
from umbel.model.ledger import LedgerEntry, Quarantined, Reason
from umbel.stores.journal import Entry, Kind
from umbel.stores.sqlite.audit import SqliteAudit
from umbel.web import gate
from umbel.web.api_examples import EXAMPLES
from umbel.web.routes import FLOWER, PAGES, ROUTERS

#: Requests to each operation, of data that fits and of data that does not; the long form's.
FEW, MANY = 3, 150


def every_kind() -> list[AnyEvent]:
    """Tasks in every state, with texts that are hard to write, and workers."""
    run: dict[str, Any] = {"hostname": events.WORKER, "pid": 7}
    odd = "Ünï ✿ \x00 <b>"
    return [
        events.sent("pending"),
        events.received("received"),
        *(events.received("started"), events.started("started")),
        *(events.received("retry"), events.started("retry"), events.retried("retry")),
        *events.success("success"),
        *events.failure("failure"),
        *events.retry_then_failure("again"),
        *(events.received("revoked"), TaskRevoked(**run, timestamp=events.T + 2, uuid="revoked", terminated=True)),
        *(events.received("rejected"), TaskRejected(**run, timestamp=events.T + 2, uuid="rejected")),
        TaskReceived(**run, timestamp=events.T, uuid=odd, name=odd, args=odd, kwargs=odd, eta="9999-12-31T23:59:59Z"),
        TaskSucceeded(**run, timestamp=1e18, uuid=odd, result=odd, runtime=1e300),
        TaskFailed(**run, timestamp=-1e18, uuid="early", exception=odd, traceback=odd),
        events.online(),
        events.heartbeat(),
    ]


def document(stage: Stage) -> dict[str, Any]:
    return stage.app().openapi()


def operations(told: dict[str, Any]) -> list[str]:
    return [one["operationId"] for path in told["paths"].values() for one in path.values()]


def test_every_route_of_ours_is_in_the_document_but_pages_and_flowers(stage: Stage) -> None:
    left = {id(route) for router in (*FLOWER, *PAGES) for route in router.routes}
    ours = {
        f"{method} {route.path}".replace(":path}", "}")  # type: ignore[attr-defined]
        for router in ROUTERS
        for route in router.routes
        if id(route) not in left
        for method in route.methods  # type: ignore[attr-defined]
    }
    told = {f"{method.upper()} {path}" for path, found in document(stage)["paths"].items() for method in found}
    # A stream for pages, files, and the address that says which commands there are.
    assert ours - told == {"GET /hints", "GET /static/{version}/{name}", "POST /api/v1/control/{command}"}
    assert told <= ours


def test_every_operation_is_described_to_the_end(stage: Stage) -> None:
    told = document(stage)
    ids = operations(told)
    assert len(ids) == len(set(ids))
    for path, found in told["paths"].items():
        for method, operation in found.items():
            where = f"{method} {path}"
            assert operation["description"], where
            assert operation["x-permission"], where
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description") or parameter["in"] == "path", (where, parameter["name"])
            for status, answer in operation["responses"].items():
                assert status.isdigit(), where
                assert answer.get("content"), (where, status)
                assert all(content["schema"] for content in answer["content"].values()), (where, status)
            if method == "post":
                known = operation.get("requestBody") or path.endswith(("}/{deed}", "}/end", "}/delete"))
                assert known, where


def test_every_body_and_every_answer_in_json_has_an_example(stage: Stage) -> None:
    told = document(stage)
    schemas = told["components"]["schemas"]
    contents = [
        (f"{method} {path}", content["application/json"])
        for path, found in told["paths"].items()
        for method, operation in found.items()
        for one in (operation.get("requestBody", {}), *operation["responses"].values())
        for content in (one.get("content", {}),)
        if "application/json" in content
    ]
    assert contents
    shown = [
        (where, content["schema"])
        for where, content in contents
        if not schemas[content["schema"]["$ref"].rpartition("/")[2]].get("examples")
    ]
    assert shown == []


def test_examples_are_what_their_schema_says(stage: Stage) -> None:
    told = document(stage)
    for name, example in EXAMPLES.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": told["components"]}
        Draft202012Validator(schema).validate(example)


def test_the_document_says_how_to_sign_in_and_whether_one_has_to(stage: Stage) -> None:
    told = document(stage)
    assert {"token", "basic", "session"} == set(told["components"]["securitySchemes"])
    assert {} in told["security"]
    stage.sign_in_by(basic_auth=("ann:x",))
    told = document(stage)
    assert {} not in told["security"]
    assert told["paths"]["/healthz"]["get"]["security"] == []


#: Programs that others have made from the document call them by these names: they stay.
IDS = """
change_error control_active control_active_queues control_add_consumer control_autoscale control_cancel_consumer
control_clock control_conf control_disable_events control_enable_events control_ping control_pool_grow
control_pool_restart control_pool_shrink control_query_task control_rate_limit control_registered control_report
control_reserved control_revoke control_revoke_by_stamped_headers control_revoked control_scheduled control_shutdown
control_stats control_terminate control_time_limit count_tasks delete_alert_rule end_silence enter_deploy
enter_silence export_audit export_tasks find_stuck get_ingest get_task get_workflow healthz keep_alert_rule
list_alerts list_audit list_changes list_dead_letters list_deploys list_errors list_ledger list_names list_orphans
list_places list_quarantine list_queues list_schedules list_tasks list_workers metrics peek_queue purge_queue
put_back_dead_letters readyz run_again run_many_again start_task suggest try_alert_rule
"""


def test_the_ids_of_operations_stay(stage: Stage) -> None:
    assert sorted(operations(document(stage))) == IDS.split()


class Answering(Broker):
    """Workers that agree to everything and tell nothing of themselves."""

    def ask(self, command: Command, timeout: float = 1.0) -> Mapping[str, Any]:
        return {}


@dataclass(frozen=True)
class Live:
    """A real server on a store that has everything."""

    url: str
    document: dict[str, Any]
    #: What every request brings.
    headers: dict[str, str]
    #: Whether only what changes something is asked, with data that fits: the rest answers as everywhere.
    changes_only: bool


@pytest.fixture(params=["no broker", "read-only", "broker and login"])
def live(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setattr(gate, "CHANGES", 1_000_000)
    stage = Stage(tmp_path)
    stage.clock.step(events.T + 30 - stage.clock.now())
    stage.audit = SqliteAudit(tmp_path / "audit.db", stage.clock)
    stage.well()
    now = stage.clock.now()
    entry = LedgerEntry(Reason.MALFORMED, EventClass.UNKNOWN, now, now, 1, detail="not JSON")
    poison = Quarantined(now, Reason.MALFORMED, "not JSON", "application/json", b"\xff<b>")
    stage.commit(every_kind(), ledger=[entry], quarantine=[poison])
    stage.journal.put(Entry(Kind.DEPLOY, "one", now, {"version": "1"}))
    stage.journal.put(Entry(Kind.RESOLVED, "0123456789abcdef", now, {"type": "Gone"}))
    headers = {}
    if request.param == "read-only":
        stage.settings = replace(stage.settings, read_only=True)
    if request.param != "no broker":
        stage.control, stage.queues = Answering(), Depths()
    if request.param == "broker and login":
        login = stage.sign_in_by(basic_auth=("ann:x",))
        headers = {"Authorization": f"Bearer {login.issue('fuzz', Role.ADMIN, 1, 'ann')}"}
    with Serving(stage) as site:
        assert stage.served is not None
        document = stage.served.openapi()
        yield Live(f"http://{site.host}:{site.port}", document, headers, request.param != "broker and login")
    stage.audit.close()
    stage.close()


CONFIG: dict[str, Any] = {
    "checks": {
        # What is not there is a plain 503, which says why.
        "not_a_server_error": {"expected-statuses": ["2xx", "4xx", 501, 503]},
        # Whether a search is one, no schema can say.
        "positive_data_acceptance": {"enabled": False},
    },
    # Who asks is the test's to say: a cookie without more makes a request one of a browser from another site.
    "generation": {"deterministic": True, "with-security-parameters": False},
}


def hold(live: Live, requests: int) -> None:
    """Send so many requests of each kind to every operation; what comes must be what the document says."""
    found = schemathesis.openapi.from_dict(live.document, config=SchemathesisConfig.from_dict(CONFIG))
    wrong: list[str] = []
    for result in found.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if live.changes_only and operation.method == "get" and "queues" not in operation.path:
            continue
        for mode in (GenerationMode.POSITIVE,) if live.changes_only else GenerationMode:

            @settings(
                max_examples=requests,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def one(case: Case[Any]) -> None:
                case.call_and_validate(base_url=live.url, headers=live.headers, timeout=60)

            try:
                one()
            except Unsatisfiable:
                # What takes nothing cannot be given what does not fit.
                assert mode is GenerationMode.NEGATIVE, operation.label
            except (FailureGroup, CheckFailed) as error:
                wrong.append(f"{operation.label}, {mode.value}: {error}")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.slow
def test_a_live_server_answers_as_the_document_says(live: Live) -> None:
    hold(live, FEW)


@pytest.mark.drill
@pytest.mark.timeout(3_600)
def test_a_live_server_answers_as_the_document_says_to_the_end(live: Live) -> None:
    hold(live, MANY)

"""What Umbel tells of its own work: requests, metrics, errors; and that nothing of it costs who does not ask."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.environment import wait_until
from tests.support.otlp import Receiver, attributes
from tests.web import events
from tests.web.stage import Stage
from umbel.errors import SettingsError
from umbel.metrics import names
from umbel.metrics.prometheus import collect
from umbel.model.spans import Kind
from umbel.runtime.telemetry import check, otel_wanted, own_work, pushed_metrics, reported_errors
from umbel.settings import Settings
from umbel.telemetry.base import Delivery
from umbel.telemetry.outlet import SPANS, Outlet
from umbel.web.health import measure


def test_requests_are_told_by_route_and_never_by_address(stage: Stage, receiver: Receiver) -> None:
    stage.well()
    stage.commit(events.success("secret-id"))
    with own_work(replace(stage.settings, trace_self=1.0)) as tracer:
        deps = stage.deps()
        deps.tracer = tracer
        stage.deps = lambda: deps  # type: ignore[method-assign]
        with stage.client() as client:
            for path in ("/tasks/secret-id", "/api/v1/tasks?q=args:secret", "/nope/secret", "/"):
                client.get(path, headers={"Authorization": "Bearer secret"})
            client.request("BREW", "/tasks")
    spans = {span.name: span for _, span in receiver.spans}
    assert set(spans) == {"GET /tasks/{task_id:path}", "GET /api/v1/tasks", "GET", "GET /", "HTTP"}
    shown = spans["GET /tasks/{task_id:path}"]
    assert shown.kind == 2
    assert attributes(shown.attributes) == {
        "http.request.method": "GET", "http.response.status_code": 200, "url.scheme": "http",
        "http.route": "/tasks/{task_id:path}",
    }  # fmt: skip
    assert all(b"secret" not in span.SerializeToString() for span in spans.values())
    assert {told["service.name"] for told, _ in receiver.spans} == {"umbel"}


def test_a_share_of_none_traces_nothing_and_the_variables_of_opentelemetry_are_heard(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_work(Settings()) as tracer:
        assert tracer is None
    monkeypatch.setenv("OTEL_SERVICE_NAME", "watcher")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=abc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    with own_work(Settings(trace_self=1.0)) as tracer:
        assert tracer is not None
        tracer.record("commit", Kind.INTERNAL, 1.0, 2.0, {})
    ((told, _),) = receiver.spans
    assert (told["service.name"], told["deployment.environment.name"]) == ("watcher", "prod")
    sent = {key.lower(): value for key, value in receiver.headers[-1].items()}
    assert (sent["api-key"], sent["content-encoding"]) == ("abc", "gzip")
    assert not otel_wanted(Settings(trace_self=1.0), {"OTEL_SDK_DISABLED": "true"})
    with pytest.raises(SettingsError, match="http/protobuf"):
        otel_wanted(Settings(trace_self=1.0), {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


class Stuck:
    """A receiver that does not answer until it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.asked = threading.Event()

    def send(self, spans: Any) -> Delivery:
        self.asked.set()
        self.may.wait(60)
        return Delivery.AWAY

    def close(self) -> None: ...


def test_a_receiver_that_hangs_holds_nobody_up_and_what_it_misses_is_counted() -> None:
    sink = Stuck()
    outlet = Outlet(sink, 1.0, interval=0.01)
    outlet.record("first", Kind.INTERNAL, 1.0, 2.0, {})
    assert sink.asked.wait(60)
    for _ in range(SPANS + 100):
        outlet.record("x", Kind.INTERNAL, 1.0, 2.0, {})
    assert outlet.dropped == 100
    sink.may.set()
    outlet.close()
    assert outlet.dropped == SPANS + 101


def test_a_sink_that_raises_is_counted_too() -> None:
    class Broken(Stuck):
        def send(self, spans: Any) -> Delivery:
            raise RuntimeError("no")

    outlet = Outlet(Broken(), 1.0, interval=0.01)
    outlet.record("x", Kind.INTERNAL, 1.0, 2.0, {})
    wait_until(lambda: outlet.dropped == 1, "the count")
    outlet.close()


def numbers(stage: Stage) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What the page tells, by sample and labels."""
    with stage.client() as client:
        text = client.get("/metrics").text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_otlp_tells_the_metrics_of_the_page_by_the_same_names(
    stage: Stage, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    stage.well()
    stage.commit([*events.success("a"), events.received("b"), events.started("b"), events.failed("b")])
    page = numbers(stage)
    state = stage.served.state  # type: ignore[union-attr]  # made by the client
    settings = replace(stage.settings, otel_metrics=True)
    with pushed_metrics(settings, lambda: collect(measure(state)), stage.clock.now):
        wait_until(lambda: receiver.metrics, "the first delivery")
    told = {metric.name: metric for _, metric in receiver.metrics}
    same = 0
    for (name, labels), value in page.items():
        kind = told[name].WhichOneof("data") if name in told else None
        if kind in ("sum", "gauge") and name.startswith(("umbel_", "flower_")):
            points = getattr(told[name], kind).data_points
            (point,) = [one for one in points if tuple(sorted(attributes(one.attributes).items())) == labels]
            assert point.as_double == value, name
            same += 1
    assert same > 30
    assert told[names.RECEIVED].sum.is_monotonic
    assert told[names.RECEIVED].sum.aggregation_temporality == 2
    run = told[names.TASK_RUNTIME].histogram.data_points[0]
    labels = tuple(sorted(attributes(run.attributes).items()))
    assert run.count == sum(run.bucket_counts) == page[f"{names.TASK_RUNTIME}_count", labels]
    assert not run.HasField("max")
    missing = {name for (name, _) in page} - set(told)
    assert all(name.endswith(("_bucket", "_sum", "_count", "_created")) for name in missing), missing


@pytest.fixture
def _handlers() -> Iterator[None]:
    """Sentry's hooks, taken out again."""
    hook, run = threading.excepthook, threading.Thread.run
    begun, excepthook = threading.Thread.start, sys.excepthook
    handle = logging.Logger.callHandlers
    yield
    threading.excepthook, sys.excepthook = hook, excepthook
    threading.Thread.run, threading.Thread.start = run, begun  # type: ignore[method-assign]
    logging.Logger.callHandlers = handle  # type: ignore[method-assign]


@pytest.mark.usefixtures("_handlers")
def test_sentry_hears_where_it_failed_and_nothing_of_what_was_worked_on(receiver: Receiver) -> None:
    with reported_errors(Settings(sentry_dsn=receiver.dsn), "web"):
        secret = "argument-7c1e"
        logging.getLogger("umbel.x").warning("no error: %s", secret)
        try:
            raise ValueError(f"cannot store {secret}")  # noqa: TRY301
        except ValueError:
            logging.getLogger("umbel.x").exception("task %s failed", secret)
        wait_until(lambda: receiver.events, "the report")
    (event,) = receiver.events
    assert event["exception"]["values"][-1]["type"] == "ValueError"
    frame = event["exception"]["values"][-1]["stacktrace"]["frames"][-1]
    assert frame["function"] == "test_sentry_hears_where_it_failed_and_nothing_of_what_was_worked_on"
    assert event["logentry"]["message"] == "task %s failed"
    assert event["tags"]["umbel.part"] == "web"
    assert b"7c1e" not in receiver.raw
    assert not {"request", "user", "breadcrumbs", "extra", "server_name", "modules", "contexts"} & set(event)


def test_a_dsn_that_is_none_is_not_repeated() -> None:
    settings = Settings(sentry_dsn="hunter2")
    with pytest.raises(SettingsError, match="KEY@HOST") as raised, reported_errors(settings, "web"):
        pass
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "extra"),
    [
        (Settings(trace_tasks=0.1), "otel"), (Settings(trace_self=0.1), "otel"), (Settings(otel_metrics=True), "otel"),
        (Settings(sentry_dsn="https://k@h/1"), "sentry"),
    ],
)  # fmt: skip
def test_what_is_not_installed_is_said_with_the_remedy(
    settings: Settings, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=rf"pip install 'umbel\[{extra}\]'"):
        check(settings)
    check(Settings())


def test_nothing_of_it_is_loaded_where_it_is_not_asked_for() -> None:
    # FastAPI and redis-py load OpenTelemetry's API by themselves where it is installed.
    prefixes = ("opentelemetry.exporter", "sentry_sdk", "requests", "umbel.telemetry.otlp", "umbel.telemetry.metrics")
    code = (
        f"PREFIXES = {prefixes}\n"
        "import sys, umbel.cli, umbel.runtime.collect, umbel.runtime.web, umbel.runtime.receive, umbel.runtime.trace\n"
        "print([name for name in sys.modules if name.startswith(PREFIXES)])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert said.strip() == "[]"

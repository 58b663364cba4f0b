"""The dashboards and alert rules: every query names metrics and labels that are told, Flower's own included."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.web.test_metrics import snapshot
from umbel.metrics.names import Measured
from umbel.metrics.prometheus import render
from umbel.model.meter import Histogram, Meters

ROOT = Path(__file__).parents[2]
TASK, WORKER = "shop.pay", "w1@a"
MEASURED = Measured(
    meters=Meters(
        events={(TASK, WORKER): {"task-succeeded": 3, "task-failed": 1, "task-retried": 1, "task-revoked": 1}},
        runs={(TASK, WORKER): Histogram({200: 3}, 0.9)},
        waits={"mail": Histogram({200: 3}, 0.9)},
        failures={(TASK, "ValueError"): 1},
        prefetch={(TASK, WORKER): 0.1},
    ),
    prefetched={(TASK, WORKER): 2},
    queues=[("mail", 7, 2, 1)],
    concurrency={WORKER: 4},
)
#: What the dashboard and the alerts that Flower gives as examples ask Prometheus for: the metric and its `type`. Read
#: from `examples/celery-monitoring-grafana-dashboard.json` and `examples/prometheus-alerts.yaml` of its repository:
#: neither its wheel nor its sdist has them, so they cannot be read when the test runs.
FLOWERS = [
    ("flower_worker_online", None),
    ("flower_worker_number_of_currently_executing_tasks", None),
    ("flower_task_prefetch_time_seconds", None),
    ("flower_worker_prefetched_tasks", None),
    ("flower_events_total", "task-succeeded"),
    ("flower_events_total", "task-failed"),
    ("flower_task_runtime_seconds_bucket", None),
    ("flower_task_runtime_seconds_sum", None),
    ("flower_task_runtime_seconds_count", None),
]


@pytest.fixture(scope="module")
def told() -> dict[str, list[dict[str, str]]]:
    """The labels of every sample, by its name."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(render(snapshot(measured=MEASURED))[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


#: What Grafana puts in before it asks Prometheus; no number that we write stands in a selector.
FILLED = (("$__rate_interval", "5m"), ("$task", ".*"), ("$queue", ".*"), ("$worker", ".*"))


def panels() -> Iterator[tuple[str, str]]:
    """The expressions of our dashboard's panels, as Prometheus gets them."""
    board = json.loads((ROOT / "grafana/umbel.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in FILLED:
                expression = expression.replace(name, value)
            yield panel["title"], expression


def variables() -> Iterator[tuple[str, str, str]]:
    """The dashboard's variables: name, the metric whose labels fill it, and the label."""
    board = json.loads((ROOT / "grafana/umbel.json").read_text())
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
            assert found, variable["definition"]
            yield variable["name"], found[1], found[2]


def rules() -> Iterator[tuple[str, str, str]]:
    """Our alerts: name, expression, and everything that is said when one fires."""
    for group in yaml.safe_load((ROOT / "prometheus/umbel-alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())


def parts(expression: str) -> list[Any]:
    """Every part of an expression as a real parser of PromQL sees it; raises `ValueError` for what is none."""
    found: list[Any] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    return found


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """Its metrics, those of ranges too."""
    found = [getattr(part, "vector_selector", part) for part in parts(expression)]
    return [part for part in found if isinstance(part, promql_parser.VectorSelector)]


def grouped(expression: str) -> Iterator[str]:
    """The labels that it sums, matches or copies by."""
    for part in parts(expression):
        modifier = getattr(part, "modifier", None)
        for named in (modifier, getattr(modifier, "matching", None)):
            yield from getattr(named, "labels", None) or ()


def check(expression: str, told: dict[str, list[dict[str, str]]]) -> None:
    """Fail unless it is PromQL, and of metrics and labels that are told."""
    named = selectors(expression)
    assert named, expression
    for selector in named:
        assert selector.name in told, f"{selector.name} is not told"
        for matcher in selector.matchers.matchers:
            assert any(matcher.name in labels for labels in told[selector.name]), f"{selector.name}: no {matcher.name}"
    for label in grouped(expression):
        assert any(label in labels for selector in named for labels in told[str(selector.name)]), f"no label {label}"


@pytest.mark.parametrize(("title", "expression"), list(panels()), ids=lambda value: value[:30])
def test_every_panel_asks_for_what_is_told(title: str, expression: str, told: dict[str, list[dict[str, str]]]) -> None:
    check(expression, told)


@pytest.mark.parametrize(("variable", "metric", "label"), list(variables()))
def test_every_variable_is_filled_by_what_is_told(
    variable: str, metric: str, label: str, told: dict[str, list[dict[str, str]]]
) -> None:
    check(metric, told)
    assert any(label in labels for labels in told[metric])
    assert f"${variable}" in (ROOT / "grafana/umbel.json").read_text()


@pytest.mark.parametrize(("alert", "expression", "said"), list(rules()), ids=lambda value: value[:30])
def test_every_alert_asks_for_what_is_told(
    alert: str, expression: str, said: str, told: dict[str, list[dict[str, str]]]
) -> None:
    check(expression, told)
    # What a message names is a label of what it is about.
    for label in re.findall(r"\$labels\.(\w+)", said):
        assert any(label in labels for one in selectors(expression) for labels in told[str(one.name)]), alert


def test_the_files_are_read_whole() -> None:
    assert len(list(panels())) == (ROOT / "grafana/umbel.json").read_text().count('"expr"')
    assert len(list(rules())) == (ROOT / "prometheus/umbel-alerts.yaml").read_text().count("- alert:")


@pytest.mark.parametrize("wrong", ["sum by (task (up)", "rate(umbel_events_stored_total)", "up[5m", "up{a=}", "1 +"])
def test_what_is_no_promql_does_not_pass(wrong: str, told: dict[str, list[dict[str, str]]]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check(wrong, told)


@pytest.mark.parametrize(
    "wrong",
    ["sum(umbel_nothing_total)", "flower_worker_online{queue='a'}", "sum by (colour) (flower_worker_online)",
     "flower_worker_online / on (colour) umbel_worker_concurrency", "rate(flower_nothing[5m]) > 0"],
)  # fmt: skip
def test_what_is_not_told_does_not_pass(wrong: str, told: dict[str, list[dict[str, str]]]) -> None:
    with pytest.raises(AssertionError):
        check(wrong, told)


@pytest.mark.parametrize(("metric", "kind"), FLOWERS)
def test_what_flowers_dashboard_and_alerts_ask_for_is_there(
    metric: str, kind: str | None, told: dict[str, list[dict[str, str]]]
) -> None:
    assert metric in told
    for label in ("worker",) if "worker_online" in metric or "executing" in metric else ("task", "worker"):
        assert all(labels.get(label) for labels in told[metric])
    if kind is not None:
        assert any(labels["type"] == kind for labels in told[metric])


def test_a_pair_of_task_and_worker_that_holds_nothing_now_is_told_as_0() -> None:
    """Its graph has no holes, as with Flower."""
    for held, number in (({}, "0.0"), ({(TASK, WORKER): 2}, "2.0")):
        measured = Measured(Meters(prefetch={(TASK, WORKER): 0.1}), prefetched=held)
        page = render(snapshot(measured=measured))[0].decode()
        assert f'flower_worker_prefetched_tasks{{task="{TASK}",worker="{WORKER}"}} {number}\n' in page


def test_buckets_are_cumulative_and_end_with_everything() -> None:
    runs = {(TASK, WORKER): Histogram({-1: 1, 100: 2, 300: 1}, 1.5)}
    page = render(snapshot(measured=Measured(Meters(runs=runs), buckets=(0.001, 0.01, 1.0))))[0].decode()
    counts = [float(line.rpartition(" ")[2]) for line in page.splitlines() if "runtime_seconds_bucket" in line]
    assert counts == sorted(counts)
    assert counts[-1] == 4
    assert 'flower_task_runtime_seconds_sum{task="shop.pay",worker="w1@a"} 1.5' in page


def test_queues_beyond_the_bound_are_summed() -> None:
    queues = [(f"q{number:04}", 1, None, None) for number in range(250)]
    page = render(snapshot(measured=Measured(queues=queues)))[0].decode()
    lines = [line for line in page.splitlines() if line.startswith("umbel_queue_messages_ready{")]
    assert len(lines) == 201
    assert 'umbel_queue_messages_ready{queue="other"} 50.0' in lines

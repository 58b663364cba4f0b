"""The dashboards and alert rules: every query names metrics and labels that are told, Flower's own included."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
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
#: What the dashboard and the alerts that Flower ships as examples ask Prometheus for: the metric and its `type`.
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


def panels() -> Iterator[tuple[str, str]]:
    board = json.loads((ROOT / "grafana/umbel.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


def rules() -> Iterator[tuple[str, str]]:
    text = (ROOT / "prometheus/umbel-alerts.yaml").read_text()
    folded = re.sub(r"expr: >-\n((?:          .*\n)+)", lambda m: f"expr: {' '.join(m[1].split())}\n", text)
    yield from re.findall(r"- alert: (\w+)\n\s+expr: (.+)\n", folded)


def check(expression: str, told: dict[str, list[dict[str, str]]]) -> None:
    named = re.findall(r"\b((?:umbel|flower)_\w+)(?:\{([^}]*)\})?", expression)
    assert named, expression
    for metric, selector in named:
        assert metric in told, f"{metric} is not told"
        for label in re.findall(r"(\w+)\s*(?:=~|=|!=|!~)", selector):
            assert any(label in labels for labels in told[metric]), f"{metric} has no label {label}"
    for label in re.findall(r"\bby \(([^)]*)\)", expression):
        for one in (part.strip() for part in label.split(",")):
            assert any(one in labels for metric, _ in named for labels in told[metric]), f"no label {one}"


@pytest.mark.parametrize(("title", "expression"), list(panels()), ids=lambda value: value[:30])
def test_every_panel_asks_for_what_is_told(title: str, expression: str, told: dict[str, list[dict[str, str]]]) -> None:
    check(expression, told)


@pytest.mark.parametrize(("alert", "expression"), list(rules()), ids=lambda value: value[:30])
def test_every_alert_asks_for_what_is_told(alert: str, expression: str, told: dict[str, list[dict[str, str]]]) -> None:
    check(expression, told)


def test_the_files_are_read_whole() -> None:
    assert len(list(panels())) >= 20
    assert len(list(rules())) == (ROOT / "prometheus/umbel-alerts.yaml").read_text().count("- alert:")


@pytest.mark.parametrize(("metric", "kind"), FLOWERS)
def test_what_flowers_dashboard_and_alerts_ask_for_is_there(
    metric: str, kind: str | None, told: dict[str, list[dict[str, str]]]
) -> None:
    assert metric in told
    for label in ("worker",) if "worker_online" in metric or "executing" in metric else ("task", "worker"):
        assert all(labels.get(label) for labels in told[metric])
    if kind is not None:
        assert any(labels["type"] == kind for labels in told[metric])


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

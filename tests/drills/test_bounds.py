"""The table of bounds in docs/architecture.md, walked: they are there, and a running Umbel tells what they hold."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.drills.checks import settled, start
from tests.drills.load import Publisher
from tests.support.environment import wait_until
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess
from umbel.metrics import names
from umbel.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "architecture.md"
#: The hops of every event; each must have a row.
HOPS = (
    "output buffer",
    "read-ahead",
    "spool",
    "batch",
    "decoded batch",
    "commit",
    "quarantine",
    "live hints",
    "control replies",
)


def rows() -> Iterator[list[str]]:
    """Hop, bound, where, what happens, what tells."""
    text = DOCUMENT.read_text().partition("## Bounds")[2]
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| hop"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


ROWS = {row[0].strip("| "): row for row in rows()}


def test_every_hop_has_a_row() -> None:
    for hop in HOPS:
        assert any(hop in row for row in ROWS), hop


@pytest.mark.parametrize("hop", ROWS)
def test_a_bound_names_constants_or_settings_and_what_tells_of_it(hop: str) -> None:
    _hop, bound, where, consequence, told = ROWS[hop]
    assert bound
    assert consequence
    found = re.findall(r"`([\w.]+)`", where)
    assert found or where == "the server"
    for name in found:
        module, _, constant = name.rpartition(".")
        if module:
            assert hasattr(importlib.import_module(f"umbel.{module}"), constant), name
        else:
            assert hasattr(Settings(), name), name
    metrics = re.findall(r"`((?:umbel|flower)_\w+)`", told)
    assert metrics or told in (
        "the log",
        "`/readyz`",
        "the task's page",
        "the outcome of each worker",
        "the answer",
        "`/api/v1/audit`",
    )
    assert set(metrics) <= set(names.HELP) | set(names.TASKS_HELP), told


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_running_umbel_tells_what_each_hop_holds(
    redis_factory: Callable[..., RedisServer], umbel_process: Callable[..., UmbelProcess], tmp_path: Path
) -> None:
    redis = redis_factory()
    umbel = start(redis, umbel_process)
    with Publisher(redis.url, tmp_path, rate=3_000, tasks=1_000, workers=2, life=100) as publisher:
        assert publisher.wait(timeout=120) == 0
    wait_until(lambda: settled(umbel), "everything to be stored", timeout=120)
    told = {
        sample.name: sample.value
        for family in text_string_to_metric_families(umbel.get("/metrics").decode())
        for sample in family.samples
        if not sample.labels
    }
    text = umbel.get("/metrics").decode()
    for hop, row in ROWS.items():
        for metric in re.findall(r"`((?:umbel|flower)_\w+)`", row[4]):
            assert f"# TYPE {metric} " in text, (hop, metric)
    assert told[names.BATCH_LIMIT] >= 100
    assert told[names.COMMIT_EVENTS] > 0
    assert told[names.STORE_BYTES] > 0
    assert told[names.IN_FLIGHT] == told[names.IN_HAND] == told[names.READ_AHEAD] == 0

"""What every drill asks in the end: is all there, once, and do the books balance?"""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.drills.family import alive
from tests.support.environment import wait_until
from tests.support.redis import RedisServer
from tests.support.umbel import UmbelProcess
from umbel.model.ledger import Reason
from umbel.model.query import EVERYTHING
from umbel.model.rollup import Series
from umbel.status import StatusBoard
from umbel.stores.base import StoreReader
from umbel.stores.sqlite import SqliteReader


def ready(umbel: UmbelProcess) -> bool:
    """Whether events are captured; just after the start the parts have not told yet, and there is no store."""
    try:
        checks = umbel.json("/readyz")["checks"]
    except OSError:
        return False
    return bool(checks.get("broker", {}).get("status") == "ok")


def checks(umbel: UmbelProcess) -> dict[str, dict[str, str]]:
    """What /readyz says, whatever its status."""
    try:
        found: dict[str, dict[str, str]] = umbel.json("/readyz")["checks"]
    except urllib.error.HTTPError as error:
        found = json.loads(error.read())["checks"]
    return found


def start(
    broker: RedisServer | str, umbel_process: Callable[..., UmbelProcess], *options: str, **process: Any
) -> UmbelProcess:
    """`umbel up`, which captures when this returns; `process` is taken by `Process`."""
    url = broker if isinstance(broker, str) else broker.url
    umbel = umbel_process("up", "--broker", url, *options, **process)
    wait_until(lambda: ready(umbel), "the subscription", timeout=120)
    return umbel


def storing(umbel: UmbelProcess) -> bool:
    """Whether events have been stored."""
    return bool(umbel.json("/api/v1/ingest")["stored"])


def settled(umbel: UmbelProcess) -> bool:
    """Whether nothing is on its way any more, and stays so for a second; asks a collector that lives and works."""
    assert umbel.cwd is not None
    told = StatusBoard(umbel.cwd / "umbel-data" / "run").read().get("collect")
    if told is None or told.error or not alive(told.pid):
        return False
    try:
        first = umbel.json("/api/v1/ingest")
        time.sleep(1.2)
        second = umbel.json("/api/v1/ingest")
    except OSError:
        return False
    return bool(first["stored"] == second["stored"] and second["in_flight"] == 0)


def check(store: Path, captured: int) -> None:
    """`captured` tasks are there once each, whole, and the rollups count each once."""
    with closing(SqliteReader(store)) as reader:
        check_reader(reader, captured)


def check_reader(reader: StoreReader, captured: int) -> None:
    """The same of any store."""
    assert reader.count(EVERYTHING, cap=captured + 1).n == captured
    points = reader.rollup(0, 4e9, 86_400)
    sums = {series: sum(point.counts.get(series, 0) for point in points) for series in Series}
    assert sums[Series.RECEIVED] == captured
    assert sums[Series.STARTED] == captured
    assert sums[Series.SUCCEEDED] + sums[Series.FAILED] == captured
    books = reader.state().books
    assert books.received == books.stored + sum(books.discarded.values())
    assert not any(reason is Reason.DAMAGED for reason, _ in books.discarded)

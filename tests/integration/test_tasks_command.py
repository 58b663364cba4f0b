"""`umbel tasks`: every format, from the store and from another Umbel, in pipes and on terminals."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.web import events
from tests.web.stage import Stage
from tests.web.test_server import Serving
from umbel.clock import ManualClock
from umbel.errors import QueryError
from umbel.export.columns import COLUMNS
from umbel.runtime.exports import sheet
from umbel.runtime.terminal import Progress, marked, printable

TASKS = 1_000


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    made.commit(event for n in range(TASKS) for event in events.success(f"t{n:04}"))
    made.commit([events.sent("evil", name="=1+1"), *events.failure("bad")])
    yield made
    made.close()


def command(stage: Stage, *args: str) -> list[str]:
    return [sys.executable, "-m", "umbel", "tasks", *args, "--store", stage.settings.store]


def umbel(stage: Stage, *args: str, status: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(command(stage, *args), capture_output=True, cwd=stage.directory, timeout=100)  # noqa: PLW1510
    assert done.returncode == status, done.stderr
    assert b"Traceback" not in done.stderr
    return done


def same_from_both(stage: Stage, *args: str) -> bytes:
    """What the store gives, which another Umbel on that store gives as well."""
    stage.deps().sheet = sheet
    with Serving(stage) as site:
        assert stage.served is not None
        stage.served.state.deps.sheet = sheet
        theirs = umbel(stage, *args, "--url", f"http://{site.host}:{site.port}/").stdout
    ours = umbel(stage, *args).stdout
    assert ours == theirs
    return ours


def test_json_lines_hold_every_task_and_column(stage: Stage) -> None:
    items = [json.loads(line) for line in same_from_both(stage, "--format", "jsonl").splitlines()]
    assert [item["id"] for item in items[:3]] == ["bad", "evil", f"t{TASKS - 1:04}"]
    assert len(items) == TASKS + 2
    assert list(items[0]) == list(COLUMNS)


def test_json_is_one_array(stage: Stage) -> None:
    wanted = ("name:shop.*", "--format", "json", "--limit", "7", "--columns", "state,id")
    found: list[dict[str, Any]] = json.loads(same_from_both(stage, *wanted))
    assert len(found) == 7
    assert found[0] == {"state": "FAILURE", "id": "bad"}
    assert json.loads(umbel(stage, "id:nothing", "--format", "json").stdout) == []


def test_csv_is_safe_to_open(stage: Stage) -> None:
    text = same_from_both(stage, "id:evil", "--format", "csv", "--columns", "id,name").decode()
    assert list(csv.reader(io.StringIO(text))) == [["id", "name"], ["evil", "'=1+1"]]


def test_parquet_is_written_to_a_pipe_and_not_to_a_terminal(stage: Stage) -> None:
    table = pq.read_table(io.BytesIO(same_from_both(stage, "--format", "parquet", "--columns", "id,received_at")))
    assert table.num_rows == TASKS + 2
    leader, follower = pty.openpty()
    done = subprocess.run(command(stage, "--format", "parquet"), stdout=follower, stderr=subprocess.PIPE, timeout=100)  # noqa: PLW1510
    os.close(follower)
    os.close(leader)
    assert done.returncode == 78
    assert b"> tasks.parquet" in done.stderr


def test_a_table_shows_fifty_unless_told_otherwise(stage: Stage) -> None:
    lines = same_from_both(stage).decode().splitlines()
    assert lines[0].split()[:4] == ["received_at", "state", "name", "id"]
    assert len(lines) == 51
    assert "2025-06-15T15:06:40.500Z  FAILURE  shop.pay  bad" in lines[1]
    assert len(umbel(stage, "--limit", "700", "--columns", "id").stdout.splitlines()) == 701


def test_a_mistake_is_marked_where_it_is_by_both(stage: Stage) -> None:
    done = umbel(stage, "näme:x state:BROKEN", status=2)
    reason, query, mark = done.stderr.decode().splitlines()
    assert "no such state" in reason
    assert query[mark.index("^") :] == "BROKEN"
    with Serving(stage) as site:
        theirs = umbel(stage, "näme:x state:BROKEN", "--url", f"http://{site.host}:{site.port}", status=2)
    assert theirs.stderr == done.stderr


def test_other_mistakes_are_told_with_the_remedy(stage: Stage) -> None:
    assert b"there is no column 'nope'" in umbel(stage, "--columns", "nope", status=2).stderr
    assert b"such as http://host:5555" in umbel(stage, "--url", "host:5555", status=78).stderr
    assert b"cannot be asked" in umbel(stage, "--url", "http://127.0.0.1:9", status=1).stderr
    with Serving(stage) as site:
        done = umbel(stage, "--url", f"http://{site.host}:{site.port}/static", status=1)
    assert b"is this the address of an Umbel?" in done.stderr


def test_a_reader_that_goes_ends_it_quietly(stage: Stage) -> None:
    started = subprocess.Popen(
        command(stage, "--format", "jsonl"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert started.stdout is not None
    assert started.stderr is not None
    assert json.loads(started.stdout.readline())["id"] == "bad"
    started.stdout.close()
    assert started.wait(60) == 141
    assert started.stderr.read() == b""
    started.stderr.close()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_is_cleared_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, shown = ManualClock(), Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    progress = Progress(clock)
    for text, after in (("too early", 0.3), ("1 of 20 tasks", 0.1), ("too soon", 0.2), ("2 of 20", 0)):
        progress.tell(text)
        clock.advance(after)
    progress.end()
    assert shown.getvalue() == "\r1 of 20 tasks" + "\r2 of 20      " + "\r             \r"


def test_progress_keeps_away_from_output_that_is_shown_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, shown = ManualClock(), Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(sys, "stdout", Terminal())
    progress = Progress(clock)
    clock.advance(1)
    progress.tell("1 of 20 tasks")
    progress.end()
    assert shown.getvalue() == ""


@pytest.mark.parametrize(
    ("query", "position", "places"),
    [("state:x", 6, 6), ("日本 state:x", 9, 11), ("e\u0301 x", 3, 2), ("a\tb", 2, 2)],
)
def test_the_mark_stands_under_its_character(query: str, position: int, places: int) -> None:
    assert marked(query, QueryError("wrong", position)).splitlines()[2] == f"  {' ' * places}^"


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    assert printable("a\x1b[2Jb\nc\u202ed") == "a [2Jb c d"

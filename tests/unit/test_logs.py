"""Warnings are never a flood, and none is lost: held-back ones are counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from umbel.clock import ManualClock
from umbel.logs import INTERVAL, Limited, setup


def test_one_line_each_five_seconds_with_the_count(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    limited = Limited(logging.getLogger("test"), clock)
    for _ in range(10):
        limited.warning("kind", "it happened")
        limited.warning("other", "something else")
    clock.advance(INTERVAL)
    limited.warning("kind", "it happened", count=3)
    assert [record.getMessage() for record in caplog.records] == [
        "it happened",
        "something else",
        "it happened (12 times)",
    ]


@pytest.fixture
def _restored() -> Iterator[None]:
    """pytest's own handlers, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_restored")
def test_json_is_one_object_a_line_with_the_same_keys_whatever_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    setup("info", "json")
    log = logging.getLogger("umbel.test")
    log.info("two\nlines \u2028 and \ud800 what is no text")
    log.warning("cannot reach %s", "redis://user:hunter2@host:6379/0")
    for _ in range(3):
        Limited(log, ManualClock()).warning("kind", "it happened", count=2)
    try:
        raise ValueError("amqp://guest:hunter2@host//")  # noqa: TRY301
    except ValueError:
        log.exception("failed")
    raw = capsys.readouterr().err
    lines = [json.loads(line) for line in raw.splitlines()]
    assert "hunter2" not in raw
    always = ["time", "level", "logger", "process", "message"]
    assert [list(line)[:5] for line in lines] == [always] * 6
    assert [line["level"] for line in lines] == ["info", "warning", "warning", "warning", "warning", "error"]
    assert (lines[2]["kind"], lines[2]["times"], lines[2]["message"]) == ("kind", 2, "it happened (2 times)")
    assert lines[1]["message"] == "cannot reach redis://user:***@host:6379/0"
    assert "ValueError" in lines[5]["error"]
    assert datetime.fromisoformat(lines[0]["time"]).tzinfo is not None


@pytest.mark.usefixtures("_restored")
def test_text_shows_no_password_of_a_url_either(capsys: pytest.CaptureFixture[str]) -> None:
    setup("info")
    logging.getLogger("umbel.test").info("postgresql://umbel:hunter2@db/umbel is away")
    assert capsys.readouterr().err.endswith("umbel.test: postgresql://umbel:***@db/umbel is away\n")

"""Warnings are never a flood, and none is lost: held-back ones are counted."""

from __future__ import annotations

import logging

import pytest

from umbel.clock import ManualClock
from umbel.logs import INTERVAL, Limited


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

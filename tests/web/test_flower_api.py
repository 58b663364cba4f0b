"""Flower's API where something behind it is away: 503 and never 500, row by row; and a broker without queue lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.flower.rows import addresses
from tests.web.stage import Stage, Unreadable
from umbel.control.commands import Command, Reply
from umbel.errors import ControlError

AWAY = "Broker or result backend unavailable"
#: What the rows that need something are given.
FORM = {"n": "1", "min": "1", "max": "2", "queue": "q", "workername": "nobody@h", "ratelimit": "1/s"}


class Away:
    """Remote control and runs of a broker that is away."""

    has_backend = True

    def knows(self, _name: str) -> bool:
        return True

    def call(self, _command: Command, _timeout: float = 1.0, _expected: Any = ()) -> Iterator[Reply]:
        raise ControlError("the broker is away")

    def __getattr__(self, name: str) -> Any:
        def fails(*_args: object, **_kwargs: object) -> Any:
            raise ControlError(f"{name}: the broker is away")

        return fails


@pytest.fixture
def away(stage: Stage) -> Stage:
    stage.settings = replace(stage.settings, unauthenticated_api=True, broker="sqs://")
    stage.control = stage.runs = Away()
    return stage


def told(stage: Stage, method: str) -> dict[str, tuple[int, str]]:
    """What each row is answered with, by its address."""
    found: dict[str, tuple[int, str]] = {}
    with stage.client() as client:
        for path in addresses(method):
            answer = client.get(path) if method == "GET" else client.post(path, params=FORM)
            found[path] = (answer.status_code, answer.text)
    return found


def all_say(stage: Stage, method: str, status: int, text: str) -> None:
    found = told(stage, method)
    assert len(found) >= 6
    assert found == dict.fromkeys(found, (status, text))


def test_what_is_looked_up_in_a_store_or_broker_that_is_away_is_503(away: Stage) -> None:
    away.reader = Unreadable()
    found = told(away, "GET")
    assert found.pop("/api/queues/length") == (404, "'sqs' broker is not supported")
    assert found == dict.fromkeys(found, (503, AWAY))


def test_what_is_sent_to_a_broker_that_is_away_is_503(away: Stage) -> None:
    away.commit()
    all_say(away, "POST", 503, AWAY)


def test_read_only_refuses_each_change_before_anything_else(away: Stage) -> None:
    away.settings = replace(away.settings, read_only=True)
    all_say(away, "POST", 403, "Read only mode is enabled")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_closed_every_row_is_401(stage: Stage, method: str) -> None:
    variable = "FLOWER_UNAUTHENTICATED_API environment variable"
    all_say(stage, method, 401, f"{variable} is required to enable API without authentication")

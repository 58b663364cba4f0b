"""What keys and patterns call secret never leaves the collector; everything else stays as it was."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_ingest import ListSource, body
from umbel.clock import ManualClock
from umbel.errors import SettingsError
from umbel.ingest import Collector
from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskSent, TaskStarted, TaskSucceeded
from umbel.model.redact import HIDDEN, Redactor
from umbel.settings import Settings, load
from umbel.sources.base import Batch
from umbel.stores.sqlite import SqliteWriter

KEYS = Settings().redact_keys
SECRET = "hunter2-7c1e"
WHERE: dict[str, Any] = {"hostname": "w1@a", "pid": 1, "timestamp": 1.0, "uuid": "t1"}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"{{'password': '{SECRET}', 'n': 1}}", f"{{'password': '{HIDDEN}', 'n': 1}}"),
        (f"{{'db_password': \"{SECRET}\"}}", f"{{'db_password': '{HIDDEN}'}}"),
        (f'{{"access_token":"{SECRET}","n":1}}', f'{{"access_token":\'{HIDDEN}\',"n":1}}'),
        (f"({{'Secret': {{'a': ['{SECRET}', ')']}}, 'b': 2}},)", f"({{'Secret': '{HIDDEN}', 'b': 2}},)"),
        (f"{{'secret': b'{SECRET}'}}", f"{{'secret': '{HIDDEN}'}}"),
        ("{'password': 12345, 'n': 1}", f"{{'password': '{HIDDEN}', 'n': 1}}"),
        (f"LoginError('password={SECRET} is wrong')", f"LoginError('password='{HIDDEN}' is wrong')"),
        (f"https://x/?api_key={SECRET}&page=2", f"https://x/?api_key='{HIDDEN}'&page=2"),
        # Cut by Celery in the middle of the value.
        (f"{{'password': '{SECRET}...", f"{{'password': '{HIDDEN}'"),
        (f"{{'secret': {{'a': '{SECRET}...", f"{{'secret': '{HIDDEN}'"),
        (f"{{'password': 'it\\'s {SECRET}'}}", f"{{'password': '{HIDDEN}'}}"),
    ],
)
def test_the_value_after_a_secret_key_is_hidden_and_nothing_else(text: str, hidden: str) -> None:
    redactor = Redactor(KEYS)
    assert redactor.text(text) == hidden
    assert redactor.count == 1


@pytest.mark.parametrize(
    "text",
    ["{'max_tokens': 512}", "{'token_count': 3}", "('a password reset for ann',)", "{'passwords_changed': True}", ""],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert Redactor(KEYS).text(text) == text


def test_every_text_of_every_event_is_seen_to() -> None:
    text = f"{{'token': '{SECRET}'}}"
    events: list[AnyEvent] = [
        TaskSent(**WHERE, args=text, kwargs=text),
        TaskReceived(**WHERE, args=text, kwargs=text),
        TaskStarted(**WHERE),
        TaskSucceeded(**WHERE, result=text),
        TaskFailed(**WHERE, exception=text, traceback=text),
    ]
    redactor = Redactor(KEYS)
    seen = redactor.see(events)
    assert SECRET not in repr(seen)
    assert [type(event) for event in seen] == [type(event) for event in events]
    assert redactor.count == 7


def test_events_without_secrets_are_passed_on_as_they_are() -> None:
    events: list[AnyEvent] = [TaskReceived(**WHERE, args="(1,)", kwargs="{'user': 'ann'}"), TaskStarted(**WHERE)]
    assert Redactor(KEYS).see(events) is events
    assert Redactor().see(events) is events


def test_patterns_hide_what_they_match_wherever_it_stands() -> None:
    redactor = Redactor((), [re.compile(r"\b\d{4}-\d{4}-\d{4}-\d{4}\b")])
    (event,) = redactor.see([TaskReceived(**WHERE, args="('4111-1111-1111-1111', 7)")])
    assert isinstance(event, TaskReceived)
    assert event.args == f"('{HIDDEN}', 7)"


@given(st.text(max_size=300), st.text(alphabet="'\"\\()[]{}:=, a", max_size=60))
def test_any_text_is_seen_to_and_what_is_hidden_stays_hidden(before: str, value: str) -> None:
    redactor = Redactor(KEYS)
    once = redactor.text(f"{before}'password': {value}")
    assert redactor.text(once).count(HIDDEN) >= 1


def test_a_long_text_takes_time_in_proportion() -> None:
    redactor = Redactor(KEYS)
    for text in ("a" * 400_000, "password" * 50_000, "password=" * 40_000, "'password': {" * 400):
        redactor.text(text)


def test_nothing_secret_reaches_the_store(tmp_path: Path) -> None:
    path = tmp_path / "umbel.db"
    batch = Batch(bodies=[body(uuid="t1", kwargs=f"{{'password': '{SECRET}', 'user': 'ann'}}")])
    redactor = Redactor(KEYS)
    Collector(ListSource([batch]), SqliteWriter(path), ManualClock(), redactor=redactor).run(threading.Event())
    assert redactor.count == 1
    stored = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(SECRET.encode() in raw for raw in stored)
    assert any(b"'user': 'ann'" in raw for raw in stored)


def test_a_pattern_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"redact.patterns.*is no regular expression"):
        load({"redact_patterns": "("}, {})

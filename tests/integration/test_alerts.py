"""Whole processes: two Umbels on one store, killed and started again, tell each thing once; a ping stops with them."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.alerts.sinks import Hook, hook, mail
from tests.services import wait_until
from tests.support.commits import collected
from tests.support.umbel import UmbelProcess
from umbel.alerts.book import Shelf
from umbel.clock import SystemClock
from umbel.model.event import AnyEvent, TaskFailed, TaskReceived
from umbel.runtime.stores import open_alert_book, open_writer
from umbel.settings import Settings

pytestmark = pytest.mark.slow

RULES = """
every = "1s"
defaults = false
[[rule]]
name = "mail fails"
on = "search"
search = "state:FAILURE name:mail.*"
over = 0
within = "1d"
[[rule]]
name = "other fails"
on = "search"
search = "state:FAILURE name:other.*"
over = 0
within = "1d"
"""


@pytest.fixture
def web() -> Iterator[Hook]:
    with hook() as made:
        yield made


def failed(store: str, name: str) -> None:
    clock, end = SystemClock(), {"hostname": "w1@a", "pid": 1}
    now = clock.now()
    events: list[AnyEvent] = [
        TaskReceived(**end, timestamp=now - 1, uuid=name, name=name, args="()", kwargs="{}"),  # type: ignore[arg-type]
        TaskFailed(**end, timestamp=now, uuid=name, exception="ValueError()", traceback=""),  # type: ignore[arg-type]
    ]
    with closing(open_writer(Settings(store=store), clock)) as writer:
        writer.open()
        writer.write(collected(events, now))


def test_of_two_that_are_killed_in_turn_each_thing_is_told_once(
    umbel_process: Callable[..., UmbelProcess], tmp_path: Path, web: Hook
) -> None:
    (tmp_path / "alerts.toml").write_text(RULES)
    store = f"sqlite:///{tmp_path}/umbel.db"
    failed(store, "mail.send")
    with mail() as box:
        options = ("--store", store, "--alerts", "alerts.toml", "--alert-to", f"{web.url} {box.url}")
        first, second = (umbel_process("alert", *options, "--data-dir", f"data-{n}") for n in (1, 2))
        book = open_alert_book(Settings(store=store), SystemClock())

        def noted(count: int) -> bool:
            """So many are sent to each, and noted as sent: one that dies before that may send it once more."""
            return (len(web.taken), len(box.taken), len(book.read(Shelf.OUTBOX))) == (count, count, 0)

        wait_until(lambda: noted(1), "the first notice", timeout=120)
        # Whoever leads is killed without a word; the other takes over once the lease is over.
        leader = first if "now judges" in first.log.read_text() else second
        leader.kill()
        failed(store, "other.job")
        wait_until(lambda: noted(2), "the second notice", timeout=120)
        leader.start()
        pages = umbel_process("web", *options)
        told = pages.json("/api/v1/alerts")
        assert {item["rule"] for item in told["items"]} == {"mail fails", "other fails"}
        request = urllib.request.Request(f"{pages.url}/alerts/try", b"destination=default", method="POST")
        urllib.request.urlopen(request, timeout=60).read()
        # It comes after everything that was decided before it.
        wait_until(lambda: len(web.taken) == 3, "the test message", timeout=120)
        book.close()
        everything = json.dumps(told) + pages.get("/alerts").decode() + pages.get("/metrics").decode()
        logs = "".join(one.log.read_text() for one in (first, second, pages))
    assert web.titles == ["Umbel: warning: mail fails", "Umbel: warning: other fails", "Umbel: a test"]
    assert [subject for subject, _ in box.taken] == web.titles[:2]
    assert "S3CRET" not in everything + logs
    assert re.search(r'notifications_sent_total\{destination="default"\} \d', everything)


def test_umbel_without_apprise_or_with_a_wrong_file_says_what_to_do(
    umbel_process: Callable[..., UmbelProcess], tmp_path: Path
) -> None:
    (tmp_path / "alerts.toml").write_text('[[rule]]\nname = "x"\non = "queue"\n')
    wrong = umbel_process("alert", "--check", "--alerts", "alerts.toml")
    assert wrong.wait(60) == 78
    assert "alerts.toml: rule 'x': on = \"queue\" needs over" in wrong.log.read_text()
    nobody = umbel_process("alert", "--broker", "memory://")
    assert nobody.wait(60) == 78
    assert "--alert-to" in nobody.log.read_text()
    # A package of that name that cannot be found stands for one that was not installed.
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/sitecustomize.py").write_text("import sys\nsys.modules['apprise'] = None\n")
    missing = umbel_process("alert", "--alert-to", "json://h", env={"PYTHONPATH": str(tmp_path / "hidden")})
    assert missing.wait(60) == 78
    assert "pip install 'umbel[alerts]'" in missing.log.read_text()


def test_the_ping_comes_while_all_is_well_and_stops_when_it_is_not(
    umbel_process: Callable[..., UmbelProcess], tmp_path: Path, web: Hook
) -> None:
    store = f"sqlite:///{tmp_path}/umbel.db"
    failed(store, "mail.send")
    umbel_process("alert", "--store", store, "--ping-url", web.address, "--ping-every", "5", "--ping-method", "post")
    wait_until(lambda: web.asked >= 2, "two pings", timeout=120)

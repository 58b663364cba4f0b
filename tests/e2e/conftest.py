"""A browser for the session, a page for each test that notes every complaint, and a shop to look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.e2e.served import Served
from tests.e2e.shop import Shop
from umbel.model.event import EventClass
from umbel.model.ledger import Reason

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


#: What the shop watches; nothing listens at its destinations.
ALERTS = """
defaults = false
[destinations]
on-call = "json://127.0.0.1:9/"
"the whole of operations" = "json://127.0.0.1:9/"
[[rule]]
name = "payments fail"
on = "failures"
task = "shop.*"
over = 1
within = "1h"
severity = "critical"
[[rule]]
name = "receipts are late"
on = "latency"
over = "50ms"
within = "1h"
for = "5m"
to = ["on-call"]
"""
#: A busy machine is no failure: five seconds, as Playwright has it, are not enough to call something missing.
expect.set_options(timeout=60_000)


# Not for the session: while Playwright runs, its event loop is the main thread's, and no other test could have one.
@pytest.fixture(scope="package")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium_path, args=list(FLAGS))
        yield started
        started.close()


class Watched:
    """Opens pages, and remembers what the browser complained of."""

    def __init__(self, browser: Browser, stack: ExitStack) -> None:
        self._browser = browser
        self._stack = stack
        self.complaints: list[str] = []

    def open(self, url: str, **options: Any) -> Page:
        context = self._browser.new_context(**{"viewport": DESKTOP, **options})
        self._stack.callback(context.close)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.goto(url, wait_until="load")
        return page

    def forgive(self, *parts: str) -> None:
        """Forget the complaints that the test meant to cause."""
        self.complaints = [text for text in self.complaints if not any(part in text for part in parts)]

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")


@pytest.fixture
def watched(browser: Browser, serve: Callable[..., Served]) -> Iterator[Watched]:
    """Fails the test at its end if the console held an error or a violation of the content security policy.

    It asks for `serve` so that pages are closed before their server stops.
    """
    with ExitStack() as stack:
        made = Watched(browser, stack)
        yield made
    assert made.complaints == []


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A shop with an hour and a half of history; tests only look at it."""
    directory = tmp_path_factory.mktemp("shop")
    rules = directory / "alerts.toml"
    rules.write_text(ALERTS)
    with Served(directory, alerts=str(rules)) as served:
        made = Shop(time.time())
        served.commit([*made.history(6_000), *made.open_tasks(), *made.told_story(), *made.workers()])
        ledger, quarantine = made.losses()
        lost = {(Reason.SPOOL_FULL, EventClass.HEARTBEAT): 1_204, (Reason.MALFORMED, EventClass.UNKNOWN): 1}
        served.commit([], discarded=lost, ledger=ledger, quarantine=quarantine)
        served.judge()
        yield served


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts a web server on an empty store of the test's own."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Served(tmp_path, **options))

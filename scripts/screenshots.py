"""Pictures of every page: runs the demo on a port and a store of its own, waits until there is something to show, and
writes each page at the width of a desk and of a phone, light and dark, to build/screenshots.

Run by `make screenshots`. Needs Chromium; leaves no process and nothing else behind.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build/screenshots"

#: CSS pixels: a laptop's window, and a phone.
WIDTHS: Final = {"wide": (1440, 900), "phone": (390, 844)}
THEMES: Final = ("light", "dark")
#: Seconds that all may take until the demo shows what we want; it is far more than it needs.
PATIENCE: Final = 600.0
#: The picture that is the README's as well.
FACE: Final = ("overview", "wide", "light")
#: What must have been seen before a picture is worth taking: search, and how many tasks it must find.
SHOWN: Final = {"state:SUCCESS": 300, "state:FAILURE": 10, "retries:>0": 5}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(base: str, path: str) -> Any:
    """The decoded answer of the API."""
    with urllib.request.urlopen(f"{base}/api/v1/{path}", timeout=60) as answer:
        return json.load(answer)


@contextlib.contextmanager
def demo(rate: float) -> Iterator[str]:
    """The demo's address; it ends as Ctrl-C would end it."""
    port = free_port()
    command = [sys.executable, "-m", "umbel", "demo", "--rate", str(rate), "--port", str(port), "-l", "warning"]
    with tempfile.TemporaryDirectory(prefix="umbel-screenshots-") as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("UMBEL_", "FLOWER_"))}
        process = subprocess.Popen(command, cwd=home, env=environment)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def until(check: Callable[[], bool], what: str) -> None:
    """Wait for what the demo must show; ends the program where it does not come."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if check():
                return
        if time.monotonic() > deadline:
            sys.exit(f"the demo did not show {what} within {PATIENCE:g} s")
        time.sleep(1.0)


def worth_showing(base: str) -> bool:
    """Whether workers are there and each search of SHOWN finds enough."""
    if len(ask(base, "workers")["items"]) < 3:
        return False
    return all(ask(base, f"tasks/count?q={quote(query)}")["count"] >= least for query, least in SHOWN.items())


def first(base: str, query: str) -> dict[str, Any]:
    """The newest task that a search finds."""
    task: dict[str, Any] = ask(base, f"tasks?limit=1&q={quote(query)}")["items"][0]
    return task


def pages(base: str) -> dict[str, str]:
    """Each picture's name and the path that it shows."""
    failed, retried = first(base, "state:FAILURE"), first(base, "state:SUCCESS retries:>0")
    done = ask(base, f"tasks?limit=2&q={quote('state:SUCCESS name:=' + retried['name'])}")["items"]
    child = next(task for task in ask(base, "tasks?limit=200&q=state:SUCCESS")["items"] if task["parent_id"])
    name, worker = quote(failed["name"]), quote(ask(base, "workers")["items"][0]["hostname"])
    return {
        "overview": "/?range=15m",
        "tasks": "/tasks",
        "tasks-search": f"/tasks?q={quote('state:FAILURE received:>-1h')}",
        "task-failed": f"/tasks/{quote(failed['id'])}",
        "task-retried": f"/tasks/{quote(retried['id'])}",
        "compare": f"/compare?a={quote(done[0]['id'])}&b={quote(done[-1]['id'])}",
        "workflow": f"/tasks/{quote(child['root_id'])}/workflow",
        "run-again": f"/again/{quote(failed['id'])}",
        "names": "/names?range=15m",
        "name": f"/names/{name}?range=15m",
        "errors": "/errors",
        "queues": "/queues",
        "queue": "/queue?name=default",
        "schedules": "/schedules",
        "workers": "/workers",
        "worker": f"/workers/{worker}",
        "ingest": "/ingest",
        "storage": "/storage",
        "stuck": "/stuck",
        "alerts": "/alerts",
        "commands": "/commands",
        "start": "/start",
        "audit": "/audit",
    }


def face(page: Page) -> None:
    """The README's picture: WebP, a quarter of the PNG."""
    session = page.context.new_cdp_session(page)
    picture = session.send("Page.captureScreenshot", {"format": "webp", "quality": 80})
    (OUT / "readme.webp").write_bytes(base64.b64decode(picture["data"]))


def photograph(browser: Browser, base: str, shown: dict[str, str], *, whole: bool) -> None:
    """Write every page at each width and in each theme: what a window shows of it, or all of it."""
    for size, (width, height) in WIDTHS.items():
        for theme in THEMES:
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light"
            )
            page = context.new_page()
            for name, path in shown.items():
                answer = page.goto(base + path, wait_until="load")
                if answer is None or not answer.ok:
                    sys.exit(f"{path} answers {answer.status if answer else 'nothing'}")
                # What a page fetches or draws after it has come: until nothing of it is under way.
                expect(page.locator(".htmx-request")).to_have_count(0, timeout=60_000)
                if (name, size, theme) == FACE:
                    face(page)
                page.screenshot(path=OUT / f"{name}-{size}-{theme}.png", full_page=whole, animations="disabled")
            context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="", help="an Umbel that runs already, instead of the demo")
    parser.add_argument("--rate", type=float, default=3.0, help="orders a second of the demo")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the demo runs before the first picture")
    parser.add_argument("--whole", action="store_true", help="pages in their whole length, not a window of them")
    given = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("Chromium is missing (Debian: apt-get install chromium)")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    running = contextlib.nullcontext(given.url.rstrip("/")) if given.url else demo(given.rate)
    with running as base, sync_playwright() as playwright:
        begun = time.monotonic()
        until(lambda: worth_showing(base), "enough")
        time.sleep(max(0.0, begun + given.minutes * 60 - time.monotonic()))
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        photograph(browser, base, pages(base), whole=given.whole)
        browser.close()
    print(f"{len(list(OUT.glob('*.png')))} pictures in {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

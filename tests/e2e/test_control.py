"""Control by hand: what a worker says comes into its page, a form keeps what was typed, and everything asks first."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import PHONE, Watched
from tests.e2e.served import Served
from tests.e2e.shop import Shop
from tests.e2e.test_pages import overflow
from tests.pages.agreeing import Workers
from tests.web.events import received, started
from umbel.control.commands import AddConsumer, Terminate

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WORKER = "orders@web-1"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_worker_is_asked_and_changed_from_its_page(
    watched: Watched, serve: Callable[..., Served], scripts: bool
) -> None:
    workers = Workers()
    workers.said = {"stats": {"pool": {"max-concurrency": 4}, "uptime": 61}, "registered": ["shop.pay"]}
    served = serve(control=workers)
    shop = Shop(time.time())
    served.commit([*shop.history(20, 60), *shop.workers()])
    page = watched.open(f"{served.url}/workers/{WORKER}", viewport=PHONE, java_script_enabled=scripts)
    if not scripts:
        page.get_by_role("link", name="Ask the worker").click()
    expect(page.locator("#inspected")).to_contain_text("1 m 01 s")
    if not scripts:
        page.get_by_role("link", name="Back to the worker").click()
    page.locator("details.tuck > summary", has_text="Control").click()
    form = page.locator("form", has=page.get_by_role("button", name="Add consumer"))
    field = form.get_by_label("queue")
    field.fill("mail")
    if scripts:
        page.evaluate("refresh()")
        expect(field).to_have_value("mail")
        expect(page.locator("#inspected")).to_contain_text("1 m 01 s")
        assert [command.method for command in workers.sent].count("ping") == 1, "a refresh asks the worker again"
    assert overflow(page) == 0
    field.press("Enter")
    expect(page.locator("h1")).to_have_text("Add a consumer?")
    assert not any(isinstance(command, AddConsumer) for command in workers.sent)
    assert overflow(page) == 0
    page.get_by_role("button", name="Add a consumer").click()
    expect(page.locator(".answers")).to_contain_text("<b>done</b>")
    assert overflow(page) == 0
    assert workers.sent[-1] == AddConsumer((WORKER,), queue="mail")
    page.get_by_role("link", name="Back to the worker").click()
    expect(page.locator("h1")).to_have_text(WORKER)


def test_a_task_is_terminated_by_keys_and_nothing_happens_by_enter_alone(
    watched: Watched, serve: Callable[..., Served]
) -> None:
    workers = Workers()
    served = serve(control=workers)
    served.commit([*Shop(time.time()).workers(), received("open"), started("open")])
    page = watched.open(served.url + "/tasks/open", viewport=PHONE)
    assert overflow(page) == 0
    page.get_by_label("Signal").select_option("SIGKILL")
    page.get_by_role("button", name="Terminate").press("Enter")
    expect(page.locator("h1")).to_have_text("Terminate?")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("shop.pay")
    assert workers.sent == []
    page.get_by_label("Signal").select_option("SIGKILL")
    page.get_by_role("button", name="Terminate").press("Enter")
    expect(page.locator("h1")).to_have_text("Terminate?")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Terminate")
    assert workers.sent == [Terminate(task_ids=("open",), signal="SIGKILL")]

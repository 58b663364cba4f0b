"""What changes while somebody looks: live updates, new rows, pause, a lost connection."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Watched
from tests.e2e.served import Served
from tests.e2e.shop import Shop
from umbel.model.event import AnyEvent, EventClass, TaskStarted, TaskSucceeded
from umbel.model.ledger import LedgerEntry, Reason

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def some_tasks(shop: Shop, prefix: str, n: int) -> list[AnyEvent]:
    return [
        shop.received(f"{prefix}-{number}", "shop.orders.place", time.time(), "orders@web-1", "(1,)", 0)
        for number in range(n)
    ]


def ids(page: Page) -> list[str | None]:
    return [row.get_attribute("data-id") for row in page.locator("#rows tr").all()]


def test_new_tasks_are_announced_and_move_no_row(watched: Watched, serve: Callable[..., Served]) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit(some_tasks(shop, "old", 5))
    page = watched.open(served.url + "/tasks")
    before = ids(page)
    assert len(before) == 5
    served.commit(some_tasks(shop, "new", 12))
    expect(page.locator("#news")).to_have_text("+12 new")
    expect(page.locator("#announce")).to_have_text("+12 new")
    assert ids(page) == before
    page.keyboard.press("n")
    expect(page.locator("#rows tr")).to_have_count(17)
    expect(page.locator("#news")).to_have_text("")
    served.commit(some_tasks(shop, "newer", 1))
    expect(page.locator("#news")).to_have_text("+1 new")


def test_a_row_that_is_shown_changes_in_its_place(watched: Watched, serve: Callable[..., Served]) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit(some_tasks(shop, "task", 3))
    page = watched.open(served.url + "/tasks?state=RECEIVED")
    row = page.locator('tr[data-id="task-1"]')
    expect(row).to_contain_text("RECEIVED")
    at = time.time()
    served.commit(
        [
            TaskStarted(hostname="orders@web-1", timestamp=at, pid=71, uuid="task-1"),
            TaskSucceeded(hostname="orders@web-1", timestamp=at + 0.2, pid=71, uuid="task-1", runtime=0.2),
        ]
    )
    expect(row).to_contain_text("SUCCESS")
    expect(page.locator("#rows tr")).to_have_count(3)
    expect(page.locator("#news")).to_have_text("")


def test_more_new_tasks_than_are_counted_are_said_with_a_plus(watched: Watched, serve: Callable[..., Served]) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit(some_tasks(shop, "old", 2))
    page = watched.open(served.url + "/tasks")
    served.commit(some_tasks(shop, "new", 150))
    expect(page.locator("#news")).to_have_text("100+ new")
    assert len(ids(page)) == 2


def test_the_first_task_appears_by_itself(watched: Watched, serve: Callable[..., Served]) -> None:
    served = serve()
    page = watched.open(served.url + "/tasks")
    expect(page.get_by_text("No task has been seen yet")).to_be_visible()
    served.commit(some_tasks(Shop(time.time()), "first", 60))
    expect(page.locator("#rows tr")).to_have_count(50)
    expect(page.get_by_role("link", name="Older")).to_be_visible()


def test_the_figures_of_the_overview_move(watched: Watched, serve: Callable[..., Served]) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit([*shop.history(50, 300), *shop.workers()])
    page = watched.open(served.url + "/")
    throughput = page.locator(".tile").first.locator(".note")
    before = throughput.inner_text()
    served.commit(shop.history(200, 300))
    expect(throughput).not_to_have_text(before)
    expect(page.locator(".plot canvas")).to_have_count(3)


def test_paused_means_paused(watched: Watched, serve: Callable[..., Served]) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit(some_tasks(shop, "old", 2))
    page = watched.open(served.url + "/tasks")
    page.keyboard.press("p")
    expect(page.locator("#live")).to_have_attribute("aria-pressed", "true")
    served.commit(some_tasks(shop, "new", 3))
    page.wait_for_timeout(3_000)
    expect(page.locator("#news")).to_have_text("")
    page.locator("#live").click()
    expect(page.locator("#news")).to_have_text("+3 new")


def test_losses_raise_a_banner_and_a_mark(watched: Watched, serve: Callable[..., Served]) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit(some_tasks(shop, "old", 2))
    page = watched.open(served.url + "/")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.wait_for_timeout(1_200)
    now = time.time()
    lost = LedgerEntry(Reason.SPOOL_FULL, EventClass.HEARTBEAT, now - 60, now, 25)
    served.commit([], discarded={(Reason.SPOOL_FULL, EventClass.HEARTBEAT): 25}, ledger=[lost])
    expect(page.get_by_role("alert")).to_contain_text("Events are being lost just now")
    expect(page.locator(".losses li")).to_contain_text("spool full")


def test_trouble_shows_in_title_and_icon(watched: Watched, serve: Callable[..., Served]) -> None:
    served = serve()
    well = served.told
    page = watched.open(served.url + "/workers")
    expect(page).to_have_title("Workers · Umbel")
    served.told = {}
    expect(page).to_have_title("⚠ Workers · Umbel")
    assert "favicon-down" in str(page.locator("#favicon").get_attribute("href"))
    expect(page.locator("#flow")).to_contain_text("Down")
    expect(page.locator(".banner")).to_contain_text("The collector does not run")
    # On a page that is not live too: whenever somebody comes back to it, and from time to time.
    page.goto(served.url + "/storage")
    expect(page).to_have_title("⚠ Storage · Umbel")
    served.told = well
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page).to_have_title("Storage · Umbel")
    expect(page.locator("#flow")).to_contain_text("Capturing")
    assert page.locator("#favicon").get_attribute("href") == page.locator("#favicon").get_attribute("data-ok")


def test_a_lost_connection_is_said_and_mended(watched: Watched, serve: Callable[..., Served]) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit(some_tasks(shop, "old", 2))
    page = watched.open(served.url + "/tasks")
    page.wait_for_timeout(500)
    page.context.set_offline(True)
    expect(page.locator("#live")).to_have_text("No connection", timeout=60_000)
    served.commit(some_tasks(shop, "new", 4))
    page.context.set_offline(False)
    expect(page.locator("#live")).to_have_text("Live", timeout=60_000)
    expect(page.locator("#news")).to_have_text("+4 new", timeout=60_000)
    watched.forgive("ERR_INTERNET_DISCONNECTED", "htmx")


def test_a_hidden_tab_asks_for_nothing(watched: Watched, serve: Callable[..., Served]) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit(some_tasks(shop, "old", 2))
    page = watched.open(served.url + "/tasks")
    hide = (
        "hidden => { Object.defineProperty(document, 'hidden', {get: () => hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.evaluate(hide, True)
    page.wait_for_timeout(500)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    served.commit(some_tasks(shop, "new", 3))
    page.wait_for_timeout(3_000)
    assert asked == []
    page.evaluate(hide, False)
    expect(page.locator("#news")).to_have_text("+3 new")

"""A page that is left open all day: under load, on a slow phone, through a restart, on paper."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect

from tests.e2e.conftest import DESKTOP, PHONE, Watched
from tests.e2e.served import Served
from tests.e2e.shop import Shop
from tests.e2e.test_live import some_tasks
from umbel.model.event import AnyEvent

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: Milliseconds within which what must happen has happened on the slowest machine.
LONG: Final = 60_000
#: Events of one second, and tasks that make them: each is sent, received, started and ended.
EVENTS: Final = 1_000


def a_second(shop: Shop) -> list[AnyEvent]:
    """A thousand events, of tasks that have just ended."""
    shop.now = time.time()
    events: list[AnyEvent] = []
    while len(events) < EVENTS:
        events += shop.task(shop.now - 8)
    return events


@contextmanager
def flood(served: Served, shop: Shop) -> Iterator[Callable[[], None]]:
    """A thousand events a second for as long as it lasts; what it gives waits for two seconds' worth more."""
    over, done = threading.Event(), threading.Semaphore(0)

    def pour() -> None:
        while not over.is_set():
            began = time.monotonic()
            served.commit(a_second(shop))
            done.release()
            over.wait(max(0.0, began + 1 - time.monotonic()))

    def more() -> None:
        while done.acquire(blocking=False):
            pass
        assert done.acquire(timeout=90)
        assert done.acquire(timeout=90)

    thread = threading.Thread(target=pour, name="flood")
    thread.start()
    try:
        yield more
    finally:
        over.set()
        thread.join(90)


#: Resolved once the page has refreshed itself; a string would be `eval`, which the policy of the pages forbids.
REFRESHED: Final = """() => new Promise((done) => {
  const last = live.last;
  const look = () => (live.last > last ? done() : setTimeout(look, 50));
  look();
})"""
PAINTED: Final = """() => new Promise((done) => {
  const look = () => (performance.getEntriesByName("first-contentful-paint").length ? done() : setTimeout(look, 50));
  look();
})"""


def refreshed(page: Page) -> None:
    """Wait for the page's next live refresh."""
    page.evaluate(REFRESHED)


def test_a_click_opens_the_row_under_the_pointer_while_a_thousand_events_a_second_come_in(
    watched: Watched, serve: Callable[..., Served]
) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit(a_second(shop))
    page = watched.open(served.url + "/tasks")
    with flood(served, shop) as more:
        expect(page.locator("#news")).to_have_text("100+ new", timeout=LONG)
        box = page.locator("#rows tr").nth(7).locator("td.name a").bounding_box()
        assert box is not None
        x, y = box["x"] + 8, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        pointed = page.evaluate("([x, y]) => document.elementFromPoint(x, y).closest('tr').dataset.id", [x, y])
        more()
        refreshed(page)
        page.mouse.down()
        more()
        page.mouse.up()
        page.wait_for_url(f"**/tasks/{pointed}")
        expect(page.locator(".task-line")).to_contain_text(pointed)


def test_a_web_that_is_stopped_and_started_again_is_said_and_the_page_goes_on(
    watched: Watched, serve: Callable[..., Served]
) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit(some_tasks(shop, "old", 3))
    page = watched.open(served.url + "/tasks")
    refreshed(page)
    served.stop_web()
    expect(page.locator("#live")).to_have_text("No connection", timeout=LONG)
    expect(page.locator("#rows tr")).to_have_count(3)
    served.commit(some_tasks(shop, "new", 4))
    served.start_web()
    expect(page.locator("#news")).to_have_text("+4 new", timeout=2 * LONG)
    expect(page.locator("#live")).to_have_text("Live", timeout=LONG)
    watched.forgive("ERR_", "htmx")


def test_a_slow_phone_reads_before_the_scripts_come_and_can_be_used(watched: Watched, shop: Served) -> None:
    page = watched.open("about:blank", viewport=PHONE, is_mobile=True, has_touch=True)
    wire = page.context.new_cdp_session(page)
    wire.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    wire.send("Network.enable")
    slow = {"offline": False, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 94_000}
    wire.send("Network.emulateNetworkConditions", slow)
    held: list[Route] = []
    arrived = threading.Event()

    def late(route: Route) -> None:
        # theme.js runs before the first paint, so that no theme flashes.
        if arrived.is_set() or "theme.js" in route.request.url:
            route.continue_()
        else:
            held.append(route)

    page.route("**/static/**/*.js", late)
    page.goto(shop.url + "/tasks", wait_until="commit")
    expect(page.locator("#rows tr").nth(3)).to_be_visible(timeout=LONG)
    assert page.evaluate("typeof htmx") == "undefined"
    page.evaluate(PAINTED)
    arrived.set()
    for route in held:
        route.continue_()
    expect(page.locator("#live")).to_be_visible(timeout=LONG)
    page.get_by_text("Narrow down").tap()
    expect(page.locator(".facet").first).to_be_visible()
    wanted = page.locator("#rows tr").first.get_attribute("data-id")
    page.locator("#rows td.name a").first.tap()
    page.wait_for_url(f"**/tasks/{wanted}", timeout=LONG)
    expect(page.locator("h1")).to_be_visible(timeout=LONG)


#: Notes what moves by itself from now on: how much in all, and what moved up or down.
SHIFTS: Final = """() => {
  window.shifts = {all: 0, moved: []};
  const named = (node) => node && (node.id || node.className || node.nodeName);
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      window.shifts.all += entry.value;
      const jumped = entry.sources.filter((one) => Math.abs(one.previousRect.y - one.currentRect.y) > 1);
      window.shifts.moved.push(...jumped.map((one) => String(named(one.node))));
    }
  }).observe({type: "layout-shift"});
}"""
#: What browsers call good is 0.1; a word that grows beside another one counts in the fifth digit.
STILL: Final = 0.002
#: Where each column begins; of a phone's cards none has a place.
HEADS: Final = "[...document.querySelectorAll('#page th')].map((one) => Math.round(one.getBoundingClientRect().x))"


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_moves_when_a_page_is_updated(
    watched: Watched, serve: Callable[..., Served], screen: ViewportSize
) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit([*shop.history(300), *shop.workers()])
    page = watched.open(served.url + "/tasks", viewport=screen)
    moved: dict[str, list[str]] = {}
    amounts: dict[str, float] = {}
    for path in ("/tasks", "/", "/names", "/workers"):
        page.goto(served.url + path)
        refreshed(page)
        heads = page.evaluate(HEADS)
        page.evaluate(SHIFTS)
        for _ in range(3):
            served.commit([*shop.history(40, 60), shop.heartbeat("orders@web-1", time.time())])
            refreshed(page)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        shifts = page.evaluate("window.shifts")
        moved[path], amounts[path] = shifts["moved"], shifts["all"]
        assert page.evaluate(HEADS) == heads, path
    assert {path: names for path, names in moved.items() if names} == {}
    assert {path: amount for path, amount in amounts.items() if amount > STILL} == {}


def test_a_page_prints_what_it_says_and_none_of_its_controls(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks/the-story", color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator(".waterfall")).to_be_visible()
    for controls in (".rail", ".actions", ".button"):
        expect(page.locator(controls).first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.querySelector('.panel')).backgroundColor") == "rgb(255, 255, 255)"
    page.goto(shop.url + "/tasks")
    expect(page.locator("#rows tr").first).to_be_visible()
    expect(page.locator(".facets")).to_be_hidden()
    assert page.pdf(format="A4")[:5] == b"%PDF-"


#: Notes what a sheet of paper shows of the charts: the theme, and how wide they are.
PRINTED: Final = """() => {
  window.printed = [];
  addEventListener("beforeprint", () => window.printed.push(document.documentElement.dataset.theme,
    ...[...document.querySelectorAll(".plot canvas")].map((one) => one.getBoundingClientRect().width)));
}"""


@pytest.mark.parametrize("chosen", ["", "dark"])
def test_charts_print_in_the_light_colours_and_on_the_sheet_and_are_as_before_after_it(
    watched: Watched, shop: Served, chosen: str
) -> None:
    page = watched.open(shop.url + "/", color_scheme="dark")
    page.evaluate("chosen => { if (chosen) document.documentElement.dataset.theme = chosen; }", chosen)
    expect(page.locator("#plot-throughput canvas")).to_be_visible()
    before = page.locator("#plot-throughput canvas").bounding_box()
    page.evaluate(PRINTED)
    assert page.pdf(format="A4")[:5] == b"%PDF-"
    theme, *widths = page.evaluate("window.printed")
    assert theme == "light"
    assert widths
    assert max(widths) <= 700
    assert page.evaluate("document.documentElement.dataset.theme ?? ''") == chosen
    assert page.locator("#plot-throughput canvas").bounding_box() == before

"""Each page in a real browser, at desktop and phone width, in light and dark, with and without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.e2e.conftest import DESKTOP, PHONE, Watched
from tests.e2e.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: Path and the heading that stands on it.
PAGES = (
    ("/", "Overview"),
    ("/?range=24h", "Overview"),
    ("/tasks", "Tasks"),
    ("/tasks?q=name%3Ashop.*&state=FAILURE", "Tasks"),
    ("/tasks?q=no-such-thing", "Tasks"),
    ("/tasks/the-story", "shop.payments.charge"),
    ("/tasks/the-story/workflow", "Workflow"),
    ("/schedules", "Schedules"),
    ("/errors?show=resolved", "Errors"),
    ("/names", "Names"),
    ("/names/shop.payments.charge", "shop.payments.charge"),
    ("/errors", "Errors"),
    ("/queues", "Queues"),
    ("/storage?keep=state%3AFAILURE+90d%2C+1h", "Storage"),
    ("/workers", "Workers"),
    ("/workers/orders@web-1", "orders@web-1"),
    ("/alerts", "Alerts"),
    ("/audit", "Audit"),
    ("/ingest", "Ingest"),
)
SCREENS = {"desktop": DESKTOP, "phone": PHONE}


def overflow(page: Page) -> int:
    """Pixels that the page is wider than the screen."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    wide: int = page.evaluate("document.documentElement.scrollWidth")
    return max(0, wide - width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_shows_itself_without_complaint_or_overflow(
    watched: Watched, shop: Served, screen: str, scheme: str
) -> None:
    page = watched.open(shop.url, viewport=SCREENS[screen], color_scheme=scheme, is_mobile=screen == "phone")
    for path, heading in PAGES:
        page.goto(shop.url + path)
        expect(page.locator("h1")).to_have_text(heading)
        expect(page).to_have_title(re.compile("Umbel"))
        assert overflow(page) == 0, f"{path} is wider than a {screen}"
    background = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    assert (background == "rgb(16, 20, 18)") == (scheme == "dark")


#: Cells, boxes and what stands in them that is wider than they are, and so covers what stands beside it.
CROWDED = """() => [...document.querySelectorAll("td, dt, dd, .deed > *, .page-head > *")]
  .filter((one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.textContent.trim())"""


@pytest.mark.parametrize("screen", SCREENS)
def test_alerts_and_a_rule_that_is_tried_leave_room_for_each_other(watched: Watched, shop: Served, screen: str) -> None:
    page = watched.open(f"{shop.url}/alerts", viewport=SCREENS[screen], is_mobile=screen == "phone")
    expect(page.locator("tbody tr", has_text="payments fail").first).to_be_visible()
    assert page.evaluate(CROWDED) == []
    page.goto(f"{shop.url}/alerts/rule?on=latency")
    for name, value in (("name", "slow"), ("over", "1ms"), ("within", "1h"), ("at_least", "1")):
        page.fill(f"[name={name}]", value)
    page.click("button[value=try]")
    expect(page.locator(".fact", has_text="shop.payments.charge").first).to_be_visible()
    assert page.evaluate(CROWDED) == []
    assert overflow(page) == 0


@pytest.mark.parametrize("screen", SCREENS)
def test_an_empty_store_says_why_and_what_to_do(watched: Watched, serve: Callable[..., Served], screen: str) -> None:
    served = serve()
    page = watched.open(served.url + "/", viewport=SCREENS[screen], is_mobile=screen == "phone")
    for path, said in (
        ("/", "No task has been seen yet"),
        ("/tasks", "No task"),
        ("/names", "No task has been seen yet"),
        ("/errors", "No task has been seen yet"),
        ("/workers", "No worker"),
        ("/ingest", "Nothing lost"),
    ):
        page.goto(served.url + path)
        expect(page.locator(".empty h2").filter(has_text=said).first).to_be_visible()
        assert overflow(page) == 0


def test_pages_work_without_scripts(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/", java_script_enabled=False)
    expect(page.locator(".plot svg path").first).to_be_visible()
    expect(page.locator(".tile .value").first).to_contain_text("tasks/s")
    page.get_by_role("link", name="Tasks", exact=True).click()
    page.get_by_label("Search tasks").fill("id:the-story")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    page.locator("#rows a").first.click()
    expect(page.locator("h1")).to_have_text("shop.payments.charge")
    expect(page.locator("time").first).to_contain_text("UTC")


#: Headings of columns that are narrower than what they say, and rows that have more or fewer cells than headings.
NARROW = """() => [...document.querySelectorAll("table")].filter((one) => one.offsetParent).flatMap((table) => {
  const shown = (row) => [...row.cells].filter((one) => getComputedStyle(one).display !== "none");
  const heads = table.tHead ? shown(table.tHead.rows[0]) : [];
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
  const uneven = rows.filter((row) => shown(row).length !== heads.length);
  return [...heads.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.innerText),
    ...(heads.length ? uneven.slice(0, 1).map((row) => `uneven: ${row.innerText}`) : [])];
})"""


@pytest.mark.parametrize("width", [1440, 1180, 1024, 820, 660])
def test_on_no_screen_a_column_is_too_narrow_for_its_heading(watched: Watched, shop: Served, width: int) -> None:
    page = watched.open(shop.url + "/", viewport={"width": width, "height": 800})
    narrow: dict[str, list[str]] = {}
    for path in ("/", "/tasks", "/names", "/errors", "/workers", "/queues", "/schedules", "/names/shop.orders.place"):
        page.goto(shop.url + path)
        narrow[path] = page.evaluate(NARROW)
    assert {path: found for path, found in narrow.items() if found} == {}


#: Cells of the page's tables whose text is wider than they are, and figures that are cut.
CUT = """() => [...document.querySelectorAll("td.nowrap, td.num, .tile .value")]
  .filter((one) => one.offsetParent && one.scrollWidth > one.clientWidth + 1)
  .map((one) => `${one.innerText}: ${one.scrollWidth} in ${one.clientWidth}`)"""


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize(
    "path", ["/", "/tasks", "/tasks/the-story", "/workers/orders@web-1", "/names/shop.orders.place"]
)
def test_before_the_scripts_come_no_time_lies_over_what_stands_beside_it(
    watched: Watched, shop: Served, path: str, screen: ViewportSize
) -> None:
    page = watched.open("about:blank", viewport=screen)
    # The pages' scripts do not come; the test's own may look.
    page.route("**/static/**/*.js", lambda route: route.abort())
    page.goto(shop.url + path)
    watched.forgive("ERR_FAILED")
    expect(page.locator("time").first).to_have_text(re.compile(r"UTC$|ago$"))
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("width", [1440, 1024, 640, 390])
@pytest.mark.parametrize("text", ["Nov 30 23:51:00", "Nov 30 23:51:00 UTC", "2025-11-30 23:51:00 UTC"])
def test_no_time_of_another_day_is_cut_in_the_list_of_tasks(
    watched: Watched, shop: Served, text: str, width: int
) -> None:
    page = watched.open(shop.url + "/tasks", viewport={"width": width, "height": 800})
    times = "[...document.querySelectorAll('#rows td.nowrap time')]"
    assert page.evaluate(f"text => {times}.map((one) => {{ one.textContent = text; }}).length", text) > 10
    assert page.evaluate(CUT) == []


def test_charts_are_drawn_with_their_gaps(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/")
    expect(page.locator(".plot canvas")).to_have_count(3)
    expect(page.locator("figure").first.get_by_text("events lost")).to_be_visible()
    expect(page.locator(".losses li")).to_have_count(2)
    drawn = page.evaluate(
        "[...document.querySelectorAll('.plot canvas')].map(c => c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data.some(v => v > 0))"
    )
    assert drawn == [True, True, True]


def test_the_overview_answers_on_a_phones_first_screen_and_the_rest_opens_by_a_tap(
    watched: Watched, shop: Served
) -> None:
    page = watched.open(shop.url + "/", viewport=PHONE, is_mobile=True, has_touch=True)
    bar = page.locator(".tabs").bounding_box()
    assert bar is not None
    for answer in ("Throughput", "Failed", "Wait p95, now", "Run p95, now", "Workers online", "In queues"):
        tile = page.locator(".tile").filter(has=page.get_by_text(answer, exact=True)).bounding_box()
        assert tile is not None
        assert tile["y"] + tile["height"] < bar["y"], answer
    for part in ("Alerts", "What changed"):
        box = page.locator(f'section[aria-label="{part}"]').bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < bar["y"], part
    assert page.evaluate("document.documentElement.scrollHeight") < 2 * PHONE["height"]
    failures = page.locator("details.tuck").filter(has=page.get_by_role("heading", name="Failures by exception"))
    expect(failures.locator("tbody tr").first).to_be_hidden()
    expect(failures.locator("summary .clip")).to_contain_text(re.compile(r"^\d+ \w+"))
    failures.locator("summary").tap()
    expect(failures.locator("tbody tr").first).to_be_visible()
    page.evaluate("refresh()")
    expect(failures.locator("tbody tr").first).to_be_visible()
    waits = page.locator("details.tuck").filter(has=page.get_by_role("heading", name="Wait"))
    waits.locator("summary").tap()
    expect(waits.locator("canvas")).to_be_visible()
    wide = page.evaluate("document.querySelector('#plot-wait canvas').getBoundingClientRect().width")
    assert wide > 250, "a plot that was folded is as wide as its panel"


def test_a_wide_screen_folds_nothing(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/")
    expect(page.locator("details.tuck summary").first).to_be_hidden()
    for title in ("Wait", "Run", "Failures by exception", "Late"):
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    expect(page.locator("#plot-wait canvas")).to_be_visible()


def test_a_figure_leads_to_the_search_that_explains_it(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/")
    page.locator("table a", has_text="GatewayTimeout").first.click()
    expect(page.locator("#rows tr").first).to_contain_text("GatewayTimeout")
    failures = page.locator("#rows tr").count()
    assert failures > 0
    expect(page.locator("#rows .s-failure")).to_have_count(failures)


def test_a_drag_over_a_chart_asks_for_the_tasks_of_that_span(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/")
    box = page.locator(".plot .u-over").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
    page.mouse.up()
    page.wait_for_url("**/tasks?q=finished*")
    assert re.fullmatch(r"finished:>=\S+Z finished:<\S+Z", page.get_by_label("Search tasks").input_value())


def test_a_search_finds_filters_and_pages(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    page.get_by_label("Search tasks").fill("name:shop.orders.*")
    page.get_by_label("Search tasks").press("Enter")
    expect(page.locator("#rows tr")).to_have_count(50)
    first = page.locator("#rows tr").first.get_attribute("data-id")
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".list-bar")).to_contain_text("an older page")
    assert page.locator(f'tr[data-id="{first}"]').count() == 0
    page.get_by_role("navigation", name="States").get_by_role("link", name="FAILURE").click()
    expect(page.locator('.chip[aria-current="true"]')).to_contain_text("FAILURE")
    assert "state=FAILURE" in page.url
    assert "q=name" in page.url


def test_a_mistake_in_a_search_is_shown_at_its_character_and_the_text_is_kept(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    page.get_by_label("Search tasks").fill("name:shop.* run:5x")
    page.get_by_label("Search tasks").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("a duration such as")
    expect(page.locator("mark")).to_have_text("5")
    expect(page.get_by_label("Search tasks")).to_have_value("name:shop.* run:5x")
    watched.forgive("status of 400")


def test_a_task_tells_its_story(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks?q=id%3Athe-story")
    page.locator("#rows a").first.click()
    expect(page.locator(".waterfall .lane svg")).to_have_count(3)
    expect(page.locator(".lane .run")).to_have_count(3)
    expect(page.locator("#traceback")).to_contain_text("gateway.py")
    expect(page.locator("#custom")).to_contain_text('"step": "capture"')
    family = page.locator("section", has=page.get_by_role("heading", name="Family"))
    expect(family.locator("tbody tr")).to_have_count(3)
    family.get_by_role("row", name="Parent").get_by_role("link").click()
    page.wait_for_url("**/tasks/parent-of-the-story")


def test_a_kind_of_failure_leads_to_its_name_its_tasks_and_the_slow_runs_of_the_heatmap(
    watched: Watched, shop: Served
) -> None:
    page = watched.open(shop.url + "/errors")
    row = page.locator("tbody tr", has_text="GatewayTimeout").first
    expect(row).to_contain_text("payments/gateway.py in charge")
    row.get_by_role("link", name="shop.payments.charge").click()
    expect(page.locator("h1")).to_have_text("shop.payments.charge")
    expect(page.locator(".heat rect").first).to_be_attached()
    expect(page.locator(".plot canvas")).to_have_count(3)
    page.locator("figure", has_text="the stronger").locator(".heat-rows a").first.click()
    expect(page.locator("#rows tr").first).to_contain_text("shop.payments.charge")
    assert re.search(r"run:>=\S+s", page.get_by_label("Search tasks").input_value())


def test_an_unknown_task_is_404_and_helps(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks/the-s")
    page.get_by_role("link", name="Search ids that begin with").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    watched.forgive("status of 404")


def test_what_came_from_outside_is_text_and_nothing_else(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/ingest")
    page.locator("details.raw-all summary").click()
    expect(page.locator("details.raw-all pre")).to_contain_text("<script>alert(1)</script>\\x00\\xff")


def test_the_ingest_page_shows_the_books_and_every_stage(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/ingest")
    books = {
        name: int(page.locator(f'[data-book="{name}"]').inner_text().replace(",", ""))
        for name in ("received", "stored", "discarded", "in-flight")
    }
    assert books["received"] == books["stored"] + books["discarded"] + books["in-flight"]
    assert books["discarded"] == 1_205
    expect(page.get_by_text("The books balance")).to_be_visible()
    expect(page.locator(".stage")).to_have_count(6)
    expect(page.locator("#ledger tbody tr")).to_have_count(2)


def test_a_prefix_stands_before_every_address(watched: Watched, serve: Callable[..., Served]) -> None:
    served = serve(url_prefix="/umbel")
    page = watched.open(served.url + "/")
    assert "/umbel" in page.url
    for name in ("Tasks", "Workers", "Ingest", "Overview"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(page.locator("h1")).to_have_text(name)
        assert "/umbel" in page.url

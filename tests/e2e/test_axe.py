"""Every page under axe, which finds what keeps people from reading or operating it: both themes, both widths."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, Watched
from tests.e2e.served import Served
from tests.e2e.shop import Shop
from tests.pages.agreeing import Backend, Workers
from umbel.model.event import EventClass
from umbel.model.ledger import Reason

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

AXE: Final = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PAGES: Final = (
    "/tasks",
    "/tasks?q=no-such-thing",
    "/tasks?q=run%3A5x",
    "/tasks/the-story",
    "/tasks/no-such-task",
    "/tasks/the-story/workflow",
    "/compare?a=the-story&b=parent-of-the-story",
    "/again/the-story",
    "/start",
    "/stuck",
    "/names",
    "/names/shop.payments.charge",
    "/errors",
    "/queues",
    "/queue?name=orders",
    "/schedules",
    "/workers",
    "/commands",
    "/workers/orders@web-1",
    "/control/shutdown?destination=orders@web-1",
    "/alerts",
    "/ingest",
    "/storage?keep=state%3AFAILURE+90d%2C+1h",
    "/audit",
    "/login",
    "/access",
)
#: What depends on colours and on places; the rest is the same in either theme at any width.
SEEN: Final = ("color-contrast", "link-in-text-block", "scrollable-region-focusable")
#: The rules that are broken gravely, each with the first elements that break it.
GRAVE: Final = """
async ([where, only]) => (await axe.run(where, {resultTypes: ["violations"], ...(only && {runOnly: only})})).violations
  .filter((rule) => ["serious", "critical"].includes(rule.impact))
  .map((rule) => [rule.id, ...rule.nodes.slice(0, 3).map((node) => node.html.slice(0, 200))].join(" "))
"""


@pytest.fixture(scope="module")
def staffed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A small shop whose workers can be told something, so that every form is there."""
    with Served(tmp_path_factory.mktemp("staffed"), control=Workers(), runs=Backend()) as served:
        made = Shop(time.time())
        served.commit([*made.history(25), *made.open_tasks(), *made.told_story(), *made.workers()])
        ledger, quarantine = made.losses()
        lost = {(Reason.SPOOL_FULL, EventClass.HEARTBEAT): 1_204, (Reason.MALFORMED, EventClass.UNKNOWN): 1}
        served.commit([], discarded=lost, ledger=ledger, quarantine=quarantine)
        yield served


def grave(page: Page, rules: Sequence[str] | None = None, where: str = "#page") -> list[str]:
    """What axe calls serious or critical on the page as it is."""
    page.evaluate(AXE.read_text())
    said: list[str] = page.evaluate(GRAVE, [where, rules])
    return said


def looks(page: Page, *, long: bool, where: str = "#page") -> list[str]:
    """The same in the light, wide; then in the dark, narrow; in the long form in the other two pairs as well."""
    found = grave(page, where=where)
    for scheme, screen in (("dark", PHONE), *((("dark", DESKTOP), ("light", PHONE)) if long else ())):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(screen)
        found += [f"{scheme}, {screen['width']}: {one}" for one in grave(page, SEEN, where)]
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESKTOP)
    return found


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.drill)])
def test_axe_finds_nothing_serious_on_any_page(watched: Watched, staffed: Served, long: bool) -> None:
    page = watched.open(staffed.url, color_scheme="light")
    found = {"the frame": looks(page, long=long, where="body")}
    for path in PAGES:
        page.goto(staffed.url + path)
        found[path] = looks(page, long=long)
    page.goto(staffed.url + "/tasks")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    found["the shortcuts"] = looks(page, long=long, where="#keys")
    page.keyboard.press("Escape")
    page.locator(".bulk summary").click()
    found["what is done to many"] = looks(page, long=long, where=".bulk")
    page.locator('#bulk button[name="act_all"][value="revoke"]').click()
    expect(page.locator("h1")).to_contain_text("Revoke")
    found["the question"] = looks(page, long=long)
    assert {where: said for where, said in found.items() if said} == {}
    watched.forgive("status of 400", "status of 404")

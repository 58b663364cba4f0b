"""What hands do around the list of tasks: narrow it, choose a span, columns and views, tick rows, hold it still."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from urllib.parse import unquote_plus

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import PHONE, Watched
from tests.e2e.served import Served
from tests.e2e.shop import Shop
from tests.e2e.test_live import some_tasks
from tests.pages.agreeing import Workers
from umbel.control.commands import Revoke

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_value_beside_the_list_narrows_it_and_a_drag_over_the_activity_chooses_a_span(
    watched: Watched, shop: Served
) -> None:
    page = watched.open(shop.url + "/tasks")
    page.locator(".facet", has_text="shop.orders.place").click()
    expect(page.get_by_label("Search tasks")).to_have_value('name:="shop.orders.place"')
    expect(page.locator(".facet[aria-current]")).to_contain_text("shop.orders.place")
    plot = page.locator("#plot-activity .u-over")
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 30, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("finished"))
    assert re.search(r'name:="shop.orders.place" finished:>=\S+Z finished:<\S+Z$', unquote_plus(page.url))


def test_a_phone_folds_the_values_and_keys_choose_a_span(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks", viewport=PHONE)
    expect(page.locator(".facet").first).to_be_hidden()
    page.get_by_text("Narrow down").click()
    expect(page.locator(".facet").first).to_be_visible()
    page.get_by_text("Span…").press("Enter")
    page.get_by_label("From").fill("-30m")
    page.get_by_label("From").press("Enter")
    page.wait_for_url(re.compile("received"))
    expect(page.get_by_label("Search tasks")).to_have_value("received:>=-30m")


def test_columns_are_chosen_ordered_and_remembered(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    page.locator(".columns-menu summary").click()
    for title in ("Wait", "Retries", "Arguments"):
        page.locator("#columns").get_by_label(title, exact=True).uncheck()
    page.get_by_role("button", name="Name one place to the left").click()
    page.get_by_role("button", name="Show these").click()
    expect(page.locator("thead th").first).to_have_text("Name")
    chosen = page.locator("thead th").all_inner_texts()
    assert "Wait" not in chosen
    page.goto(shop.url + "/tasks")
    page.wait_for_url(re.compile("cols="))
    assert page.locator("thead th").all_inner_texts() == chosen


def test_a_view_of_this_browser_is_saved_opened_and_deleted(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks?q=queue%3Amail")
    page.locator(".views summary").click()
    page.locator("#save-view").get_by_label("Name").fill("Mail")
    page.locator("#save-view").get_by_role("button", name="In this browser").click()
    page.goto(shop.url + "/tasks")
    page.locator(".views summary").click()
    page.locator("#own-views").get_by_role("link", name="Mail").click()
    expect(page.get_by_label("Search tasks")).to_have_value("queue:mail")
    page.locator(".views summary").click()
    page.get_by_role("button", name="Delete the view Mail").click()
    expect(page.locator("#own-views")).to_have_text("None yet.")


def test_a_list_that_has_the_focus_holds_still_until_it_is_left(watched: Watched, serve: Callable[..., Served]) -> None:
    served, shop = serve(), Shop(time.time())
    served.commit(some_tasks(shop, "old", 5))
    page = watched.open(served.url + "/tasks")
    page.keyboard.press("j")
    expect(page.locator("#live")).to_have_text("Held")
    served.commit(some_tasks(shop, "new", 3))
    page.get_by_label("Search tasks").focus()
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator("#news")).to_have_text("+3 new")


def test_ticks_outlive_a_refresh_and_what_is_ticked_is_counted_and_done(
    watched: Watched, serve: Callable[..., Served]
) -> None:
    workers, shop = Workers(), Shop(time.time())
    served = serve(control=workers)
    served.commit([*shop.workers(), *some_tasks(shop, "old", 5)])
    page = watched.open(served.url + "/tasks")
    page.locator('tr[data-id="old-1"] .tick input').check()
    page.locator('tr[data-id="old-3"] .tick input').check()
    page.get_by_label("Search tasks").focus()
    served.commit(some_tasks(shop, "new", 3))
    expect(page.locator("#news")).to_have_text("+3 new")
    expect(page.locator("#rows .tick input:checked")).to_have_count(2)
    page.locator(".bulk summary").click()
    expect(page.locator("#ticked")).to_have_text("2")
    page.locator('#bulk button[name="act"][value="revoke"]').click()
    expect(page.locator("h1")).to_have_text("Revoke 2 tasks?")
    assert workers.sent == []
    page.get_by_role("button", name="Revoke 2").click()
    expect(page.get_by_role("status").filter(has_text="2 of 2")).to_be_visible()
    (sent,) = workers.sent
    assert isinstance(sent, Revoke)
    assert sorted(sent.task_ids) == ["old-1", "old-3"]

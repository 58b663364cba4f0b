"""Keyboard, theme, times, copying: what hands do."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Watched
from tests.e2e.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_keys_go_everywhere(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/")
    for key, heading in (("t", "Tasks"), ("w", "Workers"), ("i", "Ingest"), ("o", "Overview")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page.locator("h1")).to_have_text(heading)
    page.keyboard.press("/")
    expect(page.get_by_label("Search tasks")).to_be_focused()


def test_a_field_keeps_its_keys(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    page.keyboard.press("/")
    page.keyboard.type("gp?j")
    expect(page.get_by_label("Search tasks")).to_have_value("gp?j")
    expect(page.locator("#live")).to_have_attribute("aria-pressed", "false")


def test_rows_are_walked_by_keys(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    for key in ("j", "j", "k", "j"):
        page.keyboard.press(key)
    expect(page.locator("#rows tr").nth(1)).to_have_class(re.compile("here"))
    wanted = page.locator("#rows tr").nth(1).get_attribute("data-id")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/tasks/{wanted}")


def test_the_shortcuts_are_listed(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/workers")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Pause live updates")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_theme_is_chosen_and_remembered(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/", color_scheme="light")
    button = page.get_by_role("button", name=re.compile("^Theme"))
    button.click()
    button.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    button.click()
    assert page.locator("html").get_attribute("data-theme") is None


def test_times_stand_in_the_browsers_zone(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks/the-story", timezone_id="Asia/Tokyo", locale="en-GB")
    time = page.locator("dl.facts time").first
    utc = str(time.get_attribute("title"))
    hour = int(utc[11:13])
    assert utc.endswith("UTC")
    expect(time).to_have_text(re.compile(rf"\b{(hour + 9) % 24:02d}{re.escape(utc[13:23])}$"))


def test_text_is_copied(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks/the-story", permissions=["clipboard-read", "clipboard-write"])
    page.locator('[data-copy="#args"]').click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("(48213, 129.9")


def test_the_first_tab_skips_to_the_page(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#page")).to_be_focused()


def test_the_syntax_is_explained_where_it_is_needed(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    page.get_by_text("Syntax").click()
    expect(page.get_by_text("How to search")).to_be_visible()
    page.wait_for_timeout(2_500)
    expect(page.get_by_text("How to search")).to_be_visible()

"""The palette goes anywhere by keys alone, and is not there without scripts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Watched
from tests.e2e.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def go(page: Page, typed: str, chosen: str) -> None:
    """Type into the palette, and take its first place once that is the one that is meant."""
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Go to")).to_be_focused()
    page.keyboard.type(typed)
    expect(page.locator("#places [aria-selected=true]")).to_have_text(re.compile(chosen))
    page.keyboard.press("Enter")


def test_keys_alone_go_to_a_page_a_name_a_worker_a_task_and_a_view(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/")
    go(page, "ingest", "^Ingestpage")
    expect(page.locator("h1")).to_have_text("Ingest")
    go(page, "the-story", "^the-story.*task$")
    page.wait_for_url("**/tasks/the-story")
    go(page, "payments.charge", "task name$")
    page.wait_for_url("**/names/shop.payments.charge")
    go(page, "gpu", "^images@gpu-1worker$")
    page.wait_for_url("**/workers/images@gpu-1")
    page.evaluate("localStorage.setItem('umbel-views', JSON.stringify([{name: 'Mail', query: 'q=queue%3Amail'}]))")
    go(page, "Mail", "^Mailsaved view$")
    expect(page.get_by_label("Search tasks")).to_have_value("queue:mail")


def test_it_is_walked_by_arrows_told_to_screen_readers_and_closed_by_escape(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/workers")
    page.get_by_role("button", name="Go to a page").click()
    box = page.get_by_role("combobox", name="Go to")
    expect(page.locator("#places li").nth(2)).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(box).to_have_attribute("aria-activedescendant", "places-1")
    expect(page.locator("#places-1")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("j")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Ctrl K")
    plain = watched.open(shop.url + "/workers", java_script_enabled=False)
    expect(plain.locator("#open-palette")).to_be_hidden()

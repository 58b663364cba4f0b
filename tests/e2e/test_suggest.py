"""The search box offers what may follow, to hands and to screen readers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Watched
from tests.e2e.served import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def options(page: Page) -> list[str]:
    return page.locator("#suggestions [role=option] b").all_text_contents()


def test_fields_and_values_are_chosen_by_keys_alone(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    box = page.get_by_role("searchbox", name="Search tasks").or_(page.get_by_role("combobox", name="Search tasks"))
    box.focus()
    expect(page.get_by_role("combobox", name="Search tasks")).to_have_attribute("aria-expanded", "false")
    page.keyboard.type("🦉 -sta")
    options_ = page.get_by_role("listbox", name="Suggestions")
    expect(options_).to_be_visible()
    assert options(page)[:2] == ["state:", "started:"]
    page.keyboard.press("ArrowDown")
    combobox = page.get_by_role("combobox", name="Search tasks")
    expect(combobox).to_have_attribute("aria-activedescendant", "suggestions-0")
    expect(page.locator("#suggestions-0")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(box).to_have_value("🦉 -state:")
    expect(page.locator("#suggestions-1 b")).to_have_text("RECEIVED")
    page.keyboard.type("fa")
    expect(page.locator("#suggestions [role=option]")).to_have_count(1)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    expect(box).to_have_value("🦉 -state:FAILURE ")
    expect(options_).to_be_hidden()
    expect(box).to_be_focused()


def test_names_of_the_store_are_chosen_with_the_mouse_and_searched_for(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    box = page.get_by_label("Search tasks")
    box.fill("name:")
    expect(page.get_by_role("listbox")).to_be_visible()
    name = options(page)[0]
    page.get_by_role("option").first.click()
    expect(box).to_have_value(f"name:{name} ")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=name**")
    expect(page.locator("#rows tr").first).to_contain_text(name)


def test_escape_closes_the_list_first_and_then_leaves_the_box(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    box = page.get_by_label("Search tasks")
    box.focus()
    page.keyboard.type("na")
    expect(page.get_by_role("listbox")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(box).to_be_focused()
    page.keyboard.press("Escape")
    expect(box).not_to_be_focused()


def test_enter_without_a_choice_searches(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks")
    page.get_by_label("Search tasks").focus()
    page.keyboard.type("state:FAILURE")
    expect(page.get_by_role("listbox")).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**q=state**")


def test_without_scripts_the_box_is_a_plain_input(watched: Watched, shop: Served) -> None:
    page = watched.open(shop.url + "/tasks", java_script_enabled=False)
    box = page.get_by_role("searchbox", name="Search tasks")
    box.fill("state:FAILURE")
    box.press("Enter")
    page.wait_for_url("**q=state**")

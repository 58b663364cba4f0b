"""Signing in, a token made and used, and signing out everywhere, as a person does it in a real browser."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Watched
from tests.support.commits import collected
from tests.support.umbel import UmbelProcess
from umbel.clock import SystemClock
from umbel.runtime.stores import open_writer
from umbel.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: Milliseconds within which what must happen has happened on the slowest machine.
LONG = 60_000
PASSWORD = "drei Äpfel, zwei Birnen"


def sign_in(page: Page, password: str) -> None:
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def status(umbel: UmbelProcess, token: str) -> int:
    request = urllib.request.Request(f"{umbel.url}/api/v1/openapi.json", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_whole_round_of_a_person_and_of_a_token(
    watched: Watched, umbel_process: Callable[..., UmbelProcess], tmp_path: Path
) -> None:
    umbel = umbel_process("web", "--store", f"sqlite:///{tmp_path}/umbel.db", "--basic-auth", f"ann:{PASSWORD}")
    page, elsewhere = watched.open(f"{umbel.url}/tasks?q=name%3Ashop"), watched.open(umbel.url)
    expect(page).to_have_title("Sign in · Umbel", timeout=LONG)
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.", timeout=LONG)
    sign_in(page, PASSWORD)
    # Back where one wanted to go, search and all.
    expect(page).to_have_url(f"{umbel.url}/tasks?q=name%3Ashop", timeout=LONG)
    sign_in(elsewhere, PASSWORD)
    expect(elsewhere).to_have_url(f"{umbel.url}/", timeout=LONG)

    page.get_by_role("link", name="Signed in as ann").click()
    page.get_by_label("What it is for").fill("prometheus")
    page.get_by_role("button", name="Make a token").click()
    token = page.locator("#token").inner_text(timeout=LONG)
    assert status(umbel, token) == 200
    page.goto(f"{umbel.url}/access")
    expect(page.locator("#token")).to_have_count(0)
    page.get_by_role("button", name="Revoke prometheus").click()
    expect(page.get_by_text("No tokens")).to_be_visible(timeout=LONG)
    assert status(umbel, token) == 401

    page.get_by_role("button", name="Everywhere").click()
    expect(page).to_have_title("Sign in · Umbel", timeout=LONG)
    elsewhere.goto(f"{umbel.url}/workers")
    expect(elsewhere).to_have_title("Sign in · Umbel", timeout=LONG)
    # A wrong password is one; a store in which nothing is yet, as before the first event, another.
    watched.forgive("401", "503")


def test_a_viewer_keeps_a_view_that_is_there_in_another_browser_and_nobody_else_sees(
    watched: Watched, umbel_process: Callable[..., UmbelProcess], tmp_path: Path
) -> None:
    users = ("--basic-auth", "ann:apple,bob:pear", "--roles", "*=viewer")
    store = f"sqlite:///{tmp_path}/umbel.db"
    writer = open_writer(replace(Settings(), store=store), SystemClock())
    writer.open()
    writer.write(collected([], time.time()))
    writer.close()
    umbel = umbel_process("web", "--store", store, *users)

    def tasks_of(name: str, password: str, address: str = "/tasks") -> Page:
        page = watched.open(umbel.url + address)
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.locator(".views summary").click()
        return page

    page = tasks_of("ann", "apple", "/tasks?q=queue%3Amail")
    expect(page.get_by_role("button", name="For all")).to_have_count(0)
    page.locator("#save-view").get_by_label("Name").fill("My mail")
    page.locator("#save-view").get_by_label("Name").press("Enter")
    page.wait_for_url("**/tasks?q=queue%3Amail")
    elsewhere = tasks_of("ann", "apple")
    elsewhere.get_by_role("link", name="My mail").click()
    expect(elsewhere.get_by_label("Search tasks")).to_have_value("queue:mail", timeout=LONG)
    another = tasks_of("bob", "pear")
    expect(another.locator(".views")).not_to_contain_text("My mail")
    elsewhere.locator(".views summary").click()
    elsewhere.get_by_role("button", name="Delete the view My mail").click()
    elsewhere.locator(".views summary").click()
    expect(elsewhere.locator(".views")).to_contain_text("Nobody else sees them.")
    # Before their server goes.
    for one in (page, elsewhere, another):
        one.close()

"""Workflows, deploy marks and resolved errors in a real browser, live."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Watched
from tests.e2e.served import Served
from umbel.model.event import AnyEvent, TaskFailed, TaskReceived, TaskSent, TaskStarted, TaskSucceeded

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: Milliseconds within which what must happen has happened on the slowest machine.
LONG = 60_000


#: Milliseconds at a stretch that a page's thread may be busy: far beyond what it takes, far below a freeze.
LIMIT = 2_000.0


def run(id_: str, at: float, seconds: float, *, parent: str = "", name: str = "flow.step") -> list[AnyEvent]:
    """A task of the workflow `flow` that waits for 0.2 s."""
    publisher = TaskSent(hostname="gen1@a", timestamp=at, uuid=id_, name=name, root_id="flow", parent_id=parent or None)
    taken = TaskReceived(
        hostname="w@a", pid=7, timestamp=at + 0.1, uuid=id_, name=name, root_id="flow", parent_id=parent or None
    )
    done = TaskSucceeded(hostname="w@a", pid=7, timestamp=at + 0.2 + seconds, uuid=id_, runtime=seconds)
    return [publisher, taken, TaskStarted(hostname="w@a", pid=7, timestamp=at + 0.2, uuid=id_), done]


def fail(served: Served, id_: str) -> None:
    now = time.time()
    served.commit(
        [
            TaskReceived(hostname="w@a", pid=7, timestamp=now - 2, uuid=id_, name="flow.bad"),
            TaskStarted(hostname="w@a", pid=7, timestamp=now - 1, uuid=id_),
            TaskFailed(hostname="w@a", pid=7, timestamp=now, uuid=id_, exception="KeyError('sku')"),
        ]
    )


def rows(page: Page) -> int:
    return page.locator(".tree > li").count()


def test_a_workflow_of_thousands_is_folded_and_grows_while_it_is_looked_at(
    watched: Watched, serve: Callable[..., Served]
) -> None:
    served = serve()
    at = time.time() - 30
    events = run("flow", at, 2.0, name="flow.fan")
    for n in range(3_000):
        events += run(f"m{n:04}", at + 1, 1.0 + n / 10_000, parent="flow")
    served.commit(events)
    page = watched.open(served.url + "/tasks/m1234")
    page.get_by_role("link", name="Workflow", exact=True).click()
    expect(page.locator("h1")).to_have_text("Workflow")
    expect(page.locator(".tree .fold")).to_contain_text("more: flow.step")
    expect(page.locator(".tree .here a")).to_have_attribute("href", "/tasks/m1234")
    assert rows(page) < 20
    served.commit(run("body", at + 5, 0.5, parent="m2999", name="flow.total"))
    expect(page.locator(".tree .critical a").last).to_have_text("flow.total", timeout=LONG)
    page.locator(".tree .critical a").last.click()
    expect(page.locator("h1")).to_have_text("flow.total")


#: Collects how long the page's thread was busy at a stretch, milliseconds.
LONG_TASKS = """
window.busy = [];
new PerformanceObserver((list) => window.busy.push(...list.getEntries().map((one) => one.duration)))
  .observe({type: "longtask", buffered: true});
"""


def test_ten_thousand_tasks_are_scrolled_and_unfolded_without_a_freeze(
    watched: Watched, serve: Callable[..., Served]
) -> None:
    served = serve()
    at = time.time() - 300
    events, above = run("flow", at, 2.0, name="flow.fan"), ["flow"]
    made = 1
    while made < 10_000:
        grown = []
        for parent in above:
            for n in range(min(5, 10_000 - made)):
                grown.append(f"{parent}{n}")
                events += run(grown[-1], at + len(parent), 1.0, parent=parent, name=f"flow.step{n}")
                made += 1
        above = grown
    served.commit(events)
    page = watched.open("about:blank")
    page.add_init_script(LONG_TASKS)
    page.goto(served.url + "/tasks/flow/workflow")
    expect(page.locator(".flow-panel header p")).to_contain_text("of 10,000 tasks are folded")
    assert rows(page) <= 301
    page.locator(".axis-row").scroll_into_view_if_needed()
    fold = page.locator('.tree .fold a[href$="/workflow#here"]').last
    expect(fold).to_contain_text("below: flow.step0")
    fold.click()
    page.wait_for_url("**/workflow#here")
    expect(page.locator("#here")).to_be_in_viewport()
    wanted = page.locator("#here a").first.get_attribute("href")
    assert wanted
    for n in range(5):
        expect(page.locator(f'.tree a[href="{wanted}{n}"]')).to_be_visible()
    assert max(page.evaluate("window.busy"), default=0.0) < LIMIT


def test_a_failure_is_resolved_without_scripts_and_comes_back_live(
    watched: Watched, serve: Callable[..., Served]
) -> None:
    served = serve()
    fail(served, "one")
    plain = watched.open(served.url + "/errors", java_script_enabled=False)
    plain.get_by_role("button", name="Resolve").click()
    expect(plain.locator(".empty h2")).to_have_text("No open failures")
    page = watched.open(served.url + "/errors")
    expect(page.locator(".empty h2")).to_have_text("No open failures")
    fail(served, "two")
    expect(page.locator("tbody .tag")).to_have_text("back again", timeout=LONG)
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".empty h2")).to_have_text("No open failures")
    page.get_by_role("link", name="Resolved").click()
    page.get_by_role("button", name="Reopen").click()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_deploy_is_marked_in_the_charts_with_and_without_scripts(
    watched: Watched, serve: Callable[..., Served]
) -> None:
    served = serve()
    served.commit(run("flow", time.time() - 300, 2.0))
    page = watched.open(served.url + "/")
    expect(page.locator(".plot canvas").first).to_be_visible()
    body = json.dumps({"version": "2.4.1", "text": "new gateway"}).encode()
    with urlopen(Request(served.url + "/api/v1/deploys", body)) as answer:
        assert answer.status == 201
    expect(page.locator(".legend .key.mark.deploy").first).to_be_visible(timeout=LONG)
    expect(page.locator(".legend [title='new gateway']").first).to_have_text("2.4.1")
    plain = watched.open(served.url + "/", java_script_enabled=False)
    expect(plain.locator(".plot svg line.mark").first).to_be_attached()

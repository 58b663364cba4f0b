"""Hints: one slot a client, one look for all, a quick end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from tests.web import events
from tests.web.stage import Stage, Unreadable
from umbel.web.hints import Hint, HintStream, Hub, Slot, look

Message = MutableMapping[str, Any]


class Looks:
    """What the store would say; the test changes it."""

    def __init__(self) -> None:
        self.hint = Hint("1", {"stored": 1}, trouble=False)
        self.count = 0
        self.error: Exception | None = None

    def __call__(self) -> Hint:
        self.count += 1
        if self.error is not None:
            raise self.error
        return self.hint

    def say(self, version: str, *, trouble: bool = False) -> None:
        self.hint = Hint(version, {"stored": int(version)}, trouble=trouble)


class Browser:
    """The far end of a stream."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.stuck: asyncio.Event | None = None
        self.messages: list[Message] = []

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.stuck is not None:
            await self.stuck.wait()
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def hints(self) -> list[dict[str, Any]]:
        lines = self.body.decode().splitlines()
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]

    @property
    def ended(self) -> bool:
        last = self.messages[-1]
        return last["type"] == "http.response.body" and not last["more_body"]


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


def join(hub: Hub) -> Slot:
    slot = hub.join()
    assert slot is not None
    return slot


def stream(hub: Hub, browser: Browser, **changes: float) -> asyncio.Task[None]:
    answer = HintStream(hub, join(hub), **changes)
    run: Awaitable[None] = answer({"type": "http"}, browser.receive, browser.send)
    return asyncio.ensure_future(run)


def test_a_slow_client_finds_only_the_latest_message() -> None:
    async def scenario() -> None:
        slot = Slot()
        for number in range(1_000):
            slot.put(b"%d" % number)
        assert await slot.take(1.0) == b"999"
        assert await slot.take(0.01) == b""
        slot.end()
        assert await slot.take(1.0) is None

    asyncio.run(scenario())


def test_a_change_reaches_every_client_and_only_a_change() -> None:
    async def scenario() -> None:
        looks = Looks()
        hub = Hub(looks, interval=0.005)
        browsers = [Browser() for _ in range(3)]
        tasks = [stream(hub, browser) for browser in browsers]
        await until(lambda: all(browser.hints for browser in browsers))
        seen = looks.count
        await until(lambda: looks.count > seen + 3)
        assert [len(browser.hints) for browser in browsers] == [1, 1, 1]
        looks.say("2")
        await until(lambda: all(len(browser.hints) == 2 for browser in browsers))
        assert browsers[0].hints[1] == {"version": "2", "books": {"stored": 2}, "trouble": False}
        looks.say("2", trouble=True)
        await until(lambda: all(len(browser.hints) == 3 for browser in browsers))
        hub.close()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_where_the_store_sends_word_nobody_looks_until_it_comes() -> None:
    async def scenario() -> None:
        looks, word = Looks(), threading.Semaphore(0)

        def news(timeout: float) -> None:
            word.acquire()

        hub = Hub(looks, interval=0.001, news=news)
        browser = Browser()
        task = stream(hub, browser)
        await until(lambda: browser.hints)
        seen = looks.count
        looks.say("2")
        await asyncio.sleep(0.05)
        assert (looks.count, len(browser.hints)) == (seen, 1)
        word.release()
        await until(lambda: len(browser.hints) == 2)
        hub.close()
        word.release(10)
        await task

    asyncio.run(scenario())


def test_who_comes_later_is_told_the_latest_at_once() -> None:
    async def scenario() -> None:
        looks = Looks()
        hub = Hub(looks, interval=60.0)
        first, second = Browser(), Browser()
        tasks = [stream(hub, first)]
        await until(lambda: first.hints)
        tasks.append(stream(hub, second))
        await until(lambda: second.hints)
        assert looks.count == 1
        hub.close()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_nobody_looks_when_nobody_listens() -> None:
    async def scenario() -> None:
        looks = Looks()
        hub = Hub(looks, interval=0.005)
        await asyncio.sleep(0.05)
        assert looks.count == 0
        browser = Browser()
        task = stream(hub, browser)
        await until(lambda: looks.count > 2)
        browser.gone.set()
        await task
        assert len(hub) == 0
        await asyncio.sleep(0.05)
        rested = looks.count
        await asyncio.sleep(0.05)
        assert looks.count == rested
        # And the next one is served again.
        late = Browser()
        task = stream(hub, late)
        await until(lambda: late.hints)
        hub.close()
        await task

    asyncio.run(scenario())


def test_any_number_of_clients_cost_one_look() -> None:
    async def scenario() -> None:
        looks = Looks()
        hub = Hub(looks, interval=60.0)
        tasks = [stream(hub, Browser()) for _ in range(500)]
        await until(lambda: looks.count)
        await asyncio.sleep(0.02)
        assert looks.count == 1
        hub.close()
        await asyncio.gather(*tasks)
        assert len(hub) == 0

    asyncio.run(scenario())


def test_a_silent_connection_gets_a_comment() -> None:
    async def scenario() -> None:
        hub = Hub(Looks(), interval=60.0)
        browser = Browser()
        task = stream(hub, browser, heartbeat=0.02)
        await until(lambda: b"\n:\n\n" in browser.body)
        hub.close()
        await task

    asyncio.run(scenario())


def test_closing_ends_every_stream_properly_and_takes_no_more() -> None:
    async def scenario() -> None:
        hub = Hub(Looks(), interval=0.01)
        browsers = [Browser() for _ in range(20)]
        tasks = [stream(hub, browser) for browser in browsers]
        await until(lambda: all(browser.hints for browser in browsers))
        hub.close()
        async with asyncio.timeout(1):
            await asyncio.gather(*tasks)
        assert all(browser.ended for browser in browsers)
        assert hub.join() is None

    asyncio.run(scenario())


def test_a_client_that_takes_nothing_is_cut_off() -> None:
    async def scenario() -> None:
        hub = Hub(Looks(), interval=0.01)
        stuck, well = Browser(), Browser()
        tasks = [stream(hub, stuck, patience=0.05), stream(hub, well)]
        await until(lambda: stuck.hints)
        stuck.stuck = asyncio.Event()
        looks = hub._look
        assert isinstance(looks, Looks)
        looks.say("2")
        await tasks[0]
        assert not stuck.ended
        await until(lambda: len(well.hints) == 2)
        assert len(hub) == 1
        hub.close()
        await tasks[1]

    asyncio.run(scenario())


def test_there_is_room_for_so_many_clients_and_no_more() -> None:
    async def scenario() -> None:
        hub = Hub(Looks(), limit=2)
        first, _second = join(hub), join(hub)
        assert hub.join() is None
        hub.leave(first)
        assert hub.join() is not None
        hub.close()

    asyncio.run(scenario())


def test_a_look_that_fails_does_not_end_the_looking() -> None:
    async def scenario() -> None:
        looks = Looks()
        looks.error = ZeroDivisionError()
        hub = Hub(looks, interval=0.005)
        browser = Browser()
        task = stream(hub, browser)
        await until(lambda: looks.count > 2)
        looks.error = None
        await until(lambda: browser.hints)
        hub.close()
        await task

    asyncio.run(scenario())


def test_full_is_503_in_plain_words(stage: Stage) -> None:
    stage.reader = Unreadable()
    app = stage.app()
    app.state.hub = Hub(Looks(), limit=0)
    from starlette.testclient import TestClient

    with TestClient(app, base_url="http://localhost") as client:
        answer = client.get("/hints")
    assert answer.status_code == 503
    assert answer.text.startswith("Too many browsers listen")


def test_a_hint_says_what_changed(stage: Stage) -> None:
    stage.commit(events.success("a"))
    stage.well()
    deps = stage.deps()
    first = look(deps)
    assert first.books == {"received": 4, "stored": 4, "discarded": 0, "missed": 0}
    assert not first.trouble
    assert look(deps).version == first.version
    stage.commit(events.success("b"))
    stage.clock.advance(1.0)
    second = look(deps)
    assert second.version != first.version
    assert second.books["stored"] == 8


def test_trouble_is_a_hint_without_any_commit(stage: Stage) -> None:
    stage.commit(events.success("a"))
    stage.well()
    deps = stage.deps()
    assert not look(deps).trouble
    del stage.statuses["collect"]
    stage.clock.advance(1.0)
    assert look(deps).trouble


def test_a_store_that_cannot_be_read_is_trouble(stage: Stage) -> None:
    stage.reader = Unreadable()
    assert look(stage.deps()) == Hint("", {"received": 0, "stored": 0, "discarded": 0, "missed": 0}, trouble=True)


@pytest.mark.parametrize("number", [1, 50])
def test_joining_and_leaving_while_the_store_hangs_costs_one_thread(number: int) -> None:
    go_on = threading.Event()
    inside: list[int] = []

    def hangs() -> Hint:
        inside.append(1)
        go_on.wait(20)
        return Hint("1", {}, trouble=False)

    async def scenario() -> None:
        hub = Hub(hangs, interval=0.005)
        for _ in range(number):
            hub.leave(join(hub))
            await asyncio.sleep(0.002)
        slot = join(hub)
        await until(lambda: inside)
        assert inside == [1]
        go_on.set()
        assert (await slot.take(10)) is not None
        hub.close()

    try:
        asyncio.run(scenario())
    finally:
        go_on.set()

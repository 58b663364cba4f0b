"""`GET /api/v1/tasks/export`: any search as a file, streamed."""

from __future__ import annotations

import csv
import http.client
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from tests.web import events
from tests.web.stage import Stage
from tests.web.test_server import Serving, Site
from umbel.errors import StoreError
from umbel.export.columns import COLUMNS
from umbel.model.event import TaskFailed
from umbel.model.merge import fold
from umbel.model.task import summarize
from umbel.runtime.exports import formats, sheet
from umbel.stores.base import TaskPage
from umbel.web import api_export

PATH = "/api/v1/tasks/export"


@pytest.fixture
def client(stage: Stage) -> Iterator[TestClient]:
    stage.commit([*events.success("good"), *events.failure("bad"), *events.retry_then_failure("again")])
    stage.commit([events.received("open"), events.received("eta")])
    with stage.client() as made:
        made.app.state.deps.sheet = sheet  # type: ignore[attr-defined]
        yield made


def test_json_lines_hold_what_the_api_says_of_each_task(client: TestClient) -> None:
    answer = client.get(PATH, params={"format": "jsonl"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.headers["x-umbel-tasks"] == "5"
    assert answer.headers["content-disposition"].startswith('attachment; filename="umbel-tasks-2025')
    items = client.get("/api/v1/tasks").json()["items"]
    for item in items:
        # Of one cell each, and of every engine's summary: neither is in a list.
        del item["attempts"], item["end_learned"]
    assert [json.loads(line) for line in answer.text.splitlines()] == items
    assert list(items[0]) == list(COLUMNS)


def test_csv_holds_the_columns_and_tasks_that_were_asked_for(stage: Stage, client: TestClient) -> None:
    stage.commit([events.sent("evil", name="=HYPERLINK(1)")])
    answer = client.get(PATH, params={"q": "id:evil OR state:FAILURE", "columns": "id,name,state,finished_at"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    read = list(csv.reader(io.StringIO(answer.text)))
    assert read[0] == ["id", "name", "state", "finished_at"]
    assert read[1] == ["evil", "'=HYPERLINK(1)", "PENDING", ""]
    assert [row[0] for row in read[2:]] == ["again", "bad"]
    assert read[3] == ["bad", "shop.pay", "FAILURE", "2025-06-15T15:06:43.000000Z"]


def test_parquet_is_a_file_that_its_readers_take(client: TestClient) -> None:
    answer = client.get(PATH, params={"format": "parquet"})
    assert answer.status_code == 200
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.num_rows == 5
    assert table.column_names == list(COLUMNS)


def test_a_limit_holds_over_pages(stage: Stage, client: TestClient) -> None:
    stage.commit([events.sent(f"n{n}") for n in range(1_200)])
    for limit in (1, 500, 700):
        lines = client.get(PATH, params={"format": "jsonl", "columns": "id", "limit": limit}).text.splitlines()
        assert len({*lines}) == len(lines) == limit
    assert len(client.get(PATH, params={"format": "jsonl"}).text.splitlines()) == 1_205


@pytest.mark.parametrize(
    ("params", "status", "says"),
    [
        ({"q": "state:BROKEN"}, 400, "no such state"),
        ({"format": "xlsx"}, 400, "csv, jsonl and parquet"),
        ({"columns": "id,nope"}, 400, "there is no column 'nope'"),
        ({"limit": "0"}, 400, "limit"),
    ],
)
def test_wrong_parameters_are_refused_in_words(
    client: TestClient, params: dict[str, str], status: int, says: str
) -> None:
    answer = client.get(PATH, params=params)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


def test_parquet_that_is_not_installed_names_the_remedy(stage: Stage) -> None:
    stage.commit(events.success("a"))
    with stage.client() as client:  # whose app was given the text formats only
        answer = client.get(PATH, params={"format": "parquet"})
        assert answer.status_code == 501
        assert "pip install 'umbel[parquet]'" in answer.json()["error"]["message"]
        assert "Parquet" not in client.get("/tasks").text


def test_the_page_offers_the_tasks_that_it_shows(stage: Stage, client: TestClient) -> None:
    client.app.state.deps.formats = formats()  # type: ignore[attr-defined]
    text = client.get("/tasks", params={"q": "name:shop OR x", "state": "FAILURE,RETRY"}).text
    assert "Export 2 tasks" in text
    for form in ("csv", "jsonl", "parquet"):
        start = text.index(f"{PATH}?format={form}")
        link = text[start : text.index('"', start)].replace("&amp;", "&")
        assert client.get(link).headers["x-umbel-tasks"] == "2"


# On the real server


class Gate:
    """A store whose pages after the first wait until the test lets them, and may fail then."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self.waiting = threading.Semaphore(0)
        self.open = threading.Event()
        self.pages = 0
        self.error: StoreError | None = None

    def tasks(self, where: Any, page: Any) -> Any:
        with self._lock:
            self.pages += 1
        if page.cursor:
            self.waiting.release()
            assert self.open.wait(60)
            if self.error is not None:
                raise self.error
        return self._reader.tasks(where, page)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


@pytest.fixture
def gate(stage: Stage) -> Iterator[Gate]:
    stage.commit(event for n in range(1_000) for event in events.success(f"t{n}"))
    made = stage.reader = Gate(stage.deps().reader)
    yield made
    made.open.set()


def begin(site: Site) -> http.client.HTTPResponse:
    return site.ask(f"{PATH}?format=jsonl")


def test_one_export_too_many_is_told_to_come_again_and_pages_are_served_meanwhile(stage: Stage, gate: Gate) -> None:
    with Serving(stage) as site:
        under_way = [begin(site) for _ in range(api_export.EXPORTS)]
        for _ in under_way:
            assert gate.waiting.acquire(timeout=60)
        refused = begin(site)
        assert refused.status == 503
        assert refused.getheader("Retry-After") == str(api_export.RETRY)
        assert "exports are under way" in json.loads(refused.read())["error"]["message"]
        assert site.ask("/healthz").status == site.ask("/api/v1/tasks/count").status == 200
        gate.open.set()
        assert [len(answer.read().splitlines()) for answer in under_way] == [1_000] * api_export.EXPORTS
        until(lambda: begin(site).status == 200)


def test_an_export_ends_when_its_client_goes(stage: Stage, gate: Gate) -> None:
    with Serving(stage) as site:
        for _ in range(api_export.EXPORTS + 1):  # a place that was not freed would be missed
            connection = site.connect()
            connection.request("GET", f"{PATH}?format=jsonl&columns=id,args")
            assert connection.sock is not None
            assert gate.waiting.acquire(timeout=60)
            asked = gate.pages
            connection.close()
            # The server notices, and then the page that it waits for comes.
            until(lambda: gone(stage))
            gate.open.set()
            until(lambda: free(stage) == api_export.EXPORTS)
            assert gate.pages == asked
            gate.open.clear()


def test_a_store_that_fails_in_the_middle_is_no_whole_file(stage: Stage, gate: Gate) -> None:
    with Serving(stage) as site:
        answer = begin(site)
        assert gate.waiting.acquire(timeout=60)
        gate.error = StoreError("disk I/O error")
        gate.open.set()
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
        until(lambda: free(stage) == api_export.EXPORTS)


class Endless:
    """A store with a task for ever, each of a megabyte."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.pages = 0

    def tasks(self, _where: Any, page: Any) -> TaskPage:
        self.pages += 1
        task = summarize(fold([TaskFailed(hostname="w", timestamp=1.0, uuid="x", exception="E" * 1_000_000)])["x"])
        return TaskPage([task], "more")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def test_a_client_that_does_not_read_on_stops_the_reading_of_the_store(stage: Stage) -> None:
    stage.commit(events.success("a"))
    endless = stage.reader = Endless(stage.deps().reader)
    with Serving(stage) as site:
        answer = site.ask(f"{PATH}?format=jsonl&columns=id,exception")
        assert len(answer.read(3_000_000)) == 3_000_000
        before = -1
        while before != endless.pages:
            before = endless.pages
            time.sleep(1)
        # What fits into the sockets of both ends, and one piece more.
        assert endless.pages < 60
        answer.close()


def exports_of(stage: Stage) -> api_export.Exports:
    assert stage.served is not None
    exports: api_export.Exports = stage.served.state.exports
    return exports


def free(stage: Stage) -> int:
    return api_export.EXPORTS - len(exports_of(stage).streams)


def gone(stage: Stage) -> bool:
    return any(stream.gone for stream in exports_of(stage).streams)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)

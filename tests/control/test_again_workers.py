"""Run again against a real worker: what the new run is given is what the first one was given, to the type."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from celery import chord

from tests.conformance.source_rigs import unique
from tests.control.again_app import client
from tests.flower.rig import Service
from tests.services import CeleryWorker, RabbitMQServer, RedisServer, UmbelProcess, wait_until
from tests.support.celery import ROOT
from umbel.brokers.redis_messages import message_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BROKER, BACKEND = 8, 9
LONG = "a long text, " * 500


class Play:
    """A worker, Umbel beside it, and a producer."""

    def __init__(self, broker: str, backend: str, directory: Path) -> None:
        self.broker, self.backend = broker, backend
        self.worker = CeleryWorker(
            self.broker,
            directory,
            app="tests.control.again_app",
            backend=self.backend,
            queues=["celery", "mail"],
            concurrency=2,
            args=["-E", "--prefetch-multiplier", "1"],
        )
        options = ("--broker", self.broker, "--result-backend", self.backend)
        self.umbel = UmbelProcess("up", *options, directory=directory, env={"PYTHONPATH": str(ROOT)})
        self.service = Service("umbel", self.umbel.port)
        self.app = client(self.broker, self.backend)

    def start(self) -> None:
        self.umbel.start()
        self.worker.start()
        # From here on the producer is connected, and what it sends is sent at once.
        self.send("again.echo")

    def stop(self) -> None:
        self.umbel.kill()
        self.worker.kill()
        self.app.close()

    def send(self, name: str, args: Any = (), kwargs: Any = None, **options: Any) -> str:
        """Send a task as any producer would; its id."""
        return str(self.app.send_task(name, args, kwargs or {}, **options).id)

    def task(self, task_id: str) -> dict[str, Any]:
        answer = self.service.get(f"/api/v1/tasks/{task_id}")
        found: dict[str, Any] = answer.json if answer.status == 200 else {}
        return found

    def until(self, task_id: str, *states: str) -> dict[str, Any]:
        """Wait until Umbel tells that the task is in one of these states."""
        wait_until(lambda: self.task(task_id).get("state") in states, f"{task_id} being {states}", timeout=120)
        return self.task(task_id)

    def again(self, task_id: str, status: int = 201, **body: Any) -> dict[str, Any]:
        answer = self.service.ask("POST", f"/api/v1/tasks/{task_id}/run-again", body=body)
        assert answer.status == status, answer.text
        found: dict[str, Any] = answer.json
        return found

    def result(self, task_id: str) -> Any:
        return self.app.AsyncResult(task_id).get(timeout=120)


@contextmanager
def played(broker: str, backend: str, directory: Path) -> Iterator[Play]:
    made = Play(broker, backend, directory)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def database(server: RedisServer, number: int) -> str:
    return f"{server.url.rstrip('/').removesuffix('/0')}/{number}"


@pytest.fixture(scope="module")
def play(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    broker, backend = (database(redis_server, number) for number in (BROKER, BACKEND))
    with played(broker, backend, tmp_path_factory.mktemp("again")) as made:
        yield made


@pytest.fixture
def rabbit(rabbitmq_server: RabbitMQServer, redis_server: RedisServer, tmp_path: Path) -> Iterator[Play]:
    broker, backend = rabbitmq_server.vhost(unique("again")), database(redis_server, BACKEND)
    with played(broker, backend, tmp_path) as made:
        yield made


ARGUMENTS = [
    ([LONG, LONG[::-1]], {}),
    ([b"\x00\xff bytes", b"text"], {}),
    ([datetime(2026, 11, 24, 12, 30, 1, 250_000, tzinfo=UTC), UUID(int=7)], {}),
    ([], {"order": {"lines": [{"sku": "a", "tags": ["x", ["y", {"deep": [1, [2, [3]]]}]]}], "none": None}}),
    (['it\'s "quoted" \\ back', 0.1, 10**30, True], {"list": list(range(300))}),
]


def test_the_new_run_is_given_what_the_first_was_given_to_the_type(play: Play) -> None:
    firsts = [play.send("again.echo", args, kwargs, queue="mail", soft_time_limit=50) for args, kwargs in ARGUMENTS]
    for first in firsts:
        play.until(first, "SUCCESS")
    told = [play.again(first) for first in firsts]
    for first, answer in zip(firsts, told, strict=True):
        assert (answer["source"], answer["exact"], answer["routing_key"]) == ("result", True, "mail")
        assert play.result(answer["id"])[0] == play.result(first)[0]
        # The header names the first run.
        assert play.result(answer["id"])[2] == first
    new = play.until(told[0]["id"], "SUCCESS")
    assert (new["queue"], new["parent_id"]) == ("mail", firsts[0])
    # Both ways on the pages.
    assert f"/tasks/{firsts[0]}" in play.service.get(f"/tasks/{new['id']}").text
    assert f'Run again as <a class="mono" href="/tasks/{new["id"]}"' in play.service.get(f"/tasks/{firsts[0]}").text
    trail = play.service.get("/api/v1/audit", limit=1_000).json["items"]
    assert {item["arguments"]["task_id"] for item in trail if item["action"] == "run_again"} >= set(firsts)


def test_keyword_only_arguments_a_shadowed_name_and_a_task_in_a_chord(play: Play) -> None:
    when = datetime(2026, 11, 24, tzinfo=UTC)
    first = play.send("again.keywords", kwargs={"name": "ann", "when": when}, shadow="what.people.see")
    signature = play.app.signature
    parts = chord([signature("again.part", (n,)) for n in (1, 2)], signature("again.whole")).apply_async()
    assert parts.get(timeout=120) == 30
    header = parts.parent.results[0].id
    assert play.until(first, "SUCCESS")["name"] == "what.people.see"
    play.until(header, "SUCCESS")

    answer = play.again(first)
    assert answer["name"] == "again.keywords"
    assert play.result(answer["id"]) == play.result(first)
    assert play.until(answer["id"], "SUCCESS")["name"] == "what.people.see"

    answer = play.again(header)
    assert any("chord" in note for note in answer["notes"])
    assert play.result(answer["id"]) == 10
    play.until(answer["id"], "SUCCESS")
    # What was to follow has followed once.
    assert redis.Redis.from_url(play.backend).get("again-whole") == b"1"


def test_one_that_expired_runs_with_as_much_time_as_it_had(play: Play) -> None:
    first = play.send("again.echo", ["late"], queue="slow", expires=3)
    expired = time.time() + 3
    play.until(first, "PENDING")
    wait_until(lambda: time.time() > expired, "the expiry", timeout=60)
    play.service.ask("POST", "/api/v1/control/add_consumer", body={"queue": "slow"})
    play.until(first, "REVOKED")
    answer = play.again(first, dry_run=True, status=200)
    assert answer["exact"]
    # From the event of its sending on, which comes a little after its expiry was reckoned.
    assert 0 < answer["expires_in"] <= 3
    # So few seconds may pass once more.
    answer = play.again(first, expires_in=500)
    assert play.result(answer["id"])[0] == "(['late'], [])"


def test_a_repr_is_only_what_a_person_begins_with(play: Play) -> None:
    plain = play.send("again.echo", [1, "two", None], {"k": (3,)}, queue="mail", ignore_result=True)
    shortened = play.send("again.echo", [LONG, datetime(2026, 1, 1, tzinfo=UTC)], queue="mail", ignore_result=True)
    play.until(plain, "SUCCESS")
    play.until(shortened, "SUCCESS")
    for first in (plain, shortened):
        refused = play.again(first, status=409)
        assert "true arguments are not known" in refused["error"]["message"]
    form = play.service.get(f"/again/{plain}").text
    assert "Its true arguments are not known" in form
    assert "[1, &#34;two&#34;, null]" in form
    assert "was shortened where it was made" not in form
    form = play.service.get(f"/again/{shortened}").text
    assert "which is no JSON" in form
    assert "was shortened where it was made" in form
    fields = {"name": "again.echo", "queue": "mail", "args": "[1, 2]", "kwargs": "{}", "sure": "yes"}
    unchecked = play.service.post(f"/again/{plain}", **fields)
    assert (unchecked.status, "Say that the arguments were checked" in unchecked.text) == (400, True)
    sent = play.service.post(f"/again/{plain}", **fields, checked="yes")
    assert sent.status == 200
    new = sent.text.split('class="mono" href="/tasks/')[2][:36]
    assert play.result(new)[0] == "([1, 2], [])"
    assert play.until(new, "SUCCESS")["parent_id"] == plain


def test_one_that_runs_is_told_by_its_worker_and_one_that_waits_by_its_message(
    play: Play, redis_server: RedisServer
) -> None:
    redis_client = redis.Redis.from_url(play.broker)
    running = play.send("again.sleep", [600, "running"], queue="mail")
    play.until(running, "STARTED")
    assert play.again(running, dry_run=True, status=200)["source"] == "worker"
    waiting = play.send(
        "again.echo", [LONG, b"\xff"], {"k": 1}, queue="nobody", priority=4, time_limit=90, soft_time_limit=60
    )
    play.until(waiting, "PENDING")
    before: Any = redis_client.lrange("nobody\x06\x163", 0, -1)
    answer = play.again(waiting)
    assert (answer["source"], answer["routing_key"], answer["priority"]) == ("queue", "nobody", 4)
    after: Any = redis_client.lrange("nobody\x06\x163", 0, -1)
    assert after[1:] == before, "the first message stays where it was"
    new, old = message_of(after[0]), message_of(before[0])
    assert new.headers["id"] == answer["id"] != old.headers["id"]
    assert new.headers["timelimit"] == old.headers["timelimit"] == [90, 60]
    assert new.headers["umbel_run_again_of"] == waiting
    assert new.priority == old.priority == 4
    assert json.loads(new.body)[:2] == json.loads(old.body)[:2]
    stopped = play.service.ask("POST", "/api/v1/control/terminate", body={"task_ids": [running]})
    assert stopped.json["outcomes"] == {"ok": 1}


def test_on_rabbitmq_the_result_the_worker_and_the_message_tell_in_turn(
    rabbit: Play, rabbitmq_server: RabbitMQServer
) -> None:
    ended = rabbit.send("again.echo", [LONG, b"\xff"], {"k": (1, 2)}, queue="mail", priority=3)
    rabbit.until(ended, "SUCCESS")
    answer = rabbit.again(ended)
    assert (answer["source"], answer["routing_key"]) == ("result", "mail")
    assert rabbit.result(answer["id"])[0::2] == [rabbit.result(ended)[0], ended]
    assert rabbit.until(answer["id"], "SUCCESS")["parent_id"] == ended

    running = rabbit.send("again.sleep", [600, "running"], queue="mail")
    rabbit.until(running, "STARTED")
    told = rabbit.again(running, dry_run=True, status=200)
    assert (told["source"], told["args"], told["routing_key"]) == ("worker", [600, "running"], "mail")

    options = {"queue": "nobody", "priority": 4, "time_limit": 90, "soft_time_limit": 60}
    waiting = rabbit.send("again.echo", [LONG, b"\xff"], {"k": 1}, **options)
    rabbit.until(waiting, "PENDING")
    # Looking marks messages as delivered once more, so it must be asked for.
    refused = rabbit.again(waiting, status=409)
    assert "marks messages" in refused["error"]["message"]
    answer = rabbit.again(waiting, touch=True)
    assert (answer["source"], answer["routing_key"], answer["priority"]) == ("queue", "nobody", 4)
    path = f"/api/queues/{rabbit.broker.rpartition('/')[2]}/nobody/get"
    look = {"count": 9, "ackmode": "ack_requeue_true", "encoding": "auto"}
    first, new = (
        message["properties"] | {"body": message["payload"]} for message in rabbitmq_server.api("POST", path, look)
    )
    assert (first["headers"]["id"], new["headers"]["id"]) == (waiting, answer["id"])
    assert new["headers"]["umbel_run_again_of"] == waiting
    assert new["headers"]["timelimit"] == first["headers"]["timelimit"] == [90, 60]
    assert new["priority"] == first["priority"] == 4
    assert json.loads(new["body"])[:2] == json.loads(first["body"])[:2]
    stopped = rabbit.service.ask("POST", "/api/v1/control/terminate", body={"task_ids": [running]})
    assert stopped.json["outcomes"] == {"ok": 1}


def test_many_are_run_again_at_a_pace_with_a_dry_run_first_and_told_one_by_one(play: Play) -> None:
    word = uuid4().hex
    firsts = [play.send("again.echo", [word, n], queue="mail") for n in range(5)]
    for first in firsts:
        play.until(first, "SUCCESS")
    waiting = play.send("again.echo", [word, "waits"], queue="nobody")
    play.until(waiting, "PENDING")

    def bulk(**body: Any) -> list[dict[str, Any]]:
        answer = play.service.ask("POST", "/api/v1/run-again", body=body)
        assert answer.status == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    search = f"name:again.echo args:{word}"
    *lines, last = bulk(q=search, dry_run=True)
    assert last["outcomes"] == {"would": 5, "skipped": 1}
    assert next(line["text"] for line in lines if line["task_id"] == waiting) == "it has not ended (PENDING)"
    began = time.monotonic()
    *lines, last = bulk(q=search, rate=10)
    assert last["outcomes"] == {"sent": 5, "skipped": 1}
    assert time.monotonic() - began >= 0.4, "ten a second at most"
    for line in lines:
        if line["outcome"] == "sent":
            assert play.result(line["new_id"])[2] == line["task_id"]
    *lines, last = bulk(ids=[firsts[0], "never-seen"])
    assert [line["outcome"] for line in lines] == ["sent", "skipped"]


def test_any_task_is_started_from_the_form_and_over_the_api(play: Play) -> None:
    form = play.service.get("/start", name="again.keywords").text
    assert 'value="again.keywords"' in form
    fields = {"name": "again.echo", "queue": "mail", "args": "[1, {", "kwargs": "{}", "sure": "yes"}
    refused = play.service.post("/start", **fields)
    assert (refused.status, "this is no JSON" in refused.text) == (400, True)
    assert 'name="queue" value=""' in form, "nothing of this name was seen: its queue is not guessed"
    moment = '{"__type__": "datetime", "__value__": "2026-11-24T00:00:00+00:00"}'
    sent = play.service.post("/start", **{**fields, "args": f"[1, {moment}]", "expires_in": "900"})
    assert sent.status == 200, sent.text
    new = sent.text.split('class="mono" href="/tasks/')[1][:36]
    assert "datetime.datetime(2026, 11, 24" in play.result(new)[0]
    # Without a queue it goes where a task of its name went last.
    seen = 'name="queue" value="mail"'
    wait_until(lambda: seen in play.service.get("/start", name="again.echo").text, "its queue", timeout=120)
    unsaid = play.service.post("/start", name="again.echo", args="[3]", kwargs="{}", sure="yes")
    assert unsaid.status == 200, unsaid.text
    assert "mail" in unsaid.text
    started = play.service.ask("POST", "/api/v1/tasks", body={"name": "again.echo", "args": [2], "countdown": 0.1})
    assert play.result(started.json["id"])[0] == "([2], [])"
    wrong = play.service.ask("POST", "/api/v1/tasks", body={"name": "x", "args": [{"__type__": "no", "__value__": 1}]})
    assert wrong.status == 400
